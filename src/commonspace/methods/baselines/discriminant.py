"""What discriminant analyses of several modalities share: class means, scatter, directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from commonspace.data import Dataset, Labels
from commonspace.errors import InputError
from commonspace.methods.baselines.projection import Coordinates, coordinates
from commonspace.types import FloatArray

RANK = 1e-10  # a direction whose ratio is smaller, against the largest, separates nothing


@dataclass(frozen=True)
class ClassMoments:
    """What discriminant analysis needs to know of one modality's labelled rows.

    Attributes:
        counts: Rows of each class, shape (C,).
        means: Mean of each class, shape (C, D); zero for a class without rows.
        within: Scatter of the rows around the means of their classes, shape (D, D).
    """

    counts: FloatArray
    means: FloatArray
    within: FloatArray

    @classmethod
    def of(cls, z_ND: FloatArray, labels: Labels) -> ClassMoments:
        """Count, average and scatter rows that have one class each."""
        member = labels.weights.astype(np.float64)
        counts = np.asarray(member.sum(axis=0))
        means = (member.T @ z_ND) / np.maximum(counts, 1)[:, None]
        residual = z_ND - means[labels.codes]
        return cls(counts, means, residual.T @ residual)


def labelled_part(train: Dataset, method: str) -> Dataset:
    """Return the labelled rows, or raise `InputError` if a modality has none, or all one class."""
    rows = {}
    for name, part in train.items():
        rows[name] = np.flatnonzero(part.labels.labelled)
        if not len(rows[name]):
            raise InputError(
                f"modality {name!r}: {method} learns from labels, and none of its {len(part)} rows "
                "has one. Label some rows, or leave the modality out."
            )
    present = np.unique(np.concatenate([part.labels.weights.indices for part in train.values()]))
    if len(present) < 2:
        raise InputError(
            f"{method} separates classes: expected labelled rows of at least two, got rows of "
            f"{train.classes[present[0]]!r} alone."
        )
    return train.take(rows)


def coordinates_of(labelled: Dataset, *, standardize: bool) -> dict[str, Coordinates]:
    """The coordinates of each modality."""
    return {
        name: coordinates(name, part.x, part.labels, standardize=standardize)
        for name, part in labelled.items()
    }


def class_moments(labelled: Dataset, views: Mapping[str, Coordinates]) -> list[ClassMoments]:
    """The moments of each modality, in their order."""
    return [ClassMoments.of(views[name].rows, part.labels) for name, part in labelled.items()]


def blocks(widths: Sequence[int]) -> list[slice]:
    """Return where each modality lies along a matrix over the features of all of them."""
    ends = np.cumsum(widths)
    return [slice(int(end - width), int(end)) for end, width in zip(ends, widths, strict=True)]


def leading_directions(
    between: FloatArray, within: FloatArray, count: int, *, shrinkage: float
) -> FloatArray:
    """Return the directions v of largest ``vᵀ between v / vᵀ within v``, best first.

    Args:
        between: Symmetric matrix (D, D).
        within: Symmetric positive semi-definite matrix (D, D). ``shrinkage`` times the mean of its
            diagonal is added to the diagonal, so that directions in which nothing varies do no
            harm.
        count: At most so many; fewer where the others have no positive ratio (but one at least).
        shrinkage: At least 1e-10 is taken, which keeps the problem solvable.

    Returns:
        Shape (D, found), each of ``vᵀ (within + ridge) v = 1``.
    """
    size = len(within)
    level = float(np.trace(within)) / size or 1.0
    solid = within + max(shrinkage, RANK) * level * np.eye(size)
    ratios, vectors = eigh(between, solid, subset_by_index=(max(0, size - count), size - 1))
    found = max(1, int((ratios > RANK * max(ratios[-1], 0.0)).sum()))
    return np.asarray(vectors[:, ::-1][:, :found])


def by_modality(directions: FloatArray, views: Mapping[str, Coordinates]) -> list[FloatArray]:
    """Cut directions over all modalities into the weights of each, in their order."""
    return [directions[place] for place in blocks([view.width for view in views.values()])]
