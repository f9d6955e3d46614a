from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commonspace.errors import (
    CommonspaceError,
    InputError,
    NotFoundError,
    SpaceMismatchError,
    StorageError,
)
from commonspace.space import Space
from commonspace.store.collection import Collection

DIM = 6
SPACE = Space.create(DIM, ["cat", "dog"])


def vectors(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def cosine(queries, x):
    queries, x = queries.astype(np.float64), x.astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return queries @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T


@pytest.fixture
def col(tmp_path: Path) -> Iterator[Collection]:
    with Collection.create(tmp_path / "col", space=SPACE) as collection:
        yield collection


# ---------------------------------------------------------------- search


@pytest.mark.parametrize("n_queries", [1, 40])
@pytest.mark.parametrize(
    ("modality", "where"),
    [
        (None, None),
        ("text", None),
        (["text", "audio"], None),
        (None, {"lang": "fr"}),
        ("image", {"lang": ["fr", "de"], "size": {"gte": 2, "lt": 9}}),
    ],
)
def test_search_equals_brute_force(col: Collection, n_queries, modality, where):
    x = vectors(300)
    kinds = np.array(["text", "image", "audio"])[np.arange(300) % 3]
    payloads = [{"lang": ["fr", "de", "en"][i % 7 % 3], "size": i % 11} for i in range(300)]
    for kind in ("text", "image", "audio"):
        rows = np.flatnonzero(kinds == kind)
        col.add(rows, x[rows], modality=kind, payloads=[payloads[r] for r in rows])
    gone = np.arange(0, 300, 5)
    assert col.delete(gone) == len(gone)
    alive = np.setdiff1d(np.arange(300), gone)
    names = [modality] if isinstance(modality, str) else modality
    keep = [
        r
        for r in alive
        if (names is None or kinds[r] in names)
        and (where is None or payloads[r]["lang"] in where["lang"])
        and (where is None or "size" not in where or 2 <= payloads[r]["size"] < 9)
    ]
    queries = vectors(n_queries, seed=1)
    scores = cosine(queries, x[keep])
    order = np.argsort(-scores, axis=1)[:, :15]
    hits = col.search(queries, k=15, modality=modality, where=where)
    np.testing.assert_array_equal(hits.ids, np.array(keep).astype(str)[order])
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, order, 1), atol=1e-6)
    assert hits.scores.dtype == np.float32 and len(hits) == n_queries
    best = keep[order[0, 0]]
    assert hits.modalities[0, 0] == kinds[best] and hits.payloads[0, 0] == payloads[best]


def test_fewer_matches_than_k_are_all_returned(col: Collection):
    col.add(["a", "b", "c"], vectors(3), modality="text", payloads=[{"n": 1}, {"n": 1}, {"n": 2}])
    assert col.search(vectors(2), k=10).ids.shape == (2, 3)
    assert col.search(vectors(2), k=10, where={"n": 1}).ids.shape == (2, 2)
    assert col.search(vectors(2), k=10, where={"n": 5}).payloads.shape == (2, 0)
    assert col.search(vectors(0).reshape(0, DIM), k=10).scores.shape == (0, 3)


def test_ties_go_to_the_older_item_and_replacing_makes_new(col: Collection):
    same = np.repeat(vectors(1), 4, axis=0)
    col.add(["d", "c", "b", "a"], same, modality="text")
    assert col.search(same[:1], k=3).ids.tolist() == [["d", "c", "b"]]
    col.add(["d"], same[:1], modality="text")
    assert col.search(same[:1], k=9).ids.tolist() == [["c", "b", "a", "d"]]


def test_pairs_replacing_and_deleting(col: Collection):
    x = vectors(4)
    col.add(["i", "j"], x[:2], modality="text", payloads=[{"v": 1}, None])
    col.add(["i"], x[2:3], modality="image")
    assert len(col) == 3 and col.modalities == {"image": 1, "text": 2}
    col.add(["i"], x[3:], modality="text", payloads=[{"v": 2}])
    assert len(col) == 3
    np.testing.assert_array_equal(col.vectors(["i"], "text"), x[3:])
    np.testing.assert_array_equal(col.vectors(["i"], "image"), x[2:3])
    assert col.search(x[3:], k=1).payloads[0, 0] == {"v": 2}
    assert "i" in col and "j" in col and "k" not in col
    assert col.delete(["i", "none"], modality="text") == 1 and "i" in col
    assert col.delete(["i", "i"]) == 1 and "i" not in col
    assert col.delete(["i"]) == 0 and len(col) == 1
    assert col.delete([]) == 0
    col.add([], np.empty((0, DIM)), modality="text")
    assert len(col) == 1


