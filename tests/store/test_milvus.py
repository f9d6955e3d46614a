"""What is special to collections in Milvus, on Milvus Lite; what they share is in test_engines."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.data import Splits, make_dataset
from commonspace.errors import (
    InputError,
    MissingExtraError,
    NotFoundError,
    SpaceMismatchError,
    StorageError,
    UnsupportedError,
)
from commonspace.methods import Ridge
from commonspace.space import Space
from commonspace.store import pipelines
from commonspace.store.collection import Collection
from commonspace.store.conditions import parse_where
from commonspace.store.milvus import connection
from commonspace.store.milvus.address import TOKEN, parse_address
from commonspace.store.milvus.expressions import NEVER, compile_filter
from commonspace.store.milvus.index import build_parameters, search_parameters
from commonspace.store.milvus.terms import MAX_BOUND, digest, facts_of, sortable
from commonspace.store.models import save
from commonspace.store.wish import IndexWish

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")
grpc = pytest.importorskip("grpc")

DIM = 6
SPACE = Space.create(DIM, ["cat", "dog"])


def vectors(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def col(tmp_path_factory) -> Iterator[Collection]:
    file = tmp_path_factory.mktemp("milvus") / "items.db"
    with Collection.create(f"milvus+lite://{file}/items", space=SPACE, index="exact") as made:
        yield made


# ---------------------------------------------------------------- where it is


def test_addresses(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    plain = parse_address("milvus://db.example:1234/photos")
    assert (plain.uri, plain.name, plain.token) == ("http://db.example:1234", "photos", "")
    assert parse_address("milvus+tls://h/p").uri == "https://h:19530"
    assert parse_address("milvus://[::1]/p").uri == "http://[::1]:19530"
    lite = parse_address("milvus+lite:///data/a.db/photos")
    assert (lite.uri, lite.name, lite.lite) == ("/data/a.db", "photos", True)
    assert parse_address("milvus+lite://a.db/p").uri == str(Path("a.db").absolute())
    signed = parse_address("milvus+lite:///home/ann@host/a.db/p")
    assert signed.place == "milvus+lite:///home/ann@host/a.db/p"
    assert signed.uri == "/home/ann@host/a.db"
    given = parse_address("milvus://ann:s%40crét@h:1/p")
    assert given.token == "ann:s@crét" and given.place == "milvus://h:1/p"
    monkeypatch.setenv(TOKEN, "root:env")
    assert parse_address("milvus://h/p").token == "root:env"
    assert parse_address("milvus://bob:x@h/p").token == "bob:x"


@pytest.mark.parametrize(
    "place",
    [
        "milvus://",
        "milvus://host",
        "milvus:///name",
        "milvus://host:port/name",
        "milvus://host/a/name",
        "milvus://host/na-me",
        "milvus://host/9name",
        "milvus://host/photos__register",
        "milvus://ann:secret@host/na me",
        "milvus+lite:///folder/name",
        "http://host/name",
        "qdrant://host/name",
    ],
)
def test_what_is_no_address_is_named(place):
    for call in (lambda: Collection.open(place), lambda: Collection.create(place, space=SPACE)):
        with pytest.raises(InputError, match="expected") as caught:
            call()
        assert "secret" not in str(caught.value)


def test_no_message_shows_the_token(monkeypatch):
    monkeypatch.setattr(connection, "_TIMEOUT", 0.3)
    with pytest.raises(StorageError) as caught:
        Collection.open("milvus://ann:secret@127.0.0.1:1/photos")
    shown = f"{caught.value} {caught.value!r} {parse_address('milvus://ann:secret@h/p')!r}"
    assert "milvus://127.0.0.1:1/photos: Milvus says" in shown and "secret" not in shown


def test_a_model_of_another_space_is_told_without_the_token(monkeypatch):
    address = "milvus://ann:secret@db.example/photos"
    closed: list[bool] = []
    there = SimpleNamespace(
        space=SPACE, place=parse_address(address).place, close=lambda: closed.append(True)
    )
    monkeypatch.setattr(pipelines.Collection, "open", lambda _: there)
    splits = Splits({"train": make_dataset(n_items=12, dims={"image": 5}, seed=0)["train"]}, "tiny")
    model = Ridge(dim=8).fit(splits["train"])
    with pytest.raises(SpaceMismatchError) as caught:
        pipelines.index_dataset(model, splits, address)
    assert "milvus://db.example:19530/photos" in str(caught.value)
    assert "secret" not in str(caught.value) and closed == [True]


@pytest.mark.parametrize(("package", "extra"), [("pymilvus", "milvus"), ("milvus_lite", "milvus-")])
def test_a_missing_package_names_the_extra(monkeypatch, tmp_path, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"needs the package '{package}'.*\[{extra}"):
        Collection.create(f"milvus+lite://{tmp_path}/a.db/items", space=SPACE)


# ---------------------------------------------------------------- what payloads become

finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**63), 2**63 - 1)
near = st.sampled_from([2**53, 2**62, 2**63 - 1]).flatmap(lambda n: st.integers(n - 600, n))
numbers = st.one_of(finite, whole, near.filter(lambda n: n < 2**63), near.map(float))


@settings(max_examples=60, deadline=None)
@given(numbers, numbers)
def test_numbers_compare_as_their_strings_do(a, b):
    assert (sortable(a) < sortable(b)) == (a < b) and (sortable(a) == sortable(b)) == (a == b)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.text(max_size=20).filter(lambda t: len(t.encode()) <= MAX_BOUND))
def test_strings_compare_with_bounds_as_their_bytes_do(text, bound):
    for a, b in ((text, bound), (bound + text, bound)):
        order = (a.encode() > b.encode()) - (a.encode() < b.encode())
        mine = (sortable(a) > sortable(b)) - (sortable(a) < sortable(b))
        assert mine == order


def test_facts_of_a_small_payload_by_hand():
    facts = facts_of({"a": {"b": [3, None, True]}, "n": None}, "text", None)
    expected = {
        digest("modality", "text"),
        digest("encoder"),
        digest("present", "a"),
        digest("present", "a", "b"),
        digest("value", "number", sortable(3), "a", "b"),
        digest("value", "none", "None", "a", "b"),
        digest("value", "truth", "True", "a", "b"),
        digest("slot", "number", "0", "a", "b"),
    }
    assert set(facts.terms) == expected
    assert facts.values == {digest("slot", "number", "0", "a", "b"): sortable(3)}
    assert sortable(3) == f"c008{'0' * 12}0800"  # 3.0 is 4008... with its sign bit turned


SAFE = re.compile(
    r'(\(|\)| and | or |not |, |array_contains(_any)?\(terms, |\[|\]|values|( [<>]=? )|"[\w-]*")*'
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda t: all(t.split(".")) and t.isprintable()),
        st.one_of(st.text(), st.integers(), st.lists(st.text()), st.none()),
        max_size=3,
    ),
    st.lists(st.text(min_size=1), min_size=1, max_size=2),
)
def test_an_expression_is_made_of_digests_alone(where, modalities):
    try:
        condition = parse_where({"$not": {"$or": [where, {"x": {"gt": "a'\"", "lte": 3.5}}]}})
    except InputError:
        return
    assert SAFE.fullmatch(compile_filter(modalities, condition).expression)


def test_what_is_known_beforehand_is_not_asked():
    assert compile_filter(None, parse_where({})).expression == ""
    assert compile_filter(None, parse_where({"a": []})).expression == NEVER
    assert compile_filter(None, parse_where({"$not": {"a": []}})).expression == ""
    assert compile_filter(None, parse_where({"$not": {}})).expression == NEVER
    assert compile_filter(None, parse_where({"a": {"gt": 1, "lt": "b"}})).expression == NEVER
    both = parse_where({"$or": [{"a": []}, {"b": {"in": [1, 2, None], "gt": 5}}]})
    assert compile_filter(None, both).expression == NEVER


# ---------------------------------------------------------------- what Milvus does not do


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.search_text("word"), "has no search by words"),
        (lambda c: c.search(vectors(1), text="word"), "has no search by words"),
        (lambda c: c.snapshot("copy"), "has no snapshot"),
        (lambda c: c.verify(), "has no check for damage"),
        (lambda c: c.create_index("lang"), "every field is looked up"),
        (lambda c: c.folder, "use Collection.place"),
        (lambda c: c.set_index("exact", recall=0.9), "recall: Milvus tunes nothing"),
        (lambda c: c.set_index("exact", memory=10**9), "memory: Milvus tunes nothing"),
        (lambda c: c.set_index("binary"), "Milvus has no 'binary'"),
        (lambda c: c.set_index("codes4", bits=16), "Milvus Lite has no IVF_PQ"),
        (lambda c: c.search(vectors(1), where={"a": {"lt": "x" * 65}}), "first 64 bytes"),
    ],
)
def test_what_cannot_be_had_is_refused(col, call, message):
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        call(col)


def test_a_range_that_cannot_be_told_is_refused(col):
    col.add(["other"], vectors(1), modality="near")
    col.add(["long"], vectors(1), modality="list", payloads=[{"many": list(range(9))}])
    with pytest.raises(UnsupportedError, match="item 'long' holds more"):
        col.search(vectors(1), where={"many": {"gt": 3, "lt": 5}})
    for where in ({"many": {"gt": 7.5}}, {"many": {"lte": 0}}, {"many": {"in": [4], "gt": 3}}):
        assert col.search(vectors(1), where=where).ids.tolist() == [["long"]]
    assert col.search(vectors(1), where={"many": {"gt": 8}}).ids.size == 0
    assert col.search(vectors(1), modality="near", where={"many": {"gt": 3, "lt": 5}}).ids.size == 0
    col.delete(["long", "other"])


def test_what_is_too_large_is_named(col):
    with pytest.raises(InputError, match="'big': the payload has 70012 bytes; Milvus takes 65535"):
        col.add(["big"], vectors(1), modality="text", payloads=[{"long": "é" * 35_000}])
    many = {str(n): n for n in range(1400)}
    with pytest.raises(InputError, match="fields and values to filter on"):
        col.add(["big"], vectors(1), modality="text", payloads=[many])
    assert "big" not in col


def test_indexes_of_milvus():
    made = build_parameters(IndexWish("codes", options={"bits": 32}), 128, lite=False)
    assert made == ("IVF_PQ", {"nlist": 1024, "m": 4, "nbits": 8})
    made = build_parameters(IndexWish("codes4", options={"bits": 32}), 128, lite=False)
    assert made == ("IVF_PQ", {"nlist": 1024, "m": 8, "nbits": 4})
    hnsw = IndexWish("hnsw", options={"links": 8, "effort": 50})
    made = build_parameters(hnsw, 10, lite=True)
    assert made == ("HNSW", {"M": 8, "efConstruction": 80})
    assert search_parameters(hnsw, 10) == {"params": {"ef": 50}}
    assert search_parameters(hnsw, 100) == {"params": {"ef": 100}}
    assert search_parameters(IndexWish("ivf"), 10) == {}
    assert build_parameters(IndexWish(), 10, lite=True) == ("AUTOINDEX", {})
    with pytest.raises(InputError, match="has to divide 10; got 32"):
        build_parameters(IndexWish("codes", options={"bits": 32}), 10, lite=False)
    for effort in (0, 2.5, "many"):
        with pytest.raises(InputError, match="effort: expected a whole number from 1"):
            build_parameters(IndexWish("hnsw", options={"effort": effort}), 10, lite=True)
    with pytest.raises(InputError, match="no option 'links'; there is n_lists, effort"):
        build_parameters(IndexWish("ivf", options={"links": 8}), 10, lite=False)


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "auto"])
def test_approximate_indexes_find_an_item_by_itself(col, kind):
    x = vectors(50, seed=5)
    col.add(range(50), x, modality="near")
    col.set_index(kind, **({"n_lists": 4, "effort": 4} if kind == "ivf" else {}))
    hits = col.search(x, 1, modality="near")
    assert hits.ids.ravel().tolist() == list(map(str, range(50)))
    assert math.isclose(hits.scores.min(), 1, abs_tol=1e-5)
    col.set_index("exact")


# ---------------------------------------------------------------- processes

WRITER = """
import sys
import numpy as np
from commonspace.space import Space
from commonspace.store.collection import Collection
col = Collection.create(sys.argv[1], space=Space.create(6), index="exact")
for n in range(10_000):
    ids = [f"{n}-{row}" for row in range(5)]
    x = np.random.default_rng(n).standard_normal((5, 6))
    col.add(ids, x, modality="text", payloads=[{"n": n}] * 5)
    print(n, flush=True)
    if n % 4 == 3:
        col.delete([f"{n - 2}-0"])
        print(-(n - 2), flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path):
    place = f"milvus+lite://{tmp_path}/items.db/items"
    command = [sys.executable, "-c", WRITER, place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(12)]
        with pytest.raises(StorageError, match="is it open elsewhere"):
            Collection.open(place)
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    added, deleted = {n for n in told if n >= 0}, {-n for n in told if n < 0}
    assert len(added) > 7 and deleted
    with Collection.open(place) as col:
        for n in added:
            ids = [f"{n}-{row}" for row in range(5)]
            x = np.random.default_rng(n).standard_normal((5, 6)).astype(np.float32)
            there = ids[1:] if n in deleted or f"{n}-0" not in col else ids
            assert len(there) == 5 or n % 4 == 1
            np.testing.assert_array_equal(col.vectors(there, "text"), x[5 - len(there) :])
            found = col.search(x[-1:], 1, where={"n": n})
            assert found.ids.tolist() == [[ids[-1]]]
        assert all(f"{n}-0" not in col for n in deleted)
        col.add(["after"], vectors(1), modality="text")
        assert "after" in col


