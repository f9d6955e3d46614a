"""GSS-SL: generalised semi-supervised structured subspace learning, our reconstruction.

References:
    [1] Zhang, Ma, He, Shen, Zhou. Generalized Semi-supervised and Structured Subspace Learning
        for Cross-Modal Retrieval. TMM 2018. doi:10.1109/TMM.2017.2723841
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

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
from commonspace.methods.baselines.projection import Coordinates, ProjectionMethod, coordinates
from commonspace.types import AnyArray, BoolArray, FloatArray, IntArray

LONE = 1e-9  # weight of no label at all, for items that the graph joins to none


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

    def projected(self) -> FloatArray:
        """``X U``, shape (rows, classes)."""
        return np.asarray(self.view.rows @ np.asarray(self.weights))


@dataclass
class Items:
    """What every item is drawn to: its labels, or those predicted for it.

    Attributes:
        labels: F, shape (items, classes).
        known: Which items have labels; their rows of F stay as they are.
    """

    labels: FloatArray
    known: BoolArray


class GSSSL(ProjectionMethod):
    """Generalised semi-supervised structured subspace learning; our reconstruction of [1].

    The label space links the modalities. Labels F of all items and projections U_v of standardised
    features X_v onto them are found in turn::

        minimise  Σ_v ‖X_v U_v − F‖² + tr(Fᵀ Σ_v L_v F)
                + η Σ_v tr(U_vᵀ X_vᵀ L_v X_v U_v) + γ Σ_v ‖U_v‖_{2,1}

    F stays at the labels where they are known. L_v is the Laplacian of a label graph: each row is
    joined to its nearest ones, and an edge between two rows of known labels weighs the cosine of
    their label vectors, so that there is none between different classes. Rows without labels are
    learned from; items may be in one modality or both. Features are left as loud as labels say, see
    `loudness`.

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
        items, numbers = known_labels(train)
        sides = {name: self._side(name, train[name], items, numbers[name]) for name in train}
        both = list(sides.values())
        rough = over_items(both, len(items.known))
        items.labels = predicted(items, rough, [])
        losses = []
        for _ in range(self.iterations):
            for side in both:
                self._project(side, items.labels[side.items])
            items.labels = predicted(items, rough, both)
            losses.append(self._objective(both, items.labels, rough))
        history = [{"epoch": i, "train_loss": loss} for i, loss in enumerate(losses)]
        self.history_ = {name: history for name in train}
        return {n: s.view.projection(np.asarray(s.weights)) for n, s in sides.items()}

    def _side(self, name: str, part: Modality, items: Items, numbers: IntArray) -> Side:
        if not items.known[numbers].any():
            raise InputError(
                f"modality {name!r}: GSSSL learns from labels, and none of its {len(part)} rows "
                "has one, nor shows an item that has one elsewhere. Label some rows."
            )
        view = coordinates(name, part.x, part.labels)
        near = neighbour_graph(view.rows, self.neighbours)
        graph = laplacian(label_graph(near, items.labels[numbers], items.known[numbers]))
        return Side(view, numbers, graph, roughness(view.rows, graph))

    def _project(self, side: Side, labels: FloatArray) -> None:
        z = side.view.rows
        quadratic = z.T @ z + self.eta * side.rough
        side.weights = reweighted_step(quadratic, z.T @ labels, self.gamma, side.weights)

    def _objective(self, sides: list[Side], f: FloatArray, rough: Any) -> float:
        total = float((f * (rough @ f)).sum())
        for side in sides:
            u = np.asarray(side.weights)
            total += float(np.square(side.projected() - f[side.items]).sum())
            total += self.eta * float((u * (side.rough @ u)).sum())
            total += self.gamma * float(row_norms(u).sum())
        return total


def known_labels(train: Dataset) -> tuple[Items, dict[str, IntArray]]:
    """Number the items, and take the mean of an item's labels where several rows have some.

    Returns:
        The items, unknown labels being zero, and the number of the item of each row.
    """
    ids = np.unique(np.concatenate([part.items for part in train.values()]))
    numbers = {m: np.searchsorted(ids, part.items).astype(np.int64) for m, part in train.items()}
    total, count = np.zeros((len(ids), len(train.classes))), np.zeros(len(ids))
    for name, part in train.items():
        rows = numbers[name][part.labels.known]
        total[rows] += part.labels.dense()[part.labels.known]
        count[rows] += 1
    return Items(total / np.maximum(count, 1)[:, None], count > 0), numbers


def label_graph(graph: sparse.csr_array, labels: FloatArray, known: BoolArray) -> sparse.csr_array:
    """Weigh the edges between rows of known labels by the cosine of their label vectors."""
    edges = graph.tocoo()
    first, second = edges.coords
    lengths = np.linalg.norm(labels, axis=1, keepdims=True)
    unit = sparse.csr_array(labels / np.where(lengths > 0, lengths, 1))
    alike = np.asarray(unit[first].multiply(unit[second]).sum(axis=1))
    weights = np.where(known[first] & known[second], alike, 1.0)
    out = sparse.csr_array((weights, (first, second)), shape=graph.shape)
    out.eliminate_zeros()
    return out


def over_items(sides: list[Side], n_items: int) -> Any:
    """Sum of the Laplacians, from rows to the items that they show; sparse."""
    total = sparse.csr_array((n_items, n_items))
    for side in sides:
        edges = side.graph.tocoo()
        place = tuple(side.items[axis] for axis in edges.coords)
        total = total + sparse.csr_array((edges.data, place), shape=total.shape)
    return total


def predicted(items: Items, rough: Any, sides: list[Side]) -> FloatArray:
    """Return F with the rows of items without labels solved for, by conjugate gradients.

    Args:
        items: F so far; where the search starts.
        rough: Sum of the Laplacians over the items.
        sides: Whose projections F stays near; with none the graph alone speaks, and items that it
            joins to no label get none.
    """
    f, free = items.labels.copy(), np.flatnonzero(~items.known)
    if not len(free):
        return f
    pulls, seen = np.zeros_like(f), np.zeros(len(f))
    for side in sides:
        pulls[side.items] += side.projected()
        seen[side.items] += 1
    row = sparse.csr_array(rough)[free]
    own = seen[free] if sides else np.full(len(free), LONE)
    system = sparse.csr_array(row[:, free] + sparse.diags_array(own))
    right = pulls[free] - row[:, items.known] @ f[items.known]
    scale = sparse.diags_array(1 / system.diagonal())
    for k in range(f.shape[1]):
        f[free, k], _ = cg(system, right[:, k], x0=f[free, k], rtol=1e-8, M=scale)
    return f