def test_vectors_come_back_to_the_bit_in_the_order_asked(col: Collection):
    x = np.array([[0.0, -0.0, 1e-45, 3e38, -1, 2**-126]] * 3, dtype=np.float32)
    x[:, 4] = [1, 2, 3]
    before = x.tobytes()
    col.add([10, 11, 12], x, modality="audio")
    got = col.vectors(["12", 10, "12"], "audio")
    assert got.dtype == np.float32 and got.tobytes() == x[[2, 0, 2]].tobytes()
    assert x.tobytes() == before
    assert col.vectors([], "audio").shape == (0, DIM)
    with pytest.raises(NotFoundError, match="'13'"):
        col.vectors(["10", "13"], "audio")
    with pytest.raises(NotFoundError, match="'10'"):
        col.vectors(["10"], "text")


def test_rows_are_json_and_payloads_are_not_shared(col: Collection):
    col.add(["a"], vectors(1), modality="text", payloads=[{"tags": ["x"], "n": None}])
    hits = col.search(vectors(2), k=1)
    hits.payloads[0, 0]["tags"].append("changed")
    assert hits.payloads[1, 0] == {"tags": ["x"], "n": None}
    rows = json.loads(json.dumps(col.search(vectors(1), k=1).rows()))
    assert rows[0][0]["id"] == "a" and rows[0][0]["payload"]["tags"] == ["x"]
    assert rows[0][0]["score"] == pytest.approx(1)


# ---------------------------------------------------------------- filters


PAYLOADS: list[dict[str, Any] | None] = [
    {"v": 1},
    {"v": 1.0},
    {"v": "1"},
    {"v": True},
    {"v": None},
    {},
    {"v": 2.5},
    {"v": ["1", 7, None]},
    {"v": {"w": "deep", "x y": 3}},
    {"v": False},
    None,
    {"v": "été 笑脸"},
    {"v": 0},
    {"v": []},
    {"v": 2**70},
]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({}, list(range(15))),
        ({"v": 1}, [0, 1]),
        ({"v": "1"}, [2, 7]),
        ({"v": True}, [3]),
        ({"v": False}, [9]),
        ({"v": None}, [4, 5, 7, 10]),
        ({"v": [1, "1"]}, [0, 1, 2, 7]),
        ({"v": {"in": (True, 2.5)}}, [3, 6]),
        ({"v": np.array([7, 8])}, [7]),
        ({"v": []}, []),
        ({"v": {"gte": 1, "lt": 2.5}}, [0, 1]),
        ({"v": {"gt": 1}}, [6, 7, 14]),
        ({"v": {"lte": np.float32(0)}}, [12]),
        ({"v": {"gte": "1", "lt": "2"}}, [2, 7]),
        ({"v": {"gt": 2**69}}, [14]),
        ({"v": 2**70}, [14]),
        ({"v.w": "deep"}, [8]),
        ({"v.x y": {"gt": 2}}, [8]),
        ({"v": "deep"}, []),
        ({"v": "été 笑脸"}, [11]),
        ({"v": "1", "w": None}, [2, 7]),
        ({"v": "1", "w": 3}, []),
        ({"' OR 1=1 --": 1}, []),
        ({"v": "' OR '1'='1"}, []),
        ({"v') OR 1=1 --": 1}, []),
        ({"v": {"gte": "') OR 1=1 --", "lt": "("}}, []),
        ({"v": ['x") OR 1=1 --', ":w0", "{kind}"]}, []),
        ({"{kind}": "{value}"}, []),
    ],
)
def test_where(col: Collection, where, rows):
    n = len(PAYLOADS)
    col.add(range(n), vectors(n), modality="text", payloads=PAYLOADS)
    hits = col.search(vectors(1), k=100, where=where)
    assert sorted(map(int, hits.ids[0])) == rows


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"a": {"near": 3}}, "unknown operator 'near'.*'gte'.*'in'"),
        ({"a": {}}, "no operator"),
        ({"a": {"gte": None}}, "number or a string"),
        ({"a": {"gte": True}}, "number or a string"),
        ({"a": {"in": "fr"}}, "expects a list"),
        ({"a": [[1]]}, "expected a string"),
        ({"a": object()}, "expected a string"),
        ({"a": float("nan")}, "finite"),
        ({"a": 10**400}, "finite"),
        ({"a": "\ud800"}, "Unicode"),
        ({"a": "b\0"}, "NUL"),
        ({'a"b': 1}, "quote"),
        ({"a\\b": 1}, "backslash"),
        ({"a..b": 1}, "field names"),
        ({"": 1}, "field names"),
        ({3: 1}, "field names"),
        ([("a", 1)], "mapping"),
        ({str(i): 1 for i in range(101)}, "at most 100"),
    ],
)
def test_wrong_where_is_named(col: Collection, where, message):
    col.add(["a"], vectors(1), modality="text")
    for search in (lambda: col.search(vectors(1), where=where), lambda: _text(col, where)):
        with pytest.raises(InputError, match=message):
            search()


