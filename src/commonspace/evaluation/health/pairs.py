"""Pairs that look shuffled: items whose two rows have less in common than their class would say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from commonspace.evaluation.costs import Costs
from commonspace.evaluation.engine import block_rows
from commonspace.evaluation.health.suspects import mates
from commonspace.evaluation.relevance import Relevance
from commonspace.types import Float32Array, FloatArray, IntArray, JsonDict, StrArray

SHUFFLED = 0.9
"""A score from which a pair counts as shuffled: a fifth of the expected similarity, or less."""

_LEAST_EXPECTED = 0.05  # a class that has nothing in common expects nothing of a mate


@dataclass(frozen=True, eq=False)
class PairCheck:
    """Whether the two rows of each item belong together, in a pair of modalities.

    Attributes:
        items: Ids of the items that both modalities have.
        score: 1 - s / 2e within [0, 1], where s is the cosine of the two rows and e what their
            class makes expected: the mean cosine of either row with the other modality's items of
            its label. 0.5 for a mate like any of the class, less for one that is nearer, 1 for one
            that has nothing in common. Where the two rows share no label, half-way from there to 1.
        conflicts: Share of the pairs whose two rows share no label.
    """

    items: StrArray
    score: FloatArray
    conflicts: float

    @property
    def flagged(self) -> float:
        """Share of the pairs with a score of at least `SHUFFLED`."""
        return float((self.score >= SHUFFLED).mean()) if len(self.score) else 0.0

    def ranked(self, n: int | None = None) -> IntArray:
        """Return pairs, the most suspect first; the first ``n`` of them."""
        return np.argsort(-self.score, kind="stable")[:n]

    def table(self, n: int | None = None) -> list[JsonDict]:
        """Return the most suspect pairs, for a table or JSON."""
        return [
            {"item": str(self.items[at]), "score": float(self.score[at])} for at in self.ranked(n)
        ]


def check_pairs(
    z_QE: Float32Array,
    z_GE: Float32Array,
    y_QC: Float32Array,
    y_GC: Float32Array,
    query_items: StrArray,
    gallery_items: StrArray,
    *,
    memory: int,
) -> PairCheck:
    """Score the items that two modalities share.

    Args:
        z_QE: Vectors of one modality.
        z_GE: Vectors of the other.
        y_QC: Label weights of the first.
        y_GC: Label weights of the other.
        query_items: Item ids of the first.
        gallery_items: Item ids of the other.
        memory: Bound of working memory in bytes.
    """
    at = mates(query_items, gallery_items)
    rows = np.flatnonzero(at >= 0)
    at = at[rows]
    forth = _expected(z_QE, z_GE, y_QC, y_GC, rows, at, memory)
    back = _expected(z_GE, z_QE, y_GC, y_QC, at, rows, memory)
    found = (unit(z_QE[rows]) * unit(z_GE[at])).sum(axis=1, dtype=np.float64)
    expected = np.maximum((forth + back) / 2, _LEAST_EXPECTED)
    score = 1 - np.clip(found / expected, 0, 2) / 2
    agree = np.asarray(((y_QC[rows] > 0) & (y_GC[at] > 0)).any(axis=1))
    conflicts = float((~agree).mean()) if len(rows) else 0.0
    return PairCheck(query_items[rows], np.where(agree, score, (1 + score) / 2), conflicts)


def unit(z_NE: Float32Array) -> Float32Array:
    """Bring rows to length 1; zero stays zero."""
    norms = np.linalg.norm(z_NE, axis=1, keepdims=True)
    return np.asarray(np.divide(z_NE, norms, out=np.zeros_like(z_NE), where=norms > 0))


def _expected(
    z_QE: Float32Array,
    z_GE: Float32Array,
    y_QC: Float32Array,
    y_GC: Float32Array,
    rows: IntArray,
    at: IntArray,
    memory: int,
) -> FloatArray:
    """Mean cosine of each row with the gallery's items of its label, its mate left out."""
    out = np.zeros(len(rows))
    if not len(rows):
        return out
    packed = Relevance.of(y_QC[rows], y_GC, exclude_self=False)
    step = min(len(rows), block_rows(len(z_GE), memory // 2, bytes_per_pair=16))
    costs = Costs(z_QE[rows], z_GE, metric="cosine", block_rows=step, memory=memory // 2)
    buffer = np.empty((step, len(z_GE)))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        cost = buffer[: stop - start]
        costs.block(start, stop, out=cost)
        same = packed.block(start, stop)
        same[np.arange(stop - start), at[start:stop]] = False
        n = same.sum(axis=1)
        np.divide(-(cost * same).sum(axis=1), n, out=out[start:stop], where=n > 0)
    return out
