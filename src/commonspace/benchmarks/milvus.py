"""A collection in a folder beside the same one in Milvus: filling it, asking it, its bytes.

Without an address Milvus is Milvus Lite in this very process, written in Python for tests: what it
takes says nothing of a server, only what the calls and the rows cost on our side of it. CPU seconds
are those of this process, so with an address they are the client's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.benchmarks.search import Problem, make_problem
from commonspace.checks import check_range
from commonspace.machine import describe_machine
from commonspace.store.collection import Collection
from commonspace.types import AnyArray, JsonDict

SIZES = (5_000, 20_000)
_STEPS = 100
_K = 10


def bench_milvus(
    *,
    name: str = "mfeat",
    sizes: Sequence[int] = SIZES,
    dim: int = 128,
    batch: int = 1024,
    n_queries: int = 20,
    address: str | None = None,
    seed: int = 0,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Measure both, searched exactly, with a payload of two fields an item.

    Args:
        name: A set that `load_dataset` knows.
        sizes: Numbers of items.
        dim: Of the space, of `SDML.fast`.
        batch: Items a call.
        n_queries: Queries asked one at a time, and in one call.
        address: Where collections may be made, as ``milvus://HOST:PORT/PREFIX``; they are left
            there. None takes Milvus Lite in a temporary folder.
        seed: Of the space and the items.
        root: Where the data sets are.
        say: Called with a line after each measurement.

    Returns:
        The form of all benchmarks. Rows have "where", "items", "items_per_second" and
        "cpu_items_per_second" of `Collection.add`, "ms" and "cpu_ms" of one query, of a query of a
        batch ("ms_batch", "cpu_ms_batch") and of one with a filter that leaves a tenth
        ("ms_filter", "cpu_ms_filter"), "same", the share of the first 10 that both find, and
        "disk_bytes" an item where it is on this disk; "truth_bytes" of those are SQLite's.
    """
    rows: list[JsonDict] = []
    for n_items in sizes:
        check_range("sizes", n_items, low=100, integer=True)
        problem = make_problem(name, n_items, dim, 0.3, n_queries, seed, root)
        found: list[AnyArray] = []
        for where in ("folder", "milvus" if address else "milvus lite"):
            row, ids = _measured(where, problem, address, batch)
            rows.append({"where": where, "items": n_items, **row})
            found.append(ids)
            say(f"{where}, {n_items} items: {row['items_per_second']:.0f} items/s")
        rows[-1]["same"] = float((found[0][:, :, None] == found[1][:, None]).any(axis=2).mean())
    return {
        "bench": "milvus",
        "machine": describe_machine(),
        "data": {"set": name, "dim": dim, "batch": batch, "resampled": True},
        "rows": rows,
        "ratios": {
            f"{theirs['items']} items: {theirs['where']} over folder, one query": theirs["ms"]
            / mine["ms"]
            for mine, theirs in zip(rows[::2], rows[1::2], strict=True)
        },
    }


def _measured(
    where: str, problem: Problem, address: str | None, batch: int
) -> tuple[JsonDict, AnyArray]:
    """Everything of one of them, and the ids that it finds."""
    n_items = len(problem.items)
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("items.db" if where == "milvus lite" else "items")
        places = {
            "folder": str(path),
            "milvus lite": f"milvus+lite://{path}/items",
            "milvus": f"{address}_{n_items}",
        }
        with Collection.create(places[where], space=problem.space, index="exact") as items:
            row = _filled(items, problem, batch)
            ids, asked = _asked(items, problem.queries)
        return {**row, **asked, **_bytes(path, n_items)}, ids


def _filled(items: Collection, problem: Problem, batch: int) -> JsonDict:
    numbers = np.random.default_rng(0).integers(_STEPS, size=len(problem.items)).tolist()
    payloads = [{"number": number, "split": "train"} for number in numbers]
    start, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(problem.items), batch):
        rows = problem.items[at : at + batch]
        ids = range(at, at + len(rows))
        items.add(ids, rows, modality="item", payloads=payloads[at : at + batch])
    items.flush()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    n = len(problem.items)
    return {"items_per_second": round(n / seconds), "cpu_items_per_second": round(n / cpu)}


def _asked(items: Collection, queries: AnyArray) -> tuple[AnyArray, JsonDict]:
    items.search(queries[:1], _K)
    narrow = {"number": {"lt": _STEPS // 10}}
    ids, one = _timed(lambda: [items.search(query[None], _K).ids[0] for query in queries])
    _, several = _timed(lambda: items.search(queries, _K))
    _, filtered = _timed(lambda: [items.search(q[None], _K, where=narrow) for q in queries])
    said: JsonDict = {}
    for end, spent in (("", one), ("_batch", several), ("_filter", filtered)):
        wall, cpu = (round(1000 * seconds / len(queries), 3) for seconds in spent)
        said |= {f"ms{end}": wall, f"cpu_ms{end}": cpu}
    return np.array(ids), said


def _timed(call: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    start, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, (time.perf_counter() - start, time.process_time() - cpu)


def _bytes(path: Path, n_items: int) -> JsonDict:
    """What is on the disk, once it is closed."""
    files = [file for file in path.rglob("*") if file.is_file()]
    if not files:
        return {}
    said = {"disk_bytes": round(sum(file.stat().st_size for file in files) / n_items)}
    truth = path / "collection.sqlite"
    return (
        {**said, "truth_bytes": round(truth.stat().st_size / n_items)} if truth in files else said
    )
