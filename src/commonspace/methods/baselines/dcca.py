"""Deep canonical correlation analysis, and the form of it that also reconstructs its inputs.

References:
    [1] Andrew, Arora, Bilmes, Livescu. Deep Canonical Correlation Analysis. ICML 2013.
    [2] Wang, Arora, Livescu, Bilmes. On Deep Multi-View Representation Learning. ICML 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from commonspace.checks import check_range
from commonspace.methods.baselines.autoencoders import decoders, reconstruction_error
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Affine, Batch, Sizes
from commonspace.objectives import canonical_correlations
from commonspace.types import Float32Array, FloatArray


@dataclass(eq=False, repr=False, kw_only=True)
class DCCA(PairedMethod):
    """Deep canonical correlation analysis [1]: networks whose outputs correlate most.

    ``max Σ_k corr_k(f(x), g(y))`` over all canonical correlations of a batch's outputs, see
    `canonical_correlations`; then a linear CCA of all training rows' outputs. Labels are not looked
    at but to choose the epoch. Further arguments are those of `JointMethod`.

    Differs from the paper: Adam on batches instead of L-BFGS, dropout, no pretraining by
    autoencoders.

    Args:
        dim: Dimensions of the space.
        ridge: Added to the diagonals of the outputs' covariances; the released code has 1e-3, but
            few rows want more.
        batch_size: None takes an eighth of the rows, 256 to 1000: a batch has to show all
            correlations at once, ten rows a dimension or more.
        pairing: See `PairedMethod`.
    """

    needs_labels: ClassVar[bool] = False
    max_modalities: ClassVar[int | None] = 2
    aligns: ClassVar[bool] = True
    batch_sizes: ClassVar[tuple[int, int]] = (256, 1000)

    dim: int = 16
    ridge: float = 1.0
    input_dropout: float = 0.2
    dropout: float = 0.5

    def _check_own(self) -> None:
        check_range("ridge", self.ridge, low=1e-9)

    def _loss(self, batch: Batch) -> Tensor:
        first, second = batch.z.values()
        return -canonical_correlations(first, second, ridge=self.ridge).sum()

    def _align(
        self, z: Mapping[str, Float32Array], y: Mapping[str, Float32Array]
    ) -> dict[str, Affine]:
        first, second = z.values()
        return dict(zip(z, linear_cca(first, second, ridge=self.ridge), strict=True))


@dataclass(eq=False, repr=False, kw_only=True)
class DCCAE(DCCA):
    """Deep canonically correlated autoencoders [2]: `DCCA` whose outputs also give back the inputs.

    ``(1 − λ) L_DCCA + λ Σ_v mean square error of decoder_v(f_v(x_v))``. Decoders have the hidden
    layers of the networks, reversed. Further arguments are those of `DCCA`.

    Differs from the paper: as `DCCA` does; the two terms are weighed as in cca-zoo, and errors are
    of standardised features.

    Args:
        dim: Dimensions of the space.
        reconstruction: λ, weight of the reconstruction, 0 to 1.
    """

    reconstruction: float = 0.5

    def _check_own(self) -> None:
        super()._check_own()
        check_range("reconstruction", self.reconstruction, low=0, high=1)

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        return decoders(sizes, self.dim, self.hidden)

    def _loss(self, batch: Batch) -> Tensor:
        kept = len(batch.z) * reconstruction_error(batch)
        return (1 - self.reconstruction) * super()._loss(batch) + self.reconstruction * kept


def linear_cca(
    first_NE: Float32Array, second_NE: Float32Array, *, ridge: float
) -> tuple[Affine, Affine]:
    """The two linear maps after which rows correlate most, the best correlated direction first."""
    means = [z.mean(axis=0, dtype=np.float64) for z in (first_NE, second_NE)]
    first, second = first_NE - means[0], second_NE - means[1]
    whiten = [_whitening(z, ridge) for z in (first, second)]
    cross = whiten[0].T @ (first.T @ second / (len(first) - 1)) @ whiten[1]
    u, _, vh = np.linalg.svd(cross)
    return Affine(means[0], whiten[0] @ u), Affine(means[1], whiten[1] @ vh.T)


def _whitening(centred_NE: FloatArray, ridge: float) -> FloatArray:
    """W with Wᵀ (covariance + ridge I) W = I, of every direction: all ``dim`` have to stay.

    `projection.whitening`, of a fitted number of dimensions, leaves out what does not vary.
    """
    covariance = centred_NE.T @ centred_NE / (len(centred_NE) - 1)
    values, vectors = np.linalg.eigh(covariance)
    whitening: FloatArray = vectors / np.sqrt(np.clip(values, 0, None) + ridge)
    return whitening