def _text(col: Collection, where: Any) -> Any:
    return col.search_text("word", where=where)


def test_selections_are_not_remembered_beyond_a_write(col: Collection):
    col.add(["a"], vectors(1), modality="text", payloads=[{"n": 1}])
    assert col.search(vectors(1), where={"n": 1}).ids.tolist() == [["a"]]
    col.add(["b"], vectors(1, 3), modality="text", payloads=[{"n": 1}])
    assert col.search(vectors(1), where={"n": 1}).ids.tolist() == [["a", "b"]]
    col.delete(["a"])
    assert col.search(vectors(1), where={"n": 1}).ids.tolist() == [["b"]]
    for n in range(40):
        assert col.search(vectors(1), where={"n": n}).ids.size == (n == 1)


# ---------------------------------------------------------------- words


def test_words(col: Collection):
    texts = [
        {"name": "grinning cat", "lang": "en", "n": 3},
        {"name": "cat", "more": {"keywords": ["animal", "face"]}},
        {"name": "chat souriant à l'école", "lang": "fr"},
        {"name": "开心的猫笑脸", "lang": "zh"},
        {},
    ]
    col.add(range(5), vectors(5), modality="text", payloads=texts)
    col.add(["pic"], vectors(1), modality="image", payloads=[{"name": "grinning dog"}])

    def found(words: str, **options: Any) -> list[str]:
        hits = col.search_text(words, **options)
        assert hits.ids.shape == hits.scores.shape and len(hits) == 1
        assert (np.diff(hits.scores[0]) <= 0).all() and (hits.scores > 0).all()
        return hits.ids[0].tolist()

    assert found("grinning cat")[0] == "0" and set(found("GRINNING cat")) == {"0", "1", "pic"}
    assert found("grinning cat", k=1) == ["0"]
    assert found("grinning", modality="image") == ["pic"]
    assert found("cat", where={"lang": "en"}) == ["0"]
    assert found("keywords") == [] and found("animal") == ["1"] and found("ecole") == ["2"]
    assert found("笑脸") == ["3"] and found("猫") == ["3"] and found("脸笑") == []
    col.add([0], vectors(1), modality="text", payloads=[{"name": "gone"}])
    assert found("grinning") == ["pic"] and found("gone") == ["0"]
    col.delete(["0"])
    assert found("gone") == []


@pytest.mark.parametrize(
    "words",
    ["", " ", '"', '""', "AND", "cat OR", "NEAR(", "text:cat", "cat*", "^cat", "(((", "-cat",
     "a\0b", "\ud800", "😀", "'; DROP TABLE items; --", "{text} : x", "+", "cat " * 5000,
     "x" * 100_000, " ".join(map(str, range(3000)))],
)  # fmt: skip
def test_no_words_are_a_syntax_error(col: Collection, words):
    col.add(["a"], vectors(1), modality="text", payloads=[{"name": "cat"}])
    hits = col.search_text(words)
    assert hits.ids.tolist() == ([["a"]] if "cat" in words and ":" not in words else [[]])
    assert len(col) == 1


