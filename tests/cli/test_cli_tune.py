"""The commands around settings that were searched, and curves over labels."""

from __future__ import annotations

import json

import pytest
from command_line import ran, run

from commonspace.data import Splits, make_dataset
from commonspace.store.models import load


@pytest.fixture
def data(tmp_path):
    """A data set without a test split: nothing could look at it."""
    made = make_dataset(n_items=100, n_classes=4, dims={"image": 8, "text": 6}, noise=2.0)
    Splits({"train": made["train"]}, "hard").save(tmp_path / "hard")
    return tmp_path / "hard"


def test_settings_are_searched_written_and_trained_with(data, tmp_path):
    out, study = tmp_path / "sm.json", tmp_path / "sm.db"
    asked = ("tune", data, "--method", "sm", "--set", "max_iter=50", "--study", study)
    first = ran(*asked, "--trials", 2)
    found = ran(*asked, "--trials", 5, "--out", out)
    assert found["trials"][:2] == first["trials"] and len(found["trials"]) == 5
    assert found["settings_file"] == str(out) and first["settings_file"] is None
    assert found["best_score"] >= found["default_score"]
    written = json.loads(out.read_text())
    assert written["method"] == "SM" and written["settings"] == found["settings"]
    assert written["settings"]["max_iter"] == 50
    ran("train", data, "--settings", out, "--out", tmp_path / "model", "--jobs", 1)
    learned = load(tmp_path / "model").get_params()
    assert {key: learned[key] for key in found["settings"]} == found["settings"]
    over = ("--method", "Sm", "--set", "max_iter=60", "--out", tmp_path / "other")
    ran("train", data, "--settings", out, *over)
    assert load(tmp_path / "other").max_iter == 60


def test_the_tables_tell_defaults_best_and_gains(data, tmp_path):
    done = run("tune", data, "--method", "Ridge", "--trials", 3, "--out", tmp_path / "r.json")
    assert done.code == 0, done.err
    for word in ("setting", "alphas", "rows that chose", "rows of another draw", "trials: 3"):
        assert word in done.out
    assert f"--settings {tmp_path / 'r.json'}" in done.out.replace("\n", "")
    told = [line.split()[0] for line in done.err.splitlines()]
    assert told[:3] == ["trial"] * 3 and set(told[3:]) == {"on"} and "the defaults" in done.err
    alone = run("tune", data, "--method", "Ridge", "--trials", 1, "--no-check")
    assert alone.code == 0 and "trials: 1" in alone.out
    assert len(alone.err.splitlines()) == 1 and "another draw" not in alone.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--method", "SDLM"), "Did you mean 'SDML'"),
        (("--preset", "fats"), "fast"),
        (("--set", "dmi=3"), "dim"),
        (("--method", "SM", "--set", "C=1"), "nothing is left"),
        (("--method", "SM", "--set", "C=abc"), "C: expected"),
        (("--method", "SM", "--set", "max_iter=0", "--trials", 2), "max_iter: expected"),
        (("--trials", 0), "trials"),
    ],
)
def test_tune_names_what_is_wrong(data, arguments, word):
    done = run("tune", data, *arguments)
    assert done.code == 2 and word in done.err and "Traceback" not in done.err


def test_train_refuses_settings_that_are_none_or_of_another_method(data, tmp_path):
    out, file = ("--out", tmp_path / "model"), tmp_path / "s.json"
    done = run("train", data, "--settings", file, *out)
    assert done.code == 2 and "tune" in done.err
    file.write_text('{"kind": "commonspace-settings", "format_version": 1, "method": "SM"}')
    assert run("train", data, "--settings", file, *out).code == 2
    content = {"kind": "commonspace-settings", "format_version": 1, "method": "SM"}
    file.write_text(json.dumps({**content, "settings": {"c": 1}}))
    done = run("train", data, "--settings", file, *out)
    assert done.code == 2 and "argument of SM" in done.err
    done = run("train", data, "--settings", file, "--method", "Ridge", *out)
    assert done.code == 2 and "is for SM" in done.err


def test_curves_over_labels_are_rows_and_a_picture(tmp_path):
    made = make_dataset(n_items=60, n_classes=3, dims={"image": 6, "text": 4}, noise=1.0)
    made.save(tmp_path / "tiny")
    asked = ("bench", "labels", "--set", tmp_path / "tiny", "--method", "SM", "--seeds", 1)
    asked += ("--factor", "noise", "--shares", "noise=0,30", "--cells", tmp_path / "cells")
    found = ran(*asked, "--plot", tmp_path / "labels.png")
    assert set(found) == {"bench", "machine", "rows", "ratios"} and found["bench"] == "labels"
    assert [row["share"] for row in found["rows"]] == [None, 0.0, 0.3]
    assert (tmp_path / "labels.png").read_bytes()[:4] == b"\x89PNG"
    again = run(*asked)
    assert again.code == 0 and not again.err and "chance" in again.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--shares", "noise=lots"), "percentages"),
        (("--shares", "noise=101"), "percentages"),
        (("--shares", "nosie=10"), "noise"),
        (("--factor", "nosie"), "noise"),
    ],
)
def test_curves_name_what_they_do_not_know(arguments, word):
    done = run("bench", "labels", *arguments)
    assert done.code == 2 and word in done.err


def test_methods_are_tuned_under_one_budget_and_tested_once(tmp_path):
    made = make_dataset(n_items=100, n_classes=4, dims={"image": 8, "text": 6}, noise=2.0)
    made.save(tmp_path / "hard")
    asked = ("bench", "tune", "--set", tmp_path / "hard", "--method", "SM", "--method", "Ridge")
    asked += ("--trials", 3, "--cells", tmp_path / "cells", "--out", tmp_path / "out")
    found = ran(*asked)
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["SM", "Ridge"] and found["budget"]["trials"] == 3
    assert all(row["trials"] == 3 and "test_best" not in row for row in rows.values())
    assert rows["SM"]["best"] >= rows["SM"]["default"] and "C=" in rows["SM"]["settings"]
    tested = run(*asked, "--test", "--json")
    assert len(tested.err.splitlines()) == 4  # a cell for each of the defaults and the best
    for row in tested.json["rows"]:
        assert {k: row[k] for k in rows[row["method"]]} == rows[row["method"]]
    file = tmp_path / "out" / "hard-SM.json"
    ran("train", tmp_path / "hard", "--settings", file, "--out", tmp_path / "model")
    best = tested.json["rows"][0]["test_best"]
    scored = ran("evaluate", tmp_path / "model", tmp_path / "hard")["mean_ap"]
    assert scored == pytest.approx(best)
    again = run(*asked, "--test")
    assert again.code == 0 and not again.err and "test_best" in again.out


def test_a_method_that_cannot_learn_from_a_set_does_not_end_the_table(tmp_path):
    made = make_dataset(n_items=40, n_classes=4, dims={"image": 8}, noise=2.0)
    made.save(tmp_path / "alone")  # one modality: nothing to retrieve across
    asked = ("bench", "tune", "--set", tmp_path / "alone", "--method", "SM", "--method", "Ridge")
    rows = ran(*asked, "--trials", 2, "--cells", tmp_path / "cells")["rows"]
    assert [row["method"] for row in rows] == ["SM", "Ridge"]
    assert all("at least two" in row["why"] for row in rows)
