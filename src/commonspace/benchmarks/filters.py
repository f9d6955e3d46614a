"""Recall and latency of filtered searches, by how many items the filter leaves.

Items are real vectors of a trained space, resampled with noise as ``bench search`` does. A payload
field holds a random number, which filters leave 1 %, 10 % or 50 % of, with an index on the field
and without. Recall is against a scan of all vectors that the filter leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.benchmarks.search import make_problem
from commonspace.checks import check_range
from commonspace.machine import describe_machine
from commonspace.store.collection import Collection
from commonspace.types import AnyArray, JsonDict

KINDS: dict[str, JsonDict] = {
    "exact": {"index": "exact"},
    "ivf": {"index": "ivf", "recall": 0.95},
    "hnsw": {"index": "hnsw", "recall": 0.95},
    "codes 16x4, float": {"index": "codes4", "bits": 64, "rerank": "float", "recall": 0.95},
}
SHARES = (0.01, 0.1, 0.5)
_STEPS = 1000
_K = 10


def bench_filters(
    *,
    name: str = "mfeat",
    n_items: int = 50_000,
    dim: int = 128,
    kinds: Sequence[str] = tuple(KINDS),
    n_queries: int = 100,
    seed: int = 0,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Measure filtered searches through a collection, one query at a time.

    Args:
        name: A set that `load_dataset` knows.
        n_items: Items.
        dim: Of the space, of `SDML.fast`.
        kinds: Among `KINDS`.
        n_queries: Queries.
        seed: Of the space, the items and their payloads.
        root: Where the data sets are.
        say: Called with a line after each kind.

    Returns:
        The form of all benchmarks. Rows have "kind", "share" of the items that the filter leaves
        (1 is no filter), "recall" of 10, "ms" of CPU a query where the filter was met before,
        "first_ms" where it is new and reads payloads, and "first_ms_indexed" where it is new and
        its field has an index.
    """
    check_range("n_items", n_items, low=1000, integer=True)
    problem = make_problem(name, n_items, dim, 0.3, n_queries, seed, root)
    numbers = np.random.default_rng(seed).integers(_STEPS, size=n_items)
    truth = {share: _nearest(problem, numbers < share * _STEPS) for share in (*SHARES, 1.0)}
    rows: list[JsonDict] = []
    for kind in kinds:
        with TemporaryDirectory() as place:
            path = Path(place) / "items"
            with Collection.create(path, space=problem.space, **KINDS[kind]) as items:
                payloads = [{"number": number} for number in numbers.tolist()]
                items.add(range(n_items), problem.items, modality="item", payloads=payloads)
                items.flush()
                rows += _measured(items, kind, problem.queries, truth)
        worst = min(row["recall"] for row in rows if row["kind"] == kind)
        say(f"{kind}: recall {worst:.3f} at least")
    return {
        "bench": "filters",
        "machine": describe_machine(),
        "data": {"set": name, "items": n_items, "dim": dim, "resampled": True},
        "rows": rows,
        "ratios": {
            f"{row['kind']}: {row['share']:.0%}, index over none": row["first_ms_indexed"]
            / row["first_ms"]
            for row in rows
            if row["share"] < 1
        },
    }


def _nearest(problem: Any, there: AnyArray) -> AnyArray:
    rows = np.flatnonzero(there)
    scores = problem.queries @ problem.items[rows].T
    return rows[np.argsort(-scores, axis=1, kind="stable")[:, :_K]].astype(str)


def _measured(
    items: Collection, kind: str, queries: AnyArray, truth: dict[float, AnyArray]
) -> list[JsonDict]:
    items.search(queries[:1], k=_K)
    first: dict[tuple[float, bool], float] = {}
    for indexed in (False, True):
        if indexed:
            items.create_index("number")
        items.add(["new"], -queries[:1], modality="item")  # what was selected before is forgotten
        items.search(queries[:1], k=_K)
        for share in truth:
            first[share, indexed] = _ms(items, queries[:1], share)[1]
    rows = []
    for share, true in truth.items():
        found, spent = _ms(items, queries, share)
        same = (found[:, :, None] == true[:, None, :]).any(axis=2).mean()
        rows.append(
            {
                "kind": kind,
                "share": share,
                "recall": round(float(same), 4),
                "ms": round(spent, 4),
                "first_ms": round(first[share, False], 3),
                "first_ms_indexed": round(first[share, True], 3),
            }
        )
    return rows


def _ms(items: Collection, queries: AnyArray, share: float) -> tuple[AnyArray, float]:
    """Ids that are found, and milliseconds of CPU a query, asked one at a time."""
    where = None if share == 1 else {"number": {"lt": int(share * _STEPS)}}
    start = time.thread_time()
    found = [items.search(query[None], k=_K, where=where).ids[0] for query in queries]
    return np.array(found), 1000 * (time.thread_time() - start) / len(queries)
