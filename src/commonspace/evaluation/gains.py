"""Graded relevance as the stream passes: nDCG, ACG and WAP of a block of queries.

The gain of an item is how much of the query's labels it shares. Items of one score stand in random
order, so each counts with the mean gain of its group: that is the expectation over their orders,
for the discounts of the group's ranks do not depend on who takes which [1]. The best order has no
ties to resolve. `graded` has the other two.

References:
    [1] McSherry, Najork. Computing Information Retrieval Performance Measures Efficiently in the
        Presence of Tied Scores. ECIR 2008. doi:10.1007/978-3-540-78646-7_38
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from commonspace.errors import InputError
from commonspace.evaluation.graded import block_wap, group_sums, tie_starts
from commonspace.evaluation.metrics import Float64Array
from commonspace.evaluation.protocol import Protocol
from commonspace.types import AnyArray, BoolArray

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
        """Read labels given as class numbers, shape (n,), or weights, shape (n, n_classes).

        Args:
            query_labels: Of the queries.
            gallery_labels: Of the gallery.
            exclude_self: Whether row i of both is one item, worth nothing to itself.

        Raises:
            InputError: A weight is below 0.
        """
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


class GradedScores(NamedTuple):
    """Per query, shape (n_queries,), float64; NaN for a query without anything to gain."""

    ndcg: Float64Array
    wap: Float64Array
    acg: Float64Array | None
    """None without a cut-off: the mean gain of all ranks is the same in any order."""


def block_graded(
    cost: Float64Array, gain: Float64Array, protocol: Protocol, *, n_items: int
) -> GradedScores:
    """Score queries by costs (lower is better) and gains, both (n_queries, n_gallery).

    Args:
        cost: What ranks; infinite where an item takes no part.
        gain: Of each item.
        protocol: Its cut-off, divisor and ties.
        n_items: How many items take part.
    """
    order = np.argsort(cost, axis=1, kind="stable")
    ranked = np.take_along_axis(gain, order, axis=1)
    starts = np.ones(gain.shape, dtype=np.bool_)
    if protocol.ties == "expected":
        starts = tie_starts(np.take_along_axis(cost, order, axis=1))
    nothing = ~(gain > 0).any(axis=1)
    wap = block_wap(ranked, starts, k=protocol.k, divide_by=protocol.divide_by)
    wap[nothing] = np.nan
    _average_ties(starts, ranked)
    discount = discounts(gain.shape[1], protocol.k)
    ndcg = normalised(_discounted(ranked, discount), -np.sort(-gain, axis=1), discount)
    if protocol.k is None:
        return GradedScores(ndcg, wap, None)
    depth = min(protocol.k, n_items)
    acg = ranked[:, :depth].sum(axis=1) / depth
    return GradedScores(ndcg, wap, np.where(nothing, np.nan, acg))


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


def _average_ties(starts: BoolArray, gain: Float64Array) -> None:
    """Replace gains by the mean of their group of equal cost, in place; rows are in order."""
    rows = np.flatnonzero(~starts.all(axis=1))
    if len(rows):
        sums, sizes = group_sums(gain[rows], starts[rows])
        gain[rows] = np.repeat(sums / sizes, sizes).reshape(len(rows), -1)
