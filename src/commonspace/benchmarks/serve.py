"""How much of in-process search is left when it is served to many at once, while items change."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from commonspace.benchmarks.loopback import Caller, Server, request_bytes
from commonspace.checks import check_range
from commonspace.errors import CommonspaceError, ServiceError
from commonspace.machine import describe_machine
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.types import Float32Array, JsonDict

_QUERIES = 256
_BATCH = 5000
_CHANGED = 20  # items of each write


@dataclass
class _Tally:
    """What a phase of the benchmark saw: seconds of each answer, and of the server's processor."""

    search: list[float] = field(default_factory=list)
    write: list[float] = field(default_factory=list)
    errors: int = 0
    cpu: float = 0.0


def bench_serve(
    *,
    items: int = 100_000,
    dim: int = 64,
    clients: int = 64,
    seconds: float = 20.0,
    k: int = 10,
    pause: float = 0.1,
    index: str = "auto",
    seed: int = 0,
) -> JsonDict:
    """Search one collection in this process, then served to many clients, with batches and without.

    While it is served, one more client adds items and deletes them again.

    Args:
        items: Of the collection.
        dim: Of its vectors.
        clients: Connections that ask one query after the other.
        seconds: Of each phase.
        k: Hits of each query.
        pause: Seconds between writes.
        index: Kind of the collection's index, with a recall of 0.95 wanted.
        seed: Of the vectors.

    Returns:
        ``{"bench": "serve", "machine": {...}, "load": [...], "index": {...}, "rows": [...],
        "ratios": {...}}``; "index" is what was searched. Times are in milliseconds; ``cpu_ms`` is
        processor time of a query, writes included. ``service_over_in_process`` compares queries a
        second with one query at a time in process; ``batches_over_single`` says what batching
        brings.

    Raises:
        CommonspaceError: The service answers otherwise than the collection, or does not start.
    """
    for name, value in (("items", items), ("dim", dim), ("clients", clients), ("k", k)):
        check_range(name, value, low=1, integer=True)
    check_range("seconds", seconds, low=0.1)
    load = [round(os.getloadavg()[0], 1)]
    with TemporaryDirectory() as name:
        folder = Path(name) / "collection"
        queries, found = _fill(folder, items, dim, index, seed)
        rows = [_in_process(folder, queries, k, seconds / 2, size) for size in (1, clients)]
        for batch in (64, 1):
            label = "service" if batch > 1 else "service, no batches"
            options = ("--batch", str(batch))
            with Server(folder, Path(name) / "log", *options) as server:
                _check_same(server.port, folder, queries, k)
                told = asyncio.run(_load(server, queries, k, clients, seconds, pause))
            rows += _service_rows(label, told, seconds, clients)
    load.append(round(os.getloadavg()[0], 1))
    return {
        "bench": "serve",
        "machine": describe_machine(),
        "load": load,
        "index": found,
        "rows": rows,
        "ratios": _ratios(rows),
    }


def _fill(
    folder: Path, items: int, dim: int, index: str, seed: int
) -> tuple[Float32Array, JsonDict]:
    rng = np.random.default_rng(seed)
    wish: JsonDict = {"index": index, "recall": 0.95}
    with Collection.create(folder, space=Space.create(dim), **wish) as collection:
        for start in range(0, items, _BATCH):
            names = range(start, min(start + _BATCH, items))
            rows = rng.standard_normal((len(names), dim), dtype=np.float32)
            collection.add(names, rows, modality="text", payloads=[{"n": n} for n in names])
        collection.flush()  # or the server would begin by making the index that is wished for
        found = collection.index
    return rng.standard_normal((_QUERIES, dim), dtype=np.float32), found


