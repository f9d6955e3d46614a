"""CMPM and CMPC: cross-modal projection matching and classification.

References:
    [1] Zhang, Lu. Deep Cross-Modal Projection Learning for Image-Text Matching. ECCV 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from commonspace.checks import check_flag
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.objectives import projection_classification_loss, projection_matching_loss


@dataclass(eq=False, repr=False, kw_only=True)
class CMPM(PairedMethod):
    """Cross-modal projection matching, and classification of what is projected (CMPC) [1].

    The softmax of one item's projections onto a batch of the other modality follows which of them
    share a label with it; and the projection onto the item's counterpart is classified. Formulas
    stand with `projection_matching_loss`. Further arguments are those of `JointMethod`.

    Differs from the paper: networks read feature vectors; several labels a row match where one is
    shared, and are classified each on its own; more than two modalities: a mean over every two.
    q is divided by its sum, as the paper has it (a port that is often used takes its length).

    Args:
        dim: Dimensions of the space.
        classify: Add CMPC; False is CMPM alone.
        pairing: See `PairedMethod`.
    """

    dim: int = 256
    classify: bool = True
    input_dropout: float = 0.1
    dropout: float = 0.3

    def _check_own(self) -> None:
        check_flag("classify", self.classify)

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        if not self.classify:
            return {}
        return {"classifier": nn.Linear(self.dim, sizes.n_classes, bias=False)}

    def _loss(self, batch: Batch) -> Tensor:
        return batch.mean_over_pairs(lambda a, b: self._pair_loss(batch, a, b))

    def _pair_loss(self, batch: Batch, first: str, second: str) -> Tensor:
        x_BE, y_BE = batch.z[first], batch.z[second]
        loss = projection_matching_loss(x_BE, y_BE, batch.share(first, second))
        if not self.classify:
            return loss
        weight_CE = batch.modules["classifier"].get_parameter("weight")
        return loss + projection_classification_loss(
            x_BE, y_BE, batch.y[first], weight_CE, several=batch.several
        )
