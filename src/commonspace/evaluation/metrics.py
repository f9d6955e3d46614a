"""Metrics of ranked lists as pure functions of arrays.

Each takes what stands at each rank, best rank first, one row a query, and returns one float64 row
or number a query. Nothing here ranks, streams or resolves ties: `score_vectors` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from commonspace.checks import check_one_of, check_range
from commonspace.errors import InputError
from commonspace.evaluation.protocol import Divisor
from commonspace.types import AnyArray, BoolArray, FloatArray

Float64Array = npt.NDArray[np.float64]

RECALL_LEVELS = 101
"""Recall levels of an interpolated precision-recall curve: 0, 0.01, ..., 1."""


def average_precision(
    relevant: BoolArray, *, k: int | None = None, divide_by: Divisor = "all"
) -> Float64Array:
    """Score each query's ranked list by average precision.

    Precision is read at every rank holding a relevant item, then averaged. Papers differ
    in the divisor, and once the list is cut at ``k`` the numbers differ too: report which.

    Args:
        relevant: Whether the item at each rank shares a label with the query, best rank
            first. Shape (n_queries, n_gallery), bool.
        k: How many ranks to look at, 1 to n_gallery; None looks at all.
        divide_by: "all" relevant items of the gallery, or those "found" in the first k
            (as the code released with [1] does).

    Returns:
        Shape (n_queries,), float64, each in [0, 1]. A query with nothing to find scores 0.

    Raises:
        InputError: ``relevant`` is not a 2-D bool array, or ``k`` is out of range.

    References:
        [1] Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal
            Retrieval. SIGIR 2019. doi:10.1145/3331184.3331213

    Example:
        >>> ranked = np.array([[True, False, True, False, True]])
        >>> average_precision(ranked, k=4)                       # (1/1 + 2/3) / 3
        array([0.55555556])
        >>> average_precision(ranked, k=4, divide_by="found")    # (1/1 + 2/3) / 2
        array([0.83333333])
    """
    ranked = _ranked(relevant)
    check_one_of("divide_by", divide_by, ("all", "found"))
    cut = ranked if k is None else ranked[:, : _rank("k", k, high=ranked.shape[1])]
    hits = np.cumsum(cut, axis=1, dtype=np.float64)
    precision = hits / np.arange(1, cut.shape[1] + 1)
    total = np.sum(precision, axis=1, where=cut)
    divisor = (ranked if divide_by == "all" else cut).sum(axis=1)
    return _divide(total, divisor)


def precision_at(relevant: BoolArray, k: int) -> Float64Array:
    """Return the part of the first ``k`` ranks that is relevant, shape (n_queries,).

    Ranks beyond the gallery count as misses, with a warning: the divisor stays ``k``.

    Args:
        relevant: Whether the item at each rank is relevant. Shape (n_queries, n_gallery), bool.
        k: How many ranks to look at, at least 1.

    Raises:
        InputError: ``relevant`` is not a 2-D bool array, or ``k`` is less than 1.

    Example:
        >>> precision_at(np.array([[True, False, True, False]]), 3)
        array([0.66666667])
    """
    ranked = _ranked(relevant)
    warn_beyond([_rank("k", k)], ranked.shape[1])
    return np.asarray(ranked[:, :k].sum(axis=1) / float(k))


def recall_at(relevant: BoolArray, k: int) -> Float64Array:
    """Return the part of all relevant items that stands in the first ``k`` ranks.

    Args:
        relevant: Whether the item at each rank is relevant, over the whole gallery. Shape
            (n_queries, n_gallery), bool.
        k: How many ranks to look at, at least 1.

    Returns:
        Shape (n_queries,), float64. A query with nothing to find scores 0.

    Raises:
        InputError: ``relevant`` is not a 2-D bool array, or ``k`` is less than 1.

    Example:
        >>> recall_at(np.array([[True, False, True, False]]), 2)
        array([0.5])
    """
    ranked = _ranked(relevant)
    return _divide(ranked[:, : _rank("k", k)].sum(axis=1), ranked.sum(axis=1))


def precision_recall_curve(relevant: BoolArray) -> Float64Array:
    """Return interpolated precision at recall 0, 0.01, ..., 1, shape (n_queries, 101).

    At recall level x the value is the best precision at any rank whose recall is at least x [1].

    Args:
        relevant: Whether the item at each rank is relevant. Shape (n_queries, n_gallery), bool.

    Returns:
        Shape (n_queries, 101), float64. A query with nothing to find is zero everywhere.

    Raises:
        InputError: ``relevant`` is not a 2-D bool array.

    References:
        [1] Manning, Raghavan, Schuetze. Introduction to Information Retrieval, section 8.4.
            Cambridge University Press 2008.

    Example:
        >>> curve = precision_recall_curve(np.array([[False, True, False, True, True]]))
        >>> curve[0, [0, 34, 100]]                               # best is 3/5, at the end
        array([0.6, 0.6, 0.6])
    """
    ranked = _ranked(relevant)
    curves = [
        interpolated_precision(np.flatnonzero(row) + 1.0, np.arange(1.0, row.sum() + 1), row.sum())
        for row in ranked
    ]
    return np.array(curves).reshape(len(ranked), RECALL_LEVELS)


def precision_scope_curve(relevant: BoolArray, scopes: Sequence[int]) -> Float64Array:
    """Return precision within each of the first ``scopes`` ranks.

    Args:
        relevant: Whether the item at each rank is relevant. Shape (n_queries, n_gallery), bool.
        scopes: Numbers of ranks, each at least 1. Ranks beyond the gallery count as misses,
            with a warning.

    Returns:
        Shape (n_queries, n_scopes), float64.

    Raises:
        InputError: ``relevant`` is not a 2-D bool array, or a scope is less than 1.

    Example:
        >>> precision_scope_curve(np.array([[True, False, True, False]]), [1, 2, 4])
        array([[1. , 0.5, 0.5]])
    """
    ranked = _ranked(relevant)
    ks = np.array([_rank("scopes", scope) for scope in scopes], dtype=np.int64)
    warn_beyond(ks, ranked.shape[1])
    hits = np.cumsum(np.pad(ranked, ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    return np.asarray(hits[:, np.minimum(ks, ranked.shape[1])] / ks)


def ndcg(gain: FloatArray, *, k: int | None = None) -> Float64Array:
    """Score graded ranked lists by normalised discounted cumulative gain [1].

    The gain at rank r is divided by log2(r + 1), summed, and divided by the same sum of the
    best possible order.

    Args:
        gain: Gain of the item at each rank, best rank first, over the whole gallery: for
            instance `label_overlap`. Shape (n_queries, n_gallery), none negative.
        k: How many ranks to look at, 1 to n_gallery; None looks at all.

    Returns:
        Shape (n_queries,), float64, each in [0, 1]. A query without any gain scores 0.

    Raises:
        InputError: ``gain`` is not a 2-D array of finite numbers >= 0, or ``k`` is out of range.

    References:
        [1] Jarvelin, Kekalainen. Cumulated gain-based evaluation of IR techniques.
            ACM TOIS 2002. doi:10.1145/582415.582418

    Example:
        >>> ndcg(np.array([[1.0, 3.0, 0.0]]), k=2)               # (1 + 3/1.585) / (3 + 1/1.585)
        array([0.79670758])
    """
    graded = checked_gain(gain, k)
    depth = graded.shape[1] if k is None else k
    discount = 1.0 / np.log2(np.arange(2, depth + 2))
    ideal = -np.sort(-graded, axis=1)[:, :depth]
    return _divide(graded[:, :depth] @ discount, ideal @ discount)


def label_overlap(query_labels: AnyArray, gallery_labels: AnyArray) -> Float64Array:
    """Return how much of each label two items share: the sum over classes of the smaller weight.

    Args:
        query_labels: Label weights, shape (n_queries, n_classes).
        gallery_labels: Label weights, shape (n_gallery, n_classes).

    Returns:
        Shape (n_queries, n_gallery), float64; for 0/1 labels the number of shared classes.

    Raises:
        InputError: The numbers of classes differ.

    Example:
        >>> label_overlap(np.array([[1, 1, 0]]), np.array([[1, 1, 1], [0, 0, 1]]))
        array([[2., 0.]])
    """
    q_QC, g_GC = np.asarray(query_labels), np.asarray(gallery_labels)
    if q_QC.ndim != 2 or g_GC.ndim != 2 or q_QC.shape[1] != g_GC.shape[1]:
        raise InputError(
            f"labels: expected two matrices over the same classes, got shapes {q_QC.shape} and "
            f"{g_GC.shape}."
        )
    out = np.zeros((len(q_QC), len(g_GC)))
    for column in range(q_QC.shape[1]):
        out += np.minimum(q_QC[:, column, None], g_GC[None, :, column])
    return out


def interpolated_precision(
    ranks: FloatArray, hits: FloatArray, n_relevant: int | np.integer[Any]
) -> Float64Array:
    """Interpolate one query's precision at each recall level.

    Args:
        ranks: Ranks at which the number of hits is known, ascending, from 1.
        hits: Relevant items (or their expected number) within each of these ranks.
        n_relevant: Relevant items there are.

    Returns:
        Shape (101,), float64; zero at levels that are never reached.
    """
    curve = np.zeros(RECALL_LEVELS)
    if not n_relevant or not len(ranks):
        return curve
    best_from = np.maximum.accumulate((hits / ranks)[::-1])[::-1]
    # Levels are compared as whole percents: 0.1 * 30 exceeds 3 in floating point.
    levels = np.arange(RECALL_LEVELS) * float(n_relevant)
    first = np.searchsorted(hits * (RECALL_LEVELS - 1), levels - 1e-6)
    reached = first < len(ranks)
    curve[reached] = best_from[first[reached]]
    return curve


def warn_beyond(scopes: Any, n_gallery: int) -> None:
    """Warn that precision within more ranks than there are items counts the rest as misses."""
    beyond = [int(scope) for scope in scopes if scope > n_gallery]
    if beyond:
        warnings.warn(
            f"precision within {beyond[0]} ranks of a gallery of {n_gallery} items: the missing "
            "ranks count as misses.",
            stacklevel=3,
        )


def checked_gain(gain: Any, k: int | None) -> Float64Array:
    """Gains at each rank as float64; raise `InputError` if they, or ``k``, are none."""
    graded = np.asarray(gain)
    if graded.ndim != 2 or graded.dtype.kind not in "fiub":
        raise InputError(f"gain: expected a matrix of numbers, got shape {graded.shape}.")
    graded = graded.astype(np.float64, copy=False)
    if not np.isfinite(graded).all() or (graded < 0).any():
        raise InputError("gain: expected finite numbers of at least 0.")
    if k is not None:
        check_range("k", k, low=1, high=graded.shape[1], integer=True)
    return graded


def _ranked(relevant: Any) -> BoolArray:
    array = np.asarray(relevant)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise InputError(
            "relevant: expected a bool matrix (queries, ranks), got shape "
            f"{array.shape} of dtype {array.dtype}."
        )
    return array


def _rank(name: str, value: Any, *, high: int | None = None) -> int:
    check_range(name, value, low=1, high=high, integer=True)
    return int(value)


def _divide(total: AnyArray, divisor: AnyArray) -> Float64Array:
    out = np.zeros(len(total), dtype=np.float64)
    return np.divide(total, divisor, out=out, where=divisor > 0)
