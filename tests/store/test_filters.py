"""Conditions on payload fields against a predicate in Python, with and without an index."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.errors import InputError
from commonspace.space import Space
from commonspace.store.collection import Collection

FIELDS = ("a", "b.c", "it's")
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.just(1.5), st.sampled_from("xyé")
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.just({"z": 1}))
payloads = st.lists(
    st.fixed_dictionaries(
        {}, optional={"a": values, "b": st.one_of(scalars, st.fixed_dictionaries({"c": values})),
                      "it's": values}
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip
bounds = st.one_of(st.integers(-2, 2), st.just(0.5), st.sampled_from("xy"))
ranges = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds, min_size=1)
wanted = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    ranges,
    st.fixed_dictionaries({"in": st.lists(scalars, max_size=3)}),
)
leaves = st.dictionaries(st.sampled_from(FIELDS), wanted, max_size=2)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda x: {"$not": x}, inner),
        st.builds(lambda x: {"$or": x}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda x: {"$and": x}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda x, y: {"$not": x, **y}, inner, leaves),
    ),
    max_leaves=5,
)


def holds(where: Any, payload: Any) -> bool:
    for name, value in where.items():
        if name == "$not":
            fits = not holds(value, payload)
        elif name == "$or":
            fits = any(holds(part, payload) for part in value)
        elif name == "$and":
            fits = all(holds(part, payload) for part in value)
        else:
            there = payload
            for part in name.split("."):
                there = there.get(part) if isinstance(there, dict) else None
            elements = there if isinstance(there, list) else [there]
            fits = any(test(value, element) for element in elements)
        if not fits:
            return False
    return True


def test(value: Any, found: Any) -> bool:
    if isinstance(value, list):
        return any(same(one, found) for one in value)
    if not isinstance(value, dict):
        return same(value, found)
    return all(
        test(bound, found) if operator == "in" else in_range(operator, bound, found)
        for operator, bound in value.items()
    )


test.__test__ = False  # type: ignore[attr-defined]


def same(wanted: Any, found: Any) -> bool:
    return kind(wanted) == kind(found) and wanted == found


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def in_range(operator: str, bound: Any, found: Any) -> bool:
    if kind(found) != kind(bound):
        return False
    if operator == "gt":
        return bool(found > bound)
    if operator == "gte":
        return bool(found >= bound)
    return bool(found < bound if operator == "lt" else found <= bound)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Collection.create(tmp_path_factory.mktemp("all") / "col", space=Space.create(4)) as col:
        yield col


@settings(max_examples=60, deadline=None)
@given(payloads=payloads, wheres=st.lists(conditions, min_size=1, max_size=4), early=st.booleans())
def test_conditions_hold_as_in_python(shared, payloads, wheres, early):
    names = [str(row) for row in range(12)]
    rows = np.eye(len(payloads), 4, dtype=np.float32) + 0.1
    for field in FIELDS:
        shared.drop_index(field)
        if early:
            shared.create_index(field)
    shared.delete(names)
    shared.add(names[: len(payloads)], rows, modality="text", payloads=payloads)
    expected = [{n for n, p in zip(names, payloads, strict=False) if holds(w, p)} for w in wheres]

    def found() -> list[set[str]]:
        return [set(shared.search(rows[:1], k=20, where=w).ids.ravel().tolist()) for w in wheres]

    assert found() == expected
    for field in FIELDS:
        (shared.drop_index if early else shared.create_index)(field)
    shared._engine.selections._keys.clear()
    assert found() == expected


def test_an_indexed_field_is_looked_up(tmp_path: Path):
    with Collection.create(tmp_path / "col", space=Space.create(4)) as col:
        col.create_index("lang")
        col.create_index("lang")
        assert col.indexed_fields == ['$."lang"']
        condition, bound = col._engine.selections.condition({"lang": ["fr"], "size": {"gt": 3}})
    sql = sqlite3.connect(tmp_path / "col" / "collection.sqlite")
    plan = sql.execute(f"EXPLAIN QUERY PLAN SELECT key FROM items WHERE {condition}", bound)
    steps = [row[3] for row in plan]
    sql.close()
    assert any("fields_by_value (field=? AND kind=? AND value=?)" in step for step in steps), steps


def test_the_index_follows_replacing_and_deleting(tmp_path: Path):
    path = tmp_path / "col"
    with Collection.create(path, space=Space.create(4)) as col:
        col.create_index("tags")
        x = np.eye(3, 4, dtype=np.float32)
        col.add(["a", "b", "c"], x, modality="text", payloads=[{"tags": ["u", "v"]}, {}, None])
        col.add(["a"], x[:1], modality="text", payloads=[{"tags": ["w"]}])
        col.delete(["b"])
    sql = sqlite3.connect(path / "collection.sqlite")
    rows = sql.execute("SELECT kind, value FROM fields ORDER BY key").fetchall()
    sql.close()
    assert sorted(rows, key=json.dumps) == [("null", None), ("text", "w")]
    with Collection.open(path, read_only=True) as col:
        assert col.search(x[:1], where={"tags": "w"}).ids.tolist() == [["a"]]


def test_an_index_in_the_place_of_another_is_asked_anew(tmp_path: Path):
    x = np.eye(2, 4, dtype=np.float32)
    with Collection.create(tmp_path / "col", space=Space.create(4)) as col:
        given = [{"a": "fr", "b": "de"}, {"a": "de", "b": "fr"}]
        col.add(["one", "two"], x, modality="text", payloads=given)
        col.create_index("a")
        assert col.search(x[:1], where={"a": "fr"}).ids.tolist() == [["one"]]
        col.drop_index("a")
        col.create_index("b")
        assert col.search(x[:1], where={"b": "fr"}).ids.tolist() == [["two"]]
        assert col.search(x[:1], where={"a": "fr"}).ids.tolist() == [["one"]]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"$or": {}}, "expects a list of conditions"),
        ({"$and": []}, "expects a list of conditions"),
        ({"$not": 3}, "expected a mapping from field to value, got int"),
        ({"$or": [3]}, "expected a mapping from field to value, got int"),
        ({"$or": [{"a": 1}] * 120}, "at most 100 fields"),
        ({"$or": [{}] * 3000}, "at most 100 fields"),
    ],
)
def test_wrong_combinations_are_named(shared, where, message):
    with pytest.raises(InputError, match=message):
        shared.search(np.ones((1, 4)), where=where)


def test_conditions_in_one_another_have_a_bound(shared):
    where: Any = {"a": 1}
    for _ in range(40):
        where = {"$not": where}
    with pytest.raises(InputError, match="at most 20 conditions in one another"):
        shared.search(np.ones((1, 4)), where=where)