def _in_process(folder: Path, queries: Float32Array, k: int, seconds: float, size: int) -> JsonDict:
    """Queries a second of `Collection.search`, ``size`` queries a call."""
    times: list[float] = []
    with Collection.open(folder, read_only=True) as collection:
        collection.search(queries[:1], k)
        begun, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            start = len(times) * size % _QUERIES
            some = np.take(queries, range(start, start + size), axis=0, mode="wrap")
            before = time.perf_counter()
            collection.search(some, k).rows()
            times.append(time.perf_counter() - before)
        spent, cpu = time.perf_counter() - begun, time.process_time() - cpu
    name = "in process" if size == 1 else f"in process, {size} at a time"
    row = {**_row(name, times, spent, 0), "qps": size * len(times) / spent}
    return {**row, "cpu_ms": 1000 * cpu / size / len(times)}


async def _load(
    server: Server, queries: Float32Array, k: int, clients: int, seconds: float, pause: float
) -> _Tally:
    tally, port, spent = _Tally(), server.port, server.cpu_seconds()
    until = time.perf_counter() + seconds
    asks = [request_bytes("POST", "/v1/search", _ask(query, k)) for query in queries]
    readers = [_read(port, asks, number, until, tally) for number in range(clients)]
    await asyncio.gather(_write(port, queries, until, pause, tally), *readers)
    tally.cpu = server.cpu_seconds() - spent
    return tally


def _ask(query: Float32Array, k: int) -> JsonDict:
    return {"vectors": [query.tolist()], "k": k}


async def _read(port: int, asks: list[bytes], number: int, until: float, tally: _Tally) -> None:
    caller, at = Caller(port), number
    while time.perf_counter() < until:
        await _timed(caller, asks[at % len(asks)], tally.search, tally)
        at += 1
    caller.close()


async def _write(
    port: int, queries: Float32Array, until: float, pause: float, tally: _Tally
) -> None:
    """Add items and delete them, so that the collection keeps its size."""
    caller, names = Caller(port), [f"new-{n}" for n in range(_CHANGED)]
    cells = zip(names, queries.tolist(), strict=False)
    rows = [{"id": name, "vector": vector} for name, vector in cells]
    add = request_bytes("POST", "/v1/items", {"modality": "new", "items": rows})
    delete = request_bytes("POST", "/v1/items/delete", {"ids": names})
    while time.perf_counter() < until:
        await _timed(caller, add, tally.write, tally)
        await asyncio.sleep(pause)
        await _timed(caller, delete, tally.write, tally)
        await asyncio.sleep(pause)
    caller.close()


async def _timed(caller: Caller, request: bytes, times: list[float], tally: _Tally) -> None:
    before = time.perf_counter()
    try:
        status, _ = await caller.ask(request)
    except ServiceError:
        status = 0
    if status == 200:
        times.append(time.perf_counter() - before)
    else:
        tally.errors += 1


def _check_same(port: int, folder: Path, queries: Float32Array, k: int) -> None:
    """Raise unless the service finds what the collection finds, with the same scores."""
    import json

    async def ask() -> bytes:
        caller = Caller(port)
        _, body = await caller.ask(request_bytes("POST", "/v1/search", _ask(queries[0], k)))
        caller.close()
        return body

    with Collection.open(folder, read_only=True) as collection:
        expected = collection.search(queries[:1], k).rows()
    if json.loads(asyncio.run(ask())).get("hits") != expected:
        raise CommonspaceError("the service and the collection differ: timing means nothing.")


def _service_rows(name: str, told: _Tally, seconds: float, clients: int) -> list[JsonDict]:
    searches = _row(f"{name}, {clients} clients", told.search, seconds, told.errors)
    return [
        {**searches, "cpu_ms": 1000 * told.cpu / max(1, len(told.search))},
        _row(f"{name}: adds and deletes", told.write, seconds, told.errors),
    ]


def _row(name: str, times: list[float], seconds: float, errors: int) -> JsonDict:
    p50, p95, p99 = 1000 * np.percentile(times or [np.nan], (50, 95, 99))
    return {
        "name": name,
        "qps": len(times) / seconds,
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "calls": len(times),
        "errors": errors,
    }


def _ratios(rows: list[JsonDict]) -> JsonDict:
    alone, together, served, _, single, _ = (row["qps"] for row in rows)
    return {
        "service_over_in_process": served / alone,
        "service_over_in_process_batches": served / together,
        "batches_over_single": served / single,
    }