# ---------------------------------------------------------------- inputs and errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.add(["a"], vectors(2), modality="text"), "expected 2 ids, got 1"),
        (lambda c: c.add(["a", "a"], vectors(2), modality="text"), "'a' stands at more"),
        (lambda c: c.add("ab", vectors(2), modality="text"), "list of ids"),
        (lambda c: c.add(["a\0"], vectors(1), modality="text"), "NUL"),
        (lambda c: c.add([""], vectors(1), modality="text"), "empty"),
        (lambda c: c.add(["\ud800"], vectors(1), modality="text"), "row 0 is not valid Unicode"),
        (lambda c: c.add(["a"], vectors(1)[:, :5], modality="text"), "expected 6 features"),
        (lambda c: c.add(["a"], vectors(1) * np.nan, modality="text"), "row 0, column 0"),
        (lambda c: c.add(["a"], vectors(1), modality=""), "modality: expected a name"),
        (lambda c: c.add(["a"], vectors(1), modality=None), "modality: expected a name"),
        (
            lambda c: c.add(["a", "b"], vectors(2), modality="text", payloads=[{}, {"x": {1}}]),
            "payloads: row 1: expected what JSON can hold",
        ),
        (
            lambda c: c.add(["a"], vectors(1), modality="text", payloads=[{"x": float("nan")}]),
            "row 0",
        ),
        (lambda c: c.add(["a"], vectors(1), modality="text", payloads=[[1]]), "row 0.*mapping"),
        (lambda c: c.add(["a"], vectors(1), modality="text", payloads={}), "one mapping"),
        (lambda c: c.add(["a"], vectors(1), modality="text", payloads=[]), "list of 1 mappings"),
        (
            lambda c: c.add(["a"], vectors(1), modality="text", payloads=[{"x": "\ud800"}]),
            "payloads: row 0 is not valid Unicode",
        ),
        (lambda c: c.search(vectors(1), k=0), "k: expected"),
        (lambda c: c.search(vectors(1), k=2.5), "k: expected"),
        (lambda c: c.search(vectors(1)[0]), "matrix"),
        (lambda c: c.search(vectors(1), modality=[]), "at least one"),
        (lambda c: c.search_text(3), "a string"),
        (lambda c: c.delete("ab"), "list of ids"),
        (lambda c: c.set_metadata("m", {1, 2}), "metadata 'm'"),
        (lambda c: c.set_metadata("", 1), "name"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_stored(col: Collection, call, message):
    col.add(["kept"], vectors(1), modality="text")
    with pytest.raises(InputError, match=message):
        call(col)
    assert len(col) == 1 and col.search(vectors(1), k=5).ids.tolist() == [["kept"]]


def test_an_id_cannot_be_cut_at_a_nul(col: Collection):
    col.add(["ab"], vectors(1), modality="text")
    assert "ab\0c" not in col and "\ud800" not in col
    with pytest.raises(InputError, match="NUL"):
        col.delete(["ab\0c"])
    assert "ab" in col


def test_odd_but_valid_names(col: Collection):
    odd = ["'; DROP TABLE items; --", '"', "a b\n", "笑😀", "{}", "%s", ":ids", "null", "1", "[1]"]
    col.add(odd, vectors(len(odd)), modality="x'; DELETE FROM items; --")
    assert all(name in col for name in odd)
    hits = col.search(vectors(1), k=99, modality="x'; DELETE FROM items; --")
    assert sorted(hits.ids[0]) == sorted(odd)
    assert col.vectors(odd, "x'; DELETE FROM items; --").tobytes() == vectors(len(odd)).tobytes()
    assert col.delete(odd[:3]) == 3 and len(col) == len(odd) - 3


def test_unknown_modality_names_those_there(col: Collection):
    col.add(["a"], vectors(1), modality="image")
    for search in (col.search, lambda x, **o: col.search_text("x", **o)):
        with pytest.raises(NotFoundError, match=r"'imgae'.*Did you mean 'image'"):
            search(vectors(1), modality="imgae")


def test_another_space_is_refused(col: Collection):
    for other in (Space.create(DIM, ["cat", "dog"], seed=1), Space.create(DIM + 1)):
        with pytest.raises(SpaceMismatchError, match="space"):
            col.add(["a"], vectors(1), modality="text", space=other)
    col.add(["a"], vectors(1), modality="text", space=SPACE.with_classes(["bird"]))
    assert len(col) == 1


def test_the_space_is_kept(col: Collection):
    col.close()
    with Collection.open(col.folder) as again:
        assert again.space.fingerprint == SPACE.fingerprint
        assert again.space.classes == SPACE.classes
        assert again.space.basis.tobytes() == SPACE.basis.tobytes()


def test_a_close_that_fails_gives_the_lock_back(tmp_path, monkeypatch):
    made = Collection.create(tmp_path / "closing", space=Space.create(4))
    close = made._engine.items.close

    def fail() -> None:
        close()
        raise OSError("the disk is gone")

    monkeypatch.setattr(made._engine.items, "close", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        made.close()
    Collection.open(tmp_path / "closing").close()


def test_metadata(col: Collection):
    col.set_metadata("model", {"path": "ü", "scores": [1, None]})
    col.set_metadata("n", 1)
    col.set_metadata("n", 2)
    assert col.metadata == {"model": {"path": "ü", "scores": [1, None]}, "n": 2}
    col.close()
    with Collection.open(col.folder, read_only=True) as reader:
        assert reader.metadata["n"] == 2


def test_a_closed_collection_says_so(col: Collection):
    col.close()
    col.close()
    calls = [
        lambda: col.add(["a"], vectors(1), modality="text"),
        lambda: col.search(vectors(1)),
        lambda: col.search_text("a"),
        lambda: len(col),
        lambda: "a" in col,
        lambda: col.delete(["a"]),
        lambda: col.vectors(["a"], "text"),
        lambda: col.modalities,
        lambda: col.metadata,
        col.flush,
    ]
    for call in calls:
        with pytest.raises(StorageError, match="closed"):
            call()
    assert "closed" in repr(col)


def test_create_refuses_what_is_there(col: Collection, tmp_path: Path):
    with pytest.raises(StorageError, match="a collection already"):
        Collection.create(col.folder, space=SPACE)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(StorageError, match=r"thesis\.tex"):
        Collection.create(tmp_path / "other", space=SPACE)
    assert os.listdir(tmp_path / "other") == ["thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot make"):
        Collection.create(tmp_path / "file", space=SPACE)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / ".collection.sqlite.99.tmp").write_text("half")
    Collection.create(tmp_path / "cut" / "", space=SPACE).close()


def test_open_refuses_what_is_no_collection(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "absent"):
        for read_only in (False, True):
            with pytest.raises(NotFoundError, match="not a collection"):
                Collection.open(folder, read_only=read_only)
    assert os.listdir(tmp_path) == []
    (tmp_path / "collection.sqlite").write_bytes(b"hello" * 1000)
    for read_only in (False, True):
        with pytest.raises(StorageError, match=r"collection\.sqlite.*not a database"):
            Collection.open(tmp_path, read_only=read_only)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE meta SET value = 99 WHERE name = 'format_version'", "newer"),
        ("UPDATE meta SET value = 'photos' WHERE name = 'kind'", "not the file of a collection"),
        ("UPDATE meta SET value = zeroblob(144) WHERE name = 'basis'", "damaged"),
        ("UPDATE meta SET value = '{}' WHERE name = 'space'", "damaged"),
        ("DELETE FROM meta", "damaged"),
        ("DROP TABLE meta", "meta"),
    ],
)
def test_a_foreign_or_damaged_truth_is_named(col: Collection, change, message):
    col.close()
    _execute(col.folder, change)
    for read_only in (False, True):
        with pytest.raises(StorageError, match=message):
            Collection.open(col.folder, read_only=read_only)


