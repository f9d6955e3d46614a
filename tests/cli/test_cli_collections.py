"""``index --index``, ``check`` and the benchmarks of search and ingest, on small data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import ran, run

from commonspace.benchmarks import ingest, search
from commonspace.methods import Ridge
from commonspace.store import wish


@pytest.fixture
def few_items_are_many(monkeypatch):
    monkeypatch.setattr(wish, "LEAST_ITEMS", 20)


@pytest.mark.parametrize(
    ("options", "kind", "more"),
    [
        ((), "exact", {}),
        (("--index", "ivf", "--recall", 0.9), "ivf", {}),
        (("--index", "hnsw"), "hnsw", {"links": 16}),
        (("--codes", "--bits", 16), "codes4", {"bits": 16}),
        (("--index", "codes"), "codes", {"bits": 32}),
    ],
)
def test_index_makes_the_kind_that_is_named(
    shop, tmp_path, few_items_are_many, options, kind, more
):
    found = ran("index", shop.model, shop.data, "--out", tmp_path / "col", *options)
    assert found["index"]["kind"] == kind and found["index"].items() >= more.items()
    assert found["index"]["items"] == found["items"]
    assert ran("check", tmp_path / "col") == {
        "collection": str(tmp_path / "col"),
        "ok": True,
        "problems": [],
    }
    again = ran("index", shop.model, shop.data, "--out", tmp_path / "col")
    assert again["index"]["kind"] == kind and again["added"] == 0


def test_check_names_what_is_damaged(shop, tmp_path: Path):
    ran("index", shop.model, shop.data, "--out", tmp_path / "col")
    path = tmp_path / "col" / "index.faiss"
    path.write_bytes(path.read_bytes()[:-1])
    done = run("check", tmp_path / "col")
    assert done.code == 2 and "index.faiss is damaged" in done.out.replace("\n", " ")
    assert run("check", tmp_path).code == 2


def test_wrong_kinds_are_named(shop, tmp_path: Path):
    done = run("index", shop.model, shop.data, "--out", tmp_path / "col", "--index", "hnws")
    assert done.code == 2 and "'hnsw'" in done.err


@pytest.fixture
def tiny(monkeypatch, splits, tmp_path: Path) -> Path:
    """Vectors of Ridge for a space, and a data set in a folder."""
    for module in (search, ingest):
        monkeypatch.setattr(module, "SDML", _Fast)
    splits.save(tmp_path / "tiny")
    return tmp_path / "tiny"


class _Fast:
    @staticmethod
    def fast(*, dim: int, random_state: int) -> Ridge:
        return Ridge(dim=dim)


def test_search_is_timed_beside_faiss(tiny: Path, tmp_path: Path):
    kinds = ["ivf", "hnsw", "codes 8x4", "codes 8x4, float"]
    named = [part for kind in kinds for part in ("--kind", kind)]
    sizes = ("--items", 1200, "--dim", 8, "--seconds", 0.01, "--repeats", 1, "--graph-items", 1000)
    found = ran(
        *("bench", "search", "--set", tiny, *named, *sizes),
        *("--memory-items", 1000, "--plots", tmp_path / "plots"),
    )
    rows = {row["kind"]: row for row in found["rows"]}
    assert [*rows] == ["exact", *kinds] and rows["hnsw"]["items"] == 1000
    assert rows["exact"]["recall"] == rows["exact"]["of_float"] == 1.0
    assert rows["ivf"]["recall"] > 0.9
    for row in rows.values():
        assert row["cost_1"] == pytest.approx(row["faiss_1"] / row["qps_1"] - 1, abs=0.02)
    assert found["memory"][0]["peak_bytes"] >= found["memory"][0]["before_bytes"] > 10**7
    assert found["ratios"]["codes 8x4 over exact, queries/s at batch 1"] > 0
    assert [Path(path).stat().st_size > 10_000 for path in found["plots"]] == [True, True]


def test_ap_of_the_ranks_is_that_of_a_loop(tiny: Path):
    problem = search._problem(str(tiny), 1000, 8, 0.3, 20, 0, None)
    bench = search._Bench(problem, 0.9, 0.01, 1, lambda line: None)
    scores = problem.queries @ problem.items.T
    each = []
    for asked, row in zip(problem.asked, scores, strict=True):
        relevant = (problem.classes @ asked > 0)[np.argsort(-row, kind="stable")]
        ranks = np.flatnonzero(relevant) + 1
        each.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    assert bench._mean_ap("exact", 0) == pytest.approx(np.mean(each), abs=1e-3)


def test_ingest_fills_and_opens(tiny: Path, tmp_path: Path):
    kinds = ("--kind", "codes 8x4")
    found = ran(
        *("bench", "ingest", "--set", tiny, "--items", 1500, "--dim", 8, "--batch", 400, *kinds),
        *("--folder", tmp_path),
    )
    assert [row["kind"] for row in found["rows"]] == ["codes 8x4"]
    for row in found["rows"]:
        assert row["items_per_second"] > 0 and row["open_peak_bytes"] > 10**7
        assert 0 < row["open_seconds"] < 60 and row["disk_bytes"] > 32
    assert not list(tmp_path.glob("tmp*"))
