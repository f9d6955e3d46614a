"""AdaMine: triplets of items and triplets of classes, adaptively mined.

References:
    [1] Carvalho, Cadène, Picard, Soulier, Thome, Cord. Cross-Modal Retrieval in the Cooking
        Context: Learning Semantic Text-Image Embeddings. SIGIR 2018. doi:10.1145/3209978.3210036
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from commonspace.checks import check_range
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch
from commonspace.objectives import adaptive_triplet_loss


@dataclass(eq=False, repr=False, kw_only=True)
class AdaMine(PairedMethod):
    """Double triplet loss with adaptive mining [1].

    ``L_items + λ L_classes``, both directions of each: an item is nearer to its counterpart than to
    any other item, and nearer to others of its class than to those of other classes, by a margin.
    Formulas stand with `adaptive_triplet_loss`. Further arguments are those of `JointMethod`.

    Differs from the paper: networks read feature vectors; all positives of an anchor's class, where
    the released code draws one; several labels: a positive shares one, a negative shares none; more
    than two modalities: a mean over every two.

    Args:
        dim: Dimensions of the space.
        margin: How much farther, in 1 − cosine, a negative should be than a positive; 0.3 in [1].
        semantic: λ, weight of the triplets of classes; 0.1 in the paper, which ranks items.
        items: Weight of the triplets of items.
        batch_size: None takes an eighth of the rows, 32 to 100, as the triplets are many.
        pairing: See `PairedMethod`.
    """

    unit: ClassVar[bool] = True
    final: ClassVar[str | None] = "tanh"
    batch_sizes: ClassVar[tuple[int, int]] = (32, 100)

    dim: int = 256
    margin: float = 0.1
    items: float = 1.0
    semantic: float = 1.0
    input_dropout: float = 0.1
    dropout: float = 0.3
    clip: float | None = 8.0

    def _check_own(self) -> None:
        check_range("margin", self.margin, low=0, high=2)
        check_range("items", self.items, low=0)
        check_range("semantic", self.semantic, low=0)

    def _loss(self, batch: Batch) -> Tensor:
        return batch.mean_over_pairs(
            lambda a, b: self._direction(batch, a, b) + self._direction(batch, b, a)
        )

    def _direction(self, batch: Batch, anchor: str, other: str) -> Tensor:
        same = batch.same_item(anchor, other).bool()
        share = batch.share(anchor, other).bool()
        near, far = batch.z[anchor], batch.z[other]
        of_items = adaptive_triplet_loss(near, far, same, ~same, margin=self.margin)
        of_classes = adaptive_triplet_loss(near, far, share & ~same, ~share, margin=self.margin)
        return self.items * of_items + self.semantic * of_classes
