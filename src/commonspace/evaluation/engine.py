"""One direction, scored exactly: blocks of queries stream past the gallery.

Memory beyond vectors and labels is bounded by ``memory`` bytes, and some ten bytes an item, however
large the gallery: the more items it holds, the fewer queries a block has (at least one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from commonspace.checks import as_features, check_range
from commonspace.errors import InputError
from commonspace.evaluation.costs import Costs
from commonspace.evaluation.curves import Curves, CurveSums
from commonspace.evaluation.gains import BYTES_PER_PAIR as GAIN_BYTES
from commonspace.evaluation.gains import Gains, block_graded
from commonspace.evaluation.protocol import Protocol, check_protocol
from commonspace.evaluation.ranking import BYTES_PER_PAIR, QueryScores, Ranker
from commonspace.evaluation.relevance import Relevance
from commonspace.evaluation.report import Score, summarise
from commonspace.types import BoolArray, Float32Array

MEMORY = 32 << 20
"""Default bound of working memory, in bytes."""

DEFAULT_PROTOCOL = Protocol()

_MOST_RANKED_AT_ONCE = 32  # larger blocks leave the processor caches (measured)


def score_vectors(
    queries: Any,
    gallery: Any,
    query_labels: Any,
    gallery_labels: Any,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
    exclude_self: bool = False,
    seed: int = 0,
    n_bootstrap: int = 1000,
    curves: bool = False,
    scopes: Sequence[int] | None = None,
    cutoffs: Sequence[int] = (),
    memory: int = MEMORY,
) -> Score:
    """Score one direction from vectors and labels.

    Args:
        queries: Vectors, shape (n_queries, dim).
        gallery: Vectors, shape (n_gallery, dim).
        query_labels: Class numbers, shape (n_queries,), or weights, shape (n_queries,
            n_classes), of which those > 0 count, and as much as they weigh where the protocol
            measures gains. All known.
        gallery_labels: Likewise of the gallery.
        protocol: How the number is made. Its ``within`` and ``keep_self`` are not read here.
        exclude_self: Row i of both is one item, which leaves its own ranking.
        seed: Of the bootstrap.
        n_bootstrap: Resamples of the interval; 0 leaves it out.
        curves: Keep precision-recall and precision-scope curves.
        scopes: Of the precision-scope curve; None takes about fifty.
        cutoffs: Keep curves, with the mean average precision at each of these cut-offs too.
        memory: Bound of working memory in bytes, beyond the vectors.

    Returns:
        The score, with average precision (and graded measures) per query.

    Raises:
        InputError: Shapes do not fit, or a value is not finite.

    Example:
        >>> score = score_vectors(np.eye(2), np.eye(2), np.array([0, 1]), np.array([0, 1]))
        >>> score.mean_ap
        1.0
    """
    check_protocol(protocol)
    check_range("seed", seed, low=0, integer=True)
    check_range("n_bootstrap", n_bootstrap, low=0, integer=True)
    check_range("memory", memory, low=1, integer=True)
    z_QE, z_GE = _vectors(queries, gallery)
    relevance = Relevance.of(query_labels, gallery_labels, exclude_self=exclude_self)
    _check_rows(z_QE, z_GE, relevance)
    wanted = curves or len(cutoffs) > 0
    sums = _curve_sums(relevance, protocol, scopes, cutoffs) if wanted else None
    gains = None
    if protocol.gain is not None:
        gains = Gains.of(query_labels, gallery_labels, exclude_self=exclude_self)
    found = rank_all(
        z_QE, z_GE, relevance, protocol=protocol, curves=sums, gains=gains, memory=memory
    )
    return to_score(
        found,
        relevance,
        protocol,
        seed=seed,
        n_bootstrap=n_bootstrap,
        curves=None if sums is None else sums.mean(),
    )


def rank_all(
    z_QE: Float32Array,
    z_GE: Float32Array,
    relevance: Relevance,
    *,
    protocol: Protocol,
    curves: CurveSums | None,
    memory: int,
    gains: Gains | None = None,
) -> QueryScores:
    """Score every query: costs of a large block, for the sake of BLAS, ranked in smaller ones.

    Half of the memory holds costs, a quarter is for making and a quarter for ranking them.

    Args:
        z_QE: Vectors of the queries.
        z_GE: Vectors of the gallery.
        relevance: Their labels.
        protocol: How the number is made.
        curves: Sums to add each query's curves to; None leaves them out.
        memory: Bound of working memory in bytes.
        gains: Their label weights, where gains are measured.
    """
    step = min(len(z_QE), block_rows(len(z_GE), memory // 2, bytes_per_pair=8))
    per_pair = BYTES_PER_PAIR if gains is None else max(BYTES_PER_PAIR, GAIN_BYTES)
    part = block_rows(len(z_GE), memory // 4, bytes_per_pair=per_pair)
    part = min(part, _MOST_RANKED_AT_ONCE)
    costs = Costs(z_QE, z_GE, metric=protocol.metric, block_rows=step, memory=memory // 4)
    ranker = Ranker(len(z_GE), protocol, curves=curves)
    n_items = len(z_GE) - int(relevance.exclude_self)
    buffer = np.empty((step, len(z_GE)))
    found = []
    for start in range(0, len(z_QE), step):
        stop = min(start + step, len(z_QE))
        cost = buffer[: stop - start]
        costs.block(start, stop, out=cost)
        if relevance.exclude_self:  # an infinite cost stands behind the last rank
            cost[np.arange(stop - start), np.arange(start, stop)] = np.inf
        for first in range(start, stop, part):
            last = min(first + part, stop)
            rows = cost[first - start : last - start]
            # Ranking overwrites the costs, so gains come first.
            graded = {}
            if gains is not None:
                gain = gains.block(first, last)
                graded = block_graded(rows, gain, protocol, n_items=n_items)._asdict()
            found.append(replace(ranker.score(rows, relevance.block(first, last)), **graded))
    return QueryScores.joined(found)


def block_rows(n_gallery: int, memory: int, *, bytes_per_pair: int) -> int:
    """How many queries a block may have; at least one.

    Args:
        n_gallery: Items in the gallery.
        memory: Bytes there are.
        bytes_per_pair: That a query and an item of the gallery take.
    """
    return max(1, memory // (bytes_per_pair * n_gallery))


def to_score(
    found: QueryScores,
    relevance: Relevance,
    protocol: Protocol,
    *,
    seed: int,
    n_bootstrap: int,
    curves: Curves | None = None,
) -> Score:
    """Bring scores per query to one `Score`.

    Args:
        found: The scores.
        relevance: For how many queries and items there were.
        protocol: What it says of empty queries counts.
        seed: Of the bootstrap.
        n_bootstrap: Resamples of the intervals; 0 leaves them out.
        curves: To be kept with the score.
    """
    skipped = found.empty if protocol.empty == "skip" else np.zeros_like(found.empty)
    mean, interval, worst, best = summarise(
        found.ap, found.worst, found.best, ~skipped, seed=seed, n_bootstrap=n_bootstrap
    )
    graded = _graded(found, skipped, protocol, seed=seed, n_bootstrap=n_bootstrap)
    return Score(
        mean_ap=mean,
        ci=interval,
        worst=worst,
        best=best,
        n_queries=relevance.n_queries,
        n_gallery=relevance.n_gallery - int(relevance.exclude_self),
        n_empty=int(found.empty.sum()),
        ap=np.where(skipped, np.nan, found.ap),
        curves=curves,
        **graded,
    )


def _graded(
    found: QueryScores, skipped: BoolArray, protocol: Protocol, *, seed: int, n_bootstrap: int
) -> dict[str, Any]:
    """The fields of a `Score` that gains fill; WAP leaves out the queries that mAP does."""
    fields: dict[str, Any] = {}
    for name in ("ndcg", "wap", "acg"):
        values = getattr(found, name)
        if values is None:
            continue
        if protocol.empty == "zero":
            values = np.where(np.isnan(values), 0.0, values)
        elif name == "wap":
            values = np.where(skipped, np.nan, values)
        counts = ~np.isnan(values)
        mean, interval, _, _ = summarise(
            values, values, values, counts, seed=seed, n_bootstrap=n_bootstrap
        )
        fields |= {f"mean_{name}": mean, f"{name}_ci": interval, name: values}
    return fields


def _vectors(queries: Any, gallery: Any) -> tuple[Float32Array, Float32Array]:
    z_QE = as_features(queries, where="query vectors")
    z_GE = as_features(gallery, where="gallery vectors")
    if z_QE.shape[1] != z_GE.shape[1]:
        raise InputError(
            f"vectors: expected queries and gallery of one space, got dimensions {z_QE.shape[1]} "
            f"and {z_GE.shape[1]}."
        )
    return z_QE, z_GE


def _check_rows(z_QE: Float32Array, z_GE: Float32Array, relevance: Relevance) -> None:
    for what, vectors, labels in (
        ("queries", len(z_QE), relevance.n_queries),
        ("gallery", len(z_GE), relevance.n_gallery),
    ):
        if vectors != labels or not vectors:
            raise InputError(
                f"{what}: expected labels for each vector and at least one, got {vectors} vectors "
                f"and labels of {labels} rows."
            )
    if relevance.exclude_self and len(z_QE) != len(z_GE):
        raise InputError(
            "exclude_self: expected queries and gallery to be the same rows, got "
            f"{len(z_QE)} and {len(z_GE)}."
        )


def _curve_sums(
    relevance: Relevance, protocol: Protocol, scopes: Sequence[int] | None, cutoffs: Sequence[int]
) -> CurveSums:
    n_items = relevance.n_gallery - int(relevance.exclude_self)
    return CurveSums(
        n_items, k=protocol.k, scopes=scopes, cutoffs=cutoffs, divide_by=protocol.divide_by
    )
