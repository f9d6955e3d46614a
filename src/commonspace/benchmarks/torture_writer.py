"""A process that writes in a collection until it is killed, and the journal of what it was told.

A step is written down before it is begun and again when it was acknowledged; so the journal of a
killed process says what must be there, and which one step may be there or not, but not in part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.store.collection import Collection
from commonspace.types import Float32Array, JsonDict

MODALITIES = ("image", "text")
STEPS = {"add": 6, "update": 3, "delete": 4, "compact": 2, "flush": 3, "snapshot": 2}
FEWEST, MOST = 1100, 1900
"""Items that there are, about: enough for kinds of index that learn."""

Items = dict[tuple[str, str], tuple[int, int]]


@dataclass
class Journal:
    """What was acknowledged, and what was begun.

    Attributes:
        items: Batch and row of each item, by modality and id.
        batch: Number of the newest batch.
        newest: Number of the newest batch of items; no later step touches those.
        pending: The step that was begun last, if nothing says that it ended.
        snapshots: What each acknowledged snapshot holds.
        n_acknowledged: Items in all acknowledged batches.
        n_steps: Acknowledged steps.
    """

    items: Items = field(default_factory=dict)
    batch: int = 0
    newest: int = 0
    pending: JsonDict | None = None
    snapshots: dict[str, Items] = field(default_factory=dict)
    n_acknowledged: int = 0
    n_steps: int = 0

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Replay a file; a last line that was cut off was not written."""
        journal = cls()
        for line in path.read_bytes().split(b"\n")[:-1]:
            journal.take(json.loads(line))
        return journal

    def take(self, entry: JsonDict) -> None:
        """Take in a line."""
        if "begun" in entry:
            self.pending = entry["begun"]
        elif "ended" in entry:
            assert self.pending is not None
            if entry["ended"]:
                self.batch = max(self.batch, self.pending.get("batch", 0))
                self._acknowledge(self.pending)
            self.pending = None

    def with_pending(self) -> Items:
        """Items if the step that was begun is whole."""
        return self.items if self.pending is None else applied(self.items, self.pending)

    def _acknowledge(self, step: JsonDict) -> None:
        self.items = applied(self.items, step)
        self.n_steps += 1
        if step["op"] in ("add", "update"):
            self.newest = step["batch"]
            self.n_acknowledged += len(step["ids"])
        if step["op"] == "snapshot":
            self.snapshots[step["name"]] = dict(self.items)


def applied(items: Items, step: JsonDict) -> Items:
    """Items after a step."""
    keys = [(step.get("modality", ""), id_) for id_ in step.get("ids", ())]
    if step["op"] in ("add", "update"):
        return {**items, **{key: (step["batch"], row) for row, key in enumerate(keys)}}
    if step["op"] == "delete":
        gone = set(keys)
        return {key: value for key, value in items.items() if key not in gone}
    return items


def vectors_of(batch: int, n: int, dim: int) -> Float32Array:
    """The vectors of a batch, made from its number; the first rows do not depend on how many."""
    return np.random.default_rng(batch).standard_normal((n, dim)).astype(np.float32)


def draw(journal: Journal, rng: np.random.Generator) -> JsonDict:
    """The next step."""
    weights = np.array([*STEPS.values()], dtype=float)
    op = str(rng.choice([*STEPS], p=weights / weights.sum()))
    if op == "delete" and len(journal.items) < FEWEST:
        op = "add"
    if op == "add" and len(journal.items) > MOST:
        op = "delete"
    number, modality = journal.batch + 1, str(rng.choice(MODALITIES))
    if op in ("compact", "flush"):
        return {"op": op, "batch": number, "wait": bool(rng.integers(2))}
    if op == "snapshot":
        return {"op": op, "batch": number, "name": f"snapshot-{number}"}
    size = int(rng.integers(1, 80))
    ids = [f"{number}-{row}" for row in range(size)]
    if op != "add":
        old = [
            i for (m, i), (b, _) in journal.items.items() if m == modality and b < journal.newest
        ]
        if not old:
            op = "add"
        else:
            ids = rng.choice(old, min(size, len(old)), replace=False).tolist()
    return {"op": op, "batch": number, "modality": modality, "ids": ids}


def perform(items: Collection, step: JsonDict, place: Path) -> None:
    """Do a step."""
    op = step["op"]
    if op in ("add", "update"):
        n = len(step["ids"])
        payloads = [{"batch": step["batch"], "row": row, "of": n} for row in range(n)]
        rows = vectors_of(step["batch"], n, items.space.dim)
        items.add(step["ids"], rows, modality=step["modality"], payloads=payloads)
    elif op == "delete":
        items.delete(step["ids"], step["modality"])
    elif op == "compact":
        items.compact(wait=step["wait"])
    elif op == "flush":
        items.flush()
    else:
        items.snapshot(place / step["name"])


def write(folder: Path, journal: Path, seed: int, most_steps: int | None = None) -> None:
    """Open the collection and do step after step, for ever; what a process runs."""
    rng, known = np.random.default_rng(seed), Journal.read(journal)
    with Collection.open(folder) as items, journal.open("ab", buffering=0) as file:

        def log(entry: JsonDict) -> None:
            known.take(entry)
            file.write(json.dumps(entry).encode() + b"\n")

        log({"opened": seed})
        done = 0
        while most_steps is None or done < most_steps:
            step = draw(known, rng)
            log({"begun": step})
            perform(items, step, journal.parent)
            log({"ended": True})
            done += 1


def note(journal: Path, entry: Any) -> None:
    """Add a line."""
    with journal.open("ab") as file:
        file.write(json.dumps(entry).encode() + b"\n")
