"""Codes of the vectors of a space, and how well modalities find each other by them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from commonspace.benchmarks.coders import CODERS
from commonspace.data import Dataset
from commonspace.evaluation import Protocol, score_vectors
from commonspace.types import Float32Array, JsonDict

METRICS = (Protocol(metric="inner"), Protocol(metric="cosine"))

Vectors = Mapping[str, tuple[Float32Array, Float32Array]]  # vectors and label weights by modality


@dataclass(frozen=True)
class Coded:
    """What a space makes of a data set."""

    train: Vectors
    valid: Vectors | None
    test: Vectors


def transformed(model: Any, data: Dataset) -> Vectors:
    """Vectors and label weights of all rows."""
    return {
        name: (model.transform(name, part.x), part.labels.dense()) for name, part in data.items()
    }


def _together(vectors: Vectors) -> tuple[Float32Array, Float32Array]:
    """Vectors and label weights, modality after modality."""
    x, y = zip(*vectors.values(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def coded(made: Coded, method: str, bits: int, seed: int, share: float) -> JsonDict:
    """Score a coder that learned from a share of the training vectors, and time it."""
    coder, test = CODERS[method](bits, seed), made.test
    x_NE, y_NC = _together(made.train)
    rows = np.random.default_rng(seed).permutation(len(x_NE))[: round(share * len(x_NE))]
    start = time.perf_counter()
    coder.fit(x_NE[rows], y_NC[rows], made.valid)
    fitted = time.perf_counter()
    coder.encode(x_NE)
    encoded = time.perf_counter()
    asked = {name: coder.queries(z) for name, (z, _) in test.items()}
    given = {name: coder.decode(coder.encode(z)) for name, (z, _) in test.items()}
    found = cross_modal(test, asked, given, METRICS)
    return {
        **found,
        "fit_seconds": round(fitted - start, 3),
        "items_per_second": round(len(x_NE) / (encoded - fitted)),
        "rows": len(rows),
    }


def cross_modal(
    test: Vectors,
    asked: Mapping[str, Float32Array],
    given: Mapping[str, Float32Array],
    metrics: Sequence[Protocol],
) -> JsonDict:
    """Mean AP over the cross-modal directions, under the better of the metrics."""
    smallest = min(len(z) for z, _ in test.values())
    scopes = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n <= smallest]
    found = []
    for protocol in metrics:
        scores = [
            score_vectors(
                asked[a],
                given[b],
                test[a][1],
                test[b][1],
                protocol=protocol,
                n_bootstrap=0,
                curves=True,
                scopes=scopes,
            )
            for a, b in permutations(test, 2)
        ]
        precision = np.mean([s.curves.scope_precision for s in scores if s.curves], axis=0)
        found.append(
            {
                "mean_ap": float(np.mean([s.mean_ap for s in scores])),
                "metric": protocol.metric,
                "scope": {"n": scopes, "precision": precision.tolist()},
            }
        )
    return max(found, key=lambda each: each["mean_ap"])
