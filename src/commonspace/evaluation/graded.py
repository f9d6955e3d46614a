"""Graded lists beside nDCG: average cumulative gain, and average precision weighted by gains.

With g_r the gain at rank r (how much of the query's labels the item shares), and an item relevant
where its gain is above zero [1, 2]::

    ACG@k = (g_1 + ... + g_k) / k
    WAP@k = sum of ACG@r over the ranks r <= k that hold a relevant item, over how many these are

so that for plain labels ACG is precision and WAP is average precision. As there, WAP divides by
"all" relevant items or by those "found" within the first k.

Ties are read by expectation. ACG takes the mean gain of a group for each of its items, as nDCG
does. For WAP let n0 items with gains of sum G0 stand ahead of a group of n, of which r are relevant
and have gains of sum S; over its random orders, the expected term of its j-th slot is

    (r G0 + S + (j - 1) (r - 1) / (n - 1) S) / n / (n0 + j)

A group that the cut-off parts, divided by the relevant items *found*, is summed over how many of
these fall within the cut (hypergeometric). All of it is exact, not sampled.

References:
    [1] Jarvelin, Kekalainen. IR evaluation methods for retrieving highly relevant documents.
        SIGIR 2000. doi:10.1145/345508.345545
    [2] Zhao, Huang, Wang, Tan. Deep Semantic Ranking Based Hashing for Multi-Label Image
        Retrieval. CVPR 2015. arXiv:1501.06272
"""

from __future__ import annotations

from typing import Any

import numpy as np

from commonspace.checks import check_one_of
from commonspace.evaluation.metrics import Float64Array, checked_gain
from commonspace.evaluation.protocol import Divisor
from commonspace.types import AnyArray, BoolArray, FloatArray


def average_cumulative_gain(gain: FloatArray, *, k: int) -> Float64Array:
    """Return the mean gain of the first ``k`` ranks, shape (n_queries,).

    Over all ranks it is the mean gain of the gallery, whatever the order: so ``k`` is asked for.

    Args:
        gain: Gain of the item at each rank, best rank first: for instance `label_overlap`.
            Shape (n_queries, n_gallery), none negative.
        k: How many ranks to look at, 1 to n_gallery.

    Raises:
        InputError: ``gain`` is not a 2-D array of finite numbers >= 0, or ``k`` is out of range.

    Example:
        >>> average_cumulative_gain(np.array([[2.0, 0.0, 1.0]]), k=2)
        array([1.])
    """
    graded = checked_gain(gain, k)
    return np.asarray(graded[:, :k].mean(axis=1))


def weighted_average_precision(
    gain: FloatArray, *, k: int | None = None, divide_by: Divisor = "all"
) -> Float64Array:
    """Average the mean gain so far over the ranks that hold a relevant item: WAP, or MAP_w.

    Args:
        gain: Gain of the item at each rank, best rank first, over the whole gallery. Shape
            (n_queries, n_gallery), none negative; an item is relevant where it is above zero.
        k: How many ranks to look at, 1 to n_gallery; None looks at all.
        divide_by: "all" relevant items of the gallery, or those "found" in the first k.

    Returns:
        Shape (n_queries,), float64, each at most the largest gain. A query with nothing to find
        scores 0.

    Raises:
        InputError: ``gain`` is not a 2-D array of finite numbers >= 0, or ``k`` is out of range.

    Example:
        >>> gain = np.array([[2.0, 0.0, 1.0, 0.0, 3.0]])
        >>> weighted_average_precision(gain, k=4, divide_by="found")   # (2/1 + 3/3) / 2
        array([1.5])
    """
    graded = checked_gain(gain, k)
    check_one_of("divide_by", divide_by, ("all", "found"))
    alone = np.ones(graded.shape, dtype=np.bool_)
    return block_wap(graded, alone, k=k, divide_by=divide_by)


