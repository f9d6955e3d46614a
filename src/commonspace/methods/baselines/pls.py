"""Directions of two modalities whose projections covary most: PLS, and CFA, its plain form.

References:
    [1] Sharma, Jacobs. Bypassing Synthesis: PLS for Face Recognition with Pose, Low-Resolution
        and Sketch. CVPR 2011.
    [2] Wegelin. A Survey of Partial Least Squares (PLS) Methods, with Emphasis on the Two-Block
        Case. University of Washington, 2000.
    [3] Li, Dimitrova, Li, Sethi. Multimedia Content Processing through Cross-Modal Association.
        ACM MM 2003.
"""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal

import numpy as np

from commonspace.checks import check_one_of, require
from commonspace.data import Dataset
from commonspace.methods.baselines.pairing import Pairing
from commonspace.methods.baselines.projection import PairedProjectionMethod, projections
from commonspace.types import AnyArray, FloatArray


class PLS(PairedProjectionMethod):
    """Partial least squares of two modalities, symmetric in them [1, 2].

    ``max aᵀ Σ_xy b`` with ``‖a‖ = ‖b‖ = 1``, of standardised features. Labels are not looked at,
    unless they pair rows.

    Args:
        dim: Dimensions of the space; fewer where a modality has fewer directions. The default was
            chosen as that of `CCA`.
        form: "svd": all directions at once, orthogonal ones: the leading singular vectors of Σ_xy,
            by cca-zoo. "canonical": one direction at a time, and what it explains is taken out of
            both modalities, by scikit-learn; its time grows with ``dim``, to minutes for 256
            dimensions of wide features.
        standardize: Scale every feature to variance 1; else one scale for all.
        pairing: Which rows belong together: those of one item, or of one class, see
            `matched_rows`.
        random_state: Of what ``pairing="classes"`` draws; else nothing is random.

    Differs from the paper: [1] takes one direction at a time, asymmetrically.
    """

    max_modalities: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        dim: int = 32,
        form: Literal["svd", "canonical"] = "svd",
        standardize: bool = True,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.form = form
        self.standardize = standardize
        self.pairing = pairing
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_one_of("form", self.form, ("svd", "canonical"))

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        views = self._coordinates(self._matched(train))
        if self.form == "canonical":
            views = {name: view.varying() for name, view in views.items()}
        x, y = (view.rows for view in views.values())
        dim = min(self.dim, x.shape[1], y.shape[1])
        weights = _all_at_once(x, y, dim) if self.form == "svd" else _one_by_one(x, y, dim)
        return projections(views, weights)


def _all_at_once(x: FloatArray, y: FloatArray, dim: int) -> list[FloatArray]:
    linear = require("cca_zoo.linear", extra="baselines", what="PLS(form='svd')")
    weights: list[FloatArray] = linear.PLS(dim).fit([x, y]).weights_
    return weights


def _one_by_one(x: FloatArray, y: FloatArray, dim: int) -> list[FloatArray]:
    from sklearn.cross_decomposition import PLSCanonical

    solver = PLSCanonical(dim, scale=False, algorithm="nipals")
    with warnings.catch_warnings():  # that little is left, or equal amounts, to explain
        warnings.simplefilter("ignore", UserWarning)
        solver.fit(x, y)
    return [solver.x_rotations_, solver.y_rotations_]


class CFA(PairedProjectionMethod):
    """Cross-modal factor analysis: orthogonal maps that bring matched rows close [3].

    ``min ‖X A − Y B‖²`` with ``AᵀA = BᵀB = I``: with ``XᵀY = U S Vᵀ``, A and B are the leading
    columns of U and V. That is `PLS` of ``form="svd"``: papers that list both differ in how they
    prepare the features, or in which PLS they mean.

    Args:
        dim: Dimensions of the space; fewer where a modality has fewer directions. The default was
            chosen as that of `CCA`.
        standardize: Scale every feature to variance 1; else one scale for all.
        pairing: Which rows belong together: those of one item, or of one class, see
            `matched_rows`.
        random_state: Of what ``pairing="classes"`` draws; else nothing is random.
    """

    max_modalities: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        dim: int = 32,
        standardize: bool = True,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.standardize = standardize
        self.pairing = pairing
        self.random_state = random_state

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        views = self._coordinates(self._matched(train))
        x, y = (view.rows for view in views.values())
        u, _, vt = np.linalg.svd(x.T @ y, full_matrices=False)
        return projections(views, (u[:, : self.dim], vt[: self.dim].T))
