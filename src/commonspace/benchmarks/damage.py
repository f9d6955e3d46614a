"""Damage the files of a collection and see whether that is found; fill its disk."""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.errors import CommonspaceError, StorageError
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.copying import check_collection
from commonspace.types import JsonDict

_FILES = ("collection.sqlite", "index.faiss", "index.json")
_ROOM = 1 << 18  # bytes that a full disk has left


def damage_files(folder: Path, n: int, *, seed: int = 0) -> JsonDict:
    """Flip bits in, and cut, copies of a collection that is closed; half of it in its truth.

    Returns:
        Counts: "flips" and "cuts"; "named" where the check says which file, "harmless" where it
        says nothing and all is there as it was, "missed" where it says nothing and is wrong;
        and the "missed_places".
    """
    rng, counts, missed = np.random.default_rng(seed), Counter[str](), []
    whole = _everything(folder)
    for number in range(n):
        name = _FILES[int(rng.choice(len(_FILES), p=[0.6, 0.3, 0.1]))]
        with TemporaryDirectory(dir=folder.parent) as place:
            copy = Path(place) / "copy"
            shutil.copytree(folder, copy)
            at = _cut(copy / name, rng) if number % 5 == 0 else _flip(copy / name, rng)
            counts["cuts" if number % 5 == 0 else "flips"] += 1
            found = _found(copy, name, whole)
        counts[found] += 1
        if found == "missed":
            missed.append(f"{name} at byte {at}")
    return {
        **{k: counts[k] for k in ("flips", "cuts", "named", "harmless", "missed")},
        "missed_places": missed,
    }


def _flip(path: Path, rng: np.random.Generator) -> int:
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content)))
    content[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return at


def _cut(path: Path, rng: np.random.Generator) -> int:
    content = path.read_bytes()
    at = int(rng.integers(len(content)))
    path.write_bytes(content[:at])
    return at


def _found(folder: Path, name: str, whole: Any) -> str:
    try:
        problems = check_collection(folder)
    except CommonspaceError as error:
        problems = [str(error)]
    if problems:
        # A digest that is not that of its file: which of the two was damaged, nobody can tell.
        names = [other for other in _FILES if other.partition(".")[0] == name.partition(".")[0]]
        return "named" if any(n in problem for n in names for problem in problems) else "missed"
    try:
        return "harmless" if _everything(folder) == whole else "missed"
    except CommonspaceError:
        return "missed"


def _everything(folder: Path) -> Any:
    """All that a reader can learn of a collection."""
    with Collection.open(folder, read_only=True) as items:
        hits = items.search(np.ones((1, items.space.dim)), 10**6)
        cells = list(zip(hits.modalities[0].tolist(), hits.ids[0].tolist(), strict=True))
        vectors = {
            name: items.vectors(sorted(id_ for m, id_ in cells if m == name), name).tobytes()
            for name in items.modalities
        }
        payloads = [json.dumps(cell) for cell in hits.payloads[0]]
        space = items.space.fingerprint
        return cells, payloads, hits.scores.round(5).tolist(), vectors, space, items.metadata


def fill_the_disk(folder: Path, *, dim: int) -> JsonDict:
    """Add items until the system refuses, then go on with more room, in a process of its own.

    The limit is one on the size of files (RLIMIT_FSIZE), which refuses a write as a full disk does.

    Returns:
        "error", the message; "kept", whether all and only acknowledged items are there, found both
        at once and when opened again; "goes_on", whether writing works once there is room; and
        "problems" of the check.
    """
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_fill, args=(folder, dim, sender))
    process.start()
    sender.close()
    try:
        found: JsonDict = receiver.recv()
    except EOFError:
        found = {"error": "", "kept": False, "goes_on": False}
    process.join()
    problems = check_collection(folder)
    if found["kept"]:
        with Collection.open(folder) as items:
            found["kept"] = len(items) == found["items"]
    return {**found, "problems": problems}


def _fill(folder: Path, dim: int, sender: Any) -> None:
    rows = np.random.default_rng(0).standard_normal((500, dim)).astype(np.float32)
    items = Collection.create(folder, space=Space.create(dim), index="exact")
    items.add(range(500), rows, modality="text")
    largest = max(file.stat().st_size for file in folder.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + _ROOM, limits[1]))
    acknowledged, error = 500, ""
    try:
        for batch in range(1, 1000):
            items.add(range(500 * batch, 500 * batch + 500), rows, modality="text")
            acknowledged += 500
    except StorageError as refusal:
        error = str(refusal)
    ids = items.search(rows[:1], 10**6).ids
    kept = len(items) == acknowledged == len(set(ids[0].tolist()))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    items.add(["after"], rows[:1], modality="text")
    goes_on = "after" in items
    items.close()
    sender.send({"error": error, "kept": kept, "goes_on": goes_on, "items": acknowledged + goes_on})
