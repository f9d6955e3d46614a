"""What is found for what: agreement of neighbours, confusions of classes, hubs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from commonspace.evaluation.engine import block_rows
from commonspace.evaluation.health.neighbours import Neighbours, shares_label
from commonspace.evaluation.relevance import Relevance
from commonspace.types import BoolArray, Float32Array, FloatArray, IntArray, JsonDict, StrArray

MOST_QUERIES = 2000
"""Queries whose relevance to every item is looked at, evenly spaced."""

FREQUENT = 5
"""Items that make a class frequent enough to be missed."""

_PAIRS = 10


@dataclass(frozen=True, eq=False)
class Confusion:
    """Classes of the neighbours, in one direction.

    Attributes:
        agreement: Share of the neighbours that share a label with their query.
        chance: The same share of all items: what random neighbours would have.
        lift: (agreement - chance) / (1 - chance): 0 at chance, 1 if all agree.
        p: Of a lift at least as large if labels said nothing (normal approximation). What is drawn
            then are the items found, and those found by many count as few: so it is their
            effective number (sum of counts)² / sum of counts², not that of queries.
        matrix: Row q, column g: of the neighbours of queries of class q, the share that has class
            g and shares no label with the query; on the diagonal the share that has class q.
            Shape (n_classes, n_classes).
        pairs: The largest shares beside the diagonal: query class, class found, share.
        unseen: Classes of the gallery of which no item is anybody's neighbour, the most frequent
            first.
        n_frequent: Classes with at least `FREQUENT` items in the gallery.
        n_frequent_unseen: How many of these are unseen.
    """

    agreement: float
    chance: float
    lift: float
    p: float
    matrix: FloatArray
    pairs: tuple[tuple[str, str, float], ...]
    unseen: tuple[str, ...]
    n_frequent: int
    n_frequent_unseen: int

    def to_dict(self) -> JsonDict:
        """Return the summary for JSON; the matrix is too large for it."""
        return {
            "agreement": self.agreement,
            "chance": self.chance,
            "lift": self.lift,
            "p": self.p,
            "confusions": [{"query": q, "found": g, "share": s} for q, g, s in self.pairs],
            "unseen": list(self.unseen),
        }


@dataclass(frozen=True, eq=False)
class Hubness:
    """How evenly items are found, in one direction [1].

    Attributes:
        skew: Skewness of how often an item is among the neighbours of a query (k-occurrence).
        never: Share of the items that are nobody's neighbour.
        largest: Share of the queries that the most frequent item is a neighbour of.
        item: Its id.
        reach: The largest share, over items, of the queries *of other labels* that the item is a
            neighbour of: a class may have a favourite, only a hub reaches the others. Of each query
            no more neighbours count than items share a label with it: past these, a perfect space
            has to take an item of another label too, and ties may make it the same one always.
        reach_item: Id of that item.
        counts: How often each item is found, shape (n_gallery,).

    References:
        [1] Radovanovic, Nanopoulos, Ivanovic. Hubs in Space: Popular Nearest Neighbors in
            High-Dimensional Data. JMLR 2010.
    """

    skew: float
    never: float
    largest: float
    item: str
    reach: float
    reach_item: str
    counts: IntArray

    def to_dict(self) -> JsonDict:
        """Return the fields for JSON, less the counts."""
        return {
            "skew": self.skew,
            "never": self.never,
            "largest": self.largest,
            "item": self.item,
            "reach": self.reach,
            "reach_item": self.reach_item,
        }


def measure_confusion(
    neighbours: Neighbours,
    y_QC: Float32Array,
    y_GC: Float32Array,
    classes: tuple[str, ...],
    *,
    exclude_self: bool,
    memory: int,
) -> Confusion:
    """Measure which classes are found for which; labels are weights, of which those > 0 count.

    Args:
        neighbours: Of each query in the gallery.
        y_QC: Labels of the queries.
        y_GC: Labels of the gallery.
        classes: Names of the classes.
        exclude_self: Whether row i of both is one item.
        memory: Bound of working memory in bytes.
    """
    q_QC, g_GC = ((part > 0).astype(np.float32) for part in (y_QC, y_GC))
    right = shares_label(neighbours, q_QC, g_GC)
    agreement = float(right.mean()) if right.size else 0.0
    chance, deviation = _chance(q_QC, g_GC, exclude_self=exclude_self, memory=memory)
    counts = np.bincount(neighbours.at.ravel(), minlength=len(g_GC)).astype(np.float64)
    effective = counts.sum() ** 2 / max(float(np.square(counts).sum()), 1.0)
    z = (agreement - chance) / max(deviation / np.sqrt(max(1.0, effective)), 1e-12)
    matrix = _matrix(neighbours, q_QC, g_GC, right)
    seen = np.zeros(len(g_GC), dtype=np.bool_)
    seen[neighbours.at] = True
    sizes = g_GC.sum(axis=0)
    missing = (sizes > 0) & ~g_GC[seen].any(axis=0)
    frequent = sizes >= FREQUENT
    return Confusion(
        agreement=agreement,
        chance=chance,
        lift=(agreement - chance) / (1 - chance) if chance < 1 else 0.0,
        p=_upper_tail(z),
        matrix=matrix,
        pairs=_largest(matrix, classes),
        unseen=tuple(classes[at] for at in np.argsort(-sizes, kind="stable") if missing[at]),
        n_frequent=int(frequent.sum()),
        n_frequent_unseen=int((frequent & missing).sum()),
    )


def measure_hubness(
    neighbours: Neighbours, y_QC: Float32Array, y_GC: Float32Array, items: StrArray
) -> Hubness:
    """Measure how evenly items are found.

    Args:
        neighbours: Of each query in the gallery.
        y_QC: Labels of the queries.
        y_GC: Labels of the gallery.
        items: Item ids of the gallery.
    """
    n_queries, n_gallery = len(y_QC), len(y_GC)
    counts = np.bincount(neighbours.at.ravel(), minlength=n_gallery)
    fits = np.arange(neighbours.k) < _relatives(y_GC, y_QC)[:, None]
    wrong_ones = neighbours.at[fits & ~shares_label(neighbours, y_QC, y_GC)]
    wrong = np.bincount(wrong_ones, minlength=n_gallery)
    share = wrong / np.maximum(n_queries - _relatives(y_QC, y_GC), 1)
    largest, reach = int(counts.argmax()), int(share.argmax())
    return Hubness(
        skew=_skewness(counts),
        never=float((counts == 0).mean()),
        largest=float(counts[largest] / n_queries),
        item=str(items[largest]),
        reach=float(share[reach]),
        reach_item=str(items[reach]),
        counts=counts,
    )


def _matrix(
    neighbours: Neighbours, q_QC: Float32Array, g_GC: Float32Array, right: BoolArray
) -> FloatArray:
    total = np.zeros((q_QC.shape[1],) * 2)
    found = np.zeros((q_QC.shape[1],) * 2)
    for column in range(neighbours.k):
        labels = g_GC[neighbours.at[:, column]]
        total += q_QC.T @ (labels * ~right[:, column, None])
        found += np.diag((q_QC * labels).sum(axis=0))
    rows = q_QC.sum(axis=0)[:, None] * max(1, neighbours.k)
    return np.asarray((total + found) / np.maximum(rows, 1))


def _largest(matrix: FloatArray, classes: tuple[str, ...]) -> tuple[tuple[str, str, float], ...]:
    beside = matrix.copy()
    np.fill_diagonal(beside, 0)
    order = np.argsort(-beside, axis=None, kind="stable")[:_PAIRS]
    rows, columns = np.unravel_index(order, beside.shape)
    return tuple(
        (classes[q], classes[g], float(beside[q, g]))
        for q, g in zip(rows, columns, strict=True)
        if beside[q, g] > 0
    )


def _chance(
    q_QC: Float32Array, g_GC: Float32Array, *, exclude_self: bool, memory: int
) -> tuple[float, float]:
    """Share of all pairs that share a label, and the deviation of one random neighbour."""
    rows = np.unique(np.linspace(0, len(q_QC) - 1, min(len(q_QC), MOST_QUERIES)).astype(np.int64))
    packed = Relevance.of(q_QC[rows], g_GC, exclude_self=False)
    step = block_rows(len(g_GC), memory, bytes_per_pair=2)
    counts = np.concatenate(
        [
            packed.block(start, min(start + step, len(rows))).sum(axis=1)
            for start in range(0, len(rows), step)
        ]
    )
    n_items = len(g_GC)
    if exclude_self:
        counts, n_items = counts - q_QC[rows].any(axis=1), max(1, n_items - 1)
    shares = counts / n_items
    return float(shares.mean()), float(np.sqrt((shares * (1 - shares)).mean()))


def _relatives(y_QC: Float32Array, y_GC: Float32Array) -> IntArray:
    """How many queries share a label with each item, by the distinct label sets."""
    query, gallery = y_QC > 0, y_GC > 0
    sets, at = np.unique(gallery, axis=0, return_inverse=True)
    kinds, counts = np.unique(query, axis=0, return_counts=True)
    packed = Relevance.of(sets.astype(np.float32), kinds.astype(np.float32), exclude_self=False)
    shared = np.array([packed.block(row, row + 1)[0] @ counts for row in range(len(sets))])
    return np.asarray(shared[at.ravel()])


def _skewness(counts: IntArray) -> float:
    centred = counts - counts.mean()
    spread = float(np.sqrt(np.square(centred).mean()))
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def _upper_tail(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-z))
