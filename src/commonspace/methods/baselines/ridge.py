"""Ridge regression into the predefined space: SDML's idea with one linear map a modality."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import nn

from commonspace.checks import check_range
from commonspace.data import Modality
from commonspace.methods.baselines.partwise import PartwiseMethod
from commonspace.methods.scaling import loud_standardization
from commonspace.networks import LinearMap
from commonspace.space import Space
from commonspace.types import AnyArray, Float32Array

ALPHAS = tuple(10.0**k for k in range(-1, 6))


class Ridge(PartwiseMethod):
    """Regress the label vectors on the features, and carry them into the space by P.

    ``min_W Σ ‖Wᵀx + b − y‖² + α ‖W‖²`` a modality, z = P (Wᵀx + b), with features standardised
    and as loud as labels say, see `loudness`. Each modality takes the α of the smallest
    leave-one-out error (of two rows or fewer: the largest).
    With P orthonormal this is ridge regression onto P y.

    Args:
        dim: Dimensions of the space.
        alphas: Strengths α to choose from.
        space: As in `SDML`; None makes the same space as SDML does.
        random_state: Unused; the problem has a closed form. Here for the contract.
    """

    can_add_classes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        dim: int = 512,
        alphas: tuple[float, ...] = ALPHAS,
        space: Space | None = None,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.alphas = alphas
        self.space = space
        self.random_state = random_state

    def _check_arguments(self) -> None:
        check_range("dim", self.dim, low=1, integer=True)
        for alpha in self.alphas:
            check_range("alphas", alpha, low=1e-12)

    def _make_space(self, classes: tuple[str, ...]) -> Space:
        space = self.space if self.space is not None else Space.create(self.dim, classes)
        return space.with_classes(classes)

    def _solve(self, name: str, part: Modality, several: bool) -> dict[str, AnyArray]:
        from sklearn.linear_model import Ridge as Regression
        from sklearn.linear_model import RidgeCV

        rows = self._labelled_rows(name, part)
        table_NC = part.labels.take(rows).dense()
        mean, scale = loud_standardization(part.x[rows], table_NC, several=several)
        z_ND = ((part.x[rows] - mean) * scale).astype(np.float64)
        y_NC = table_NC.astype(np.float64)
        if len(self.alphas) > 1 and len(rows) > 2:
            found = RidgeCV(alphas=list(self.alphas)).fit(z_ND, y_NC)
        else:  # nothing to choose from, or nothing to choose by
            found = Regression(alpha=max(self.alphas)).fit(z_ND, y_NC)
        weights = np.atleast_2d(found.coef_).reshape(y_NC.shape[1], -1).T
        return {
            "mean": mean,
            "scale": scale,
            "weights": weights.astype(np.float32),
            "intercept": np.atleast_1d(found.intercept_).astype(np.float32),
        }

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        part = self.parts_[modality]
        q_NC = ((x_ND - part["mean"]) * part["scale"]) @ part["weights"] + part["intercept"]
        return np.asarray(q_NC @ self.space_.directions(q_NC.shape[1]).T, dtype=np.float32)

    def _module(self, modality: str) -> nn.Module:
        part = self.parts_[modality]
        posterior = LinearMap(part["mean"], part["scale"], part["weights"], part["intercept"])
        p_EC = self.space_.directions(part["weights"].shape[1])
        zero, one = np.zeros(p_EC.shape[1]), np.ones(p_EC.shape[1])
        return nn.Sequential(posterior, LinearMap(zero, one, p_EC.T.copy()))
