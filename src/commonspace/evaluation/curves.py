"""Precision-recall, precision-scope and mAP@R curves, averaged over queries as they stream by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from commonspace.checks import check_range
from commonspace.evaluation.metrics import RECALL_LEVELS, interpolated_precision, warn_beyond
from commonspace.evaluation.protocol import Divisor
from commonspace.evaluation.ties import TieGroups, TieMath
from commonspace.types import AnyArray, FloatArray, IntArray, JsonDict


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of one direction, means over its queries.

    Attributes:
        recall: Recall levels 0, 0.01, ..., 1. Shape (101,).
        precision: Interpolated precision at each level, within the protocol's cut-off (zero at
            levels that are not reached).
        scopes: Numbers of ranks.
        scope_precision: Precision within each scope; ranks beyond the gallery are misses.
        cutoffs: Cut-offs R at which average precision was asked for.
        mean_ap_at: Mean average precision at each of them, divisor and ties as in the protocol.
            Queries that the protocol skips are left out at every R.
    """

    recall: FloatArray
    precision: FloatArray
    scopes: IntArray
    scope_precision: FloatArray
    cutoffs: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    mean_ap_at: FloatArray = field(default_factory=lambda: np.empty(0))

    def to_dict(self) -> JsonDict:
        """Return the curves as lists, for JSON."""
        out: JsonDict = {
            "precision_recall": {
                "recall": self.recall.tolist(),
                "precision": self.precision.tolist(),
            },
            "precision_scope": {
                "scope": self.scopes.tolist(),
                "precision": self.scope_precision.tolist(),
            },
        }
        if len(self.cutoffs):
            out["map_at"] = {"k": self.cutoffs.tolist(), "map": self.mean_ap_at.tolist()}
        return out

    @classmethod
    def from_dict(cls, values: JsonDict) -> Curves:
        """Rebuild curves from `to_dict`."""
        recall, scope = values["precision_recall"], values["precision_scope"]
        at = values.get("map_at", {"k": [], "map": []})
        return cls(
            np.array(recall["recall"]),
            np.array(recall["precision"]),
            np.array(scope["scope"], dtype=np.int64),
            np.array(scope["precision"]),
            np.array(at["k"], dtype=np.int64),
            np.array(at["map"], dtype=np.float64),
        )


class CurveSums:
    """Sums curves over queries.

    Within a group of equal scores the number of hits is its expectation at each rank: precision
    within a scope is exact over random orders, interpolated precision that of the mean profile.

    Args:
        n_gallery: Items in the gallery.
        k: Cut-off of the precision-recall curve; None looks at all.
        scopes: Of the precision-scope curve; None takes about fifty from 1 to the cut-off.
        cutoffs: At which to sum average precision.
        divide_by: Divisor of that average precision.
    """

    def __init__(
        self,
        n_gallery: int,
        *,
        k: int | None,
        scopes: Sequence[int] | None,
        cutoffs: Sequence[int] = (),
        divide_by: Divisor = "all",
    ) -> None:
        self._depth = n_gallery if k is None else min(k, n_gallery)
        self._scopes = default_scopes(self._depth) if scopes is None else _checked(scopes)
        warn_beyond(self._scopes, n_gallery)
        self._reach = np.minimum(self._scopes, n_gallery)
        self._precision = np.zeros(RECALL_LEVELS)
        self._hits = np.zeros(len(self._scopes))
        self._cutoffs = _checked(cutoffs)
        self._divide_by = divide_by
        self._ap = np.zeros(len(self._cutoffs))
        self._ties = TieMath(n_gallery)
        self._count = 0

    def add(self, ranks: IntArray, n_relevant: int, groups: TieGroups | None) -> None:
        """Add one query: the ranks of its hits, or its groups where scores are tied."""
        self._count += 1
        if groups is None:
            self._hits += np.searchsorted(ranks, self._reach, side="right")
            inside = ranks[: np.searchsorted(ranks, self._depth, side="right")]
            at, hits = inside.astype(np.float64), np.arange(1.0, len(inside) + 1)
        else:
            self._hits += groups.hits_within(self._reach)
            at = np.arange(1.0, self._depth + 1)
            hits = groups.hits_within(at)
        self._precision += interpolated_precision(at, hits, n_relevant)
        if len(self._cutoffs):
            self._ap += self._precision_at(ranks, n_relevant, groups)

    def _precision_at(self, ranks: IntArray, n_relevant: int, groups: TieGroups | None) -> AnyArray:
        """Average precision of one query at every cut-off."""
        if groups is not None:
            score = self._ties.average_precision
            return np.array(
                [score(groups, k=int(k), divide_by=self._divide_by)[0] for k in self._cutoffs]
            )
        sums = np.concatenate([[0.0], np.cumsum(np.arange(1.0, len(ranks) + 1) / ranks)])
        found = np.searchsorted(ranks, self._cutoffs, side="right")
        return sums[found] / np.maximum(1, n_relevant if self._divide_by == "all" else found)

    def mean(self) -> Curves:
        """Return the mean curves; zero if no query was added."""
        count = max(self._count, 1)
        levels = np.arange(RECALL_LEVELS) / (RECALL_LEVELS - 1)
        scope_precision = self._hits / count / self._scopes
        return Curves(
            levels,
            self._precision / count,
            self._scopes,
            scope_precision,
            self._cutoffs,
            self._ap / count,
        )


def default_scopes(depth: int, *, points: int = 50) -> IntArray:
    """Return about ``points`` scopes from 1 to ``depth``, evenly spaced on a logarithmic scale."""
    spaced = np.geomspace(1, max(depth, 1), num=points)
    return np.unique(np.round(spaced).astype(np.int64))


def _checked(scopes: Any) -> IntArray:
    for scope in scopes:
        check_range("scopes", scope, low=1, integer=True)
    return np.array(sorted(set(scopes)), dtype=np.int64)
