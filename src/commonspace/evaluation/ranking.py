"""The hot path: average precision of a block of queries from costs and relevance.

Only the ranks of relevant items matter. `Costs` leaves the last bits of each float64 zero, so the
last one is set to the item's relevance: one plain sort of numbers orders the items and carries the
flags along, where an argsort with a gather costs five times as much. Two neighbours that differ in
that bit alone are a relevant and an irrelevant item of equal cost, so mixed ties are found exactly
and only their rows take the slower road of `ties`. Ties among items of one kind cannot change a
score.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from commonspace.evaluation.curves import CurveSums
from commonspace.evaluation.metrics import Float64Array
from commonspace.evaluation.protocol import Protocol
from commonspace.evaluation.ties import TiedScore, TieGroups, TieMath
from commonspace.types import AnyArray, BoolArray, FloatArray, IntArray

BYTES_PER_PAIR = 40
"""Peak working memory per query and gallery item, every item relevant (measured: 22 to 38)."""

_PARTITION_GAIN = 4  # below a quarter of the gallery, selecting the top k beats sorting it all


@dataclass(frozen=True)
class QueryScores:
    """Per query: average precision as the protocol reads ties, its bracket, and what there was."""

    ap: FloatArray
    worst: FloatArray
    best: FloatArray
    n_relevant: IntArray
    empty: BoolArray
    ndcg: FloatArray | None = None
    """Where gains are measured; NaN where there is nothing to gain."""
    wap: FloatArray | None = None
    acg: FloatArray | None = None

    @classmethod
    def joined(cls, parts: list[QueryScores]) -> QueryScores:
        """Concatenate blocks."""
        names = ["ap", "worst", "best", "n_relevant", "empty"]
        names += [name for name in ("ndcg", "wap", "acg") if getattr(parts[0], name) is not None]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


class Ranker:
    """Scores blocks of queries against one gallery.

    Args:
        n_gallery: Items in the gallery.
        protocol: How the number is made.
        curves: Sums to add each query's curves to; None leaves them out.
    """

    def __init__(
        self, n_gallery: int, protocol: Protocol, *, curves: CurveSums | None = None
    ) -> None:
        self._protocol = protocol
        self._depth = n_gallery if protocol.k is None else min(protocol.k, n_gallery)
        self._top_only = curves is None and self._depth * _PARTITION_GAIN < n_gallery
        self._ties = TieMath(n_gallery)
        self._curves = curves

    def score(self, cost: Float64Array, relevant: BoolArray) -> QueryScores:
        """Score queries by costs (lower is better) and relevance, both (n_queries, n_gallery).

        The costs come from `Costs`, and are overwritten.
        """
        unsorted = cost.copy() if self._protocol.ties == "stable" else None
        bits = cost.view(np.int64)
        np.bitwise_or(bits, relevant, out=bits)
        tied = self._sort(cost)
        rows, ranks = _hits(_flags(cost[:, : self._depth] if self._top_only else cost))
        n_relevant = (
            np.count_nonzero(relevant, axis=1)
            if self._top_only
            else np.bincount(rows, minlength=len(cost))
        )
        ap = self._average(rows, ranks, n_relevant)
        scores = QueryScores(ap, ap.copy(), ap.copy(), n_relevant, np.zeros(len(ap), np.bool_))
        groups = {}
        for row in map(int, np.flatnonzero(tied)):
            groups[row] = self._resolve(row, bits[row], scores)
            if unsorted is not None:
                groups[row] = self._in_order(row, unsorted[row], relevant[row], scores)
        self._mark_empty(scores)
        if self._curves is not None:
            self._add_curves(scores, np.split(ranks, np.cumsum(n_relevant)[:-1]), groups)
        return scores

    def _sort(self, cost: Float64Array) -> BoolArray:
        """Bring each row in order and return which rows hold a tie that may change their score.

        Where only the first ranks are read, only these are brought in order, and rows with a tie.
        """
        bits = cost.view(np.int64)
        if not self._top_only:
            cost.sort(axis=1)
            return _mixed_neighbours(bits)
        cost.partition(self._depth, axis=1)
        cost[:, : self._depth].sort(axis=1)
        straddles = (bits[:, self._depth] ^ bits[:, self._depth - 1]) & ~1 == 0
        tied = _mixed_neighbours(bits[:, : self._depth]) | straddles
        for row in np.flatnonzero(tied):
            cost[row].sort()
        return np.asarray(tied)

    def _average(self, rows: IntArray, ranks: IntArray, n_relevant: IntArray) -> FloatArray:
        inside = ranks <= self._depth
        if not inside.all():
            rows, ranks = rows[inside], ranks[inside]
        found = np.bincount(rows, minlength=len(n_relevant))
        first = np.repeat(np.cumsum(found) - found, found)
        precision = (np.arange(1, len(ranks) + 1) - first) / ranks
        total = np.bincount(rows, weights=precision, minlength=len(found))
        divisor = n_relevant if self._protocol.divide_by == "all" else found
        return np.divide(total, divisor, out=np.zeros(len(total)), where=divisor > 0)

    def _resolve(self, row: int, bits: IntArray, scores: QueryScores) -> TieGroups:
        """Write one tied row's scores and return its groups."""
        groups = TieGroups.of(bits >> 1, bits & 1)
        tied = self._tied_score(groups)
        scores.ap[row], scores.worst[row], scores.best[row] = tied
        return groups

    def _in_order(
        self, row: int, cost: Float64Array, relevant: BoolArray, scores: QueryScores
    ) -> TieGroups:
        """Write one tied row's score where equal items stand in the order of the gallery."""
        order = np.argsort(cost, kind="stable")
        groups = TieGroups.of(np.arange(len(order)), relevant[order])
        scores.ap[row] = self._tied_score(groups).expected
        return groups

    def _tied_score(self, groups: TieGroups) -> TiedScore:
        protocol = self._protocol
        return self._ties.average_precision(groups, k=protocol.k, divide_by=protocol.divide_by)

    def _mark_empty(self, scores: QueryScores) -> None:
        if self._protocol.divide_by == "all":
            nothing = scores.n_relevant == 0
        else:
            nothing = (scores.best if self._protocol.ties == "expected" else scores.ap) == 0
        scores.empty[...] = nothing

    def _add_curves(
        self, scores: QueryScores, ranks: list[IntArray], groups: dict[int, TieGroups]
    ) -> None:
        assert self._curves is not None
        for row, hits in enumerate(ranks):
            if scores.empty[row] and self._protocol.empty == "skip":
                continue
            self._curves.add(hits, int(scores.n_relevant[row]), groups.get(row))


def _hits(pattern: BoolArray) -> tuple[IntArray, IntArray]:
    """Return row and rank (from 1) of every relevant item, in order."""
    n_rows, width = pattern.shape
    flat = np.flatnonzero(pattern.ravel())
    starts = np.searchsorted(flat, np.arange(n_rows + 1) * width)
    rows = np.repeat(np.arange(n_rows), np.diff(starts))
    flat += 1
    flat -= rows * width
    return rows, flat


def _mixed_neighbours(bits: AnyArray) -> BoolArray:
    """Which rows hold a relevant and an irrelevant item of equal cost side by side."""
    return np.asarray(((bits[:, 1:] ^ bits[:, :-1]) == 1).any(axis=1))


def _flags(cost: AnyArray) -> BoolArray:
    """The relevance bit of each cost, as a contiguous bool matrix."""
    last = cost.view(np.uint8)[:, (0 if sys.byteorder == "little" else 7) :: 8]
    return np.asarray((last & 1).view(np.bool_))
