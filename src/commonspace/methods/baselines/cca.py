"""Canonical correlation analysis of two modalities, ridge-regularised.

References:
    [1] Hotelling. Relations Between Two Sets of Variates. Biometrika 28, 1936.
    [2] Vinod. Canonical Ridge and Econometrics of Joint Production. Journal of Econometrics 4,
        1976.
    [3] Rasiwasia et al. A New Approach to Cross-Modal Multimedia Retrieval. ACM MM 2010.
        doi:10.1145/1873951.1873987 (correlation matching)
"""

from __future__ import annotations

from typing import ClassVar

from commonspace.checks import check_range, require
from commonspace.data import Dataset
from commonspace.methods.baselines.pairing import Pairing
from commonspace.methods.baselines.projection import PairedProjectionMethod, projections
from commonspace.types import AnyArray


class CCA(PairedProjectionMethod):
    """Directions of two modalities whose projections correlate most [1, 2], solved by cca-zoo.

    ``max aᵀ Σ_xy b`` with ``aᵀ ((1−c) Σ_xx + c I) a = 1``, and the same for b, of standardised
    features. Modalities of more than 1000 features, or more than rows, pass through the principal
    components that hold 99 % of their variance. Labels are not looked at, unless they pair rows.

    Args:
        dim: Dimensions of the space; fewer where a modality has fewer directions.
        c: Shrinkage of the covariances towards the identity: 0 is the unregularised problem, 1 is
            `PLS`.
        standardize: Scale every feature to variance 1; else one scale for all.
        pairing: Which rows belong together: those of one item, or of one class, see
            `matched_rows`.
        random_state: Of what ``pairing="classes"`` draws; else nothing is random.
    """

    max_modalities: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        dim: int = 256,
        c: float = 0.1,
        standardize: bool = True,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.c = c
        self.standardize = standardize
        self.pairing = pairing
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_range("c", self.c, low=0, high=1)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        linear = require("cca_zoo.linear", extra="baselines", what=type(self).__name__)
        views = self._coordinates(self._matched(train))
        if not self.c:  # a direction that hardly varies would be blown up
            views = {name: view.varying() for name, view in views.items()}
        dim = min(self.dim, *(view.width for view in views.values()))
        solver = linear.RidgeCCA(n_components=dim, shrinkage=float(self.c))
        weights = solver.fit([view.rows for view in views.values()]).weights_
        return projections(views, weights)
