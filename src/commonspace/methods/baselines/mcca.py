"""Canonical correlation analysis of any number of modalities, and of labels as one more.

References:
    [1] Kettenring. Canonical Analysis of Several Sets of Variables. Biometrika 58, 1971 (the sum
        of correlations).
    [2] Gong, Ke, Isard, Lazebnik. A Multi-View Embedding Space for Modeling Internet Images, Tags,
        and Their Semantics. IJCV 2014. doi:10.1007/s11263-013-0658-4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh

from commonspace.checks import check_range
from commonspace.data import Dataset
from commonspace.errors import InputError
from commonspace.methods.baselines.pairing import Pairing
from commonspace.methods.baselines.projection import (
    PairedProjectionMethod,
    projections,
    weighted,
    whitening,
)
from commonspace.types import AnyArray, FloatArray

LABEL_RIDGE = 1e-4  # of the label view, as in the code released with [2]
EPSILON = 1e-8  # by which a root must exceed 1 to count as shared


@dataclass(frozen=True)
class Multiset:
    """Solution of multiset CCA.

    Attributes:
        weights: Of each view, shape (n_coordinates, dim).
        roots: λ of each dimension, largest first: from 1, where views share nothing, to their
            number, where they are one.
    """

    weights: list[FloatArray]
    roots: FloatArray


def multiset_cca(rows: Sequence[FloatArray], shrinkage: Sequence[float], dim: int) -> Multiset:
    """Solve ``C w = λ D w`` [1, 2] for the leading w.

    D holds the covariances within the views, each as (1−c) Σ + c I; C is D with the covariances
    between the views in place of its zeros.

    Args:
        rows: Centred rows of each view, row i of all views being one item.
        shrinkage: c of each view.
        dim: Dimensions wanted; fewer if fewer are shared by views (λ > 1).
    """
    n = len(rows[0])
    maps = [whitening(x.T @ x / (n - 1), c) for x, c in zip(rows, shrinkage, strict=True)]
    white = np.hstack([x @ w for x, w in zip(rows, maps, strict=True)])
    system = white.T @ white / (n - 1)
    parts = [slice(*ends) for ends in pairwise(accumulate((w.shape[1] for w in maps), initial=0))]
    for part in parts:
        system[part, part] = np.eye(part.stop - part.start)
    total = len(system)
    roots, vectors = eigh(system, subset_by_index=[max(0, total - dim), total - 1])
    count = max(1, int((roots > 1 + EPSILON).sum()))
    roots, vectors = roots[::-1][:count], vectors[:, ::-1][:, :count]
    return Multiset([w @ vectors[part] for w, part in zip(maps, parts, strict=True)], roots)


class MCCA(PairedProjectionMethod):
    """Canonical correlation analysis of any number of modalities: the sum of correlations [1].

    ``max Σ_{i≠j} w_iᵀ Σ_ij w_j`` with ``Σ_i w_iᵀ ((1−c) Σ_ii + c I) w_i = 1``, of standardised
    features; with two modalities, `CCA`. Modalities of more than 1000 features, or more than rows,
    pass through the principal components that hold 99 % of their variance. Labels are not looked
    at, unless they pair rows.

    Args:
        dim: Dimensions of the space; fewer where fewer are shared.
        c: Shrinkage of the covariances towards the identity.
        power: Each dimension is multiplied by this power of λ − 1, its sum of correlations, see
            `Multiset` (of two modalities: their correlation); 0 leaves them as the problem is
            posed.
        standardize: Scale every feature to variance 1; else one scale for all.
        pairing: Which rows belong together: those of one item, or of one class, see
            `matched_rows`. Only items that every modality has can be learned from.
        random_state: Of what ``pairing="classes"`` draws; else nothing is random.

    Differs from the paper: [1] does not weigh directions (``power=0``); see `CCA`, whose defaults
    these are.
    """

    def __init__(
        self,
        *,
        dim: int = 32,
        c: float = 0.3,
        power: float = 2.0,
        standardize: bool = True,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.c = c
        self.power = power
        self.standardize = standardize
        self.pairing = pairing
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_range("c", self.c, low=0, high=1)
        check_range("power", self.power, low=0)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        views = self._coordinates(self._matched(train))
        rows = [view.rows for view in views.values()]
        found = multiset_cca(rows, [self.c] * len(rows), self.dim)
        return projections(views, weighted(found.weights, found.roots - 1, self.power))


class ThreeViewCCA(MCCA):
    """Canonical correlation analysis of modalities and, as one more view, of their labels [2].

    `MCCA` over the features and the centred label matrix, whose own shrinkage is 1e-4; a modality
    is embedded as ``X_i W_i Λ^p``. Matched rows take the labels of any of their modalities; those
    without any are left out.

    Args:
        dim: Dimensions of the space; fewer where fewer are shared.
        c: Shrinkage of the covariances of features towards the identity.
        power: p, of the root λ of each dimension.
        standardize: Scale every feature to variance 1, then leave them as loud as labels say, see
            `loudness`; else one scale for all.
        pairing: Which rows belong together: those of one item, or of one class, see
            `matched_rows`.
        random_state: Of what ``pairing="classes"`` draws; else nothing is random.

    Differs from the paper: features are shrunk as in `CCA`, where [2] adds 1e-4 to the diagonal of
    each covariance and maps features to random Fourier features first; any number of modalities.
    """

    needs_labels: ClassVar[bool] = True

    def __init__(
        self,
        *,
        dim: int = 256,
        c: float = 0.1,
        power: float = 4.0,
        standardize: bool = True,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        super().__init__(
            dim=dim,
            c=c,
            power=power,
            standardize=standardize,
            pairing=pairing,
            random_state=random_state,
        )

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        matched = self._matched(train)
        labels = np.max([part.labels.dense() for part in matched.values()], axis=0)
        known = np.any([part.labels.known for part in matched.values()], axis=0)
        labelled = np.flatnonzero(known)
        y = labels[labelled].astype(np.float64)
        if len(y) < 2 or not np.ptp(y, axis=0).any():
            raise InputError(
                f"ThreeViewCCA learns from labels that tell items apart: expected matched rows of "
                f"two classes or more, got {len(y)} labelled ones of "
                f"{int(y.any(axis=0).sum())} classes."
            )
        views = self._coordinates(matched.take(dict.fromkeys(matched, labelled)))
        rows = [*(view.rows for view in views.values()), y - y.mean(axis=0)]
        found = multiset_cca(rows, [*[self.c] * len(views), LABEL_RIDGE], self.dim)
        return projections(views, weighted(found.weights, found.roots, self.power))
