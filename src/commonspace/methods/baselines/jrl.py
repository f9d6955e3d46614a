"""JRL: joint representation learning, sparse and semi-supervised, of two modalities.

References:
    [1] Zhai, Peng, Xiao. Learning Cross-Media Joint Representation with Sparse and Semisupervised
        Regularization. TCSVT 2014. doi:10.1109/TCSVT.2013.2276704, and the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from commonspace.checks import check_range
from commonspace.data import Dataset, Modality
from commonspace.errors import InputError
from commonspace.methods.baselines.graphs import (
    laplacian,
    neighbour_graph,
    reweighted_step,
    roughness,
    row_norms,
)
from commonspace.methods.baselines.pairing import Pairing, matched_rows
from commonspace.methods.baselines.projection import Coordinates, ProjectionMethod, coordinates
from commonspace.types import AnyArray, FloatArray, IntArray


@dataclass
class Side:
    """One of the two modalities: its part of the objective, and its projection so far.

    Attributes:
        view: All training rows.
        paired: Those that belong to rows of the other modality.
        labelled: Those with labels.
        y: Their labels.
        rough: ``Xᵀ L X`` over all rows.
        quadratic: All that is quadratic in P.
        target: ``μ Xᵀ Y``, what is linear in P.
        weights: P so far.
    """

    view: Coordinates
    paired: FloatArray
    labelled: FloatArray
    y: FloatArray
    rough: FloatArray
    quadratic: FloatArray
    target: FloatArray
    weights: FloatArray


class JRL(ProjectionMethod):
    """Joint representation learning [1].

    With projections P_v of standardised features X_v onto the classes::

        minimise  Σ_v μ ‖X_v P_v − Y_v‖²  over rows with labels
                + λ ‖X₁ P₁ − X₂ P₂‖²      over rows of one item
                + σ Σ_v tr(P_vᵀ X_vᵀ L_v X_v P_v) + γ Σ_v ‖P_v‖_{2,1}

    L_v is the Laplacian of the graph that joins each row to its nearest ones. The projections are
    found in turn by iteratively reweighted least squares. Rows without labels take part in the
    graph and the pairs. The paper learns from the features of the test items as well; here nothing
    but the training rows is seen (inductive): add items as rows without labels to have them in the
    graph. Features are left as loud as labels say, see `loudness`.

    Args:
        gamma: γ, how sparse the choice of features is.
        sigma: σ, how much neighbours share their place.
        lam: λ, how close rows of one item are.
        mu: μ, how close rows are to their class.
        neighbours: Nearest rows that each row is joined to.
        iterations: Times each projection is solved for.
        pairing: Which rows are one item, see `matched_rows`.
        random_state: Seed of ``pairing="classes"``.

    Attributes:
        history_: The objective after each iteration, as "train_loss".

    Differs from the paper: items are ranked by the cosine of their projections, not by votes of
    neighbours among the training rows. The Laplacian is the normalised one (the released code
    mixes a dense kernel with the degrees of the sparse graph), so that σ does not grow with the
    number of neighbours. γ = σ = 1000 are published; the defaults retrieve better from validation
    rows of every set that was tried. Modalities of more than 1000 features, or more than rows,
    pass through principal components.
    """

    needs_pairs: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False
    max_modalities: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        gamma: float = 10.0,
        sigma: float = 1.0,
        lam: float = 1.0,
        mu: float = 1.0,
        neighbours: int = 100,
        iterations: int = 5,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        self.gamma = gamma
        self.sigma = sigma
        self.lam = lam
        self.mu = mu
        self.neighbours = neighbours
        self.iterations = iterations
        self.pairing = pairing
        self.random_state = random_state

    def _check_arguments(self) -> None:
        for name in ("gamma", "sigma", "lam"):
            check_range(name, getattr(self, name), low=0.0)
        check_range("mu", self.mu, low=1e-12)
        for name in ("neighbours", "iterations"):
            check_range(name, getattr(self, name), low=1, integer=True)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        rows = matched_rows(train, pairing=self.pairing, seed=self.random_state)
        sides = {name: self._side(name, part, rows[name]) for name, part in train.items()}
        first, second = sides.values()
        losses = []
        for _ in range(self.iterations):
            for side, other in ((first, second), (second, first)):
                pull = self.lam * side.paired.T @ (other.paired @ other.weights)
                side.weights = reweighted_step(
                    side.quadratic, side.target + pull, self.gamma, side.weights
                )
            losses.append(self._objective(first, second))
        history = [{"epoch": i, "train_loss": loss} for i, loss in enumerate(losses)]
        self.history_ = {name: history for name in train}
        return {name: side.view.projection(side.weights) for name, side in sides.items()}

    def _side(self, name: str, part: Modality, pairs: IntArray) -> Side:
        labelled = np.flatnonzero(part.labels.labelled)
        if not len(labelled):
            raise InputError(
                f"modality {name!r}: JRL learns from labels, and none of its {len(part)} rows has "
                "one. Label some rows."
            )
        view = coordinates(name, part.x, part.labels)
        paired, known = view.rows[pairs], view.rows[labelled]
        y = part.labels.take(labelled).dense().astype(np.float64)
        rough = roughness(view.rows, laplacian(neighbour_graph(view.rows, self.neighbours)))
        quadratic = self.mu * known.T @ known + self.lam * paired.T @ paired + self.sigma * rough
        target = self.mu * known.T @ y
        start = reweighted_step(quadratic, target, self.gamma, None)
        return Side(view, paired, known, y, rough, quadratic, target, start)

    def _objective(self, first: Side, second: Side) -> float:
        apart = first.paired @ first.weights - second.paired @ second.weights
        total = self.lam * float(np.square(apart).sum())
        for side in (first, second):
            p = side.weights
            total += self.mu * float(np.square(side.labelled @ p - side.y).sum())
            total += self.sigma * float((p * (side.rough @ p)).sum())
            total += self.gamma * float(row_norms(p).sum())
        return total
