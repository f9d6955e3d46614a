"""Methods of one linear map a modality: standardise, then one matrix product."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh

from commonspace.data import Dataset
from commonspace.disk import sha256_bytes
from commonspace.methods.base import Method, MethodState, PartState, standardization
from commonspace.space import Space
from commonspace.training import Run
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray

WIDE = 1000  # features from which principal components make an eigenproblem affordable


@dataclass(frozen=True)
class Inputs:
    """The rows of a modality as a linear method learns from them.

    Attributes:
        z: Standardised rows, or their principal components, shape (N, K), float64.
        mean: Of each feature, shape (D,).
        scale: 1 / standard deviation of each feature, shape (D,).
        basis: Principal directions, shape (D, K); None where ``z`` are the features themselves.
    """

    z: FloatArray
    mean: Float32Array
    scale: Float32Array
    basis: FloatArray | None = None

    @classmethod
    def of(cls, x_ND: AnyArray, rows: IntArray | None = None, *, energy: float = 1.0) -> Inputs:
        """Standardise all rows by the mean and spread of some.

        Args:
            x_ND: Features.
            rows: Which rows to scale and reduce by; None: all of them.
            energy: Where there are more than 1000 features, or more than ``rows``: the share of
                the variance whose principal components are kept. 1 keeps the features.
        """
        known = x_ND if rows is None else x_ND[rows]
        mean, scale = standardization(known)
        z_ND = ((x_ND - mean) * scale).astype(np.float64)
        if energy >= 1 or z_ND.shape[1] <= min(WIDE, len(known)):
            return cls(z_ND, mean, scale)
        basis = principal_directions(z_ND if rows is None else z_ND[rows], energy)
        return cls(z_ND @ basis, mean, scale, basis)

    def stored(self, weights: FloatArray) -> dict[str, AnyArray]:
        """What `LinearMethod` keeps of a modality, for a map ``z @ weights``."""
        whole = weights if self.basis is None else self.basis @ weights
        return {"mean": self.mean, "scale": self.scale, "projection": whole.astype(np.float32)}


def principal_directions(z_ND: FloatArray, energy: float) -> FloatArray:
    """Return the fewest principal directions that hold this share of the variance, (D, K).

    From the smaller of the two Gram matrices; rows are taken as centred.
    """
    wide = z_ND.shape[1] > len(z_ND)
    variances, vectors = eigh(z_ND @ z_ND.T if wide else z_ND.T @ z_ND)
    variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
    share = np.cumsum(variances) / (variances.sum() or 1.0)
    solid = max(1, int((variances > 1e-12 * variances[0]).sum()))
    kept = min(solid, int(np.searchsorted(share, energy)) + 1)
    if not wide:
        return np.asarray(vectors[:, :kept])
    lengths = np.sqrt(variances[:kept])
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.asarray(z_ND.T @ (vectors[:, :kept] * inverse))


class LinearMethod(Method):
    """A method that learns all modalities together and keeps one projection of each.

    A subclass checks its arguments and solves; the arrays of `Inputs.stored` are all that is kept.

    Attributes:
        parts_: Mean, scale and projection of each modality.
    """

    can_add_modality: ClassVar[bool] = False

    parts_: dict[str, dict[str, AnyArray]]

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        self.parts_ = self._solve(train)
        dim = next(iter(self.parts_.values()))["projection"].shape[1]
        space = Space.learned(dim, train.classes, learned_from=_digest(self.parts_))
        self.space_ = space.with_modalities(train)

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        part = self.parts_[modality]
        z_NE = ((x_ND - part["mean"]) * part["scale"]) @ part["projection"]
        return np.asarray(z_NE, dtype=np.float32)

    def _state(self) -> MethodState:
        return MethodState({name: PartState(dict(part)) for name, part in self.parts_.items()})

    def _restore(self, state: MethodState) -> None:
        self.parts_ = {name: part.arrays for name, part in state.parts.items()}

    @abstractmethod
    def _check_arguments(self) -> None:
        """Raise `InputError` for an argument out of range."""

    @abstractmethod
    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        """Learn all modalities; return what is kept of each."""


def _digest(parts: Mapping[str, Mapping[str, AnyArray]]) -> str:
    arrays = [array for part in parts.values() for _, array in sorted(part.items())]
    return sha256_bytes(*(np.ascontiguousarray(array).tobytes() for array in arrays))
