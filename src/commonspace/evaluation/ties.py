r"""Average precision when scores are equal: its expectation over random orders, and its bracket.

Items of one score form a group: ``n`` items of which ``r`` are relevant, behind ``n0`` better items
of which ``r0`` are relevant. Read in uniformly random order, the precisions that a group adds over
its first m slots have the expectation [1]

    E = sum_{i=1..m} (r / n) * (r0 + 1 + (i - 1) (r - 1) / (n - 1)) / (n0 + i)

which harmonic numbers H bring to closed form, as sum 1/(n0+i) = H(n0+m) - H(n0). A group that
straddles the cut-off and is divided by the relevant items *found* makes the divisor random too;
then the sum runs over how many of its relevant items fall within the cut (hypergeometric), each
case having a fixed divisor and the same closed form. Every value here is exact, not sampled.

References:
    [1] McSherry, Najork. Computing Information Retrieval Performance Measures Efficiently in the
        Presence of Tied Scores. ECIR 2008. doi:10.1007/978-3-540-78646-7_38
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from commonspace.checks import check_one_of, check_range
from commonspace.errors import InputError
from commonspace.evaluation.protocol import Divisor
from commonspace.types import AnyArray, IntArray


class TiedScore(NamedTuple):
    """One query's average precision over all orders of its ties."""

    expected: float
    worst: float
    best: float


class TieGroups(NamedTuple):
    """Groups of equal score, best first: arrays of shape (n_groups,)."""

    n0: IntArray
    """Items ahead of the group."""
    n: IntArray
    """Items in the group."""
    r0: IntArray
    """Relevant items ahead of the group."""
    r: IntArray
    """Relevant items in the group."""

    @classmethod
    def of(cls, equal: AnyArray, relevant: AnyArray) -> TieGroups:
        """Group a ranking: ``equal[i]`` differs from ``equal[i + 1]`` where the score does."""
        starts = np.concatenate([[0], np.flatnonzero(equal[1:] != equal[:-1]) + 1])
        ends = np.append(starts[1:], len(equal))
        hits = np.concatenate([[0], np.cumsum(relevant, dtype=np.int64)])
        return cls(starts, ends - starts, hits[starts], hits[ends] - hits[starts])

    def hits_within(self, ranks: AnyArray) -> AnyArray:
        """Expected relevant items within each of the first ``ranks`` ranks."""
        ends = np.append(self.n0, self.n0[-1] + self.n[-1])
        hits = np.append(self.r0, self.r0[-1] + self.r[-1])
        return np.asarray(np.interp(ranks, ends, hits))


