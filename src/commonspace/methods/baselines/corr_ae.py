"""Correspondence autoencoders: one autoencoder a modality, tied at their codes.

References:
    [1] Feng, Wang, Li. Cross-modal Retrieval with Correspondence Autoencoder. ACM MM 2014.
        doi:10.1145/2647868.2654902
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from commonspace.checks import check_range
from commonspace.methods.baselines.autoencoders import decoders, reconstruction_error
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes


@dataclass(eq=False, repr=False, kw_only=True)
class CorrAE(PairedMethod):
    """Correspondence autoencoder [1]: codes of one item agree, and give back their own input.

    ``(1 − λ) mean_v ‖x_v − decoder_v(f_v(x_v))‖² / d_v + λ mean_pairs ‖f_v(x_v) − f_w(x_w)‖² / E``
    (eq. 4). Labels are not looked at but to choose the epoch. Further arguments are those of
    `JointMethod`.

    Differs from the paper: inputs are standardised features and not the codes of restricted
    Boltzmann machines; squared errors are means over features, so that no modality outweighs the
    other by its width; with more than two modalities, every two are tied.

    Args:
        dim: Dimensions of the space.
        tie: λ, weight of the agreement, 0 to 1.
        pairing: See `PairedMethod`.
    """

    needs_labels: ClassVar[bool] = False

    dim: int = 64
    tie: float = 0.8

    def _check_own(self) -> None:
        check_range("tie", self.tie, low=0, high=1)

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        return decoders(sizes, self.dim, self.hidden)

    def _loss(self, batch: Batch) -> Tensor:
        apart = batch.mean_over_pairs(lambda a, b: functional.mse_loss(batch.z[a], batch.z[b]))
        return (1 - self.tie) * reconstruction_error(batch) + self.tie * apart
