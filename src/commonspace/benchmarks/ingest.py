"""How fast a collection takes items in, durably, and how soon it is open again.

Features are real ones of a test split, resampled with noise to the number asked for: each goes
through a model, into a collection, and into its index. Seconds are those of the clock, since a
batch waits for the disk; CPU seconds stand beside them. Opening is timed in a fresh process, up to
the first answer: with the index on the disk, without it, and with one that is behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.benchmarks.opening import opened, opened_without_index
from commonspace.checks import check_range
from commonspace.data import load_dataset
from commonspace.machine import describe_machine
from commonspace.methods import SDML
from commonspace.store.collection import Collection
from commonspace.training import Run
from commonspace.types import JsonDict

KINDS: dict[str, JsonDict] = {
    "exact": {"index": "exact"},
    "ivf": {"index": "ivf"},
    "hnsw": {"index": "hnsw"},
    "codes 8x4": {"index": "codes4", "bits": 32},
}


_PACE_SECONDS = 0.5


def bench_ingest(
    *,
    name: str = "mfeat",
    n_items: int = 50_000,
    dim: int = 128,
    batch: int = 1024,
    kinds: Sequence[str] = ("exact", "ivf", "codes 8x4"),
    late: float = 0.01,
    seed: int = 0,
    root: str | Path | None = None,
    folder: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Measure what it takes to fill a collection, write its index and open it.

    Args:
        name: A set that `load_dataset` knows; its first modality is taken.
        n_items: Items.
        dim: Of the space, of `SDML.fast`.
        batch: Items a transaction.
        kinds: Among `KINDS`.
        late: Share of the items that come after the index was written, so that opening catches up.
        seed: Of the space and the items.
        root: Where the data sets are.
        folder: Where collections are written, for the disk that counts; None takes the system's
            folder for temporary files.
        say: Called with a line after each kind.

    Returns:
        The form of all benchmarks. Rows have "items_per_second" (encode, store durably, index:
        all of it), "store_per_second" (of that the batches alone), "index_seconds"; of a fresh
        process up to its first answer "open_seconds", "open_cpu_seconds", "open_peak_bytes" and
        "open_own_bytes" (what it does not share with other processes); the same as "make_..." of
        one that finds no index; "catch_up_seconds" of one that finds ``late`` items more than its
        index; "qps_1" and "qps_100" (queries a CPU second with their payloads, one and a hundred
        at a time), and "disk_bytes" an item.
    """
    check_range("n_items", n_items, low=1000, integer=True)
    check_range("batch", batch, low=1, integer=True)
    data = load_dataset(name, root=root)
    modality = data["train"].modalities[0]
    model = SDML.fast(dim=dim, random_state=seed)
    model.fit(data["train"], data.get("valid"), run=Run(jobs=1))
    rng = np.random.default_rng(seed)
    x = data["test"].x(modality).astype(np.float32)
    spread = 0.1 * x.std(axis=0)
    rows = []

    def features(n: int) -> Any:
        noise = rng.standard_normal((n, x.shape[1]), dtype=np.float32)
        return x[rng.integers(0, len(x), n)] + spread * noise

    for kind in kinds:
        with TemporaryDirectory(dir=folder) as place:
            path = Path(place) / "items"
            row = _filled(path, model, modality, features, n_items, batch, KINDS[kind])
            row |= _opened(path, int(late * n_items), model, modality, features)
        rows.append({"kind": kind, "items": n_items, **row})
        say(f"{kind}: {row['items_per_second']:.0f} items/s, open in {row['open_seconds']:.2f} s")
    return {
        "bench": "ingest",
        "machine": describe_machine(),
        "data": {"set": name, "modality": modality, "dim": dim, "batch": batch, "resampled": True},
        "rows": rows,
        "ratios": {
            f"{row['kind']}: indexing over storing": row["index_seconds"]
            * row["store_per_second"]
            / n_items
            for row in rows
        },
    }


def _filled(
    path: Path,
    model: Any,
    modality: str,
    features: Callable[[int], Any],
    n_items: int,
    batch: int,
    wish: JsonDict,
) -> JsonDict:
    made = [features(min(batch, n_items - at)) for at in range(0, n_items, batch)]
    start, cpu, storing = time.perf_counter(), time.process_time(), 0.0
    with Collection.create(path, space=model.space_, **wish) as items:
        for number, part in enumerate(made):
            vectors = model.transform(modality, part)
            before = time.perf_counter()
            ids = range(number * batch, number * batch + len(part))
            items.add(ids, vectors, modality=modality, payloads=[{"batch": number}] * len(part))
            storing += time.perf_counter() - before
        before = time.perf_counter()
        items.flush()
        indexing = time.perf_counter() - before
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        pace = {f"qps_{size}": _pace(items, vectors[:1].repeat(size, axis=0)) for size in (1, 100)}
    return {
        "items_per_second": round(n_items / seconds),
        "cpu_items_per_second": round(n_items / cpu),
        "store_per_second": round(n_items / storing),
        "index_seconds": round(indexing, 3),
        **pace,
        "disk_bytes": round(sum(file.stat().st_size for file in path.iterdir()) / n_items),
    }


def _pace(items: Collection, queries: Any) -> float:
    """Queries a CPU second through the collection, payloads and all."""
    items.search(queries, k=10)
    calls, start = 0, time.thread_time()
    while (spent := time.thread_time() - start) < _PACE_SECONDS or calls < 3:
        items.search(queries, k=10)
        calls += 1
    return round(calls * len(queries) / spent, 1)


def _opened(
    path: Path, n_late: int, model: Any, modality: str, features: Callable[[int], Any]
) -> JsonDict:
    cells = {f"open_{key}": value for key, value in opened(path).items()}
    cells |= {f"make_{key}": value for key, value in opened_without_index(path).items()}
    kept = {file: file.read_bytes() for file in path.glob("index.*")}
    with Collection.open(path) as items:
        vectors = model.transform(modality, features(max(1, n_late)))
        items.add([f"late {row}" for row in range(len(vectors))], vectors, modality=modality)
    for file, content in kept.items():
        file.write_bytes(content)
    late = opened(path)
    return {
        **cells,
        "catch_up_seconds": late["seconds"],
        "catch_up_cpu_seconds": late["cpu_seconds"],
    }
