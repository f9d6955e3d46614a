"""Recipe: a cosine loss of pairs, with a classifier of the common space as semantic regulariser.

References:
    [1] Marín, Biswas, Ofli, Hynes, Salvador, Aytar, Weber, Torralba. Recipe1M+: A Dataset for
        Learning Cross-Modal Embeddings for Cooking Recipes and Food Images. TPAMI 2021.
        doi:10.1109/TPAMI.2019.2927476
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from commonspace.checks import check_range
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.objectives import cosine_pair_loss, log_loss


@dataclass(eq=False, repr=False, kw_only=True)
class Recipe(PairedMethod):
    """Cosine pair loss with semantic regularisation [1].

    ``(1 − 2w) L_pair + w Σ_v cross entropy of the classifier on f_v``: an item's vectors come
    together, those of two items have a cosine below the margin, and one linear classifier for all
    modalities reads the classes off them. Formulas stand with `cosine_pair_loss`. Further arguments
    are those of `JointMethod`.

    Differs from the paper: all pairs of a batch, weighed by how many the paper draws, instead of a
    draw; networks read feature vectors and are not trained in turns; several labels are classified
    each on its own; more than two modalities: means over every two and over all.

    Args:
        dim: Dimensions of the space.
        margin: Cosine up to which vectors of two items are left alone.
        mismatched: Weight of pairs of two items; pairs of one item have the rest up to 1.
        semantic: w, weight of each modality's classification, 0 to 0.5; 0.01 in the paper, which
            ranks items.
        pairing: See `PairedMethod`.
    """

    unit: ClassVar[bool] = True

    dim: int = 256
    margin: float = 0.1
    mismatched: float = 0.8
    semantic: float = 0.25
    input_dropout: float = 0.1
    dropout: float = 0.3

    def _check_own(self) -> None:
        check_range("margin", self.margin, low=-1, high=1)
        check_range("mismatched", self.mismatched, low=0, high=1)
        check_range("semantic", self.semantic, low=0, high=0.5)

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        return {"classifier": nn.Linear(self.dim, sizes.n_classes)}

    def _loss(self, batch: Batch) -> Tensor:
        pairs = batch.mean_over_pairs(lambda a, b: self._pair_loss(batch, a, b))
        classes = batch.mean_over_modalities(
            lambda name: log_loss(
                batch.modules["classifier"](batch.z[name]), batch.y[name], several=batch.several
            )
        )
        return (1 - 2 * self.semantic) * pairs + 2 * self.semantic * classes

    def _pair_loss(self, batch: Batch, first: str, second: str) -> Tensor:
        return cosine_pair_loss(
            batch.z[first],
            batch.z[second],
            batch.same_item(first, second),
            margin=self.margin,
            mismatched=self.mismatched,
        )