class TieMath:
    """Tables for galleries of up to ``n_gallery`` items, made when first needed."""

    def __init__(self, n_gallery: int) -> None:
        self.n_gallery = n_gallery

    @cached_property
    def _harmonic(self) -> AnyArray:
        # Extended precision where the machine has it: differences of neighbours must stay exact.
        terms = np.longdouble(1) / np.arange(1, self.n_gallery + 1, dtype=np.longdouble)
        return np.concatenate([[np.longdouble(0)], np.cumsum(terms)])

    @cached_property
    def _log_factorial(self) -> AnyArray:
        logs = np.log(np.arange(1, self.n_gallery + 1, dtype=np.longdouble))
        return np.concatenate([[np.longdouble(0)], np.cumsum(logs)])

    def average_precision(
        self, groups: TieGroups, *, k: int | None, divide_by: Divisor
    ) -> TiedScore:
        """Return one query's expected, worst and best average precision."""
        n_relevant = int(groups.r0[-1] + groups.r[-1])
        cut = self.n_gallery if k is None else min(k, self.n_gallery)
        keep = (groups.r > 0) & (groups.n0 < cut)
        if not keep.any():
            return TiedScore(0.0, 0.0, 0.0)
        n0, n, r0, r = (part[keep] for part in groups)
        sums = np.zeros(3)
        straddles = bool(n0[-1] + n[-1] > cut)
        whole = slice(None, -1) if straddles else slice(None)
        for at, part in enumerate(self._group_sums(n0[whole], n[whole], r0[whole], r[whole])):
            sums[at] = float(part.sum())
        if not straddles:
            divisor = n_relevant if divide_by == "all" else int(r0[-1] + r[-1])
            return _tied_score(sums / divisor)
        last = (int(n0[-1]), int(n[-1]), int(r0[-1]), int(r[-1]))
        if divide_by == "found":
            return _tied_score(self._straddling_found(sums, *last, cut - last[0]))
        return _tied_score((sums + self._straddling_all(*last, cut - last[0])) / n_relevant)

    def _group_sums(
        self, n0: IntArray, n: IntArray, r0: IntArray, r: IntArray
    ) -> tuple[AnyArray, AnyArray, AnyArray]:
        return (
            self._expected_sum(n0, n, r0, r, n),
            self._last_sum(n0, r0, n, r),
            self._first_sum(n0, r0, r),
        )

    def _expected_sum(self, n0: Any, n: Any, r0: Any, r: Any, m: Any) -> Any:
        """Precision summed over the first m slots, r relevant of n in random order."""
        h = self._harmonic[n0 + m] - self._harmonic[n0]
        slope = (r - 1) / np.maximum(n - 1, 1)
        return r / n * ((r0 + 1) * h + slope * (m - (n0 + 1) * h))

    def _first_sum(self, n0: Any, r0: Any, h: Any) -> Any:
        """Precision summed when the first h slots are relevant."""
        return h + (r0 - n0) * (self._harmonic[n0 + h] - self._harmonic[n0])

    def _last_sum(self, n0: Any, r0: Any, m: Any, h: Any) -> Any:
        """Precision summed when the last h of m slots are relevant."""
        return h + (r0 - n0 - m + h) * (self._harmonic[n0 + m] - self._harmonic[n0 + m - h])

    def _straddling_all(self, n0: int, n: int, r0: int, r: int, m: int) -> AnyArray:
        fewest = max(0, m - (n - r))
        return np.array(
            [
                self._expected_sum(n0, n, r0, r, m),
                self._last_sum(n0, r0, m, fewest),
                self._first_sum(n0, r0, min(m, r)),
            ],
            dtype=np.float64,
        )

    def _straddling_found(
        self, before: AnyArray, n0: int, n: int, r0: int, r: int, m: int
    ) -> AnyArray:
        """Divide by what is found: one case for each number h of hits within the m slots."""
        h = np.arange(max(0, m - (n - r)), min(m, r) + 1)
        ways = self._log_choose(m, h) + self._log_choose(n - m, r - h) - self._log_choose(n, r)
        chance = np.exp(ways)
        divisor = np.maximum(r0 + h, 1)
        expected = (before[0] + self._expected_sum(n0, m, r0, h, m)) / divisor
        worst = (before[1] + self._last_sum(n0, r0, m, h)) / divisor
        best = (before[2] + self._first_sum(n0, r0, h)) / divisor
        mean = (chance * expected).sum() / chance.sum()
        return np.array([mean, worst.min(), best.max()], dtype=np.float64)

    def _log_choose(self, n: Any, r: Any) -> Any:
        return self._log_factorial[n] - self._log_factorial[r] - self._log_factorial[n - r]


def tied_average_precision(
    scores: AnyArray,
    relevant: AnyArray,
    *,
    k: int | None = None,
    divide_by: Divisor = "all",
) -> TiedScore:
    """Score one query whose gallery may hold equal scores.

    Args:
        scores: Score of each item of the gallery, higher is better. Shape (n_gallery,).
        relevant: Whether each item is relevant. Shape (n_gallery,), bool.
        k: How many ranks to look at, at least 1; None looks at all.
        divide_by: "all" relevant items of the gallery, or those "found" in the first k. An
            order that finds none scores 0.

    Returns:
        Average precision expected over uniformly random orders within each group of equal
        scores, and in the worst and the best order.

    Raises:
        InputError: Shapes do not fit, a score is NaN, or ``k`` is out of range.

    References:
        [1] McSherry, Najork. Computing Information Retrieval Performance Measures Efficiently
            in the Presence of Tied Scores. ECIR 2008. doi:10.1007/978-3-540-78646-7_38

    Example:
        >>> tied_average_precision(np.array([1.0, 1.0]), np.array([True, False]))
        TiedScore(expected=0.75, worst=0.5, best=1.0)
    """
    values, hits = np.asarray(scores), np.asarray(relevant)
    if values.ndim != 1 or values.shape != hits.shape or hits.dtype != np.bool_ or not len(values):
        raise InputError(
            "scores, relevant: expected two vectors of one length >= 1, relevant of bool; got "
            f"shapes {values.shape} and {hits.shape} of dtypes {values.dtype} and {hits.dtype}."
        )
    if np.isnan(values).any():
        raise InputError("scores: expected numbers, got NaN.")
    if k is not None:
        check_range("k", k, low=1, integer=True)
    check_one_of("divide_by", divide_by, ("all", "found"))
    order = np.argsort(values)[::-1]
    groups = TieGroups.of(values[order], hits[order])
    return TieMath(len(values)).average_precision(groups, k=k, divide_by=divide_by)


def _tied_score(sums: AnyArray) -> TiedScore:
    expected, worst, best = (float(value) for value in sums)
    return TiedScore(min(max(expected, worst), best), worst, best)
