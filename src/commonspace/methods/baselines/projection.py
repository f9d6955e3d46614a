"""What methods share that learn one linear map a modality, of all modalities together.

Features are scaled and, where they are many, brought into their principal components; a
method solves its problem there. What is kept of a modality is a mean, a scale and one matrix, so
that `transform` is one matrix product.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh
from torch import nn

from commonspace.checks import check_flag, check_range
from commonspace.data import Dataset, Labels
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState, standardization
from commonspace.methods.baselines.pairing import Pairing, matched_rows
from commonspace.methods.scaling import loud_standardization
from commonspace.networks import LinearMap
from commonspace.space import Space
from commonspace.training import Run
from commonspace.types import AnyArray, Float32Array, FloatArray

WIDE = 1000  # features, from which on principal components are taken
KEEP = 0.99  # share of the variance that they hold
TOLERANCE = 1e-10  # share of the largest variance below which a direction counts as constant


@dataclass(frozen=True)
class Coordinates:
    """Rows of one modality as a method sees them, and the way there.

    Attributes:
        rows: Centred rows, shape (n, n_coordinates), float64.
        mean: Of the features.
        scale: What centred features are multiplied by.
        basis: Principal components in columns, shape (n_features, n_coordinates); None where the
            features are the coordinates.
    """

    rows: FloatArray
    mean: Float32Array
    scale: Float32Array
    basis: FloatArray | None

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return int(self.rows.shape[1])

    def projection(self, weights: FloatArray) -> dict[str, AnyArray]:
        """Return the arrays that bring features to where these weights bring coordinates."""
        whole = weights if self.basis is None else self.basis @ weights
        matrix = np.ascontiguousarray(whole, dtype=np.float32)
        return {"mean": self.mean, "scale": self.scale, "weights": matrix}

    def varying(self) -> Coordinates:
        """Return the same rows in coordinates that all vary, as many as their rank."""
        basis = principal_components(self.rows, keep=1.0)
        whole = basis if self.basis is None else self.basis @ basis
        return replace(self, rows=self.rows @ basis, basis=whole)


def coordinates(
    name: str, x_ND: AnyArray, labels: Labels | None = None, *, standardize: bool = True
) -> Coordinates:
    """Standardise rows; more than 1000 features, or more than rows, become components.

    The components are the fewest that hold 99 % of the variance.

    Args:
        name: The modality, for messages.
        x_ND: Features of the rows to learn from.
        labels: Of the rows. They say whether features should all be alike, see `loudness`; without
            any, they are.
        standardize: Scale features: to variance 1, or as labels say. False: one scale for all,
            after which their variance is 1 in the mean; a ridge means the same in any unit then.

    Raises:
        InputError: No feature varies.
    """
    mean, scale = _scaling(x_ND, labels if standardize else None)
    if not scale.any():
        raise InputError(
            f"modality {name!r}: no feature varies over the {len(x_ND)} rows to learn from. "
            "Give features that tell items apart, or leave the modality out."
        )
    if not standardize:
        spread = np.divide(1.0, scale, out=np.zeros_like(scale, np.float64), where=scale > 0)
        scale = np.full_like(scale, 1 / np.sqrt(np.square(spread).mean()))
    rows = (x_ND - mean.astype(np.float64)) * scale
    rows -= rows.mean(axis=0)
    if rows.shape[1] <= min(WIDE, len(rows)):
        return Coordinates(rows, mean, scale, None)
    basis = principal_components(rows, keep=KEEP)
    return Coordinates(rows @ basis, mean, scale, basis)


def _scaling(x_ND: AnyArray, labels: Labels | None) -> tuple[AnyArray, AnyArray]:
    if labels is None:
        return standardization(x_ND)
    return loud_standardization(
        x_ND, labels.dense(), several=labels.kind != "single", use=labels.labelled
    )


def principal_components(rows_ND: FloatArray, *, keep: float) -> FloatArray:
    """Return the fewest orthonormal directions that hold a share of the variance, as columns.

    Args:
        rows_ND: Centred rows.
        keep: Share of the variance to hold.
    """
    n, n_features = rows_ND.shape
    if n < n_features:
        variance, u = eigh(rows_ND @ rows_ND.T)
    else:
        variance, u = eigh(rows_ND.T @ rows_ND)
    variance, u = variance[::-1], u[:, ::-1]
    count = int(np.searchsorted(np.cumsum(variance), keep * variance.sum())) + 1
    count = min(count, int((variance > TOLERANCE * variance[0]).sum()))
    u = u[:, :count]
    basis: FloatArray = u if n >= n_features else rows_ND.T @ (u / np.sqrt(variance[:count]))
    return basis


def projections(
    views: Mapping[str, Coordinates], weights: Iterable[FloatArray]
) -> dict[str, dict[str, AnyArray]]:
    """Return `Coordinates.projection` of each view, with the weights in its order.

    Weights beyond the views, such as those of labels, are left.
    """
    return {
        name: view.projection(w) for (name, view), w in zip(views.items(), weights, strict=False)
    }


def weighted(weights: Iterable[FloatArray], roots: FloatArray, power: float) -> list[FloatArray]:
    """Return the weights of each view, times a power of the roots.

    The largest root counts as 1, and one below 0 as 0: by rounding, or nothing shared.
    """
    shares = np.clip(roots, 0, None)
    factors = (shares / shares[0]) ** power if shares[0] > 0 else np.ones_like(shares)
    return [w * factors for w in weights]


def whitening(covariance: FloatArray, shrinkage: float) -> FloatArray:
    """Return W with Wᵀ ((1−c) covariance + c I) W = I, on the directions that vary.

    Returns:
        Shape (n, rank).
    """
    variance, u = eigh(covariance)
    varies = variance > TOLERANCE * variance[-1]
    return np.asarray(u[:, varies] / np.sqrt((1 - shrinkage) * variance[varies] + shrinkage))


class ProjectionMethod(Method):
    """A method that solves for one map a modality, of all modalities together.

    A subclass solves; the arrays it returns are all that is kept.
    """

    needs_labels: ClassVar[bool] = False

    dim: int
    standardize: bool
    parts_: dict[str, dict[str, AnyArray]]

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        if len(train) < 2:
            raise InputError(
                f"{type(self).__name__} learns what modalities share: expected two or more, got "
                f"{', '.join(train)} alone."
            )
        self.parts_ = self._solve(train)
        dim = next(iter(self.parts_.values()))["weights"].shape[1]
        self.space_ = Space.learned(dim, train.classes, learned_from=_digest(self.parts_))

    def _check_arguments(self) -> None:
        """Raise `InputError` for an argument out of range."""
        check_range("dim", self.dim, low=1, integer=True)
        check_flag("standardize", self.standardize)

    @abstractmethod
    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        """Learn; of each modality, what `Coordinates.projection` returns."""

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        part = self.parts_[modality]
        z_NE: Float32Array = ((x_ND - part["mean"]) * part["scale"]) @ part["weights"]
        return z_NE

    def _module(self, modality: str) -> nn.Module:
        part = self.parts_[modality]
        return LinearMap(part["mean"], part["scale"], part["weights"])

    def _state(self) -> MethodState:
        return MethodState({name: PartState(dict(part)) for name, part in self.parts_.items()})

    def _restore(self, state: MethodState) -> None:
        self.parts_ = {name: part.arrays for name, part in state.parts.items()}


class PairedProjectionMethod(ProjectionMethod):
    """A `ProjectionMethod` that learns from rows that belong together, see `matched_rows`."""

    needs_pairs: ClassVar[bool] = True

    pairing: Pairing
    random_state: int

    def _matched(self, train: Dataset) -> Dataset:
        rows = matched_rows(train, pairing=self.pairing, seed=self.random_state)
        return train.take(rows)

    def _coordinates(self, matched: Dataset) -> dict[str, Coordinates]:
        return {
            name: coordinates(
                name,
                part.x,
                part.labels if self.needs_labels else None,
                standardize=self.standardize,
            )
            for name, part in matched.items()
        }


def _digest(parts: Mapping[str, Mapping[str, AnyArray]]) -> str:
    chunks = []
    for name, part in parts.items():
        for key, array in part.items():
            chunks += [f"{name}\0{key}".encode(), np.ascontiguousarray(array).tobytes()]
    return sha256_bytes(*chunks)
