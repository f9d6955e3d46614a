"""The index beside a collection is derived: after any history, damage or kill it equals truth."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.index import ExactIndex
from commonspace.space import Space
from commonspace.store import derived, index_files, items
from commonspace.store.collection import Collection
from commonspace.store.copying import check_collection

DIM = 4
SPACE = Space.create(DIM)


def vectors(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def answers(col: Collection) -> Any:
    hits = col.search(vectors(25, seed=99), k=1000)
    return hits.ids.tolist(), hits.modalities.tolist(), hits.scores.tobytes()


def rebuilt(col: Collection) -> Any:
    """What a copy without its index answers."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(col.folder, copy)
        for path in copy.glob("index.*"):
            path.unlink()
        with Collection.open(copy, read_only=True) as fresh:
            return answers(fresh)


def of_text(col: Collection) -> Any:
    """The same answers, by a search among the keys that SQLite selects."""
    hits = col.search(vectors(25, seed=99), k=1000, modality="text", where={"kept": None})
    return hits.ids.tolist(), hits.scores.tobytes()


def filled(folder: Path, n: int = 60) -> Collection:
    col = Collection.create(folder, space=SPACE)
    col.add(range(n), vectors(n), modality="text")
    return col


def damage_delete(folder: Path) -> None:
    (folder / "index.faiss").unlink()


def damage_delete_both(folder: Path) -> None:
    (folder / "index.faiss").unlink()
    (folder / "index.json").unlink()


def damage_flip(folder: Path) -> None:
    path = folder / "index.faiss"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_truncate(folder: Path) -> None:
    path = folder / "index.faiss"
    path.write_bytes(path.read_bytes()[:100])


def damage_manifest(folder: Path) -> None:
    (folder / "index.json").write_text("{")


def damage_manifest_fields(folder: Path) -> None:
    _manifest(folder, sha256=None, items="x")


def damage_newer_index(folder: Path) -> None:
    _manifest(folder, format_version=3)


def damage_future(folder: Path) -> None:
    _manifest(folder, generation=10**6)


def damage_count(folder: Path) -> None:
    _manifest(folder, items=1)


def _manifest(folder: Path, **changes: Any) -> None:
    path = folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("damage", "warns"),
    [
        (damage_delete, False),
        (damage_delete_both, False),
        (damage_flip, True),
        (damage_truncate, True),
        (damage_manifest, True),
        (damage_manifest_fields, True),
        (damage_newer_index, True),
        (damage_future, True),
        (damage_count, True),
    ],
)
def test_a_damaged_index_is_made_again(tmp_path: Path, caplog, damage, warns, read_only):
    with filled(tmp_path / "col") as col:
        want = answers(col)
    damage(col.folder)
    with (
        caplog.at_level(logging.WARNING),
        Collection.open(col.folder, read_only=read_only) as again,
    ):
        assert answers(again) == want
    assert bool(caplog.records) == warns
    caplog.clear()
    if not read_only:  # the writer left a good one
        with Collection.open(col.folder, read_only=True) as again:
            assert answers(again) == want
            assert again._engine.index._written == again._engine.index.generation
        assert not caplog.records


def test_an_index_is_loaded_not_made_again(tmp_path: Path, monkeypatch):
    with filled(tmp_path / "col") as col:
        want = answers(col)
    monkeypatch.setattr(items.ItemTable, "vectors_of", None)
    read = []
    original = items.ItemTable.vectors_after
    monkeypatch.setattr(
        items.ItemTable, "vectors_after", lambda self, key: read.append(key) or original(self, key)
    )
    with Collection.open(col.folder) as again:
        assert answers(again) == want
    assert read == []


def test_a_stale_index_reads_only_what_changed(tmp_path: Path, monkeypatch):
    with filled(tmp_path / "col") as col:
        pass
    kept = {name: (col.folder / name).read_bytes() for name in ("index.faiss", "index.json")}
    with Collection.open(col.folder) as col:
        col.delete([1, 2, 59])
        col.add([3, 100], vectors(2, seed=5), modality="text")
        col.add([4], vectors(1, seed=6), modality="image")
        col.add([200], vectors(1, seed=7), modality="text")
        col.delete([200])
        want = answers(col)
    for name, content in kept.items():
        (col.folder / name).write_bytes(content)
    blocks = []
    original = items.ItemTable.vectors_after

    def spy(self, key):
        for keys, rows in original(self, key):
            blocks.append(len(keys))
            yield keys, rows

    monkeypatch.setattr(items.ItemTable, "vectors_after", spy)
    with Collection.open(col.folder, read_only=True) as again:
        assert answers(again) == want
    assert blocks == [3]
    assert rebuilt(again) == want


