"""GSS-SL: generalised semi-supervised structured subspace learning, our reconstruction.

References:
    [1] Zhang, Ma, He, Shen, Zhou. Generalized Semi-supervised and Structured Subspace Learning
        for Cross-Modal Retrieval. TMM 2018. doi:10.1109/TMM.2017.2723841
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from commonspace.checks import check_range
from commonspace.data import Dataset, Labels, Modality
from commonspace.errors import InputError
from commonspace.methods.baselines.graphs import (
    laplacian,
    neighbour_graph,
    reweighted_step,
    roughness,
    row_norms,
)
from commonspace.methods.baselines.projection import Coordinates, ProjectionMethod, coordinates
from commonspace.types import AnyArray, BoolArray, FloatArray, IntArray


@dataclass
class Side:
    """One modality: its rows, which item each of them shows, its graph and projection.

    Attributes:
        view: All training rows.
        items: Number of the item of each row.
        graph: Laplacian of the label graph, sparse.
        rough: ``Xᵀ L X``.
        weights: U; None before the first step.
    """

    view: Coordinates
    items: IntArray
    graph: Any
    rough: FloatArray
    weights: FloatArray | None = None


@dataclass
class Targets:
    """What every item is drawn to: its labels, or those predicted for it.

    Attributes:
        labels: F, shape (items, classes).
        known: Which items have labels; their rows of F stay as they are.
        rough: Sum of the Laplacians over the items of all modalities.
        seen: In how many modalities each item stands.
    """

    labels: FloatArray
    known: BoolArray
    rough: Any
    seen: FloatArray


class GSSSL(ProjectionMethod):
    """Generalised semi-supervised structured subspace learning; our reconstruction of [1].

    The label space links the modalities. Labels F of all items and projections U_v of standardised
    features X_v onto them are found in turn::

        minimise  Σ_v ‖X_v U_v − F‖² + tr(Fᵀ Σ_v L_v F)
                + η Σ_v tr(U_vᵀ X_vᵀ L_v X_v U_v) + γ Σ_v ‖U_v‖_{2,1}

    F stays at the labels where they are known. L_v is the Laplacian of a label graph: each row is
    joined to its nearest ones, and an edge between two rows of known labels weighs the cosine of
    their label vectors, so that there is none between different classes. Rows without labels are
    learned from; items may be in one modality or both.

    Args:
        eta: η, how much neighbours of one class share their place.
        gamma: γ, how sparse the choice of features is.
        neighbours: Nearest rows that each row is joined to.
        iterations: Times that labels and projections are solved for.
        random_state: Unused; nothing is random. Here for the contract.

    Attributes:
        history_: The objective after each iteration, as "train_loss".

    Differs from the paper: written from its description in others (semi-supervised, a label
    graph, the label space as the link, ℓ2,1), for want of its text and code; figures are our
    reconstruction's. Modalities of more than 1000 features, or more than rows, pass through
    principal components.
    """

    needs_labels: ClassVar[bool] = True
    max_modalities: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        eta: float = 1.0,
        gamma: float = 10.0,
        neighbours: int = 10,
        iterations: int = 10,
        random_state: int = 0,
    ) -> None:
        self.eta = eta
        self.gamma = gamma
        self.neighbours = neighbours
        self.iterations = iterations
        self.random_state = random_state

    def _check_arguments(self) -> None:
        for name in ("eta", "gamma"):
            check_range(name, getattr(self, name), low=0.0)
        for name in ("neighbours", "iterations"):
            check_range(name, getattr(self, name), low=1, integer=True)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        ids = np.unique(np.concatenate([part.items for part in train.values()]))
        sides = {name: self._side(name, part, ids) for name, part in train.items()}
        targets = _targets(train, sides, len(ids))
        targets.labels = predicted(targets, np.zeros_like(targets.labels), held=False)
        losses = []
        for _ in range(self.iterations):
            pulls = np.zeros_like(targets.labels)
            for side in sides.values():
                self._project(side, targets.labels[side.items])
                pulls[side.items] += side.view.rows @ np.asarray(side.weights)
            targets.labels = predicted(targets, pulls, held=True)
            losses.append(self._objective(list(sides.values()), targets))
        history = [{"epoch": i, "train_loss": loss} for i, loss in enumerate(losses)]
        self.history_ = {name: history for name in train}
        return {n: s.view.projection(np.asarray(s.weights)) for n, s in sides.items()}

    def _side(self, name: str, part: Modality, ids: AnyArray) -> Side:
        view = coordinates(name, part.x)
        graph = laplacian(label_graph(neighbour_graph(view.rows, self.neighbours), part.labels))
        items = np.searchsorted(ids, part.items).astype(np.int64)
        return Side(view, items, graph, roughness(view.rows, graph))

    def _project(self, side: Side, labels: FloatArray) -> None:
        z = side.view.rows
        quadratic = z.T @ z + self.eta * side.rough
        side.weights = reweighted_step(quadratic, z.T @ labels, self.gamma, side.weights)

    def _objective(self, sides: list[Side], targets: Targets) -> float:
        f = targets.labels
        total = float((f * (targets.rough @ f)).sum())
        for side in sides:
            u = np.asarray(side.weights)
            total += float(np.square(side.view.rows @ u - f[side.items]).sum())
            total += self.eta * float((u * (side.rough @ u)).sum())
            total += self.gamma * float(row_norms(u).sum())
        return total


def label_graph(graph: sparse.csr_array, labels: Labels) -> sparse.csr_array:
    """Weigh the edges between rows of known labels by the cosine of their label vectors."""
    edges = graph.tocoo()
    first, second = edges.coords
    lengths = np.sqrt(np.asarray(labels.weights.power(2).sum(axis=1)))
    unit = sparse.csr_array(labels.weights.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))
    alike = np.asarray(unit[first].multiply(unit[second]).sum(axis=1))
    both = labels.known[first] & labels.known[second]
    weights = np.where(both, alike, 1.0)
    out = sparse.csr_array((weights, (first, second)), shape=graph.shape)
    out.eliminate_zeros()
    return out


def predicted(targets: Targets, pulls: FloatArray, held: bool) -> FloatArray:
    """Return F with the rows of items without labels solved for.

    Args:
        targets: F so far, and the graph.
        pulls: Sum of the projections of each item's rows, ``Σ_v X_v U_v``, shape of F.
        held: Whether there are projections to stay near; else the graph alone speaks, and items
            that it joins to no label get none.
    """
    free = np.flatnonzero(~targets.known)
    f = targets.labels.copy()
    if not len(free):
        return f
    rough = sparse.csr_array(targets.rough)[free]
    own = targets.seen[free] if held else np.full(len(free), 1e-9)
    system = sparse.csr_array(rough[:, free] + sparse.diags_array(own))
    right = (pulls[free] if held else 0.0) - rough[:, targets.known] @ f[targets.known]
    scale = sparse.diags_array(1 / system.diagonal())
    for k in range(f.shape[1]):
        f[free, k], _ = cg(system, right[:, k], x0=f[free, k], rtol=1e-8, M=scale)
    return f


def _targets(train: Dataset, sides: Mapping[str, Side], n_items: int) -> Targets:
    """Start from what is known: the mean of an item's labels where several rows have some."""
    total, count = np.zeros((n_items, len(train.classes))), np.zeros(n_items)
    seen, rough = np.zeros(n_items), sparse.csr_array((n_items, n_items))
    for name, part in train.items():
        items, known = sides[name].items, part.labels.known
        total[items[known]] += part.labels.dense()[known]
        count[items[known]] += 1
        seen[items] += 1
        edges = sides[name].graph.tocoo()
        place = tuple(items[axis] for axis in edges.coords)
        rough = rough + sparse.csr_array((edges.data, place), shape=rough.shape)
    for name, side in sides.items():
        if not count[side.items].any():
            raise InputError(
                f"modality {name!r}: GSSSL learns from labels, and none of its {len(side.items)} "
                "rows has one, nor an item that has one elsewhere. Label some rows."
            )
    return Targets(total / np.maximum(count, 1)[:, None], count > 0, rough, seen)
