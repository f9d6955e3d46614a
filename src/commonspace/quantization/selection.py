"""How much of the error should be that of class scores: decided on rows that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from commonspace.types import AnyArray, BoolArray, Float32Array, FloatArray

WEIGHTS = (0.9, 0.5, 0.99)  # the first wins unless another is clearly better
CLEARLY = 0.005
UNSEEN_WEIGHTS = (*WEIGHTS, 0.0)  # unseen rows can also say that labels do not pay
Held = tuple[Float32Array, Float32Array]
Coder = Callable[[Float32Array], Float32Array]
SHARE = 0.2
FEWEST, MOST_LEARNED, MOST_HELD = 10, 8000, 1000
FEWEST_UNSEEN = 100  # four weights without a margin: the best on fewer is noise


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
    held: Sequence[Held],
    learn: Callable[[float], Coder],
    *,
    candidates: Sequence[float],
    margin: float,
) -> float:
    """Return the w of `Alignment` whose codes rank held-out rows best.

    Args:
        held: Vectors and label weights of each modality, which search each other; of one alone,
            itself.
        learn: Returns, for a weight, what reads vectors as their codes.
        candidates: Weights; the first wins unless another beats it by more than ``margin``.
        margin: In mean average precision.
    """
    scores = [_score(held, learn(weight)) for weight in candidates]
    best = int(np.argmax(scores))
    return candidates[best] if scores[best] > scores[0] + margin else candidates[0]


def _score(held: Sequence[Held], coder: Coder) -> float:
    """Mean over directions between modalities, of float queries against reconstructions."""
    read = [coder(x_HE) for x_HE, _ in held]
    found = [
        mean_ap(held[a][0] @ read[b].T, (held[a][1] @ held[b][1].T) > 0, same=a == b)
        for a in range(len(held))
        for b in range(len(held))
        if a != b or len(held) == 1
    ]
    return float(np.mean(found))


def mean_ap(scores_QG: FloatArray, relevant_QG: BoolArray, *, same: bool = True) -> float:
    """Mean average precision of the queries that have something to find.

    Args:
        scores_QG: Larger is better.
        relevant_QG: What each query should find.
        same: Queries are the items, and each is out of its own ranking.
    """
    scores, wanted = np.array(scores_QG, np.float64), relevant_QG
    if same:
        np.fill_diagonal(scores, -np.inf)
        wanted = relevant_QG & ~np.eye(len(scores), dtype=bool)
    hits = np.take_along_axis(wanted, np.argsort(-scores, axis=1, kind="stable"), axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    found = hits.sum(axis=1)
    each = (precision * hits).sum(axis=1)[found > 0] / found[found > 0]
    return float(each.mean()) if len(each) else 0.0
