"""The nearest items of every query: exact, in blocks of queries that stream past the gallery.

Working memory is bounded by ``memory`` bytes, however large the gallery (at least one query is in a
block); what is returned is (n_queries, k).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from commonspace.evaluation.costs import Costs
from commonspace.evaluation.engine import MEMORY, block_rows
from commonspace.types import BoolArray, Float32Array, FloatArray, IntArray

BYTES_PER_PAIR = 24
"""Of a block: its costs, and the order in which a part of them stands."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest items of each query, nearest first.

    Attributes:
        at: Rows of the gallery, shape (n_queries, k).
        similarity: Their cosine with the query, shape (n_queries, k), float64.
    """

    at: IntArray
    similarity: FloatArray

    @property
    def k(self) -> int:
        """How many each query has."""
        return int(self.at.shape[1])

    def first(self, k: int) -> Neighbours:
        """Return the first ``k`` of each query."""
        return Neighbours(self.at[:, :k], self.similarity[:, :k])

    def without(self, rows: IntArray) -> Neighbours:
        """Leave one item out of each query's list; lists that do not hold it lose their last.

        Args:
            rows: The item of each query, -1 for none, shape (n_queries,).
        """
        drop = self.at == rows[:, None]
        drop[~drop.any(axis=1), -1] = True
        shape = (len(drop), self.k - 1)
        return Neighbours(self.at[~drop].reshape(shape), self.similarity[~drop].reshape(shape))


def nearest(
    z_QE: Float32Array,
    z_GE: Float32Array,
    *,
    k: int,
    exclude_self: bool = False,
    memory: int = MEMORY,
) -> Neighbours:
    """Find the ``k`` nearest items of each query by cosine; items of equal cosine in any order.

    Args:
        z_QE: Queries, shape (n_queries, dim).
        z_GE: Gallery, shape (n_gallery, dim).
        k: How many; all there are, if these are fewer.
        exclude_self: Row i of both is one item and no neighbour of itself.
        memory: Bound of working memory in bytes, beyond the vectors and what is returned.
    """
    k = max(0, min(k, len(z_GE) - int(exclude_self)))
    step = min(len(z_QE), block_rows(len(z_GE), memory // 2, bytes_per_pair=BYTES_PER_PAIR))
    costs = Costs(z_QE, z_GE, metric="cosine", block_rows=step, memory=memory // 2)
    at = np.empty((len(z_QE), k), dtype=np.int64)
    similarity = np.empty((len(z_QE), k))
    buffer = np.empty((step, len(z_GE)))
    for start in range(0, len(z_QE), step):
        stop = min(start + step, len(z_QE))
        cost = buffer[: stop - start]
        costs.block(start, stop, out=cost)
        if exclude_self:
            cost[np.arange(stop - start), np.arange(start, stop)] = np.inf
        part = cost.argpartition(k - 1, axis=1)[:, :k] if 0 < k < len(z_GE) else _all(cost, k)
        found = np.take_along_axis(cost, part, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        at[start:stop] = np.take_along_axis(part, order, axis=1)
        similarity[start:stop] = -np.take_along_axis(found, order, axis=1)
    return Neighbours(at, similarity)


def votes(neighbours: Neighbours, y_GC: Float32Array) -> Float32Array:
    """Return the share of each query's neighbours that has each class, (n_queries, n_classes)."""
    out = np.zeros((len(neighbours.at), y_GC.shape[1]), dtype=np.float32)
    for column in range(neighbours.k):
        out += y_GC[neighbours.at[:, column]]
    return out / np.float32(max(1, neighbours.k))


def shares_label(neighbours: Neighbours, y_QC: Float32Array, y_GC: Float32Array) -> BoolArray:
    """Return whether each neighbour has a class of the query, shape (n_queries, k)."""
    out = np.empty(neighbours.at.shape, dtype=np.bool_)
    for column in range(neighbours.k):
        out[:, column] = (y_QC * y_GC[neighbours.at[:, column]]).any(axis=1)
    return out


def _all(cost: FloatArray, k: int) -> IntArray:
    return np.tile(np.arange(k), (len(cost), 1))