def block_wap(
    gain: Float64Array, starts: BoolArray, *, k: int | None, divide_by: Divisor
) -> Float64Array:
    """Score ranked gains whose ties begin where ``starts`` says, both (n_queries, n_gallery).

    Within a group of ties the order does not matter.

    Returns:
        Shape (n_queries,), float64; 0 for a query without anything to find.
    """
    width = gain.shape[1]
    depth = width if k is None else min(k, width)
    relevant = gain > 0
    if starts.all():
        terms = np.cumsum(gain, axis=1) * relevant
    else:
        terms = _expected_terms(gain, relevant, starts)
    total = (terms[:, :depth] / np.arange(1, depth + 1)).sum(axis=1)
    found = relevant[:, :depth] if divide_by == "found" else relevant
    divisor = found.sum(axis=1)
    out: Float64Array = np.zeros(len(gain))
    np.divide(total, divisor, out=out, where=divisor > 0)
    if divide_by == "found" and depth < width:
        for row in map(int, np.flatnonzero(~starts[:, depth])):
            out[row] = _parted(gain[row], terms[row], starts[row], depth)
    return out


def expected_wap(gain: AnyArray, *, k: int | None, divide_by: Divisor) -> Float64Array:
    """WAP of a random order of each row of gains, shape (n_queries, n_gallery)."""
    starts = np.zeros(gain.shape, dtype=np.bool_)
    starts[:, 0] = True
    return block_wap(gain, starts, k=k, divide_by=divide_by)


def tie_starts(cost: Float64Array) -> BoolArray:
    """Where each group of equal cost begins; rows are in order."""
    starts = np.ones(cost.shape, dtype=np.bool_)
    starts[:, 1:] = cost[:, 1:] != cost[:, :-1]
    return starts


def group_sums(values: AnyArray, starts: BoolArray) -> tuple[AnyArray, AnyArray]:
    """Return the sum of each group and its size, for all rows one after another."""
    first = np.flatnonzero(starts.ravel())
    sums = np.add.reduceat(values.ravel(), first, dtype=np.float64)
    return sums, np.diff(np.append(first, values.size))


def _expected_terms(gain: Float64Array, relevant: BoolArray, starts: BoolArray) -> Float64Array:
    """Relevance times the sum of gains so far, expected at each rank."""
    s, n = group_sums(gain, starts)
    r, _ = group_sums(relevant, starts)
    ahead = (np.cumsum(gain, axis=1) - gain).ravel()[np.flatnonzero(starts.ravel())]
    slot = np.arange(gain.size) - np.repeat(np.flatnonzero(starts.ravel()), n)
    level, slope = _level(ahead, s, n, r)
    terms = np.repeat(level, n) + slot * np.repeat(slope, n)
    return np.asarray(terms.reshape(gain.shape))


def _level(ahead: Any, s: Any, n: Any, r: Any) -> tuple[Any, Any]:
    """The expected term of a group's first slot, and by how much it grows with each slot."""
    return (r * ahead + s) / n, s * (r - 1) / (n * np.maximum(n - 1, 1))


def _parted(gain: AnyArray, terms: AnyArray, starts: BoolArray, depth: int) -> float:
    """One row whose cut-off parts a group: a divisor for each number h of hits within the cut."""
    from scipy.stats import hypergeom

    begin = int(np.flatnonzero(starts[:depth])[-1])
    after = np.flatnonzero(starts[depth:])
    group = gain[begin : depth + int(after[0]) if len(after) else None]
    n, r, s, m = len(group), int((group > 0).sum()), float(group.sum()), depth - begin
    before = float((terms[:begin] / np.arange(1, begin + 1)).sum())
    hits = int((gain[:begin] > 0).sum())
    h = np.arange(max(0, m - (n - r)), min(m, r) + 1)
    level, slope = _level(float(gain[:begin].sum()), s * h / max(r, 1), m, h)
    rank = begin + np.arange(1, m + 1)
    sums = before + level * (1 / rank).sum() + slope * (np.arange(m) / rank).sum()
    values = np.where(hits + h > 0, sums / np.maximum(hits + h, 1), 0.0)
    return float((hypergeom.pmf(h, n, r, m) * values).sum())
