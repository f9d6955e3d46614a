"""A service that is sent what nobody should send, and killed while it writes."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from commonspace.benchmarks.loopback import Caller, Server, form_bytes, request_bytes
from commonspace.benchmarks.malformed import malformed_uploads
from commonspace.checks import check_range, require
from commonspace.data import Dataset, Splits
from commonspace.encoders import EfficientNetLite0Encoder, HashTextEncoder
from commonspace.errors import CommonspaceError, ServiceError
from commonspace.machine import describe_machine
from commonspace.methods import Ridge
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.models import save
from commonspace.store.pipelines import encode_raw, index_dataset
from commonspace.types import JsonDict

_DIM = 16
_WRITERS = 4
_ITEMS = 5  # of each write
_MEGABYTE = 1 << 20


def bench_faults(*, uploads: int = 1000, kills: int = 50, seed: int = 0) -> JsonDict:
    """Send malformed uploads, then kill a service again and again while it writes.

    Args:
        uploads: Malformed files, see `malformed_uploads`.
        kills: Times that the service is killed (SIGKILL) during writes, and started again.
        seed: Of the faults, and of when it is killed.

    Returns:
        ``{"bench": "serve --faults", "machine": {...}, "rows": [...], "ratios": {...}}``: a row a
        kind of upload with its answers, the memory of the service at its peak, and what became of
        acknowledged writes. Lost writes, crashes and answers of 500 and above are 0 where all is
        well.
    """
    check_range("uploads", uploads, low=0, integer=True)
    check_range("kills", kills, low=0, integer=True)
    with TemporaryDirectory() as name:
        rows = [*_uploads(Path(name), uploads, seed)] if uploads else []
        rows += [_kills(Path(name), kills, seed)] if kills else []
    return {"bench": "serve --faults", "machine": describe_machine(), "rows": rows, "ratios": {}}


# ---------------------------------------------------------------- uploads


def _uploads(folder: Path, count: int, seed: int) -> Iterator[JsonDict]:
    _make_store(folder)
    with Server(folder / "things", folder / "uploads.log", "--read-only") as server:
        fine = _send(server, [_picture(np.random.default_rng(seed))])
        if fine != 200:
            raise CommonspaceError(f"a picture that is well is answered with {fine}.")
        before = server.peak_bytes()
        answers: dict[str, Counter[int]] = {}
        for fault, data in malformed_uploads(count, seed=seed):
            answers.setdefault(fault, Counter())[_send(server, [data])] += 1
        peak, alive = server.peak_bytes(), server.process.poll() is None
    for fault, counts in answers.items():
        yield {
            "fault": fault,
            "sent": counts.total(),
            "answers": ", ".join(f"{status}: {n}" for status, n in sorted(counts.items())),
            "500_or_none": sum(n for status, n in counts.items() if not 0 < status < 500),
        }
    yield {
        "fault": "all uploads",
        "sent": count,
        "crashes": int(not alive),
        "memory_before_mb": before / _MEGABYTE,
        "memory_peak_mb": peak / _MEGABYTE,
    }


def _send(server: Server, files: list[bytes]) -> int:
    """Status of the answer; 0 if there is none."""

    async def ask() -> int:
        caller = Caller(server.port)
        body, kind = form_bytes(files)
        with suppress(ServiceError):
            status, _ = await caller.ask(request_bytes("POST", "/v1/search", body, kind))
            caller.close()
            return status
        return 0

    return asyncio.run(ask())


def _make_store(folder: Path) -> None:
    """A model that reads pictures, and what it made of a few."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(6)]
    for path in paths:
        path.write_bytes(_picture(rng))
    x = {"image": np.array([str(path) for path in paths]), "text": np.array(["a", "b"] * 3)}
    raw = Dataset.from_arrays(x, ["a", "b"] * 3)
    image, text = EfficientNetLite0Encoder(size=32).spec(), HashTextEncoder(dim=64).spec()
    data = encode_raw(raw, {"image": image, "text": text})
    model = Ridge(dim=_DIM).fit(data)
    save(model, folder / "model")
    splits = Splits({"all": raw}, "things")
    index_dataset(model, splits, folder / "things", model_folder=folder / "model").close()


