"""Kill the writer of a collection again and again, and look at what is left.

Each round a fresh process adds, replaces and deletes items, compacts, writes its index and takes
snapshots; meanwhile a second writer is refused and a reader sees no batch in part; after a random
time the process is killed (SIGKILL). Then the collection must hold every item that was
acknowledged, equal to the bit, and the step that was under way whole or not at all; its index must
answer as one that is built from the truth alone; and so must every snapshot. Every so many kills
another kind of index takes its turn.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.benchmarks.damage import damage_files, fill_the_disk
from commonspace.benchmarks.torture_writer import FEWEST, Items, Journal, note, vectors_of, write
from commonspace.checks import check_range
from commonspace.errors import CommonspaceError, StorageError
from commonspace.machine import describe_machine
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.copying import check_collection
from commonspace.types import JsonDict

KINDS: dict[str, JsonDict] = {
    "exact": {"index": "exact"},
    "ivf": {"index": "ivf"},
    "hnsw": {"index": "hnsw"},
    "codes4": {"index": "codes4"},
}
_DIM = 16
_ALL = 10**6
_LONGEST = 0.4  # seconds that a writer lives
_PATIENCE = 120.0  # seconds to wait for one to open


def bench_torture(
    *,
    kills: int = 200,
    kinds: Sequence[str] = tuple(KINDS),
    damages: int = 100,
    seed: int = 0,
    folder: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Kill writers, damage files and fill the disk, and count what is lost.

    Args:
        kills: Processes to kill, over all kinds.
        kinds: Among `KINDS`; each has its share of the kills, on a collection of its own.
        damages: Flipped bits and cuts, each in a copy of its own.
        seed: Of the steps, the times and the damage; what is under way at a kill depends on the
            machine all the same.
        folder: Where collections are written; None takes the system's for temporary files.
        say: Called with a line after each kind.

    Returns:
        The form of all benchmarks. A row a kind: "kills", "acknowledged" (items of all
        acknowledged batches), "steps", "lost" (acknowledged items that were not there), "wrong"
        (other problems), "under_way" (steps that kills hit, by their kind) and of these "whole",
        "readings" while a writer wrote, and "refused" second writers. "damage" counts what
        `commonspace check` found, "full" what happened on a full disk, and "problems" has a
        sentence each.
    """
    check_range("kills", kills, low=1, integer=True)
    rows, problems = [], []
    with TemporaryDirectory(dir=folder) as place:
        for number, kind in enumerate(kinds):
            share = kills // len(kinds) + (number < kills % len(kinds))
            victim = _Victim(Path(place) / kind, kind, seed + 1000 * number)
            for _ in range(share):
                victim.round()
            rows.append(victim.row())
            problems += victim.problems
            say(f"{kind}: {share} kills, {rows[-1]['lost']} items lost, {rows[-1]['wrong']} wrong")
        source = Path(place) / kinds[0] / "items"
        damage = damage_files(source, damages, seed=seed)
        full = fill_the_disk(Path(place) / "full", dim=_DIM)
    return {
        "bench": "torture",
        "machine": describe_machine(),
        "data": {"dim": _DIM, "seed": seed},
        "rows": rows,
        "damage": damage,
        "full": full,
        "problems": problems,
        "ratios": {
            "items lost": float(sum(row["lost"] for row in rows)),
            "other problems": float(sum(row["wrong"] for row in rows)),
            "damage missed": float(damage["missed"]),
        },
    }