def _execute(folder: Path, statement: str) -> None:
    sql = sqlite3.connect(folder / "collection.sqlite")
    sql.execute(statement)
    sql.commit()
    sql.close()


def test_a_stored_vector_of_another_length_is_named(col: Collection):
    col.add(["a", "b"], vectors(2), modality="text")
    col.close()
    _execute(col.folder, "UPDATE vectors SET vector = x'0000' WHERE key = 1")
    for path in col.folder.glob("index.*"):
        path.unlink()
    with (
        Collection.open(col.folder, read_only=True) as reader,
        pytest.raises(StorageError, match="damaged"),
    ):
        reader.search(vectors(1))


def test_pages_of_noise_never_show_a_bare_sqlite_error(col: Collection):
    col.add(range(500), vectors(500), modality="text", payloads=[{"n": "word"}] * 500)
    col.close()
    path = col.folder / "collection.sqlite"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(12):
        broken = bytearray(whole)
        at = int(rng.integers(1000, len(whole) - 5000))
        broken[at : at + 4000] = rng.bytes(4000)
        path.write_bytes(broken)
        try:
            with Collection.open(col.folder, read_only=True) as reader:
                reader.search(vectors(1), where={"n": "word"})
                reader.search_text("word")
                reader.vectors(range(500), "text")
        except CommonspaceError:
            pass