def _picture(rng: np.random.Generator) -> bytes:
    image = require("PIL.Image", extra="image", what="bench_faults")
    out = io.BytesIO()
    image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


# ---------------------------------------------------------------- kills


@dataclass
class _Batch:
    """Items that one request adds, and what is known of them."""

    ids: list[str]
    state: Literal["adding", "there", "deleting", "gone"] = "adding"


# Writes that were answered of a batch in each state.
_ACKNOWLEDGED = {"adding": 0, "there": 1, "deleting": 1, "gone": 2}


def _kills(folder: Path, kills: int, seed: int) -> JsonDict:
    rng = np.random.default_rng(seed)
    path, batches, log = folder / "written", [], folder / "kills.log"
    Collection.create(path, space=Space.create(_DIM)).close()
    acknowledged = lost = torn = 0
    for round_ in range(kills):
        server = Server(path, log, "--no-access-log")
        try:
            made = asyncio.run(_burst(server, round_, float(rng.uniform(0.05, 0.6))))
        finally:
            server.kill()
        acknowledged += sum(_ACKNOWLEDGED[batch.state] for batch in made)
        batches += made
        with Collection.open(path, read_only=True) as collection:
            found = [_survivors(collection, batch) for batch in batches]
        lost += sum(_is_lost(batch, n) for batch, n in zip(batches, found, strict=True))
        torn += sum(n not in (0, len(b.ids)) for b, n in zip(batches, found, strict=True))
        _settle(batches, found)
    return {
        "fault": "kill -9 while writing",
        "sent": kills,
        "acknowledged": acknowledged,
        "lost": lost,
        "torn": torn,
    }


async def _burst(server: Server, round_: int, seconds: float) -> list[_Batch]:
    """Write from several connections until the service is killed."""
    batches: list[_Batch] = []

    async def kill() -> None:
        await asyncio.sleep(seconds)
        os.kill(server.process.pid, 9)

    writers = [_write(server.port, f"{round_}-{number}", batches) for number in range(_WRITERS)]
    await asyncio.gather(kill(), *writers)
    return batches


async def _write(port: int, name: str, batches: list[_Batch]) -> None:
    """Add batches, and delete every third one again, until nobody answers."""
    caller, number = Caller(port), 0
    until = time.monotonic() + 60
    with suppress(ServiceError):
        while time.monotonic() < until:
            batch = _Batch([f"{name}-{number}-{n}" for n in range(_ITEMS)])
            batches.append(batch)
            rows = [{"id": id_, "vector": [1.0] * _DIM} for id_ in batch.ids]
            await _acknowledged(caller, "/v1/items", {"modality": "text", "items": rows})
            batch.state = "there"
            if number % 3 == 2:
                batch.state = "deleting"
                await _acknowledged(caller, "/v1/items/delete", {"ids": batch.ids})
                batch.state = "gone"
            number += 1
    caller.close()


async def _acknowledged(caller: Caller, path: str, content: JsonDict) -> None:
    status, body = await caller.ask(request_bytes("POST", path, content))
    if status != 200:
        raise CommonspaceError(f"a write was answered with {status}: {body[:300]!r}")


def _survivors(collection: Collection, batch: _Batch) -> int:
    return len(collection.get(batch.ids))


def _is_lost(batch: _Batch, found: int) -> bool:
    if batch.state == "there":
        return found < len(batch.ids)
    return batch.state == "gone" and found > 0


def _settle(batches: list[_Batch], found: list[int]) -> None:
    """What was not acknowledged is known now, and has to stay so."""
    for batch, n in zip(batches, found, strict=True):
        if batch.state in ("adding", "deleting"):
            batch.state = "there" if n else "gone"
