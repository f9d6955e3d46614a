"""How much of the error should be that of class scores: decided on rows that were held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from commonspace.types import AnyArray, BoolArray, Float32Array, FloatArray

WEIGHTS = (0.9, 0.5, 0.99)  # the first wins unless another is clearly better
CLEARLY = 0.005
SHARE = 0.2
MOST_LEARNED, MOST_HELD = 8000, 1000


def choose_weight(
    x_NE: Float32Array,
    y_NC: Float32Array,
    reconstruct: Callable[[AnyArray, AnyArray, float], Float32Array],
    *,
    seed: int,
) -> float:
    """Return the w of `Alignment` whose codes rank held-out rows best.

    Args:
        x_NE: Vectors.
        y_NC: Label weights; rows of zeros have no label and only help to learn.
        reconstruct: Called with rows to learn from, rows to reconstruct, and a weight.
        seed: Of the choice of rows.
    """
    order = np.random.default_rng(seed).permutation(len(x_NE))
    labelled = order[(y_NC[order] > 0).any(axis=1)]
    held = labelled[: min(int(SHARE * len(labelled)), MOST_HELD)]
    if len(held) < 10:
        return WEIGHTS[0]
    rows = np.setdiff1d(order, held, assume_unique=True)
    rows = rows[np.random.default_rng(seed).permutation(len(rows))[:MOST_LEARNED]]
    relevant = (y_NC[held] @ y_NC[held].T) > 0
    scores = [
        mean_ap(x_NE[held] @ reconstruct(rows, held, weight).T, relevant) for weight in WEIGHTS
    ]
    best = int(np.argmax(scores))
    return WEIGHTS[best] if scores[best] > scores[0] + CLEARLY else WEIGHTS[0]


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
