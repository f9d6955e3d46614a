"""``index`` and ``search`` with an address in the place of a folder; what refuses one."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import ran, run

from commonspace.benchmarks import milvus
from commonspace.benchmarks.search import Problem
from commonspace.space import Space

pytest.importorskip("milvus_lite")


@pytest.fixture(scope="module")
def place(shop, tmp_path_factory):
    address = f"milvus+lite://{tmp_path_factory.mktemp('lite')}/items.db/items"
    made = ran("index", shop.model, shop.data, "--out", address, "--index", "exact")
    assert made["collection"] == address and made["index"]["milvus"] == "FLAT"
    for name in ("items", "modalities", "space", "added", "stale"):
        assert made[name] == shop.indexed[name]
    return address


def test_a_search_finds_what_it_finds_in_a_folder(shop, place):
    item = ran("search", shop.collection, "--lexical", "train")["hits"][0]["id"]
    for asked in (
        ("--item", f"image:{item}", "-k", 4),
        ("--item", f"image:{item}", "--each", 2, "--where", "split=train"),
        ("--item", f"image:{item}", "--item", f"text:{item}", "--in", "text"),
    ):
        mine, theirs = (ran("search", where, *asked) for where in (shop.collection, place))
        assert [hit["id"] for hit in mine["hits"]] == [hit["id"] for hit in theirs["hits"]]
        for here, there in zip(mine["hits"], theirs["hits"], strict=True):
            assert here["payload"] == there["payload"]
            assert here["score"] == pytest.approx(there["score"], abs=1e-5)


def test_index_goes_on_where_it_stopped(shop, place):
    again = ran("index", shop.model, shop.data, "--out", place)
    assert again["added"] == 0 and again["already_there"] == shop.indexed["items"]
    assert again["index"]["kind"] == "exact"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("check",), "a check for damage needs a collection in a folder"),
        (("serve",), "a service needs a collection in a folder"),
        (("map",), "a sample needs a collection in a folder"),
        (("search", "--lexical", "cat"), "no search by words"),
    ],
)
def test_what_cannot_be_had_is_refused(place, command, message):
    done = run(command[0], place, *command[1:])
    assert done.code == 2 and message in " ".join(done.err.split())


def test_codes_of_ours_are_not_learned_for_milvus(shop, place):
    done = run("index", shop.model, shop.data, "--out", place, "--codes")
    assert done.code == 2 and "Milvus Lite has no IVF_PQ" in " ".join(done.err.split())


def test_a_place_that_is_no_address_is_named(shop):
    done = run("index", shop.model, shop.data, "--out", "milvus://ann:secret@host")
    assert done.code == 2 and "expected milvus://HOST:PORT/NAME" in " ".join(done.err.split())
    assert "secret" not in done.err + done.out


def test_the_benchmark_fills_both_alike(monkeypatch):
    x = np.random.default_rng(0).standard_normal((125, 8)).astype(np.float32)
    problem = Problem(x[:120], None, x[120:], None, None, None, Space.create(8))  # type: ignore
    monkeypatch.setattr(milvus, "make_problem", lambda *_: problem)
    result = milvus.bench_milvus(sizes=[120], dim=8)
    mine, theirs = result["rows"]
    assert mine["where"] == "folder" and theirs["where"] == "milvus lite"
    assert theirs["same"] == 1.0 and mine["truth_bytes"] > 4 * 8 and theirs["disk_bytes"] > 4 * 8
