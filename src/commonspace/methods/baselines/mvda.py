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
    cut,
    labelled_rows,
    leading_directions,
)
from commonspace.methods.baselines.linear import Inputs, LinearMethod
from commonspace.methods.baselines.pairing import Pairing, matched_rows
from commonspace.types import AnyArray, FloatArray

DUAL_RIDGE = 1e-4  # of the dual coefficients, as a share of the trace, as in the released code


class MvDA(LinearMethod):
    """Multi-view discriminant analysis, with view consistency (MvDA-VC) or without (MvDA) [1].

    All projected rows of all modalities are one sample: with a mean μ_c of each class over all of
    them, and μ over all classes, the directions w = (w₁, ..., w_m) ::

        maximise  wᵀ S_B w / wᵀ (S_W + λ M + ridge) w
        S_W: scatter of the projected rows of all modalities around the μ_c of their class,
        S_B: scatter of the μ_c around μ, each weighted by its rows
        wᵀ M w = Σ_{v<u} ‖β_v − β_u‖²,  β_v = (Z_v Z_vᵀ + ridge)⁻¹ Z_v w_v

    β_v writes w_v by the rows of modality v; M asks that rows of one item weigh alike in all
    modalities. One generalised eigenproblem, solved for the ratio of the quadratic forms.

    Args:
        dim: Dimensions of the common space; None, and at most: the number of classes less one.
        view_consistency: λ, as a share of the trace of S_W against that of M; 0 is MvDA, which
            needs no pairs.
        pairing: Which rows are one item to M, see `matched_rows`.
        shrinkage: Ridge on S_W + λ M, as a share of the mean of its diagonal.
        energy: Share of the variance kept in principal components, of modalities with more than
            1000 features or more than rows.
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
    multi_label: ClassVar[bool] = False

    def __init__(
        self,
        *,
        dim: int | None = None,
        view_consistency: float = 0.1,
        pairing: Pairing = "items",
        shrinkage: float = 0.1,
        energy: float = 0.99,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.view_consistency = view_consistency
        self.pairing = pairing
        self.shrinkage = shrinkage
        self.energy = energy
        self.random_state = random_state

    def _check_arguments(self) -> None:
        check_range("dim", 1 if self.dim is None else self.dim, low=1, integer=True)
        check_range("view_consistency", self.view_consistency, low=0.0)
        check_range("shrinkage", self.shrinkage, low=0.0)
        check_range("energy", self.energy, low=1e-6, high=1.0)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        rows = labelled_rows(train, "MvDA")
        inputs = {m: Inputs.of(p.x, rows[m], energy=self.energy) for m, p in train.items()}
        moments = [
            ClassMoments.of(inputs[m].z[rows[m]], part.labels.take(rows[m]))
            for m, part in train.items()
        ]
        between, within, n_classes = scatter(moments)
        if self.view_consistency > 0 and len(train) > 1:
            within = within + self.view_consistency * self._disagreement(train, inputs, within)
        count = min(self.dim or n_classes, n_classes - 1)
        found = leading_directions(between, within, count, shrinkage=self.shrinkage)
        parts = cut(found, {m: given.z.shape[1] for m, given in inputs.items()})
        return {m: given.stored(parts[m]) for m, given in inputs.items()}

    def _disagreement(
        self, train: Dataset, inputs: Mapping[str, Inputs], within: FloatArray
    ) -> FloatArray:
        """M, scaled to the trace of ``within``."""
        rows = matched_rows(train, pairing=self.pairing, seed=self.random_state)
        matrix = disagreement([given.z[rows[m]] for m, given in inputs.items()])
        trace = float(np.trace(matrix))
        return matrix * (float(np.trace(within)) / trace if trace > 0 else 0.0)


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
