"""Several fits of one method, of other random states, as one model: what averaging is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from commonspace.data import Dataset
from commonspace.training import Run
from commonspace.types import Float32Array, JsonDict


class SideBySide:
    """Fits of one method that differ in their random state, their unit vectors side by side.

    The cosine of two such vectors is the mean of the cosines of the fits, where none of them gives
    a zero vector; one that does adds nothing. Every method can be averaged so, whatever it learned:
    the fits need not share a space.

    Args:
        method: Unfitted. It stays so.
        fits: How many. With a random state s of the method they have fits · s to
            fits · (s + 1) - 1, so that those of different states share none.
    """

    def __init__(self, method: Any, fits: int) -> None:
        self.method, self.fits = method, fits
        self.max_modalities: int | None = method.max_modalities

    def get_params(self, deep: bool = False) -> JsonDict:
        """Return the arguments, as a method does."""
        return {"method": self.method, "fits": self.fits}

    def fit(self, train: Dataset, valid: Dataset | None = None, *, run: Run | None = None) -> Self:
        """Fit all of them, one after the other."""
        self.models_ = [self._one(at).fit(train, valid, run=run) for at in range(self.fits)]
        return self

    def transform(self, modality: str, x: Any) -> Float32Array:
        """Unit vectors of all fits beside each other, at unit length if none of them is zero."""
        parts = [_unit(model.transform(modality, x)) for model in self.models_]
        return np.concatenate(parts, axis=1) / np.float32(self.fits**0.5)

    def _one(self, at: int) -> Any:
        arguments: Mapping[str, Any] = self.method.get_params(deep=False)
        state = self.fits * arguments["random_state"] + at
        return type(self.method)(**{**arguments, "random_state": state})


def _unit(z_NE: Float32Array) -> Float32Array:
    norms_N1 = np.linalg.norm(z_NE, axis=1, keepdims=True)
    return np.asarray(np.divide(z_NE, norms_N1, out=np.zeros_like(z_NE), where=norms_N1 > 0))