def test_a_creation_that_was_cut_off_begins_again(tmp_path: Path, monkeypatch):
    from commonspace.store.milvus import engine

    place = f"milvus+lite://{tmp_path}/items.db/items"

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_create_items", cut)
        with pytest.raises(KeyboardInterrupt):
            Collection.create(place, space=SPACE)
    with pytest.raises(NotFoundError, match="none of this name that commonspace made"):
        Collection.open(place)
    with Collection.create(place, space=SPACE) as col:
        assert len(col) == 0 and not os.path.exists("items.db")


def test_an_index_that_fails_leaves_the_one_there_was(col, monkeypatch):
    x = vectors(5, seed=6)
    col.add(range(5), x, modality="kept")
    client, made = col._engine._call.client, []
    create = client.create_index

    def fail_once(*args: Any, **options: Any) -> Any:
        made.append(options["timeout"])
        if len(made) == 1:
            raise Refusal
        return create(*args, **options)

    monkeypatch.setattr(client, "create_index", fail_once)
    with pytest.raises(StorageError, match="Milvus says 'no such right'"):
        col.set_index("hnsw")
    assert len(made) == 2 and min(made) > 3600 and col._engine.describe_index()["kind"] == "exact"
    assert col.search(x, 1, modality="kept").ids.ravel().tolist() == list("01234")
    col.set_index("exact")
    assert len(made) == 2
    col.delete(range(5), modality="kept")


