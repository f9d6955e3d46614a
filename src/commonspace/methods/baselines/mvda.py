"""MvDA and MvDA-VC: one discriminant analysis over the rows of all modalities at once.

References:
    [1] Kan, Shan, Zhang, Lao, Chen. Multi-view Discriminant Analysis. ECCV 2012 and TPAMI 2016.
        doi:10.1109/TPAMI.2015.2435740 (view consistency: the journal version, section 3.3)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve

from commonspace.checks import check_range
from commonspace.data import Dataset
from commonspace.methods.baselines.discriminant import (
    ClassMoments,
    by_modality,
    class_moments,
    coordinates_of,
    labelled_part,
    leading_directions,
)
from commonspace.methods.baselines.pairing import Pairing, matched_rows
from commonspace.methods.baselines.projection import Coordinates, ProjectionMethod, projections
from commonspace.types import AnyArray, FloatArray

DUAL_RIDGE = 1e-4  # of the dual coefficients, as a share of the trace, as in the released code


class MvDA(ProjectionMethod):
    """Multi-view discriminant analysis, with view consistency (MvDA-VC) or without (MvDA) [1].

    All projected rows of all modalities are one sample: with a mean μ_c of each class over all of
    them, and μ over all classes, the directions w = (w₁, ..., w_m) ::

        maximise  wᵀ S_B w / wᵀ (S_W + λ M + ridge) w
        S_W: scatter of the projected rows of all modalities around the μ_c of their class,
        S_B: scatter of the μ_c around μ, each weighted by its rows
        wᵀ M w = Σ_{v<u} ‖β_v − β_u‖²,  β_v = (Z_v Z_vᵀ + ridge)⁻¹ Z_v w_v

    β_v writes w_v by the rows of modality v; M asks that rows of one item weigh alike in all
    modalities. One generalised eigenproblem; rows without labels take no part. Modalities of more
    than 1000 features, or more than rows, pass through principal components.

    Args:
        dim: Dimensions of the common space; at most the number of classes less one is found.
        view_consistency: λ, as a share of the trace of S_W against that of M; 0 is MvDA, which
            needs no pairs.
        pairing: Which rows are one item to M, see `matched_rows`.
        shrinkage: Ridge on S_W + λ M, as a share of the mean of its diagonal.
        standardize: Scale every feature to variance 1, then leave them as loud as labels say, see
            `loudness`; else one scale for all.
        random_state: Seed of ``pairing="classes"``.

    Differs from the paper: the ridge, and that λ is relative, as in the code released with later
    work of the authors.

    Example:
        >>> x = np.array([[0., 1.], [1., 0.], [0., 2.], [2., 1.]])
        >>> data = Dataset.from_arrays({"image": x, "text": x[:, ::-1]}, ["a", "b", "a", "b"])
        >>> MvDA().fit(data).transform("text", x).shape
        (4, 1)
    """

    needs_pairs: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False

    def __init__(
        self,
        *,
        dim: int = 256,
        view_consistency: float = 0.1,
        pairing: Pairing = "items",
        shrinkage: float = 0.3,
        standardize: bool = True,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.view_consistency = view_consistency
        self.pairing = pairing
        self.shrinkage = shrinkage
        self.standardize = standardize
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_range("view_consistency", self.view_consistency, low=0.0)
        check_range("shrinkage", self.shrinkage, low=0.0)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        labelled = labelled_part(train, "MvDA")
        views = coordinates_of(labelled, standardize=self.standardize)
        between, within, n_classes = scatter(class_moments(labelled, views))
        if self.view_consistency > 0:
            within = within + self.view_consistency * self._disagreement(labelled, views, within)
        count = min(self.dim, n_classes - 1)
        found = leading_directions(between, within, count, shrinkage=self.shrinkage)
        return projections(views, by_modality(found, views))

    def _disagreement(
        self, labelled: Dataset, views: Mapping[str, Coordinates], within: FloatArray
    ) -> FloatArray:
        """M, scaled to the trace of S_W."""
        rows = matched_rows(labelled, pairing=self.pairing, seed=self.random_state)
        matrix = disagreement([view.rows[rows[name]] for name, view in views.items()])
        return matrix * float(np.trace(within) / np.trace(matrix))


def scatter(moments: list[ClassMoments]) -> tuple[FloatArray, FloatArray, int]:
    """Return S_B and S_W over the features of all modalities, and how many classes have rows.

    Both are those of linear discriminant analysis on rows that hold the features of their own
    modality in its place, and zero elsewhere.
    """
    counts = np.sum([moment.counts for moment in moments], axis=0)
    sums = np.hstack([moment.means * moment.counts[:, None] for moment in moments])
    weighted = sums / np.sqrt(np.maximum(counts, 1))[:, None]
    pooled = weighted.T @ weighted
    total = sums.sum(axis=0)
    second = block_diag(*(m.within + (m.means.T * m.counts) @ m.means for m in moments))
    between = pooled - np.outer(total, total) / counts.sum()
    return between, second - pooled, int((counts > 0).sum())


def disagreement(matched: list[FloatArray]) -> FloatArray:
    """Return M from rows that belong together: ``Σ_{v<u} ‖β_v − β_u‖²`` as a quadratic form.

    ``(Z Zᵀ + r)⁻¹ Z = Z (Zᵀ Z + r)⁻¹``, so that nothing is as large as rows by rows.
    """
    duals = []
    for z_ND in matched:
        gram = z_ND.T @ z_ND
        ridge = DUAL_RIDGE * float(np.trace(gram)) or 1.0
        solid = cho_factor(gram + ridge * np.eye(len(gram)))
        duals.append(np.asarray(cho_solve(solid, z_ND.T)).T)
    joined = np.hstack(duals)
    own = block_diag(*(dual.T @ dual for dual in duals))
    return np.asarray(len(matched) * own - joined.T @ joined)
