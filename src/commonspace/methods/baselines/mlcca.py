"""Multi-label CCA: rows of two modalities correspond as far as their labels agree.

References:
    [1] Ranjan, Rasiwasia, Jawahar. Multi-Label Cross-Modal Retrieval. ICCV 2015 (Fast ml-CCA).
    [2] https://github.com/Viresh-R/ml-CCA (the authors' code)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from commonspace.checks import check_range
from commonspace.data import Dataset, Modality
from commonspace.errors import InputError
from commonspace.methods.baselines.projection import (
    ProjectionMethod,
    coordinates,
    projections,
    whitening,
)
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray

BLOCK = 1 << 22  # label distances held at once
EPSILON = 1e-8  # share of the largest correlation below which there is none


class MLCCA(ProjectionMethod):
    """Correlate every row with the rows of the other modality whose labels are nearest [1].

    Row i of the first modality corresponds to the ``neighbours`` rows j of the second whose label
    vectors l are nearest, with weight ``s_ij = exp(−‖l_i − l_j‖ / σ)``; nothing has to be paired.
    With ``C_xy = Σ s_ij x_i y_jᵀ``, ``C_xx = Σ s_ij x_i x_iᵀ``, ``C_yy = Σ s_ij y_j y_jᵀ``, and κ
    times the mean of the diagonal added to that of the latter two, the directions are those of
    CCA, each a vector of length 1 as in [2]. Rows without labels are left out.

    Args:
        dim: Dimensions of the space; fewer where fewer correlate.
        neighbours: How many rows correspond to each.
        sigma: σ, of distances between label vectors.
        ridge: κ.
        standardize: Scale every feature to variance 1, then leave them as loud as labels say, see
            `loudness`; else one scale for all.
        random_state: Unused; the problem has a closed form. Here for the contract.

    Differs from the paper: rows at one distance share the places that are left among the
    neighbours, where [2] takes as many of them as there are places: with one class a row these
    would be any 20 rows of the class. [2] sets neither ``neighbours`` nor σ.
    """

    needs_labels: ClassVar[bool] = True
    max_modalities: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        dim: int = 256,
        neighbours: int = 20,
        sigma: float = 1.0,
        ridge: float = 0.25,
        standardize: bool = True,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.neighbours = neighbours
        self.sigma = sigma
        self.ridge = ridge
        self.standardize = standardize
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_range("neighbours", self.neighbours, low=1, integer=True)
        check_range("sigma", self.sigma, low=1e-12)
        check_range("ridge", self.ridge, low=1e-12)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        labelled = {name: self._labelled(name, part) for name, part in train.items()}
        views = {
            name: coordinates(name, part.x, part.labels, standardize=self.standardize)
            for name, part in labelled.items()
        }
        first, second = (
            _Groups.of(views[name].rows, part.labels.dense()) for name, part in labelled.items()
        )
        weights = self._directions(*correspondence(first, second, self.neighbours, self.sigma))
        return projections(views, weights)

    def _directions(
        self, c_xy: FloatArray, c_xx: FloatArray, c_yy: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        w_x, w_y = self._whitening(c_xx), self._whitening(c_yy)
        u, roots, vt = np.linalg.svd(w_x.T @ c_xy @ w_y, full_matrices=False)
        count = min(self.dim, int((roots > EPSILON * roots[0]).sum()))
        a, b = w_x @ u[:, :count], w_y @ vt[:count].T
        return a / np.linalg.norm(a, axis=0), b / np.linalg.norm(b, axis=0)

    def _whitening(self, covariance: FloatArray) -> FloatArray:
        added = self.ridge * np.diag(covariance).mean()
        return whitening(covariance, added / (1 + added))  # of C + added I, but for a factor

    def _labelled(self, name: str, part: Modality) -> Modality:
        part = part.take(np.flatnonzero(part.labels.labelled))
        kinds = len(np.unique(part.labels.dense(), axis=0))
        if kinds < 2:
            raise InputError(
                f"modality {name!r}: MLCCA learns from labels that tell items apart: expected rows "
                f"of two different labels or more, got {kinds} in {len(part)} labelled rows."
            )
        return part


@dataclass(frozen=True)
class _Groups:
    """Rows of one modality by what labels they have.

    Attributes:
        rows: Coordinates, shape (n, n_coordinates).
        labels: The different label vectors, shape (n_groups, n_classes).
        group: Of each row, shape (n,).
        counts: Rows of each group, shape (n_groups,).
        sums: Of the rows of each group, shape (n_groups, n_coordinates).
    """

    rows: FloatArray
    labels: FloatArray
    group: IntArray
    counts: IntArray
    sums: FloatArray

    @classmethod
    def of(cls, rows: FloatArray, y_NC: Float32Array) -> _Groups:
        labels, group, counts = np.unique(y_NC, axis=0, return_inverse=True, return_counts=True)
        n = len(rows)
        member = sparse.csr_array((np.ones(n), group.ravel(), np.arange(n + 1)))
        return cls(rows, labels.astype(np.float64), group.ravel(), counts, member.T @ rows)


def correspondence(
    first: _Groups, second: _Groups, neighbours: int, sigma: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return C_xy, C_xx and C_yy of fast ml-CCA, see `MLCCA`.

    Rows of equal labels have equal weights, so the sums run over pairs of groups.
    """
    c_xy = np.zeros((first.rows.shape[1], second.rows.shape[1]))
    of_first = np.empty(len(first.labels))
    of_second = np.zeros(len(second.labels))
    block = max(1, BLOCK // len(second.labels))
    for start in range(0, len(first.labels), block):
        some = slice(start, start + block)
        s = similarities(first.labels[some], second.labels, second.counts, neighbours, sigma)
        c_xy += first.sums[some].T @ (s @ second.sums)
        of_first[some] = s @ second.counts
        of_second += first.counts[some] @ s
    total = len(first.rows) * neighbours
    return (
        c_xy / total,
        _weighted(first, of_first) / total,
        _weighted(second, of_second) / total,
    )


def similarities(
    queries: FloatArray, labels: FloatArray, counts: IntArray, neighbours: int, sigma: float
) -> FloatArray:
    """Return the weight of a row of each query's labels with one of each group, (n, n_groups).

    ``exp(−distance / σ)`` within the nearest rows, 0 beyond; where the last places fall to rows at
    one distance, each has its share of them.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    distance = np.round(euclidean_distances(queries, labels), 9)
    order = np.argsort(distance, axis=1, kind="stable")
    level = np.take_along_axis(distance, order, axis=1)
    upto = np.cumsum(counts[order], axis=1)
    before = upto - counts[order]
    new = np.diff(level, axis=1, prepend=-1.0) > 0
    last = np.diff(level, axis=1, append=np.inf) > 0
    nearer = np.maximum.accumulate(np.where(new, before, 0), axis=1)
    within = np.where(last, upto, upto[:, -1:])
    within = np.minimum.accumulate(within[:, ::-1], axis=1)[:, ::-1]
    share = np.clip((neighbours - nearer) / (within - nearer), 0, 1)
    out: FloatArray = np.empty(distance.shape)
    np.put_along_axis(out, order, share * np.exp(-level / sigma), axis=1)
    return out


def _weighted(groups: _Groups, weights: FloatArray) -> FloatArray:
    moment: FloatArray = (groups.rows.T * weights[groups.group]) @ groups.rows
    return moment