def test_an_index_of_another_history_is_not_trusted(tmp_path: Path, caplog):
    """Two branches from one backup: same generation, same keys, other vectors."""
    with filled(tmp_path / "a") as a:
        pass
    shutil.copytree(a.folder, tmp_path / "b")
    with Collection.open(tmp_path / "a") as a, Collection.open(tmp_path / "b") as b:
        a.add(["new"], vectors(1, seed=1), modality="text")
        b.add(["new"], vectors(1, seed=2), modality="text")
        want = answers(b)
    for name in ("index.faiss", "index.json"):
        shutil.copy(tmp_path / "a" / name, tmp_path / "b" / name)
    with Collection.open(tmp_path / "b", read_only=True) as again:
        assert answers(again) == want
    assert "another history" in caplog.text


def test_the_log_is_forgotten_and_nothing_is_lost(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(items, "_LOG_ROWS", 20)
    with filled(tmp_path / "col", 10) as col:
        reader = Collection.open(col.folder, read_only=True)
        answers(reader)
        kept = (col.folder / "index.json", col.folder / "index.faiss")
        col.flush()
        old = [path.read_bytes() for path in kept]
        for round_ in range(30):
            col.add([round_ % 10], vectors(1, seed=round_), modality="text")
        col.flush()
        assert col._items.log_starts() == col._items.generation()
        want = answers(col)
        assert answers(reader) == want
        reader.close()
    for path, content in zip(kept, old, strict=True):
        path.write_bytes(content)
    with Collection.open(col.folder) as again:
        assert answers(again) == want
    damage_delete_both(col.folder)
    with Collection.open(col.folder) as again:
        assert answers(again) == want


def test_an_interrupted_change_of_the_index_is_not_seen(tmp_path: Path, monkeypatch):
    with filled(tmp_path / "col") as col:
        answers(col)
        with monkeypatch.context() as patch:
            patch.setattr(ExactIndex, "add", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                col.add(["x"], vectors(1, seed=3), modality="text")
        assert "x" in col  # it was committed, only not acknowledged
        assert answers(col) == rebuilt(col)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_many_blocks_give_the_same_index(tmp_path: Path, monkeypatch):
    with filled(tmp_path / "col") as col:
        want = answers(col)
    monkeypatch.setattr(items, "_BLOCK_BYTES", 4 * DIM * 7)
    damage_delete_both(col.folder)
    with Collection.open(col.folder, read_only=True) as again:
        assert answers(again) == want


@pytest.mark.parametrize("committed", ["before the reader looks", "while it reads"])
@pytest.mark.parametrize("step", ["file_digest", "read_json", "read_index", "samestat"])
@pytest.mark.parametrize("ask", [answers, of_text])
def test_a_reader_takes_no_index_for_another_that_a_writer_publishes_meanwhile(
    tmp_path: Path, monkeypatch, committed, step, ask
):
    """As many items before and after, so that nothing but the keys tells the indexes apart."""
    at = {"file_digest": hashlib, "samestat": os.path}.get(step, index_files)
    original = getattr(at, step)
    with filled(tmp_path / "col") as writer:
        writer.flush()
        old = ask(writer)

        def replace_all() -> None:
            writer.add(range(60), vectors(60, seed=1), modality="text")

        def publish_once(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(at, step, original)
            if committed == "while it reads":
                replace_all()
            writer.flush()
            return original(*arguments, **options)

        if committed == "before the reader looks":
            replace_all()
        monkeypatch.setattr(at, step, publish_once)
        with Collection.open(writer.folder, read_only=True) as reader:
            first, second = ask(reader), ask(reader)
            new = ask(writer)
            assert getattr(at, step) is original, "the writer never came between"
            assert second == new != old
            assert first == (old if committed == "while it reads" else new)


@pytest.mark.parametrize("step", ["file_digest", "read_json", "read_index", "samestat"])
def test_a_check_beside_a_writer_finds_no_damage(tmp_path: Path, monkeypatch, step):
    at = {"file_digest": hashlib, "samestat": os.path}.get(step, index_files)
    original = getattr(at, step)
    with filled(tmp_path / "col") as writer:
        writer.flush()

        def publish_once(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(at, step, original)
            writer.add(range(60), vectors(60, seed=1), modality="text")
            writer.flush()
            return original(*arguments, **options)

        monkeypatch.setattr(at, step, publish_once)
        assert check_collection(writer.folder) == []
        assert getattr(at, step) is original, "the writer never came between"


def test_a_check_finds_no_damage_where_the_log_is_cut_behind_it(tmp_path: Path, monkeypatch):
    """The writer moves on, and forgets what it did, between the check's index and its items."""
    monkeypatch.setattr(items, "_LOG_ROWS", 0)
    original = index_files.IndexFiles.read
    with filled(tmp_path / "col") as writer:
        writer.flush()

        def publish_after(self: Any) -> Any:
            monkeypatch.setattr(index_files.IndexFiles, "read", original)
            found = original(self)
            for seed in (1, 2):
                writer.add(range(60), vectors(60, seed=seed), modality="text")
                writer.flush()
            return found

        monkeypatch.setattr(index_files.IndexFiles, "read", publish_after)
        assert check_collection(writer.folder) == []
        assert index_files.IndexFiles.read is original, "the writer never came between"


def test_a_reader_keeps_the_file_that_it_has_open(tmp_path: Path):
    """Rows are a map of the file, which may be replaced and deleted, as the page says."""
    with filled(tmp_path / "col") as col, filled(tmp_path / "other", 30) as other:
        other.flush()
    with Collection.open(col.folder, read_only=True) as reader:
        want = answers(reader)
        assert not reader._engine.index.current()._flat.codes.is_owned
        os.replace(other.folder / "index.faiss", col.folder / "index.faiss")
        assert answers(reader) == want
        (col.folder / "index.faiss").unlink()
        assert answers(reader) == want


def test_an_index_that_is_replaced_without_end_is_made_again(tmp_path: Path, monkeypatch, caplog):
    with filled(tmp_path / "col") as col:
        want = answers(col)
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    with Collection.open(col.folder, read_only=True) as again:
        assert answers(again) == want
    assert "was replaced each of 5 times" in caplog.text


@pytest.mark.parametrize("name", ["index.faiss", "index.json"])
def test_a_file_of_an_index_that_was_deleted_is_no_damage(tmp_path: Path, name: str):
    with filled(tmp_path / "col") as col:
        pass
    (col.folder / name).unlink()
    assert check_collection(col.folder) == []


NAMES = st.sampled_from("abcdef")
KINDS = st.sampled_from(["text", "image"])
STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(NAMES, unique=True, max_size=5), KINDS),
    st.tuples(st.just("delete"), st.lists(NAMES, max_size=3), st.none() | KINDS),
    st.tuples(st.sampled_from(["reopen", "flush", "search", "kill_index", "stale_index"])),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=14), st.randoms(use_true_random=False))
def test_any_history_equals_a_dict(steps: list[Any], rng: random.Random):
    with tempfile.TemporaryDirectory() as name:
        history = History(Path(name) / "col")
        try:
            for step in steps:
                history.do(step, rng)
                check(history.col, history.model)
            assert answers(history.col) == rebuilt(history.col)
        finally:
            history.col.close()


class History:
    """A collection and the dict it must equal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.col = Collection.create(folder, space=SPACE)
        self.model: dict[Any, Any] = {}
        self.stale: dict[Path, bytes] = {}

    def do(self, step: Any, rng: random.Random) -> None:
        match step:
            case ("add", ids, modality):
                self.add(ids, modality, rng)
            case ("delete", ids, modality):
                gone = [k for k in self.model if k[0] in ids and modality in (None, k[1])]
                assert self.col.delete(ids, modality=modality) == len(gone)
                for key in gone:
                    del self.model[key]
            case ("flush",):
                self.col.flush()
                self.stale = {path: path.read_bytes() for path in self.folder.glob("index.*")}
            case ("search",):
                self.col.search(np.ones((1, DIM)))
            case (kind,):
                self.reopen(kind)

    def add(self, ids: list[str], modality: str, rng: random.Random) -> None:
        rows = np.array([[rng.randint(-2, 2) for _ in range(DIM)] for _ in ids])
        rows = rows.reshape(-1, DIM).astype(np.float32)
        payloads = [{"at": rng.randint(0, 3)} for _ in ids]
        self.col.add(ids, rows, modality=modality, payloads=payloads)
        for id_, row, payload in zip(ids, rows, payloads, strict=True):
            self.model.pop((id_, modality), None)
            self.model[id_, modality] = row, payload

    def reopen(self, kind: str) -> None:
        self.col.close()
        if kind == "kill_index":
            for path in self.folder.glob("index.*"):
                path.unlink()
        if kind == "stale_index":
            for path, content in self.stale.items():
                path.write_bytes(content)
        self.col = Collection.open(self.folder)


def check(col: Collection, model: dict[Any, Any]) -> None:
    assert len(col) == len(model)
    assert all((name in col) == any(key[0] == name for key in model) for name in "abcdef")
    for (id_, kind), (row, _) in model.items():
        np.testing.assert_array_equal(col.vectors([id_], kind)[0], row)
    query = np.array([1.0, 2.0, -1.0, 0.5])
    matching = [(key, row) for key, (row, payload) in model.items() if payload["at"] >= 1]
    scores = [
        np.float32(row @ query / (np.linalg.norm(row) or 1) / np.linalg.norm(query))
        for _, row in matching
    ]
    hits = col.search(query[None], k=3, where={"at": {"gte": 1}})
    np.testing.assert_allclose(hits.scores[0], sorted(scores, reverse=True)[:3], atol=1e-6)
    for id_, kind, payload in zip(hits.ids[0], hits.modalities[0], hits.payloads[0], strict=True):
        assert model[str(id_), str(kind)][1] == payload


WRITER = """
import sys, numpy as np
from commonspace.store.collection import Collection
folder, seed = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(seed)
col = Collection.open(folder)
print("ready", flush=True)
for step in range(10_000):
    batch = f"{seed}.{step}"
    ids = [f"{batch}.{i}" for i in range(30)] + [f"shared{i}" for i in range(5)]
    col.add(ids, rng.standard_normal((35, 4)), modality="text", payloads=[{"batch": batch}] * 35)
    print("added", batch, flush=True)
    if step % 3 == 2:
        gone = f"{seed}.{step - 1}"
        print("deleting", gone, flush=True)
        col.delete([f"{gone}.{i}" for i in range(30)])
        print("deleted", gone, flush=True)
    if step % 4 == 3:
        col.flush()
    if step % 5 == 4:
        col.search(np.ones((1, 4)))
"""


def test_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path):
    folder, rng = tmp_path / "col", random.Random(0)
    Collection.create(folder, space=SPACE).close()
    added, deleting, deleted, killed = set(), set(), set(), 0
    for seed in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        ) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
            time.sleep(0.1 + 0.4 * rng.random())
            writer.send_signal(signal.SIGKILL)
            killed += 1
            for line in writer.stdout.read().splitlines():
                verb, batch = line.split()
                {"added": added, "deleting": deleting, "deleted": deleted}[verb].add(batch)
        with Collection.open(folder, read_only=seed % 2 == 0) as col:
            check_after_kill(col, added, deleting, deleted)
    assert killed == 10 and len(added) > 20 and len(deleted) > 3


def check_after_kill(col: Collection, added: set, deleting: set, deleted: set) -> None:
    rows = col.search(np.ones((1, DIM)), k=10**6).rows()[0]
    found: dict[str, int] = {}
    for row in rows:
        if not row["id"].startswith("shared"):
            found[row["payload"]["batch"]] = found.get(row["payload"]["batch"], 0) + 1
    assert set(found.values()) <= {30}, "half a batch"
    assert added - deleting <= set(found), "an acknowledged batch is missing"
    assert not deleted & set(found), "an acknowledged delete is undone"
    assert len(rows) == len(col) and len(rows) == len({row["id"] for row in rows})
    assert answers(col) == rebuilt(col)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_kill_between_the_index_and_its_manifest_costs_nothing(tmp_path, monkeypatch, loaded):
    """Killed before the new file took its place, the old one is caught up, and nothing is wrong."""
    folder = tmp_path / "col"
    rows = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    with Collection.create(folder, space=Space.create(4), index="exact") as col:
        col.add(range(40), rows[:40], modality="text")
    for at in (40, 45):
        with monkeypatch.context() as patch, Collection.open(folder) as col:
            patch.setattr(index_files, "replace_file", lambda new, path: None)
            if loaded:
                col.search(rows[:1])
            col.compact()
            col.add(range(at, at + 5), rows[at : at + 5], modality="text")
            col.flush()
        assert check_collection(folder) == []
    monkeypatch.setattr(derived, "build_index", None)
    with Collection.open(folder, read_only=True) as col:
        assert len(col.search(rows[:1], k=99).ids[0]) == 50
