"""How much of the error should be that of class scores: decided on rows that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from commonspace.types import AnyArray, BoolArray, Float32Array, FloatArray

WEIGHTS = (0.9, 0.5, 0.99)  # the first wins unless another is clearly better
CLEARLY = 0.005
UNSEEN_WEIGHTS = (*WEIGHTS, 0.0)  # rows that trained no space can also say that labels do not pay
SHARE = 0.2
FEWEST, MOST_LEARNED, MOST_HELD = 10, 8000, 1000


def held_out(y_NC: Float32Array, *, seed: int) -> tuple[AnyArray, AnyArray]:
    """Split the rows: those to learn from, and a part of the labelled ones to choose on.

    Args:
        y_NC: Label weights; rows of zeros have no label and only help to learn.
        seed: Of the choice of rows.
    """
    order = np.random.default_rng(seed).permutation(len(y_NC))
    labelled = order[(y_NC[order] > 0).any(axis=1)]
    held = labelled[: min(int(SHARE * len(labelled)), MOST_HELD)]
    return some_rows(np.setdiff1d(order, held, assume_unique=True), MOST_LEARNED, seed=seed), held


def some_rows(rows: AnyArray, most: int, *, seed: int) -> AnyArray:
    """At most so many of some rows, seeded."""
    return rows[np.random.default_rng(seed).permutation(len(rows))[:most]]


def best_weight(
    x_HE: Float32Array,
    y_HC: Float32Array,
    reconstruct: Callable[[float], Float32Array],
    *,
    candidates: Sequence[float],
    margin: float,
) -> float:
    """Return the w of `Alignment` whose codes rank held-out rows best.

    Args:
        x_HE: Their vectors, the float queries.
        y_HC: Their label weights.
        reconstruct: Returns what codes of the rows stand for, learned with a weight.
        candidates: Weights; the first wins unless another beats it by more than ``margin``.
        margin: In mean average precision.
    """
    relevant = (y_HC @ y_HC.T) > 0
    scores = [mean_ap(x_HE @ reconstruct(weight).T, relevant) for weight in candidates]
    best = int(np.argmax(scores))
    return candidates[best] if scores[best] > scores[0] + margin else candidates[0]


def mean_ap(scores_QG: FloatArray, relevant_QG: BoolArray) -> float:
    """Mean average precision of the rows, each item out of its own ranking."""
    scores = np.array(scores_QG, np.float64)
    np.fill_diagonal(scores, -np.inf)
    wanted = relevant_QG & ~np.eye(len(scores), dtype=bool)
    hits = np.take_along_axis(wanted, np.argsort(-scores, axis=1, kind="stable"), axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    found = hits.sum(axis=1)
    each = (precision * hits).sum(axis=1)[found > 0] / found[found > 0]
    return float(each.mean()) if len(each) else 0.0