class _Victim:
    """A collection whose writers are killed."""

    def __init__(self, place: Path, kind: str, seed: int) -> None:
        place.mkdir()
        self.place, self.kind, self.seed = place, kind, seed
        self.folder, self.journal = place / "items", place / "journal"
        self.rng = np.random.default_rng(seed)
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self._seen = 0
        self._fill()

    def _fill(self) -> None:
        options = dict(KINDS[self.kind])
        if self.kind == "codes4":  # one that does not depend on which items there are
            rows = np.random.default_rng(0).standard_normal((2000, _DIM)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            options["quantizer"] = Quantizer(32, 4).fit(rows)
        with Collection.create(self.folder, space=Space.create(_DIM), **options) as items:
            ids = [f"1-{row}" for row in range(FEWEST)]
            step = {"op": "add", "batch": 1, "modality": "text", "ids": ids}
            payloads = [{"batch": 1, "row": row, "of": FEWEST} for row in range(FEWEST)]
            rows = vectors_of(1, FEWEST, _DIM)
            items.add(ids, rows, modality="text", payloads=payloads)
        for entry in ({"begun": step}, {"ended": True}):
            note(self.journal, entry)

    def round(self) -> None:
        """Let one process write, kill it, and look."""
        self.seed += 1
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["commonspace.benchmarks.torture_writer", "faiss"])
        size = self.journal.stat().st_size
        process = context.Process(target=write, args=(self.folder, self.journal, self.seed))
        process.start()
        deadline = time.monotonic() + _PATIENCE
        while self.journal.stat().st_size == size and time.monotonic() < deadline:
            if not process.is_alive():
                break
            time.sleep(0.002)
        end = time.monotonic() + self.rng.uniform(0, _LONGEST)
        if self.rng.integers(2):
            self._second_writer(process.pid)
            self._reader()
        time.sleep(max(0.0, end - time.monotonic()))
        if not process.is_alive():
            self.problems.append(f"{self.kind}: a writer ended by itself ({process.exitcode}).")
        process.kill()
        process.join()
        self.counts["kills"] += 1
        self._look()

    def row(self) -> JsonDict:
        """What was counted."""
        journal = Journal.read(self.journal)
        named = ("kills", "lost", "wrong", "whole", "readings", "refused", "snapshots")
        return {
            "kind": self.kind,
            "acknowledged": journal.n_acknowledged,
            "steps": journal.n_steps,
            **{name: self.counts[name] for name in named},
            "under_way": " ".join(f"{op}:{n}" for op, n in sorted(self.under_way.items())),
        }

    def _second_writer(self, pid: int | None) -> None:
        try:
            Collection.open(self.folder).close()
            self._wrong("a second writer was let in")
        except StorageError as error:
            if f"process {pid}" not in str(error):
                self._wrong(f"a second writer was refused without the name of the first: {error}")
            self.counts["refused"] += 1

    def _reader(self) -> None:
        """A reader must see the newest batch whole."""
        try:
            with Collection.open(self.folder, read_only=True) as items:
                cells = items.search(np.ones((1, _DIM)), _ALL).payloads[0]
        except CommonspaceError as error:
            return self._wrong(f"a reader failed: {error}")
        newest = max(cell["batch"] for cell in cells)
        sizes = [cell["of"] for cell in cells if cell["batch"] == newest]
        if len(sizes) != sizes[0]:
            self._wrong(f"a reader saw {len(sizes)} of {sizes[0]} items of batch {newest}")
        self.counts["readings"] += 1
        return None

    def _look(self) -> None:
        known = Journal.read(self.journal)
        for problem in check_collection(self.folder):
            self._wrong(problem)
        with Collection.open(self.folder) as items:
            found = _content(items)
            ended = found == known.with_pending()
            if not ended and found != known.items:
                missing = len(known.items.keys() - found.keys())
                self.counts["lost"] += missing
                self._wrong(f"not what was acknowledged: {missing} items are missing")
            self._same_bits(items, found)
            items.snapshot(self.place / "copy")
            self._as_rebuilt(items)
        shutil.rmtree(self.place / "copy")
        self._look_at_snapshots(known, found)
        if known.pending is not None:
            self.under_way[known.pending["op"]] += 1
            self.counts["whole"] += ended
            note(self.journal, {"ended": bool(ended)})
        else:
            self.under_way["nothing"] += 1

    def _same_bits(self, items: Collection, found: Items) -> None:
        for modality in items.modalities:
            ids = [id_ for name, id_ in found if name == modality]
            stored = items.vectors(ids, modality)
            made: dict[int, Any] = {}
            for row, id_ in enumerate(ids):
                batch, at = found[modality, id_]
                if batch not in made:
                    made[batch] = vectors_of(batch, FEWEST, _DIM)
                if not np.array_equal(stored[row], made[batch][at]):
                    self._wrong(f"the vector of {id_!r} of {modality!r} is another")

    def _as_rebuilt(self, items: Collection) -> None:
        """The index must answer as one that is made from the truth alone."""
        for file in (self.place / "copy").glob("index.*"):
            file.unlink()
        query = np.random.default_rng(self.seed).standard_normal((1, _DIM))
        with Collection.open(self.place / "copy") as fresh:
            here, there = (_scores(part, query) for part in (items, fresh))
        if here.keys() != there.keys():
            self._wrong("its index holds other items than one made from the truth")
        elif any(abs(here[key] - there[key]) > 1e-4 for key in here):
            self._wrong("its index scores otherwise than one made from the truth")

    def _look_at_snapshots(self, known: Journal, found: Items) -> None:
        there = {path.name: path for path in self.place.glob("snapshot-*")}
        for name in known.snapshots:
            if name not in there and int(name.split("-")[1]) > self._seen:
                self._wrong(f"{name} was acknowledged and is not there")
        for name, folder in sorted(there.items()):
            self.counts["snapshots"] += 1
            for problem in check_collection(folder):
                self._wrong(problem)
            with Collection.open(folder, read_only=True) as items:
                if _content(items) != known.snapshots.get(name, found):
                    self._wrong(f"{name} is not the collection of its moment")
            shutil.rmtree(folder)
        self._seen = max(known.batch, (known.pending or {}).get("batch", 0))

    def _wrong(self, problem: str) -> None:
        self.counts["wrong"] += 1
        self.problems.append(f"{self.kind}, kill {self.counts['kills']}: {problem}")


def _content(items: Collection) -> Items:
    hits = items.search(np.ones((1, items.space.dim)), _ALL)
    cells = zip(hits.modalities[0].tolist(), hits.ids[0].tolist(), hits.payloads[0], strict=True)
    return {(modality, id_): (cell["batch"], cell["row"]) for modality, id_, cell in cells}


def _scores(items: Collection, query: Any) -> dict[tuple[str, str], float]:
    hits = items.search(query, _ALL)
    rows = zip(hits.modalities[0].tolist(), hits.ids[0].tolist(), hits.scores[0], strict=True)
    return {(modality, id_): float(score) for modality, id_, score in rows}
