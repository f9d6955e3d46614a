"""How fast and how lean evaluation is, against the two loops that people write.

Everything is timed in turn in one process, in CPU seconds, and has to give the same numbers.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

from commonspace.checks import check_range, require
from commonspace.errors import CommonspaceError
from commonspace.evaluation import score_vectors
from commonspace.machine import describe_machine
from commonspace.types import AnyArray, FloatArray, JsonDict

_PEAK_QUERIES = 512

# Run in a fresh process; tracemalloc sees what numpy allocates from after the vectors are made.
_PEAK_PROGRAM = """
import sys, tracemalloc
import numpy as np
from commonspace.evaluation import score_vectors
n_queries, n_gallery, dim, n_classes = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
queries = rng.standard_normal((n_queries, dim), dtype=np.float32)
gallery = rng.standard_normal((n_gallery, dim), dtype=np.float32)
labels = [rng.integers(0, n_classes, n) for n in (n_queries, n_gallery)]
tracemalloc.start()
score_vectors(queries, gallery, *labels, n_bootstrap=0)
print(tracemalloc.get_traced_memory()[1])
"""


def bench_evaluate(
    *,
    n_queries: int = 1000,
    n_gallery: int = 10_000,
    dim: int = 64,
    n_classes: int = 10,
    repeats: int = 3,
    memory: bool = True,
    seed: int = 0,
) -> JsonDict:
    """Time mAP over the whole gallery, and measure its memory as the gallery grows tenfold.

    Args:
        n_queries: Queries.
        n_gallery: Items of the gallery.
        dim: Dimensions of the vectors.
        n_classes: Classes; one a row.
        repeats: Rounds, each running every method in turn; the fastest of each counts.
        memory: Measure peak memory too, in fresh processes.
        seed: Of the vectors.

    Returns:
        ``{"bench": "evaluate", "machine": {...}, "rows": [...], "ratios": {...}}``. A ratio of
        CPU seconds is theirs over ours; ``peak_bytes_10x_gallery`` is the peak working memory
        with ten times the gallery over the peak without, beyond the vectors themselves.

    Raises:
        CommonspaceError: The methods do not agree to 1e-9, so that the timing means nothing.
    """
    check_range("repeats", repeats, low=1, integer=True)
    problem = _problem(n_queries, n_gallery, dim, n_classes, seed)
    methods: dict[str, Callable[..., FloatArray]] = {
        "commonspace": _ours,
        "python_loop": _python_loop,
        "numpy_loop": _numpy_loop,
        "sklearn_loop": _sklearn_loop,
    }
    require("sklearn.metrics", extra="dev", what="bench_evaluate")
    seconds, values = _time_in_turn(methods, problem, repeats)
    _check_equal(values)
    rows = [
        {"method": name, "cpu_seconds": seconds[name], "mean_ap": float(values[name].mean())}
        for name in methods
    ]
    ratios = {
        f"cpu_{name}_over_ours": seconds[name] / seconds["commonspace"]
        for name in methods
        if name != "commonspace"
    }
    if memory:
        peaks = _peaks(n_gallery, dim, n_classes)
        rows += peaks
        ratios["peak_bytes_10x_gallery"] = peaks[1]["peak_bytes"] / peaks[0]["peak_bytes"]
    return {"bench": "evaluate", "machine": describe_machine(), "rows": rows, "ratios": ratios}


def _problem(n_queries: int, n_gallery: int, dim: int, n_classes: int, seed: int) -> list[AnyArray]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_classes, dim))
    parts: list[AnyArray] = []
    for n in (n_queries, n_gallery):
        labels = rng.integers(0, n_classes, n)
        vectors = centres[labels] + 3.0 * rng.standard_normal((n, dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        parts += [vectors.astype(np.float32), labels]
    return parts


def _ours(queries: AnyArray, y_Q: AnyArray, gallery: AnyArray, y_G: AnyArray) -> FloatArray:
    return score_vectors(queries, gallery, y_Q, y_G, n_bootstrap=0).ap


def _python_loop(queries: AnyArray, y_Q: AnyArray, gallery: AnyArray, y_G: AnyArray) -> FloatArray:
    """The loop that papers release: sort, walk down the ranks, look each label up."""
    order = np.argsort(-_scores(queries, gallery), axis=1)
    out = []
    for row, label in enumerate(y_Q):
        hits, total = 0, 0.0
        for rank in range(len(y_G)):
            if y_G[order[row, rank]] == label:
                hits += 1
                total += hits / (rank + 1)
        out.append(total / hits if hits else 0.0)
    return np.array(out)


def _numpy_loop(queries: AnyArray, y_Q: AnyArray, gallery: AnyArray, y_G: AnyArray) -> FloatArray:
    """The best loop over queries without our tricks: sort, then read the hits only."""
    scores = _scores(queries, gallery)
    out = []
    for row, label in enumerate(y_Q):
        ranks = np.flatnonzero(y_G[np.argsort(-scores[row])] == label) + 1
        out.append((np.arange(1, len(ranks) + 1) / ranks).mean() if len(ranks) else 0.0)
    return np.array(out)


def _sklearn_loop(queries: AnyArray, y_Q: AnyArray, gallery: AnyArray, y_G: AnyArray) -> FloatArray:
    metrics: Any = require("sklearn.metrics", extra="dev", what="bench_evaluate")
    scores = _scores(queries, gallery)
    return np.array(
        [
            metrics.average_precision_score(y_G == label, scores[row])
            for row, label in enumerate(y_Q)
        ]
    )


def _scores(queries: AnyArray, gallery: AnyArray) -> AnyArray:
    # In float64, as ours are: in float32 the loops would rank near-equal items by rounding noise.
    def unit(x: AnyArray) -> AnyArray:
        wide = x.astype(np.float64)
        return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))

    return np.asarray(unit(queries) @ unit(gallery).T)


def _time_in_turn(
    methods: dict[str, Callable[..., FloatArray]], problem: list[AnyArray], repeats: int
) -> tuple[dict[str, float], dict[str, FloatArray]]:
    seconds = dict.fromkeys(methods, float("inf"))
    values: dict[str, FloatArray] = {}
    for _ in range(repeats):
        for name, method in methods.items():
            start = process_time()
            values[name] = method(*problem)
            seconds[name] = min(seconds[name], process_time() - start)
    return seconds, values


def _check_equal(values: dict[str, FloatArray]) -> None:
    for name, found in values.items():
        gap = float(np.abs(found - values["commonspace"]).max())
        if not gap <= 1e-9:
            raise CommonspaceError(f"bench evaluate: {name} differs from ours by {gap:g}.")


def _peaks(n_gallery: int, dim: int, n_classes: int) -> list[JsonDict]:
    return [
        {
            "method": "commonspace",
            "n_gallery": n,
            "n_queries": _PEAK_QUERIES,
            "peak_bytes": _peak(n, dim, n_classes),
        }
        for n in (n_gallery, 10 * n_gallery)
    ]


def _peak(n_gallery: int, dim: int, n_classes: int) -> int:
    sizes = [str(value) for value in (_PEAK_QUERIES, n_gallery, dim, n_classes)]
    command = [sys.executable, "-c", _PEAK_PROGRAM, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)