class Refusal(grpc.RpcError):
    """What pymilvus hands on as it is."""

    def details(self) -> str:
        return "no such right"


@pytest.mark.parametrize("error", [Refusal, grpc.FutureTimeoutError])
def test_what_grpc_refuses_is_said_in_our_words(col, monkeypatch, error):
    asked: list[Any] = []

    def refuse(*_: Any, **options: Any) -> None:
        asked.append(options["timeout"])
        raise error

    monkeypatch.setattr(col._engine._call.client, "query", refuse)
    with pytest.raises(StorageError, match=r"Milvus says '(no such right|FutureTimeoutError)'"):
        len(col)
    assert len(asked) == 1 and 0 < asked[0] < 600


@pytest.mark.parametrize("error", [Refusal, KeyboardInterrupt])
def test_a_connection_that_fails_gives_the_file_back(tmp_path: Path, monkeypatch, error):
    import pymilvus

    def refuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr(pymilvus, "MilvusClient", refuse)
    with pytest.raises(StorageError if error is Refusal else KeyboardInterrupt):
        Collection.create(f"milvus+lite://{tmp_path}/a.db/items", space=SPACE)
    assert str(tmp_path / "a.db") not in connection._lite_users


def test_an_address_keeps_no_path_of_this_machine(col, tmp_path: Path):
    place = f"{col.place.rpartition('/')[0]}/shared"
    splits = Splits({"train": make_dataset(n_items=12, dims={"image": 5}, seed=0)["train"]}, "tiny")
    model = Ridge(dim=8).fit(splits["train"])
    save(model, tmp_path / "model")
    with pipelines.index_dataset(model, splits, place, model_folder=tmp_path / "model") as made:
        record = made.metadata["model"]
        assert record["modalities"] and str(tmp_path) not in str(record)
        with pytest.raises(NotFoundError, match="does not say where its model is"):
            pipelines.model_of(made)
        assert pipelines.model_of(made, model_folder=tmp_path / "model").modalities == ("image",)


def test_a_collection_of_others_is_not_taken_for_a_register(col):
    place = f"{col.place.rpartition('/')[0]}/taken"
    call = col._engine._call
    call("create_collection", "taken__register", dimension=4)
    call("insert", "taken__register", [{"id": 1, "vector": [0.0, 1.0, 2.0, 3.0]}])
    with pytest.raises(StorageError, match=r"'taken__register', and .* did not make"):
        Collection.create(place, space=SPACE)
    assert call.count("taken__register") == 1


def test_the_plan_of_the_page_is_what_its_formula_gives(capsys):
    page = (Path(__file__).parents[2] / "docs" / "milvus.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(from math.*?)```", page, re.DOTALL)
    exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 and all(f"\n{line}\n" in page for line in printed)
