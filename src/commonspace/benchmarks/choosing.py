"""Exact search beside lists of more and more effort: what the automatic choice goes by.

Items and queries are those of `commonspace.benchmarks.search`. Queries are asked one at a time and
in the batches that a service makes of what waits together; the calls of both kinds take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.search import LEARN_FROM, K, make_problem
from commonspace.checks import check_range
from commonspace.index import ExactIndex, IVFIndex
from commonspace.machine import describe_machine
from commonspace.types import Float32Array, JsonDict

# Shares of the lists that are opened, beside what tuning chooses.
_OPENED = (0.03, 0.06, 0.12, 0.25, 0.5)
_QUERIES = 256
_ROUNDS = 3


def bench_choice(
    *,
    name: str = "mfeat",
    sizes: Sequence[int] = (10_000, 30_000, 100_000, 300_000),
    dim: int = 128,
    noise: float = 0.3,
    batches: Sequence[int] = (1, 32, 64),
    recall: float = 0.95,
    seconds: float = 0.12,
    seed: int = 0,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Time exact search and lists on the same items.

    Args:
        name: A set that `load_dataset` knows.
        sizes: Items, of each comparison.
        dim: Of the space, of `SDML.fast`.
        noise: Length of the noise, as a share of a vector's.
        batches: Queries asked at once.
        recall: What one of the efforts is tuned to.
        seconds: CPU seconds of one timing; the fastest of three counts.
        seed: Of the space, the items and the queries.
        root: Where the data sets are.
        say: Called with a line after each size.

    Returns:
        The form of all benchmarks. Rows have "effort" (lists opened, "tuned" or not), "read" (the
        share of the rows in them), "recall" of the 10 true neighbours, and for each batch the
        queries a CPU second of exact search, "exact_1", and of the lists as a multiple, "ivf_1".
    """
    for value in (*sizes, *batches):
        check_range("sizes and batches", value, low=1, integer=True)
    problem = make_problem(name, max(sizes), dim, noise, _QUERIES, seed, root)
    rows: list[JsonDict] = []
    for n in sizes:
        rows += _compared(problem.items[:n], problem.queries, batches, recall, seconds)
        say(f"{n} items: done")
    return {
        "bench": "choice",
        "machine": describe_machine(),
        "data": {"set": name, "dim": dim, "noise": noise, "resampled": True},
        "rows": rows,
        "ratios": {
            f"{row['items']} items, {size} at once: tuned lists over exact": row[f"ivf_{size}"]
            for row in rows
            if row["tuned"]
            for size in batches
        },
    }


def _compared(
    items: Float32Array,
    queries: Float32Array,
    batches: Sequence[int],
    recall: float,
    seconds: float,
) -> list[JsonDict]:
    n = len(items)
    exact, lists = ExactIndex(), IVFIndex()
    exact.add(np.arange(n), items)
    lists.train(items[:LEARN_FROM], n_items=n)
    lists.add(np.arange(n), items)
    own = np.random.default_rng(1).choice(n, min(n, 200), replace=False)
    lists.tune(items[own], recall, own=own)
    tuned, n_lists = lists.effort, lists.faiss_index.nlist
    efforts = sorted({tuned, *(max(1, int(share * n_lists)) for share in _OPENED)})
    best: dict[tuple[int, int], float] = {}
    for _ in range(_ROUNDS):
        for size in batches:
            for effort in (0, *efforts):
                lists.effort = effort or tuned
                rate = _rate(lists if effort else exact, queries, size, seconds)
                best[effort, size] = max(best.get((effort, size), 0.0), rate)
    true = exact.search(queries, K).keys
    rows = []
    for effort in efforts:
        lists.effort = effort
        found = lists.search(queries, K).keys
        row: JsonDict = {"items": n, "effort": effort, "tuned": effort == tuned}
        row["read"] = round(lists.share_read(queries), 3)
        row["recall"] = float((true[:, :, None] == found[:, None, :]).any(axis=2).mean())
        row |= {f"exact_{size}": round(best[0, size], 1) for size in batches}
        row |= {f"ivf_{size}": best[effort, size] / best[0, size] for size in batches}
        rows.append(row)
    return rows


def _rate(index: Any, queries: Float32Array, size: int, seconds: float) -> float:
    """Queries a CPU second."""
    parts = [queries[at : at + size] for at in range(0, len(queries) - size + 1, size)]
    done, start = 0, time.thread_time()
    for part in cycle(parts):
        index.search(part, K)
        done += len(part)
        if (spent := time.thread_time() - start) >= seconds and done >= 2 * size:
            return done / spent
    raise AssertionError("parts are never empty")
