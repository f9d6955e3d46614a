"""Whether the vectors of one modality spread: rank, duplicates, dead and missing directions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from commonspace.evaluation.health.neighbours import Neighbours, shares_label
from commonspace.types import AnyArray, Float32Array, FloatArray, JsonDict

TWIN = 1e-6
"""Two vectors whose cosine is nearer to 1 than this are practically one."""

_FLAT = 1e-12  # variance of a unit vector's coordinate that counts as none
_BLOCK = 1 << 12


@dataclass(frozen=True)
class Spread:
    """How the unit vectors of one modality lie.

    Attributes:
        n_items: Rows with known labels.
        dim: Dimensions of the space.
        n_zero: Rows of length zero: they have no direction, and no rank means anything for them.
        constant: Share of the coordinates that do not vary at all.
        concentration: Squared length of the mean unit vector, which is the mean cosine of two
            items: 1 if all point one way.
        effective_rank: exp of the entropy of the eigenvalues of the covariance [1].
        participation: (sum of the eigenvalues)² / sum of their squares: as if so many directions
            had equal shares.
        class_rank: The effective rank of the class centroids: how many directions tell classes
            apart, at most the number of classes - 1.
        twins: Share of the items whose nearest one in the modality is practically the same vector
            (`TWIN`).
        merged: Share of the items that have such a twin of another label.

    References:
        [1] Roy, Vetterli. The effective rank: a measure of effective dimensionality.
            EUSIPCO 2007.
    """

    n_items: int
    dim: int
    n_zero: int
    constant: float
    concentration: float
    effective_rank: float
    participation: float
    class_rank: float
    twins: float
    merged: float

    def to_dict(self) -> JsonDict:
        """Return the fields by name, for JSON."""
        return asdict(self)


def measure_spread(u_NE: Float32Array, y_NC: Float32Array, within: Neighbours) -> Spread:
    """Measure one modality.

    Args:
        u_NE: Unit vectors, or zero, shape (n, dim).
        y_NC: Label weights, shape (n, n_classes).
        within: The neighbours of each row in the same modality, itself left out.
    """
    mean, covariance = _moments(u_NE)
    values = eigenvalues(covariance)
    twins, merged = np.zeros(len(u_NE), np.bool_), np.zeros(len(u_NE), np.bool_)
    if within.k:
        nearest = within.first(1)
        twins = nearest.similarity[:, 0] > 1 - TWIN
        merged = twins & ~shares_label(nearest, y_NC, y_NC)[:, 0]
    return Spread(
        n_items=len(u_NE),
        dim=u_NE.shape[1],
        n_zero=int((~u_NE.any(axis=1)).sum()),
        constant=float((np.diag(covariance) < _FLAT).mean()),
        concentration=float(mean @ mean),
        effective_rank=effective_rank(values),
        participation=participation_ratio(values),
        class_rank=_class_rank(u_NE, y_NC),
        twins=float(twins.mean()),
        merged=float(merged.mean()),
    )


def effective_rank(values: AnyArray) -> float:
    """Exp of the entropy of shares of variance; 0 where there is no variance."""
    shares = values[values > 0] / max(float(values.sum()), np.finfo(float).tiny)
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def participation_ratio(values: AnyArray) -> float:
    """(Σ λ)² / Σ λ²; 0 where there is no variance."""
    squares = float(np.square(values).sum())
    return float(values.sum() ** 2 / squares) if squares > 0 else 0.0


def eigenvalues(covariance: FloatArray) -> FloatArray:
    """Eigenvalues of a covariance; those that are no more than rounding are zero."""
    values = np.linalg.eigvalsh(covariance)
    return np.where(values > max(1e-10 * float(values.max(initial=0)), _FLAT), values, 0.0)


def _moments(u_NE: Float32Array) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance, a block of rows at a time in float64."""
    mean: FloatArray = u_NE.mean(axis=0, dtype=np.float64)
    total = np.zeros((u_NE.shape[1],) * 2)
    for start in range(0, len(u_NE), _BLOCK):
        centred = u_NE[start : start + _BLOCK] - mean
        total += centred.T @ centred
    return mean, total / len(u_NE)


def _class_rank(u_NE: Float32Array, y_NC: Float32Array) -> float:
    counts = y_NC.sum(axis=0, dtype=np.float64)
    used = counts > 0
    centroids = (y_NC.T @ u_NE)[used] / counts[used, None]
    shares = counts[used] / counts.sum()
    centred = (centroids - shares @ centroids) * np.sqrt(shares)[:, None]
    values = np.square(np.linalg.svd(centred, compute_uv=False))
    return effective_rank(np.where(values > _FLAT, values, 0.0))
