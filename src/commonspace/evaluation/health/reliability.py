"""Whether similarities can be read as probabilities of a match.

Pairs are counted in a fine histogram of their similarity as blocks of queries stream past the
gallery, so that memory does not grow with their number. Some spaces claim that the inner product of
two vectors *is* the probability that they share their class (for several labels a row: the number
of labels they are expected to share). Of any other space it is asked how well a monotone function
of the cosine would do, fitted to half of the queries and judged on the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.evaluation.costs import Costs
from commonspace.evaluation.engine import block_rows
from commonspace.evaluation.gains import Gains
from commonspace.evaluation.protocol import Metric
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray, JsonDict

MOST_QUERIES = 2000
"""Queries whose pairs are counted, evenly spaced."""

SLACK = 0.02
"""How far inner products may lie outside of what a probability can be, as part of its range."""

_FINE = 2000
_BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions against what was observed, in bins of equal width.

    Attributes:
        predicted: Mean prediction of each bin that holds pairs.
        observed: Mean outcome of these pairs.
        pairs: How many there are.
        error: Expected calibration error: mean of |predicted - observed| over pairs.
        skill: 1 - Brier score / that of always predicting the base rate: 0 says nothing, 1 all.
    """

    predicted: FloatArray
    observed: FloatArray
    pairs: AnyArray
    error: float
    skill: float

    def to_dict(self) -> JsonDict:
        """Return the fields for JSON."""
        return {
            "error": self.error,
            "skill": self.skill,
            "predicted": self.predicted.tolist(),
            "observed": self.observed.tolist(),
            "pairs": self.pairs.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Calibration:
    """Of one direction.

    Attributes:
        claimed: Inner products read as they are; None where the space makes no such claim.
        fitted: A monotone function of the cosine, judged on queries that it was not fitted to.
    """

    claimed: Reliability | None
    fitted: Reliability

    def to_dict(self) -> JsonDict:
        """Return both for JSON."""
        claimed = None if self.claimed is None else self.claimed.to_dict()
        return {"claimed": claimed, "fitted": self.fitted.to_dict()}


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Pairs in a fine histogram: of even and odd queries apart, shape (2, n_bins).

    Attributes:
        score: Sum of the similarities in each bin.
        outcome: Sum of the outcomes.
        square: Sum of the squared outcomes.
        n: Pairs.
        outside: Share of the pairs beyond the ends, which count in the last bins.
    """

    score: FloatArray
    outcome: FloatArray
    square: FloatArray
    n: FloatArray
    outside: float


def count_pairs(
    z_QE: Float32Array,
    z_GE: Float32Array,
    y_QC: Float32Array,
    y_GC: Float32Array,
    *,
    metric: Metric,
    span: tuple[float, float],
    shared: bool,
    memory: int,
) -> PairCounts:
    """Count pairs by their similarity.

    Args:
        z_QE: Queries, shape (n_queries, dim).
        z_GE: Gallery, shape (n_gallery, dim).
        y_QC: Label weights of the queries.
        y_GC: Label weights of the gallery.
        metric: "cosine" or "inner".
        span: Ends of the histogram.
        shared: The outcome is whether a label is shared; else how many are.
        memory: Bound of working memory in bytes.
    """
    rows = np.unique(np.linspace(0, len(z_QE) - 1, min(len(z_QE), MOST_QUERIES)).astype(np.int64))
    gains = Gains.of(y_QC[rows], y_GC, exclude_self=False)
    step = min(len(rows), block_rows(len(z_GE), memory // 2, bytes_per_pair=64))
    costs = Costs(z_QE[rows], z_GE, metric=metric, block_rows=step, memory=memory // 2)
    sums, outside = np.zeros((4, 2, _FINE)), 0.0
    buffer = np.empty((step, len(z_GE)))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        cost = buffer[: stop - start]
        costs.block(start, stop, out=cost)
        gain = gains.block(start, stop)
        outcome = (gain > 0).astype(np.float64) if shared else gain
        outside += _add(sums, -cost, outcome, np.arange(start, stop) % 2, span)
    n = float(sums[3].sum())
    return PairCounts(sums[0], sums[1], sums[2], sums[3], outside / max(n, 1.0))


def reliability(predicted: FloatArray, counts: PairCounts, half: int | None) -> Reliability:
    """Judge predictions of the fine bins against the outcomes counted there.

    Args:
        predicted: Shape (n_fine_bins,).
        counts: The pairs.
        half: Of which queries, 0 even and 1 odd ones; None takes all.
    """
    part = slice(None) if half is None else slice(half, half + 1)
    n, y = (sums[part].sum(axis=0) for sums in (counts.n, counts.outcome))
    square = counts.square[part].sum()
    high = max(1.0, float(predicted.max(initial=0)))
    at = np.clip((predicted / high * _BINS).astype(np.int64), 0, _BINS - 1)
    pairs = np.bincount(at, weights=n, minlength=_BINS)
    used = pairs > 0
    mean = np.bincount(at, weights=n * predicted, minlength=_BINS)[used] / pairs[used]
    seen = np.bincount(at, weights=y, minlength=_BINS)[used] / pairs[used]
    total = max(1.0, float(n.sum()))
    brier = float((n * predicted**2 - 2 * predicted * y).sum() + square) / total
    base = float(y.sum()) / total
    variance = float(square) / total - base**2
    return Reliability(
        predicted=mean,
        observed=seen,
        pairs=pairs[used],
        error=float((pairs[used] * np.abs(mean - seen)).sum() / total),
        skill=1 - brier / variance if variance > 0 else 0.0,
    )


def measure_calibration(
    z_QE: Float32Array,
    z_GE: Float32Array,
    y_QC: Float32Array,
    y_GC: Float32Array,
    *,
    probabilities: bool | None,
    memory: int,
) -> Calibration:
    """Measure one direction.

    Args:
        z_QE: Queries as the model made them, shape (n_queries, dim): lengths matter.
        z_GE: Gallery, likewise.
        y_QC: Label weights of the queries.
        y_GC: Label weights of the gallery.
        probabilities: Whether inner products claim to be probabilities of a match. None takes it
            that they do where they could: all within [0, most shared labels] give or take
            `SLACK`, and not the vectors all of one length.
        memory: Bound of working memory in bytes.
    """
    options: dict[str, Any] = {"memory": memory}
    labels = (y_QC, y_GC)
    cosines = count_pairs(
        z_QE, z_GE, *labels, metric="cosine", span=(-1.0, 1.0), shared=True, **options
    )
    fitted = reliability(_monotone(cosines, half=0), cosines, half=1)
    if probabilities is False or (probabilities is None and _one_length(z_QE, z_GE)):
        return Calibration(None, fitted)
    most = _most_shared(y_QC, y_GC)
    span = (-SLACK * most, (1 + SLACK) * most)
    inner = count_pairs(z_QE, z_GE, *labels, metric="inner", span=span, shared=False, **options)
    if probabilities is None and inner.outside > 0:
        return Calibration(None, fitted)
    n = inner.n.sum(axis=0)
    mean = np.divide(inner.score.sum(axis=0), n, out=np.zeros(_FINE), where=n > 0)
    return Calibration(reliability(mean, inner, half=None), fitted)


def _add(
    sums: FloatArray,
    score: FloatArray,
    outcome: FloatArray,
    half: IntArray,
    span: tuple[float, float],
) -> float:
    """Add a block to the sums; return how many pairs lie outside of the span."""
    low, high = span
    place = np.floor((score - low) * (_FINE / (high - low)))
    beyond = float(((score < low - 1e-6) | (score > high + 1e-6)).sum())
    at = (np.clip(place, 0, _FINE - 1).astype(np.int64) + half[:, None] * _FINE).ravel()
    for row, values in enumerate((score, outcome, outcome**2)):
        sums[row] += np.bincount(at, weights=values.ravel(), minlength=2 * _FINE).reshape(2, _FINE)
    sums[3] += np.bincount(at, minlength=2 * _FINE).reshape(2, _FINE)
    return beyond


def _monotone(counts: PairCounts, half: int) -> FloatArray:
    """The best non-decreasing function of the similarity, at each fine bin."""
    from sklearn.isotonic import IsotonicRegression

    n, y = counts.n[half], counts.outcome[half]
    used = np.flatnonzero(n > 0)
    if not len(used):
        return np.zeros(_FINE)
    model = IsotonicRegression(out_of_bounds="clip")
    model.fit(used, y[used] / n[used], sample_weight=n[used])
    return np.asarray(model.predict(np.arange(_FINE)), dtype=np.float64)


def _most_shared(y_QC: Float32Array, y_GC: Float32Array) -> float:
    return float(max(1.0, min(y_QC.sum(axis=1).max(), y_GC.sum(axis=1).max())))


def _one_length(z_QE: Float32Array, z_GE: Float32Array) -> bool:
    lengths = np.concatenate([np.linalg.norm(part, axis=1) for part in (z_QE, z_GE)])
    return bool(np.ptp(lengths) <= 1e-3 * lengths.max(initial=0))
