"""The contract of a collection: in a folder and in Milvus, the same calls give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_filters import conditions, holds, payloads

from commonspace.errors import (
    InputError,
    NotFoundError,
    SpaceMismatchError,
    StorageError,
    UnsupportedError,
)
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.matching import MatchCalibration
from commonspace.store.milvus.connection import Connection

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

DIM = 6
SPACE = Space.create(DIM, ["cat", "dog"], seed=3)
LITE = "milvus+lite://{}/items.db/{}"
numbers = count()


def vectors(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Iterator[Path]:
    """A folder whose file of Milvus Lite stays open, for starting it takes seconds."""
    folder = tmp_path_factory.mktemp("engines")
    with Collection.create(LITE.format(folder, "kept_open"), space=SPACE):
        yield folder


def place(root: Path, kind: str) -> str:
    name = f"c{next(numbers)}"
    return str(root / name) if kind == "folder" else LITE.format(root, name)


@pytest.fixture(params=["folder", "milvus"])
def col(request, root) -> Iterator[Collection]:
    with Collection.create(place(root, request.param), space=SPACE, index="exact") as made:
        yield made


def fill(collection: Collection) -> None:
    """240 items of three modalities; ids are shared, so that they are pairs."""
    x, langs = vectors(240), ["fr", "de", "en"]
    for number, name in enumerate(("text", "image", "audio")):
        rows = range(number, 240, 3)
        given = [{"lang": langs[r % 7 % 3], "n": r % 11, "tags": [r % 2, r % 5]} for r in rows]
        ids = [r // 3 for r in rows]
        encoder = "e" if name == "text" else None
        collection.add(ids, x[list(rows)], modality=name, payloads=given, encoder=encoder)
    collection.delete(range(0, 80, 9))
    collection.delete([1, 2], modality="text")
    collection.add([7], x[:1], modality="image", payloads=[{"n": 100}])


@pytest.fixture(scope="module")
def both(root) -> Iterator[list[Collection]]:
    made = [
        Collection.create(place(root, kind), space=SPACE, index="exact")
        for kind in ("folder", "milvus")
    ]
    for collection in made:
        fill(collection)
        collection.calibrate(CALIBRATION)
    yield made
    for collection in made:
        collection.close()


RISING = (np.array([-1.0, 0.0, 1.0]), np.array([0.0, 0.1, 0.9]))
STEEP = (np.array([-1.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0]))
NAMES = ("text", "image", "audio")
CALIBRATION = MatchCalibration({(q, g): RISING if q == g else STEEP for q in NAMES for g in NAMES})


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"k": 300},
        {"k": 3, "modality": "text"},
        {"k": 9, "modality": ["audio", "image"]},
        {"k": 9, "where": {"lang": ["fr", "de"], "n": {"gte": 2, "lt": 9}}},
        {"k": 9, "where": {"$not": {"lang": "fr"}}, "modality": "image"},
        {"k": 9, "where": {"tags": {"gt": 2}}},
        {"k": 9, "where": {"lang": "nowhere"}},
        {"k": 9, "where": {"lang": None}},
        {"k": 5, "offset": 7},
        {"per_modality": 4},
        {"per_modality": 4, "where": {"n": 3}, "offset": 2},
        {"k": 12, "query_modality": "text"},
        {"k": 12, "query_modality": "text", "match": False},
        {"k": None, "query_modality": "image", "at_least": 0.6},
        {"per_modality": 3, "query_modality": "text", "match": True},
    ],
    ids=str,
)
def test_searches_give_the_same_answers(both, asked):
    queries = vectors(3, seed=1)
    mine, theirs = (collection.search(queries, **asked) for collection in both)
    assert_same(mine, theirs)
    if asked.get("where") != {"lang": "nowhere"} and asked.get("where") != {"lang": None}:
        assert mine.found.any()


def assert_same(mine: Any, theirs: Any) -> None:
    np.testing.assert_array_equal(mine.ids, theirs.ids)
    np.testing.assert_array_equal(mine.modalities, theirs.modalities)
    np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-5)
    assert mine.payloads.tolist() == theirs.payloads.tolist()


@pytest.mark.parametrize(
    ("asked", "trips"),
    [
        ({}, ["search"]),
        ({"modality": "text"}, ["query", "search"]),
        # The calibration, the names of the modalities, and each of these.
        ({"query_modality": "text"}, ["get", "query", *["search"] * 3]),
        ({"query_modality": "text", "modality": NAMES[:2]}, ["get", "query", *["search"] * 2]),
        ({"query_modality": "text", "k": None, "at_least": 0.6}, ["get", "query"]),
        ({"per_modality": 2}, ["query", *["search"] * 3]),
    ],
    ids=str,
)
def test_a_search_asks_a_cluster_everything_once(both, monkeypatch, asked, trips):
    called: list[str] = []
    original = Connection.__call__

    def counting(self: Connection, method: str, *args: Any, **options: Any) -> Any:
        called.append(method)
        return original(self, method, *args, **options)

    monkeypatch.setattr(Connection, "__call__", counting)
    both[1].search(vectors(1, seed=1), **asked)
    if "at_least" in asked:  # which searches ever deeper
        called = [method for method in called if method != "search"]
    assert sorted(called) == trips


def test_examples_and_stored_things_are_the_same(both):
    examples = [("text", "5"), ("image", "8")]
    for asked in ({}, {"weights": [1, -0.5]}, {"modality": "audio", "k": 3}, {"per_modality": 2}):
        assert_same(*(collection.search_like(examples, **asked) for collection in both))
    mine, theirs = both
    assert len(mine) == len(theirs) > 200
    assert mine.modalities == theirs.modalities and mine.encoders == theirs.encoders
    assert mine.space.fingerprint == theirs.space.fingerprint == SPACE.fingerprint
    assert mine.space.basis.tobytes() == theirs.space.basis.tobytes()
    ids = ["7", "5", "0", "none", "1"]
    assert mine.get(ids) == theirs.get(ids) and mine.get(ids, "text") == theirs.get(ids, "text")
    assert mine.payloads(["7", "5"], "image") == theirs.payloads(["7", "5"], "image")
    stored = [collection.vectors([7, 5, 7], "image").tobytes() for collection in both]
    assert stored[0] == stored[1]
    for id_ in (5, "5", 0, "none", None):
        assert (id_ in mine) == (id_ in theirs)
    assert mine.metadata == theirs.metadata
    assert mine._items.made_by_others("audio", "e") == sorted(  # each in an order of its own
        theirs._items.made_by_others("audio", "e"), key=int
    )
    assert theirs._items.made_by_others("text", "e") == []


# Beside those of the embedded collection: values that a parser of expressions could stumble over.
strange = st.sampled_from(
    ['"', "'", "\\", '") or true or ("', "a\nb", "%", "_", "{x}", "€", "\u2028", "😀", "x" * 70]
)
edges = st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -0.0, 0.1, 1e308, -1e-300])
values = st.one_of(strange, edges)
extra = st.lists(
    st.fixed_dictionaries({}, optional={"a": st.one_of(values, st.lists(values, max_size=3))}),
    min_size=1,
    max_size=6,
)
bounds = st.one_of(edges, st.sampled_from(['"', "a", "x" * 64, "€", "\\"]))
leaves = st.one_of(
    st.fixed_dictionaries({"a": values}),
    st.fixed_dictionaries({"a": st.lists(values, min_size=1, max_size=3)}),
    st.fixed_dictionaries(
        {"a": st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds, min_size=1)}
    ),
)
harder = st.one_of(leaves, st.builds(lambda x: {"$not": x}, leaves))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    filled=st.one_of(payloads, extra),
    wheres=st.lists(st.one_of(conditions, harder), min_size=1, max_size=6),
)
def test_filters_hold_for_the_same_items(pair, filled, wheres):
    names = [str(row) for row in range(12)]
    rows = vectors(len(filled))
    for collection in pair:
        collection.delete(names)
        collection.add(names[: len(filled)], rows, modality="text", payloads=filled)
    for where in wheres:
        found = [set(c.search(rows[:1], 20, where=where).ids.ravel().tolist()) for c in pair]
        assert found[0] == found[1], where
        assert found[1] == {n for n, p in zip(names, filled, strict=False) if holds(where, p)}


@pytest.fixture(scope="module")
def pair(root) -> Iterator[list[Collection]]:
    made = [
        Collection.create(place(root, kind), space=SPACE, index="exact")
        for kind in ("folder", "milvus")
    ]
    yield made
    for collection in made:
        collection.close()


@pytest.mark.parametrize(
    "text",
    ['"]) or array_contains_any(terms, ["', '" or true or "', "' or 1 == 1", "\\", '\\"', "a\tb"],
)
def test_nothing_that_is_written_becomes_a_condition(col, text):
    col.add(["a", text, "c"], vectors(3), modality=text, payloads=[{}, {text: text, "v": text}, {}])
    assert text in col and "b" not in col
    assert [item["id"] for item in col.get([text])] == [text]
    hits = col.search(vectors(1), where={"v": text}, modality=text)
    assert hits.ids.tolist() == [[text]] and hits.modalities.tolist() == [[text]]
    assert col.search(vectors(1), where={"v": {"gte": text}}).ids.tolist() == [[text]]
    assert col.search(vectors(1), where={"v": f"{text}x"}).ids.size == 0
    assert col.search_like([(text, "a")], 5, where={"$not": {"v": text}}).ids.tolist() == [["c"]]
    assert col.delete([text]) == 1 and len(col) == 2
    assert col.delete(['" or "" == "', "%"]) == 0 and len(col) == 2


def test_pairs_replacing_and_deleting(col):
    x = vectors(4)
    col.add(["i", "j"], x[:2], modality="text", payloads=[{"v": 1}, None])
    col.add(["i"], x[2:3], modality="image")
    col.add(["i"], x[3:], modality="text", payloads=[{"v": 2}])
    assert len(col) == 3 and col.modalities == {"image": 1, "text": 2}
    np.testing.assert_array_equal(col.vectors(["i"], "text"), x[3:])
    assert col.search(x[3:], k=1).payloads[0, 0] == {"v": 2}
    assert col.search(x[:1], where={"v": 1}).ids.size == 0
    assert col.delete(["i", "none"], modality="text") == 1 and "i" in col
    assert col.delete(["i", "i"]) == 1 and "i" not in col
    assert col.delete(["i"]) == 0 and col.delete([]) == 0
    col.add([], np.empty((0, DIM)), modality="text")
    assert len(col) == 1
    assert col.search(np.empty((0, DIM)), k=3).ids.shape[0] == 0


def test_payloads_and_vectors_come_back_as_they_were(col):
    x = np.array([[0.0, -0.0, 1e-45, 3e18, -1, 2**-126], [0] * 6], dtype=np.float32)
    given = {"é": ["笑", None, 1.5, {"deep": [2**70, -1]}], "t": "a\u2028\n", "": 0}
    col.add(["a", "b"], x, modality="text", payloads=[given, None])
    assert col.payloads(["b", "a"], "text") == [{}, given]
    assert col.vectors(["a", "b"], "text").tobytes() == x.tobytes()
    col.set_metadata("long", "é" * 40_000)
    col.set_metadata("long", "short")
    assert col.metadata == {"long": "short"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: c.add(["a"], vectors(2), modality="text"), InputError, "expected 2 ids, got 1"),
        (lambda c: c.add(["a", "a"], vectors(2), modality="text"), InputError, "more than one"),
        (lambda c: c.add(["a"], vectors(1)[:, :5], modality="text"), InputError, "6 features"),
        (lambda c: c.add(["a"], vectors(1), modality=""), InputError, "expected a name"),
        (
            lambda c: c.add(["a"], vectors(1), modality="t", payloads=[{"x": np.nan}]),
            InputError,
            "JSON",
        ),
        (
            lambda c: c.add(["a"], vectors(1), modality="t", space=Space.create(DIM, seed=8)),
            SpaceMismatchError,
            "expected vectors of space",
        ),
        (lambda c: c.search(vectors(1)[:, :2]), InputError, "6 features"),
        (lambda c: c.search(vectors(1), k=0), InputError, "k: expected"),
        (lambda c: c.search(vectors(1), modality="nix"), NotFoundError, "no modality named 'nix'"),
        (lambda c: c.search(vectors(1), where={"a": {"near": 3}}), InputError, "unknown operator"),
        (lambda c: c.search(vectors(1), offset=-1), InputError, "offset"),
        (lambda c: c.vectors(["nix"], "t"), NotFoundError, "no item 'nix'"),
        (lambda c: c.search_like([("t", "nix")]), NotFoundError, "no item 'nix'"),
        (lambda c: c.set_index("nix"), (InputError, NotFoundError, UnsupportedError), "nix"),
    ],
)
def test_mistakes_are_named_the_same(col, call, error, message):
    with pytest.raises(error, match=message):
        call(col)
    assert len(col) == 0


def test_what_is_open_and_what_is_not(root, col):
    again = col.place
    with pytest.raises(StorageError, match="holds a collection already"):
        Collection.create(again, space=SPACE)
    col.add(["a"], vectors(1), modality="text")
    col.set_index("exact")
    col.flush()
    col.close()
    col.close()
    with pytest.raises(StorageError, match="is closed"):
        col.search(vectors(1))
    with Collection.open(again, read_only=True) as reader:
        assert reader.search(vectors(1)).ids.tolist() == [["a"]] and "read-only" in repr(reader)
        assert reader.index["kind"] == "exact" and reader.index["items"] == 1
        with pytest.raises(StorageError, match="read_only=True"):
            reader.add(["b"], vectors(1), modality="text")
    with pytest.raises(NotFoundError, match="is not a collection"):
        Collection.open(f"{again}x")
