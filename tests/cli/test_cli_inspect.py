"""`inspect` and `bench inspect` from the command line."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import ran, run

import commonspace as cs
from commonspace.benchmarks import faults
from commonspace.benchmarks import inspect as bench
from commonspace.data import Dataset, Splits
from commonspace.methods import SM


def test_it_is_the_librarys_report(shop):
    got = ran("inspect", shop.model, shop.data, "--k", 5, "--show", 3)
    model, data = cs.load(shop.model), cs.load_dataset(str(shop.data))["test"]
    health = cs.inspect(model, data.select(["image", "text"]), k=5)
    told = health.to_dict(n=3)
    assert {key: got[key] for key in told} == told
    assert got["split"] == "test" and len(got["suspects"]) == 3
    shown = run("inspect", shop.model, shop.data, "--k", 5)
    assert shown.code == 0 and str(health).splitlines()[0] in shown.out
    assert "rows whose label looks wrong:" in shown.out and "of the votes" in shown.out


def test_it_writes_pictures_and_a_list(shop, tmp_path):
    pytest.importorskip("matplotlib")
    to = ("--plots", tmp_path / "plots", "--suspects", tmp_path / "new" / "rows.csv")
    got = ran("inspect", shop.model, shop.data, "--split", "train", *to)
    assert len(got["plots"]) == 7 and all((tmp_path / "plots" / p).exists() for p in got["plots"])
    with (tmp_path / "new" / "rows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    data = cs.load_dataset(str(shop.data))["train"]
    assert len(rows) == len(data["image"]) + len(data["text"])
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    first = rows[0]
    assert data[first["modality"]].items[int(first["row"])] == first["item"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--split", "tset"), "tset"),
        (("--modalities", "image,txet"), "txet"),
        (("--suspects", "/dev/null/rows.csv"), "rows.csv"),
    ],
)
def test_it_names_what_is_wrong(shop, more, word):
    done = run("inspect", shop.model, shop.data, *more)
    assert done.code in (1, 2) and word in done.err and "Traceback" not in done.err


@pytest.fixture
def clear(monkeypatch, tmp_path):
    """Classes that anything can tell, in a folder, and a model that trains in no time."""
    rng = np.random.default_rng(0)
    parts = {}
    for split, n in (("train", 120), ("test", 80)):
        y = np.arange(n) % 4
        centres = np.eye(4, 8) * 4
        scales = {"image": 1.0, "text": 50.0}
        x = {m: scales[m] * (centres[y] + rng.normal(size=(n, 8))) for m in scales}
        parts[split] = Dataset.from_arrays(x, y)
    Splits(parts, "clear").save(tmp_path / "clear")
    monkeypatch.setattr(bench, "MODELS", {"SM": lambda seed: SM(random_state=seed)})
    return tmp_path / "clear"


def test_bench_plants_faults_and_counts(clear):
    told = ran("bench", "inspect", "--set", clear, "--seeds", 1)
    rows = {row["fault"]: row for row in told["rows"]}
    assert set(rows) == {"none", *bench.FAULTS} | {
        f"trained on wrong labels, {which}" for which in ("own rows", "other half")
    }
    assert rows["none"]["broken"] == 0
    for fault in ("one vector", "ids of 50% shuffled", "features of 100% shuffled"):
        assert rows[fault]["found"] == 1 and rows[fault]["broken"] == 1, fault
    assert rows["hub"]["found"] == 1 and "hub" in rows["hub"]["by"]
    assert rows["labels of 10% of items"]["ap"] > 0.9
    assert rows["trained on wrong labels, other half"]["precision"] > 0.8
    assert told["ratios"]["healthy called broken"] == 0


def test_planted_labels_agree_in_all_modalities_where_items_are_wrong(clear):
    data = cs.load_dataset(str(clear))["test"]
    case = faults.Case(None, {}, data, {})
    rng = np.random.default_rng(0)
    items = faults.wrong_labels(case, rng, 0.2, items=True)
    a, b = (items.data.labels(name).codes for name in ("image", "text"))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a != data.labels("image").codes, items.planted["image"])
    assert 8 <= items.planted["image"].sum() <= 24
    rows = faults.wrong_labels(case, rng, 0.2, items=False)
    assert (rows.planted["image"] != rows.planted["text"]).any()


def test_bench_ranking_is_a_hand_worked_case():
    found = bench.ranking(
        np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]), threshold=0.75
    )
    assert found["ap"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["precision"] == found["recall"] == 0.5
    assert bench.ranking(np.zeros(2, bool), np.zeros(2), threshold=0.5) == {}
    order = faults._shuffled(np.random.default_rng(0), 10, 0.5)
    assert sorted(order) == list(range(10)) and 2 <= (order != np.arange(10)).sum() <= 5


def test_bench_names_an_unknown_model(tmp_path):
    done = run("bench", "inspect", "--model", "SMM", "--data-root", tmp_path)
    assert done.code == 2 and "SMM" in done.err
