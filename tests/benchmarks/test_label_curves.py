"""Curves over shares of pairs and labels: their rows, gaps, picture and resumption."""

from __future__ import annotations

import json

import numpy as np
import pytest

from commonspace import methods
from commonspace.benchmarks.labels import FACTORS, bench_labels
from commonspace.benchmarks.labels_plot import plot_labels
from commonspace.benchmarks.thinning import mislabel, unlabel
from commonspace.data import Splits, load_dataset, make_dataset
from commonspace.errors import InputError, NotFoundError
from commonspace.evaluation import Protocol, chance, evaluate
from commonspace.methods import SM, Ridge

DIMS = {"image": 8, "text": 6}


class Paired(Ridge):
    """One that learns from pairs alone."""

    needs_pairs = True

    def _fit(self, train, valid, run):
        first, second = train.modalities
        if len(train.pairs(first, second)[0]) < 2:
            raise InputError("expected pairs, got none.")
        super()._fit(train, valid, run)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a data set lies, beside a method that needs pairs."""
    monkeypatch.setattr(methods, "Paired", Paired, raising=False)
    monkeypatch.setattr(methods, "__all__", [*methods.__all__, "Paired"])
    make_dataset(n_items=80, n_classes=4, dims=DIMS, noise=1.0).save(tmp_path / "tiny")
    return tmp_path


def bench(folder, name="tiny", **changes):
    asked = {"methods": ("SM", "Paired"), "cells": folder / "cells", "seeds": 2, **changes}
    return bench_labels(sets=[str(folder / name)], **asked)


def table(found, method, factor):
    chosen = (r for r in found["rows"] if r["method"] == method and r["factor"] == factor)
    return {row["share"]: row for row in chosen}


def test_what_cannot_be_learned_leaves_a_gap_and_not_a_zero(folder):
    found = bench(folder, factors=["pairs", "items"])
    without = table(found, "Paired", "pairs")[0.0]
    assert without["mean_ap"] is without["sd"] is None and without["seeds"] == 0
    assert without["why"] == "expected pairs, got none."
    assert table(found, "SM", "pairs")[0.0]["mean_ap"] > 0.3
    assert table(found, "SM", "items")[0.0]["mean_ap"] is None
    for share in (0.1, 0.5, 1.0):
        row = table(found, "Paired", "pairs")[share]
        assert row["mean_ap"] > 0.3 and row["seeds"] == 2 and row["why"] is None
    json.dumps(found, allow_nan=False)


def test_every_score_is_that_of_a_fit_on_thinned_rows_and_the_test_split_as_it_is(folder):
    data = load_dataset(folder / "tiny")
    shares = {"labels": [0.25], "noise": [0.4]}
    found = bench(folder, factors=["labels", "noise"], shares=shares)
    for factor, thin, share in (("labels", unlabel, 0.25), ("noise", mislabel, 0.4)):
        models = [SM().fit(thin(data["train"], share, seed)) for seed in range(2)]
        scores = [evaluate(model, data["test"], n_bootstrap=0).mean_ap for model in models]
        row = table(found, "SM", factor)[share]
        assert row["mean_ap"] == pytest.approx(np.mean(scores))
        assert row["sd"] == pytest.approx(np.std(scores, ddof=1)) and row["sd"] > 0
    floor = found["rows"][0]
    assert floor["method"] == "chance" and floor["factor"] is None
    assert floor["mean_ap"] == pytest.approx(chance(data["test"]).mean_ap)


def test_finished_cells_are_kept_and_the_whole_is_computed_once(folder):
    said = []
    found = bench(folder, methods=["SM"], seeds=1, say=said.append)
    assert sum("as it is" in line for line in said) == 1
    points = sum(len(factor.shares) - 1 for factor in FACTORS.values())
    assert len(said) == points + 1
    again = bench(folder, methods=["SM"], seeds=1, say=said.append)
    assert again["rows"] == found["rows"] and len(said) == points + 1
    whole = [table(found, "SM", name)[factor.whole] for name, factor in FACTORS.items()]
    assert len({row["mean_ap"] for row in whole}) == 1


def test_a_split_for_validation_is_not_used(folder):
    data = load_dataset(folder / "tiny")
    more = Splits({**data, "valid": data["test"]}, "more")
    more.save(folder / "more")
    asked = {"factors": ["labels"], "methods": ["SM"], "seeds": 1}
    scores = [[r["mean_ap"] for r in bench(folder, n, **asked)["rows"]] for n in ("tiny", "more")]
    assert scores[0] == scores[1]


def test_several_labels_are_scored_by_their_overlap_too(folder):
    made = make_dataset(n_items=80, n_classes=4, dims=DIMS, label_kind="multi")
    made.save(folder / "several")
    picture = folder / "several.png"
    found = bench(folder, "several", methods=["SM"], factors=["noise"], seeds=1, plot=picture)
    row = table(found, "SM", "noise")[0.0]
    report = evaluate(SM().fit(made["train"]), made["test"], protocol=Protocol(gain="overlap"))
    assert row["mean_ndcg"] == pytest.approx(report.mean_ndcg)
    assert found["rows"][0]["mean_ndcg"] < row["mean_ndcg"]
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_picture_has_a_row_a_set_a_panel_a_factor_and_gaps(folder, monkeypatch):
    drawn = {}

    def keep(axis, rows, measure, method, look):
        drawn[axis, method] = [row[measure] for row in rows]

    found = bench(folder, factors=["pairs", "noise"], seeds=1)
    path = plot_labels(found["rows"], folder / "labels.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setattr("commonspace.benchmarks.labels_plot._curve", keep)
    plot_labels(found["rows"], path)
    assert len({axis for axis, _ in drawn}) == 2 and len(drawn) == 4
    assert any(values[0] is None for (_, method), values in drawn.items() if method == "Paired")
    with pytest.raises(InputError, match="of a factor"):
        plot_labels([], path)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"factors": ["lables"]}, "labels"),
        ({"shares": {"lables": [0.1]}}, "labels"),
        ({"methods": ["SDLM"]}, "'SDML'"),
    ],
)
def test_names_that_are_not_known_are_refused(folder, changes, word):
    with pytest.raises(NotFoundError, match=word):
        bench(folder, **changes)


def test_a_share_out_of_range_is_refused(folder):
    with pytest.raises(InputError, match="shares of noise"):
        bench(folder, shares={"noise": [1.5]})