def test_a_full_disk_refuses_the_batch_and_keeps_the_rest(col: Collection):
    col.add(["kept"], vectors(1), modality="text")
    pages = col._items._sql.execute("PRAGMA page_count").fetchone()[0]
    col._items._sql.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(StorageError, match="full"):
        col.add(range(5000), vectors(5000), modality="text")
    assert len(col) == 1 and col.search(vectors(1), k=3).ids.tolist() == [["kept"]]
    col.add(["small"], vectors(1), modality="text")
    assert len(col) == 2


# ---------------------------------------------------------------- several at once


def test_a_second_writer_is_refused_and_told_who_writes(col: Collection):
    with pytest.raises(StorageError, match=rf"process {os.getpid()} on .*read_only=True"):
        Collection.open(col.folder)
    code = (
        "import sys; from commonspace.store.collection import Collection as C; C.open(sys.argv[1])"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(col.folder)], capture_output=True, text=True
    )
    assert other.returncode == 1 and f"open for writing by process {os.getpid()}" in other.stderr
    col.close()
    Collection.open(col.folder).close()


def test_readers_see_what_is_committed(col: Collection):
    with (
        Collection.open(col.folder, read_only=True) as early,
        Collection.open(col.folder, read_only=True) as other,
    ):
        assert len(early) == 0 and early.search(vectors(1)).ids.shape == (1, 0)
        x = vectors(50)
        col.add(range(50), x, modality="text", payloads=[{"n": i} for i in range(50)])
        assert len(early) == 50 and "7" in other
        assert early.search(x[7:8], k=1).ids[0, 0] == "7"
        col.delete([7])
        col.add([8], x[7:8], modality="text", payloads=[{"n": 8}])
        assert early.search(x[7:8], k=1).ids[0, 0] == "8"
        assert other.search(x[7:8], k=1, where={"n": 7}).ids.shape == (1, 0)
        col.flush()
        with Collection.open(col.folder, read_only=True) as late:
            for reader in (early, other, late):
                a, b = reader.search(x, k=9), col.search(x, k=9)
                np.testing.assert_array_equal(a.ids, b.ids)
                np.testing.assert_array_equal(a.scores, b.scores)
        with pytest.raises(StorageError, match="read_only"):
            early.add(["a"], x[:1], modality="text")
        for call in (early.flush, lambda: early.delete(["1"]), lambda: early.set_metadata("a", 1)):
            with pytest.raises(StorageError, match="read_only"):
                call()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_folder_without_write_access_can_be_read():
    code = """
import os, sys, numpy as np
from commonspace.store.collection import Collection
import faiss
os.chdir(sys.argv[1]); os.setuid(65534)
assert not os.access(".", os.W_OK)
with Collection.open(".", read_only=True) as col:
    assert col.search(np.ones((1, 6)), k=1).ids.shape == (1, 1)
try:
    Collection.open(".")
except Exception as error:
    assert "read_only=True" in str(error), error
"""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        col = Collection.create(Path(name) / "col", space=SPACE)
        col.add(["a"], vectors(1), modality="text")
        col.close()
        for path in col.folder.iterdir():
            path.chmod(0o444)
        col.folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", code, str(col.folder)], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr


def test_threads_take_turns(col: Collection):
    x = vectors(400)
    errors: list[BaseException] = []

    def write(part: int) -> None:
        try:
            for i in range(part, 400, 4):
                col.add([i], x[i : i + 1], modality="text")
                assert col.search(x[i : i + 1], k=1).ids[0, 0] == str(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(col) == 400
