"""Precision-recall and precision-scope curves, averaged over queries as they stream by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.checks import check_range
from commonspace.evaluation.metrics import RECALL_LEVELS, interpolated_precision, warn_beyond
from commonspace.evaluation.ties import TieGroups
from commonspace.types import FloatArray, IntArray, JsonDict


@dataclass(frozen=True, eq=False)
class Curves:
    """Two curves of one direction, means over its queries.

    Attributes:
        recall: Recall levels 0, 0.01, ..., 1. Shape (101,).
        precision: Interpolated precision at each level, within the protocol's cut-off (zero at
            levels that are not reached).
        scopes: Numbers of ranks.
        scope_precision: Precision within each scope; ranks beyond the gallery are misses.
    """

    recall: FloatArray
    precision: FloatArray
    scopes: IntArray
    scope_precision: FloatArray

    def to_dict(self) -> JsonDict:
        """Return the curves as lists, for JSON."""
        return {
            "precision_recall": {
                "recall": self.recall.tolist(),
                "precision": self.precision.tolist(),
            },
            "precision_scope": {
                "scope": self.scopes.tolist(),
                "precision": self.scope_precision.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, values: JsonDict) -> Curves:
        """Rebuild curves from `to_dict`."""
        recall, scope = values["precision_recall"], values["precision_scope"]
        return cls(
            np.array(recall["recall"]),
            np.array(recall["precision"]),
            np.array(scope["scope"], dtype=np.int64),
            np.array(scope["precision"]),
        )


class CurveSums:
    """Sums curves over queries.

    Within a group of equal scores the number of hits is its expectation at each rank: precision
    within a scope is exact over random orders, interpolated precision that of the mean profile.

    Args:
        n_gallery: Items in the gallery.
        k: Cut-off of the precision-recall curve; None looks at all.
        scopes: Of the precision-scope curve; None takes about fifty from 1 to the cut-off.
    """

    def __init__(self, n_gallery: int, *, k: int | None, scopes: Sequence[int] | None) -> None:
        self._depth = n_gallery if k is None else min(k, n_gallery)
        self._scopes = default_scopes(self._depth) if scopes is None else _checked(scopes)
        warn_beyond(self._scopes, n_gallery)
        self._reach = np.minimum(self._scopes, n_gallery)
        self._precision = np.zeros(RECALL_LEVELS)
        self._hits = np.zeros(len(self._scopes))
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

    def mean(self) -> Curves:
        """Return the mean curves; zero if no query was added."""
        count = max(self._count, 1)
        levels = np.arange(RECALL_LEVELS) / (RECALL_LEVELS - 1)
        scope_precision = self._hits / count / self._scopes
        return Curves(levels, self._precision / count, self._scopes, scope_precision)


def default_scopes(depth: int, *, points: int = 50) -> IntArray:
    """Return about ``points`` scopes from 1 to ``depth``, evenly spaced on a logarithmic scale."""
    spaced = np.geomspace(1, max(depth, 1), num=points)
    return np.unique(np.round(spaced).astype(np.int64))


def _checked(scopes: Any) -> IntArray:
    for scope in scopes:
        check_range("scopes", scope, low=1, integer=True)
    return np.array(sorted(set(scopes)), dtype=np.int64)
