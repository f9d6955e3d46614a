"""Collections with every kind of index: what is there is found, and nothing else."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.index import choice
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.store import building, derived, wish
from commonspace.store.collection import Collection
from commonspace.store.copying import check_collection

DIM = 8
SPACE = Space.create(DIM)
KINDS: dict[str, dict[str, Any]] = {
    "ivf": {"n_lists": 8, "effort": 8},
    "hnsw": {"effort": 400},
    "codes4": {"bits": 16, "rerank": "float", "effort": 100},
    "codes": {"bits": 16},
    "binary": {"bits": 8},
}


@pytest.fixture(autouse=True)
def few_items_are_many(monkeypatch):
    monkeypatch.setattr(wish, "LEAST_ITEMS", 30)
    monkeypatch.setattr(derived, "_ALWAYS_WRITTEN", 30)


def vectors(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def filled(folder: Path, n: int = 300, **options: Any) -> Collection:
    col = Collection.create(folder, space=SPACE, **options)
    for at in range(0, n, 100):
        ids = range(at, at + 100)
        col.add(ids, vectors(100, seed=at), modality="text", payloads=[{"n": i} for i in ids])
    return col


def ids_of(col: Collection, k: int = 10**6, **options: Any) -> Any:
    return [sorted(row) for row in col.search(vectors(5, seed=99), k=k, **options).ids.tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_found_and_nothing_else(tmp_path: Path, kind):
    with filled(tmp_path / "col", index=kind, **KINDS[kind]) as col:
        assert col.index["kind"] == kind
        there = {str(i) for i in range(300)}
        assert ids_of(col) == [sorted(there)] * 5
        col.delete(range(0, 100, 3))
        col.add([1, 500], vectors(2, seed=5), modality="text")
        col.add([1], vectors(1, seed=6), modality="image")
        there = (there - {str(i) for i in range(0, 100, 3)}) | {"1", "500"}
        assert ids_of(col, modality="text") == [sorted(there)] * 5
        few = col.search(vectors(3), k=50, where={"n": {"lt": 20}})
        assert few.ids.shape == (3, len([i for i in range(2, 20) if i % 3]))
    with Collection.open(tmp_path / "col") as again:
        assert again.index["kind"] == kind and ids_of(again, modality="text") == [sorted(there)] * 5
    for path in (tmp_path / "col").glob("index.*"):
        path.unlink()
    with Collection.open(tmp_path / "col", read_only=True) as again:
        assert ids_of(again, modality="text") == [sorted(there)] * 5
    assert check_collection(tmp_path / "col") == []


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "codes4"])
def test_kinds_that_look_at_everything_answer_as_exact_search(tmp_path: Path, kind):
    with (
        filled(tmp_path / "a", index=kind, **KINDS[kind]) as col,
        filled(tmp_path / "b", index="exact") as exact,
    ):
        for options in ({}, {"where": {"n": {"gte": 250}}}):
            a, b = (c.search(vectors(9, seed=4), k=7, **options) for c in (col, exact))
            assert a.ids.tolist() == b.ids.tolist()
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


def test_few_items_are_searched_exactly_until_there_are_enough(tmp_path: Path):
    with Collection.create(tmp_path / "col", space=SPACE, index="ivf", n_lists=4) as col:
        col.add(range(20), vectors(20), modality="text")
        assert col.index["kind"] == "exact"
        col.add(range(20, 60), vectors(40, seed=1), modality="text")
        col.flush()
        assert col.index["kind"] == "ivf" and col.index["n_lists"] == 4


def test_the_automatic_kind_grows_with_the_items(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(choice, "_FEW_NUMBERS", 50 * DIM)
    monkeypatch.setattr(wish, "MOST_READ", 1.0)
    kinds = []
    memory = 300 * (4 * DIM + 17)
    with Collection.create(tmp_path / "col", space=SPACE, memory=memory) as col:
        for at in range(0, 400, 40):
            col.add(range(at, at + 40), vectors(40, seed=at), modality="text")
            col.flush()
            kinds.append(col.index["kind"])
    assert list(dict.fromkeys(kinds)) == ["exact", "ivf", "codes4"]
    with Collection.open(tmp_path / "col", read_only=True) as col:
        assert col.index["kind"] == "codes4"
        assert ids_of(col) == [sorted(map(str, range(400)))] * 5


def test_lists_that_would_be_read_in_large_part_give_way_to_exact_search(
    tmp_path: Path, monkeypatch
):
    """Noise of many dimensions has no near neighbours: to find them, most lists are read."""
    monkeypatch.setattr(choice, "_FEW_NUMBERS", 50 * 64)
    made = []
    original = building._tune
    monkeypatch.setattr(building, "_tune", lambda *a: (made.append(a[0].kind), original(*a)))

    def tried() -> int:
        return made.count("ivf")

    noise = np.random.default_rng(0).standard_normal((2100, 64))

    def kind_with(folder: Path, first: int, last: int, rows: Any) -> str:
        with Collection.open(folder) as col:
            col.add(range(first, last), rows[first:last], modality="text")
            col.flush()
            return str(col.index["kind"])

    for name in ("noise", "groups"):
        Collection.create(tmp_path / name, space=Space.create(64)).close()
    assert kind_with(tmp_path / "noise", 0, 400, noise) == "exact" and tried() == 1
    assert kind_with(tmp_path / "noise", 400, 700, noise) == "exact" and tried() == 1
    assert kind_with(tmp_path / "noise", 700, 1600, noise) == "exact" and tried() == 1
    # Well above four times as many: tried again.
    assert kind_with(tmp_path / "noise", 1600, 2100, noise) == "exact" and tried() == 2
    groups = np.repeat(np.eye(64)[:20], 30, axis=0) + 0.02 * noise[:600]
    assert kind_with(tmp_path / "groups", 0, 600, groups) == "ivf"


def test_small_changes_leave_the_files_behind_and_are_caught_up_with(tmp_path: Path, monkeypatch):
    with filled(tmp_path / "col", index="ivf", n_lists=4) as col:
        pass
    before = (col.folder / "index.faiss").stat().st_ino
    with Collection.open(col.folder) as col:
        col.add([1000], vectors(1, seed=7), modality="text")
        col.delete([5])
        want = ids_of(col)
    assert (col.folder / "index.faiss").stat().st_ino == before
    blocks = []
    original = derived.ItemTable.vectors_after

    def spy(self, key):
        for keys, rows in original(self, key):
            blocks.append(len(keys))
            yield keys, rows

    monkeypatch.setattr(derived.ItemTable, "vectors_after", spy)
    with Collection.open(col.folder) as again:
        assert ids_of(again) == want and blocks == [1]
        again.delete(range(100, 140))
    assert (col.folder / "index.faiss").stat().st_ino != before


def test_searches_and_writes_go_on_while_an_index_is_made(tmp_path: Path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    original = building._tune

    def slowly(index, items, wish_):
        begun.set()
        assert go_on.wait(20)
        original(index, items, wish_)

    with filled(tmp_path / "col", index="ivf", n_lists=4) as col:
        ids_of(col)
        col.delete(range(60))  # too few for the index to be made again by itself
        assert col.index["empty_slots"] == 60
        monkeypatch.setattr(building, "_tune", slowly)
        col.compact(wait=False)
        assert begun.wait(20)
        col.delete([299])
        col.add(["new"], vectors(1, seed=8), modality="text")
        there = sorted([*map(str, range(60, 299)), "new"])
        assert ids_of(col) == [there] * 5 and col.index["empty_slots"] == 61
        go_on.set()
        col._engine.index._builder.wait()
        assert ids_of(col) == [there] * 5
        assert col.index["empty_slots"] == 1  # the one that was deleted meanwhile
    assert check_collection(col.folder) == []


def test_a_write_that_meets_a_finished_index_loses_none_of_those_before(
    tmp_path: Path, monkeypatch
):
    begun, go_on = threading.Event(), threading.Event()
    original = building._tune

    def slowly(index, items, wish_):
        begun.set()
        assert go_on.wait(20)
        original(index, items, wish_)

    with filled(tmp_path / "col", index="ivf", n_lists=4) as col:
        ids_of(col)
        monkeypatch.setattr(building, "_tune", slowly)
        col.compact(wait=False)
        assert begun.wait(20)
        col.delete(range(10))
        col.add(["during"], vectors(1, seed=8), modality="text")
        go_on.set()
        col._engine.index._builder.wait()
        col.add(["after"], vectors(1, seed=9), modality="text")  # and no search in between
        assert ids_of(col) == [sorted([*map(str, range(10, 300)), "during", "after"])] * 5


def test_an_index_with_many_empty_slots_is_made_again_by_itself(tmp_path: Path):
    with filled(tmp_path / "col", index="hnsw") as col:
        ids_of(col)
        col.delete(range(150))
        assert col._engine.index._builder is not None
        col._engine.index._builder.wait()
        assert (
            col.index["empty_slots"] == 0 and ids_of(col) == [sorted(map(str, range(150, 300)))] * 5
        )


def test_an_index_that_cannot_be_made_leaves_the_old_one(tmp_path: Path, monkeypatch, caplog):
    def refuse(*_: Any) -> None:
        raise RuntimeError("no room")

    with filled(tmp_path / "col", index="hnsw") as col:
        want = ids_of(col)
        with monkeypatch.context() as patch:
            patch.setattr(building, "_tune", refuse)
            with caplog.at_level(logging.WARNING):
                col.compact()
        assert "no room" in caplog.text and ids_of(col) == want


def test_closing_stops_the_thread(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(building, "_STEP", 1)
    col = filled(tmp_path / "col", index="hnsw")
    ids_of(col)
    col.compact(wait=False)
    col.close()
    assert not [t for t in threading.enumerate() if t.name == "commonspace-index"]
    assert check_collection(col.folder) == []


def test_another_index_may_be_wished_for(tmp_path: Path):
    with filled(tmp_path / "col") as col:
        assert col.index["kind"] == "exact"
        col.set_index("hnsw", links=8, recall=0.9)
        assert col.index["kind"] == "hnsw" and col.index["links"] == 8
    with Collection.open(col.folder, read_only=True) as again:
        assert again.index["links"] == 8


@pytest.mark.parametrize(("kind", "bits"), [("codes", 8), ("codes4", 4)])
def test_a_quantizer_is_kept_with_the_truth(tmp_path: Path, kind, bits):
    labels = np.arange(200) % 5
    quantizer = Quantizer(16, bits, iterations=1, beam=2).fit(vectors(200, seed=3), labels)
    with filled(tmp_path / "col", index=kind, quantizer=quantizer) as col:
        hits = col.search(vectors(4), k=9)
        want = hits.ids.tolist(), hits.scores.tobytes()
    for path in col.folder.glob("index.*"):
        path.unlink()
    with Collection.open(col.folder, read_only=True) as again:
        hits = again.search(vectors(4), k=9)
        assert (hits.ids.tolist(), hits.scores.tobytes()) == want
        kept = again._engine.index.wish.quantizer
        np.testing.assert_array_equal(kept.D_, quantizer.D_)
        assert kept.beam == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": "ivf", "bits": 8}, "n_lists"),
        ({"index": "exact", "quantizer": Quantizer(8, 4).fit(vectors(40))}, "only the kinds"),
        ({"index": "codes", "quantizer": Quantizer(8, 4).fit(vectors(40))}, "words of 8 bits"),
        ({"index": "codes", "quantizer": Quantizer(8).fit(np.ones((9, 3)))}, "8 dimensions"),
        ({"recall": 3}, "recall"),
        ({"memory": 0}, "memory"),
    ],
)
def test_wishes_that_cannot_be_are_refused_before_anything_is_made(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        Collection.create(tmp_path / "col", space=SPACE, **options)
    assert not (tmp_path / "col").exists()
    with pytest.raises(NotFoundError, match="'hnsw'"):
        Collection.create(tmp_path / "col", space=SPACE, index="hnws")


def test_a_snapshot_is_a_collection_of_that_moment(tmp_path: Path):
    with filled(tmp_path / "col", index="ivf", n_lists=4) as col:
        col.flush()
        col.add(["late"], vectors(1, seed=9), modality="text")
        want = ids_of(col)
        col.snapshot(tmp_path / "deep" / "copy")
        col.delete(["late", "3"])
        with pytest.raises(StorageError, match="exists already"):
            col.snapshot(tmp_path / "deep" / "copy")
        with Collection.open(tmp_path / "deep" / "copy") as copy:
            assert ids_of(copy) == want and copy.index["kind"] == "ivf"
            copy.add(["more"], vectors(1), modality="text")
        assert ids_of(col) != want
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]
    assert check_collection(tmp_path / "deep" / "copy") == []
    with Collection.open(col.folder, read_only=True) as reader:
        reader.snapshot(tmp_path / "other")
    assert check_collection(tmp_path / "other") == []


def test_a_file_of_the_first_format_is_searched_exactly_and_brought_up(tmp_path: Path):
    with filled(tmp_path / "col", 100) as col:
        want = ids_of(col)
    execute(
        col.folder,
        "ALTER TABLE vectors DROP COLUMN crc",
        "UPDATE meta SET value = 1 WHERE name = 'format_version'",
        "DELETE FROM meta WHERE name IN ('index', 'quantizer')",
    )
    with Collection.open(col.folder, read_only=True) as old:
        assert ids_of(old) == want and old.index["kind"] == "exact"
    assert check_collection(col.folder) == []
    with Collection.open(col.folder) as new:
        new.add(["x"], vectors(1), modality="text")
        assert new.verify() == []
    execute(col.folder, "UPDATE vectors SET crc = 1 WHERE key = 101")
    assert len(check_collection(col.folder)) == 1


def flip_vector(folder: Path) -> None:
    flipped = bytes([1]) + vectors(100)[41].tobytes()[1:]
    execute(folder, ("UPDATE vectors SET vector = ? WHERE key = 42", (flipped,)))


def lose_vector(folder: Path) -> None:
    execute(folder, "DELETE FROM vectors WHERE key = 42")


def truncate_truth(folder: Path) -> None:
    cut(folder / "collection.sqlite", 0.5)


def truncate_index(folder: Path) -> None:
    cut(folder / "index.faiss", 0.9)


def flip_index(folder: Path) -> None:
    path = folder / "index.faiss"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def execute(folder: Path, *statements: Any) -> None:
    sql = sqlite3.connect(folder / "collection.sqlite")
    with sql:
        for statement in statements:
            sql.execute(*(statement if isinstance(statement, tuple) else (statement,)))
    sql.close()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (flip_vector, "item '41' of modality 'text' is not what was stored"),
        (lose_vector, "item '41' of modality 'text' has no vector"),
        (truncate_truth, "collection.sqlite"),
        (truncate_index, "index.faiss is damaged"),
        (flip_index, "index.faiss is damaged"),
    ],
)
@pytest.mark.parametrize("kind", ["exact", "codes4"])
def test_damage_is_named(tmp_path: Path, damage, named, kind):
    with filled(tmp_path / "col", index=kind) as col:
        pass
    assert check_collection(col.folder) == []
    damage(col.folder)
    problems = check_collection(col.folder)
    assert problems and named in " ".join(problems)


@pytest.mark.parametrize(
    ("table", "column", "named"),
    [
        ("vectors", "vector", "is not what was stored"),
        ("items", "payload", "is not what was stored"),
    ],
)
def test_a_value_that_damage_made_a_number_is_named(tmp_path: Path, table, column, named):
    with filled(tmp_path / "col") as col:
        pass
    execute(col.folder, f"UPDATE {table} SET {column} = 7 WHERE key = 41")
    assert named in " ".join(check_collection(col.folder))


def test_a_vector_that_damage_made_a_number_is_no_answer(tmp_path: Path):
    with filled(tmp_path / "col") as col:
        pass
    execute(col.folder, "UPDATE vectors SET vector = 7 WHERE key = 41")
    for file in ("index.faiss", "index.json"):
        (col.folder / file).unlink(missing_ok=True)
    with Collection.open(col.folder, read_only=True) as again:
        (id_,) = ids_of_key(again.folder, 41)
        with pytest.raises(StorageError, match="is damaged"):
            again.vectors([id_], "text")
        with pytest.raises(StorageError, match="is damaged"):
            again.search(np.ones((1, again.space.dim)), k=1)


def ids_of_key(folder: Path, key: int) -> list[str]:
    sql = sqlite3.connect(folder / "collection.sqlite")
    found = [id_ for (id_,) in sql.execute("SELECT id FROM items WHERE key = ?", (key,))]
    sql.close()
    return found


def test_an_index_of_other_items_is_named(tmp_path: Path):
    with filled(tmp_path / "col") as col:
        pass
    execute(col.folder, "DELETE FROM items WHERE key = 7", "DELETE FROM vectors WHERE key = 7")
    assert "300 of 299" in check_collection(col.folder)[0]
    shutil.rmtree(col.folder)
    with pytest.raises(NotFoundError, match="not a collection"):
        check_collection(col.folder)
