"""Graded relevance as the stream passes: normalised discounted cumulative gain of a block.

The gain of an item is how much of the query's labels it shares. Items of one score stand in random
order, so each counts with the mean gain of its group: that is the expectation over their orders,
for the discounts of the group's ranks do not depend on who takes which [1]. The best order has no
ties to resolve.

References:
    [1] McSherry, Najork. Computing Information Retrieval Performance Measures Efficiently in the
        Presence of Tied Scores. ECIR 2008. doi:10.1007/978-3-540-78646-7_38
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.errors import InputError
from commonspace.evaluation.metrics import Float64Array
from commonspace.evaluation.protocol import Protocol
from commonspace.types import AnyArray

BYTES_PER_PAIR = 56
"""Peak working memory per query and gallery item (measured: 41 to 50)."""


@dataclass(frozen=True)
class Gains:
    """Label weights of queries and gallery, from which the gains of a block are made.

    Attributes:
        query: Shape (n_queries, n_classes), float32.
        gallery: Shape (n_gallery, n_classes), float32.
        graded: Some weight is neither 0 nor 1.
        exclude_self: Row i of the queries is row i of the gallery and is worth nothing to itself.
    """

    query: AnyArray
    gallery: AnyArray
    graded: bool
    exclude_self: bool = False

    @classmethod
    def of(cls, query_labels: Any, gallery_labels: Any, *, exclude_self: bool) -> Gains:
        """Read labels given as class numbers, shape (n,), or weights, shape (n, n_classes)."""
        query, gallery = np.asarray(query_labels), np.asarray(gallery_labels)
        if query.ndim == 1:
            n_classes = 1 + max(int(query.max(initial=0)), int(gallery.max(initial=0)))
            rows = np.eye(n_classes, dtype=np.float32)
            query, gallery = rows[query], rows[gallery]
        query, gallery = (np.asarray(part, dtype=np.float32) for part in (query, gallery))
        if (query < 0).any() or (gallery < 0).any():
            raise InputError("labels: expected weights of at least 0 where gains are measured.")
        graded = any(((part != 0) & (part != 1)).any() for part in (query, gallery))
        return cls(query, gallery, bool(graded), exclude_self)

    def block(self, start: int, stop: int) -> Float64Array:
        """Gain of every item to queries start..stop, shape (stop - start, G).

        The sum over classes of the smaller weight, as `label_overlap` has it.
        """
        query = self.query[start:stop]
        if self.graded:
            gain = np.zeros((len(query), len(self.gallery)))
            for column in np.flatnonzero(query.any(axis=0)):
                gain += np.minimum(query[:, column, None], self.gallery[None, :, column])
        else:  # small whole numbers: exact in float32
            gain = (query @ self.gallery.T).astype(np.float64)
        if self.exclude_self:
            gain[np.arange(stop - start), np.arange(start, stop)] = 0
        return gain

    def mean_block(self, start: int, stop: int) -> tuple[Float64Array, Float64Array]:
        """Mean gain over the gallery, and the gains best first: all that a random order needs."""
        gain = self.block(start, stop)
        n_items = gain.shape[1] - int(self.exclude_self)
        return gain.sum(axis=1) / max(1, n_items), -np.sort(-gain, axis=1)


def block_ndcg(cost: Float64Array, gain: Float64Array, protocol: Protocol) -> Float64Array:
    """Score queries by costs (lower is better) and gains, both (n_queries, n_gallery).

    Returns:
        Shape (n_queries,), float64; NaN for a query without anything to gain.
    """
    order = np.argsort(cost, axis=1, kind="stable")
    ranked = np.take_along_axis(gain, order, axis=1)
    if protocol.ties == "expected":
        _average_ties(np.take_along_axis(cost, order, axis=1), ranked)
    discount = discounts(gain.shape[1], protocol.k)
    return normalised(_discounted(ranked, discount), -np.sort(-gain, axis=1), discount)


def discounts(n_items: int, k: int | None) -> Float64Array:
    """1 / log2(rank + 1) of the ranks that are looked at."""
    depth = n_items if k is None else min(k, n_items)
    return np.asarray(1.0 / np.log2(np.arange(2, depth + 2)))


def normalised(found: AnyArray, best_first: AnyArray, discount: AnyArray) -> Float64Array:
    """Divide by the gain of the best order; NaN where that is zero."""
    ideal = _discounted(best_first, discount)
    out = np.full(len(found), np.nan)
    np.divide(found, ideal, out=out, where=ideal > 0)
    np.minimum(out, 1.0, out=out)  # sums in another order may exceed it in the last bit
    return out


def _discounted(gain: AnyArray, discount: AnyArray) -> Float64Array:
    """Sum row by row: a matrix product's last bits would depend on the size of the block."""
    total: Float64Array = (gain[:, : len(discount)] * discount).sum(axis=1)
    return total


def _average_ties(cost: Float64Array, gain: Float64Array) -> None:
    """Replace gains by the mean of their group of equal cost, in place; rows are in order."""
    starts = np.ones(cost.shape, dtype=np.bool_)
    starts[:, 1:] = cost[:, 1:] != cost[:, :-1]
    if starts.all():
        return
    rows = np.flatnonzero(~starts.all(axis=1))
    first = np.flatnonzero(starts[rows].ravel())
    sums = np.add.reduceat(gain[rows].ravel(), first)
    sizes = np.diff(np.append(first, len(rows) * gain.shape[1]))
    gain[rows] = np.repeat(sums / sizes, sizes).reshape(len(rows), -1)
