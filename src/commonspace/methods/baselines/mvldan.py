"""MvLDAN: networks that make the eigenvalues of a multi-view discriminant analysis large.

References:
    [1] Hu, Peng, Sang, Xiang. Multi-view Linear Discriminant Analysis Network. IEEE TIP 28(11),
        2019. doi:10.1109/TIP.2019.2913511
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from commonspace.checks import check_range
from commonspace.methods.baselines.discriminant_step import discriminant_maps
from commonspace.methods.baselines.joint import JointMethod
from commonspace.methods.baselines.joint_training import Affine, Batch
from commonspace.methods.baselines.pairing import Pairing
from commonspace.objectives import discriminant_loss
from commonspace.types import Float32Array


@dataclass(eq=False, repr=False, kw_only=True)
class MvLDAN(JointMethod):
    """Multi-view linear discriminant analysis network [1].

    S_W and S_B are the scatter matrices of multi-view discriminant analysis on a batch of outputs.
    Of the generalised eigenvalues of S_B against S_W + ridge · I, the ``min(classes, dim) − 1``
    largest are kept, and of those the mean of the ones up to ``threshold`` above the least is made
    large. Last comes the linear analysis itself on scaled outputs, which leaves at most one
    dimension fewer than there are classes. Further arguments are those of `JointMethod`.

    Args:
        dim: Width of the networks' outputs, and most dimensions of the common space; None takes as
            many as there are classes.
        ridge: On the diagonal of S_W, which is a sum over the rows of a batch.
        correlation: λ_cca, weight of ``X_iᵀ X_j`` in S_B. Above 0, rows have to be pairs.
        threshold: Of the eigenvalues that count.
        pairing: With ``correlation``: pairs are "items" with the same id, or of one "classes".

    Differs from the paper: ``correlation`` is 0 by default (published: 10⁻³), so that no pairs are
    needed, and ``ridge`` 1 (released code: 10⁻³, and 1 on one data set); one hidden layer with
    dropout.
    """

    multi_label: ClassVar[bool] = False
    aligns: ClassVar[bool] = True
    batch_sizes: ClassVar[tuple[int, int]] = (100, 500)

    dim: int | None = None
    hidden: Sequence[int] = (512,)
    input_dropout: float = 0.0
    dropout: float = 0.5
    ridge: float = 1.0
    correlation: float = 0.0
    threshold: float = 1.0
    pairing: Pairing = "items"
    weight_decay: float = 1e-5

    def _output_width(self) -> int:
        return self.dim or self.sizes_.n_classes

    def _draws_pairs(self) -> bool:
        return self.correlation > 0

    def _loss(self, batch: Batch) -> Tensor:
        return discriminant_loss(
            list(batch.z.values()),
            list(batch.y.values()),
            ridge=self.ridge,
            correlation=self.correlation,
            threshold=self.threshold,
        )

    def _align(
        self, z: Mapping[str, Float32Array], y: Mapping[str, Float32Array]
    ) -> Mapping[str, Affine]:
        return discriminant_maps(z, y, dim=self._output_width())

    def _check_own(self) -> None:
        for name in ("ridge", "correlation", "threshold"):
            check_range(name, getattr(self, name), low=0)
