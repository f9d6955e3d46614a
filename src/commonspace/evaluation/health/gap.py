"""The modality gap: how far the centroids of two modalities are, and whether a line parts them.

A constant difference between two modalities moves no rank across them, as every item of a gallery
moves alike; it does hide one modality behind the other where both stand in one list [1].

References:
    [1] Liang, Zhang, Kwon, Yeung, Zou. Mind the Gap: Understanding the Modality Gap in Multi-modal
        Contrastive Representation Learning. NeurIPS 2022. arXiv:2203.02053
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray, JsonDict

MOST_ROWS = 2000
"""Rows of each modality that are looked at, drawn with the seed."""

_PERMUTATIONS = 99


@dataclass(frozen=True)
class Gap:
    """Between the unit vectors of two modalities, at the same mixture of classes.

    Attributes:
        distance: Between the centroids. Each class counts alike in both, so that modalities of
            other class frequencies are not apart for that.
        expected: Mean of that distance when modality labels are shuffled within each class.
        p: Share of shuffles with a distance at least as large, the data counted among them.
        share: The squared distance as part of the mean squared distance between an item of the one
            and an item of the other: 0 no gap, 1 nothing but a gap.
        separable: Balanced accuracy of a linear classifier of the modality, on rows that it has
            not seen: 0.5 cannot tell. A space may hold the modality in columns of its own, where
            it does not touch what is common: so this alone is no fault.
    """

    distance: float
    expected: float
    p: float
    share: float
    separable: float

    def to_dict(self) -> JsonDict:
        """Return the fields by name, for JSON."""
        return asdict(self)


def measure_gap(
    u_NE: Float32Array,
    y_NC: Float32Array,
    v_NE: Float32Array,
    w_NC: Float32Array,
    *,
    seed: int = 0,
) -> Gap:
    """Measure the gap between unit vectors ``u`` with labels ``y`` and ``v`` with labels ``w``.

    A row of several classes counts with its first one, a row of none as one class more.

    Args:
        u_NE: Vectors of one modality.
        y_NC: Its label weights.
        v_NE: Vectors of the other.
        w_NC: Its label weights.
        seed: Of the rows that are drawn where there are many.
    """
    rng = np.random.default_rng(seed)
    first, second = (_rows(rng, len(part)) for part in (u_NE, v_NE))
    vectors = np.concatenate([u_NE[first], v_NE[second]])
    classes = np.concatenate([_strata(y_NC)[first], _strata(w_NC)[second]])
    side = np.repeat([0, 1], [len(first), len(second)])
    sides = np.stack([side, *(_shuffled(rng, side, classes) for _ in range(_PERMUTATIONS))])
    distances = np.linalg.norm(_weights(sides, classes) @ vectors, axis=1)
    mean = vectors[side == 0].mean(axis=0) @ vectors[side == 1].mean(axis=0)
    squares = [float(np.square(vectors[side == at]).sum(axis=1).mean()) for at in (0, 1)]
    spread = max(sum(squares) - 2 * float(mean), np.finfo(float).tiny)
    return Gap(
        distance=float(distances[0]),
        expected=float(distances[1:].mean()),
        p=float((distances >= distances[0] - 1e-12).mean()),
        share=min(1.0, float(distances[0]) ** 2 / spread),
        separable=_separable(rng, vectors, side),
    )


def _rows(rng: np.random.Generator, n: int) -> IntArray:
    return rng.permutation(n)[:MOST_ROWS]


def _strata(y_NC: Float32Array) -> IntArray:
    return np.asarray(np.where(y_NC.any(axis=1), (y_NC > 0).argmax(axis=1), y_NC.shape[1]))


def _shuffled(rng: np.random.Generator, side: IntArray, classes: IntArray) -> IntArray:
    """Permute sides within each class."""
    order, mixed = np.argsort(classes, kind="stable"), np.lexsort((rng.random(len(side)), classes))
    out = np.empty_like(side)
    out[order] = side[mixed]
    return out


def _weights(sides: IntArray, classes: IntArray) -> FloatArray:
    """Weights of rows whose sum is the mean difference of class centroids, (shuffles, rows).

    Shuffling within classes leaves the counts as they are.
    """
    n_classes = int(classes.max()) + 1
    counts = np.stack([np.bincount(classes[sides[0] == at], minlength=n_classes) for at in (0, 1)])
    both = (counts > 0).all(axis=0)
    shares: AnyArray = np.where(both, counts.sum(axis=0), 0).astype(np.float64)
    shares /= max(1.0, shares.sum())
    each = shares / np.maximum(counts, 1)
    return np.asarray(np.where(sides == 0, each[0][classes], -each[1][classes]))


def _separable(rng: np.random.Generator, vectors: AnyArray, side: IntArray) -> float:
    """Balanced accuracy on the other half of a ridge classifier learned on one half."""
    from sklearn.linear_model import RidgeClassifier

    if np.bincount(side, minlength=2).min() < 4:
        return 0.5
    scale = float(vectors.std()) or 1.0
    half = np.lexsort((rng.random(len(side)), side))  # both halves hold both sides
    train, test = half[::2], half[1::2]
    model = RidgeClassifier(alpha=1.0, class_weight="balanced")
    right = model.fit(vectors[train] / scale, side[train]).predict(vectors[test] / scale)
    hit = right == side[test]
    return float(np.mean([hit[side[test] == at].mean() for at in (0, 1)]))
