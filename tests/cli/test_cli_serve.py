from __future__ import annotations

import sys

import pytest
from command_line import ran, run

from commonspace.service import KeyFile


def test_keys_are_made_listed_and_revoked(tmp_path):
    path = tmp_path / "keys.json"
    key = run("keys", "add", path, "ann").out.strip()
    made = ran("keys", "add", path, "bob", "--scope", "write")
    assert KeyFile(path).check(key).scope == "read"
    assert KeyFile(path).check(made["key"]).scope == "write"
    listed = ran("keys", "list", path)["keys"]
    assert [row["name"] for row in listed] == ["ann", "bob"] and "sha256" not in listed[0]
    done = run("keys", "revoke", path, listed[0]["id"])
    assert done.code == 0 and "ann" in done.out and KeyFile(path).check(key) is None
    assert key not in run("keys", "list", path).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("keys", "list", "{}/none.json"), "none.json"),
        (("keys", "add", "{}/keys.json", "ann", "--scope", "all"), "'write'"),
        (("keys", "revoke", "{}/keys.json", "ff"), "none.json"),
        (("serve", "{}/c", "--host", "0.0.0.0"), "needs keys"),
        (("serve", "{}/c", "--host", "0.0.0.0", "--keys", "{}/none.json"), "none.json"),
        (("serve", "{}/c", "{}/d/../c"), "same name"),
        (("serve", "{}/c", "--port", "0"), "is not a collection"),
    ],
)
def test_mistakes_are_named(arguments, words, tmp_path):
    filled = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    done = run(*filled)
    assert done.code == 2 and words.replace("none.json", "") in done.err, done.err
    assert "Traceback" not in done.err


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = run("serve", tmp_path)
    assert done.code == 2 and "commonspace[service]" in done.err


def test_serving_is_timed_beside_search_in_process():
    tiny = ("--items", 300, "--dim", 8, "--clients", 4, "--seconds", 0.4)
    told = ran("bench", "serve", *tiny)
    assert set(told) == {"bench", "machine", "load", "index", "rows", "ratios"}
    names = [row["name"] for row in told["rows"]]
    assert names[:3] == ["in process", "in process, 4 at a time", "service, 4 clients"]
    assert all(row["errors"] == 0 and row["calls"] > 0 for row in told["rows"])
    assert all(row["p50"] <= row["p95"] <= row["p99"] for row in told["rows"])
    served, single = told["rows"][2]["qps"], told["rows"][4]["qps"]
    assert told["ratios"]["batches_over_single"] == pytest.approx(served / single)
