from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import ran, run

from commonspace.benchmarks import contestants
from commonspace.methods import SDML, Ridge

HEAD = 'format = 1\ntitle = "Tiny"\npaper = "none"\ntable = "a table"\nstudy = true\n'


@pytest.fixture
def recipe(tmp_path, splits):
    splits.save(tmp_path / "tiny")
    path = tmp_path / "mine.toml"
    path.write_text(f"{HEAD}data = '{tmp_path / 'tiny'}'\n[[methods]]\nname = 'Ridge'\n")
    return path


def asked(recipe, *more):
    return ("reproduce", recipe, "--cells", recipe.parent / "cells", "--jobs", 1, *more)


def test_list_names_papers_and_studies():
    found = ran("reproduce", "list")["recipes"]
    assert {"sdml_table3_wikipedia", "study_methods"} <= {each["recipe"] for each in found}
    assert "study_codes" in run("reproduce", "list").out


def test_list_tells_which_data_are_here(tmp_path):
    np.savez(tmp_path / "mfeat.npz")  # it is looked for, and not read
    found = ran("reproduce", "list", "--root", tmp_path)
    missing = {each["recipe"]: each["missing"] for each in found["recipes"]}
    assert "mfeat" not in missing["study_methods"] and "wikipedia" in missing["study_methods"]
    assert missing["sdml_table5_ms_coco"] == ["ms_coco"]
    assert "MSCOCO_deep_doc2vec_data.h5py" in found["missing"]["ms_coco"]
    shown = run("reproduce", "list", "--root", tmp_path).out
    assert "data here" in shown and "MSCOCO_deep_doc2vec_data.h5py" in shown


def test_formats_of_one_table(recipe):
    table = run(*asked(recipe))
    assert table.code == 0 and "chance" in table.out and "Study on other data" in table.out
    assert "Ridge" in table.err  # cells are told as they finish
    markdown = run(*asked(recipe, "--format", "markdown"))
    assert markdown.out.startswith("# Tiny") and not markdown.err
    lines = run(*asked(recipe, "--format", "csv")).out
    assert lines.startswith("recipe,set,study,method")
    (found,) = ran(*asked(recipe))["tables"]
    (again,) = json.loads(run(*asked(recipe, "--format", "json")).out)["tables"]
    assert found | {"wall_seconds": 0} == again | {"wall_seconds": 0}


def test_absent_data_are_an_error_of_one_and_a_line_of_all(tmp_path):
    cells = ("--cells", tmp_path / "cells", "--root", tmp_path)
    alone = run("reproduce", "sdml_table5_ms_coco", *cells)
    assert alone.code == 2 and "MSCOCO_deep_doc2vec_data.h5py" in alone.err
    out = tmp_path / "out"
    every = run("reproduce", "all", *cells, "--set", "ms_coco", "--out", out)
    assert every.code == 0, every.err
    assert "Ask the authors" in every.out and "skipped" in every.out
    stored = json.loads((out / "sdml_table5_ms_coco.ms_coco.json").read_text())
    assert stored["rows"] == [] and "is not here" in stored["skipped"]


def test_all_on_one_machine_without_data_makes_nothing_up(tmp_path):
    found = ran("reproduce", "all", "--root", tmp_path, "--cells", tmp_path / "cells")["tables"]
    assert len(found) > 40 and all(table["skipped"] and not table["rows"] for table in found)


def test_a_method_that_fails_costs_its_row_and_the_exit_code(recipe, monkeypatch):
    class Broken(Ridge):
        def _solve(self, name, part, several):
            raise ZeroDivisionError("a mistake")

    monkeypatch.setitem(contestants.METHODS, "Ridge", lambda seed, **settings: Broken())
    done = run(*asked(recipe, "--json"))
    assert done.code == 1
    rows = {row["label"]: row for row in done.json["tables"][0]["rows"]}
    assert rows["Ridge"]["notes"] == ["ZeroDivisionError: a mistake"]
    assert rows["SM"]["status"] == "scored"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("study_method",), "study_methods"),
        (("study_methods", "--method", "SDLM"), "SDML"),
        (("sdml_table3_wikipedia", "--set", "mfeat"), "wikipedia_deep"),
        (("study_methods", "--format", "html"), "--format"),
        (("all", "--method", "Foo"), "'Foo'"),
        (("all", "--set", "wikpedia"), "'wikipedia'"),
    ],
)
def test_mistakes_are_named(more, word, tmp_path):
    done = run("reproduce", *more, "--root", tmp_path, "--cells", tmp_path / "cells")
    assert done.code == 2 and word in done.err


def test_site_needs_results(tmp_path):
    done = run("reproduce", "site", "--out", tmp_path, "--docs", tmp_path / "docs")
    assert done.code == 2 and "reproduce all" in done.err


def write_settings(path, method, settings, **found):
    content = {"kind": "commonspace-settings", "format_version": 1, "method": method}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**content, "settings": settings, "found": found}))


def test_settings_that_were_searched_for_are_taken_and_said(recipe, tmp_path):
    folder, data = tmp_path / "tuned", str(tmp_path / "tiny")
    write_settings(folder / "a.json", "Ridge", {"alphas": [7.0]}, data=data)
    (table,) = ran(*asked(recipe, "--tuned", folder))["tables"]
    row = next(row for row in table["rows"] if row["label"] == "Ridge")
    assert row["settings"] == {"alphas": [7.0]}
    assert row["notes"] == ["settings found on rows held back"]
    write_settings(folder / "a.json", "Ridge", {}, data=data, trials=20, seconds=31.4)
    (table,) = ran(*asked(recipe, "--tuned", folder))["tables"]
    row = next(row for row in table["rows"] if row["label"] == "Ridge")
    assert row["notes"] == ["defaults found best on rows held back (20 trials, 31 s)"]


def test_a_search_of_a_preset_is_for_the_row_of_the_preset(recipe, tmp_path):
    small = [f"--set={text}" for text in ("hidden=[8]", "dim=8", "epochs=2", "batch_size=16")]
    folder, data = tmp_path / "tuned", tmp_path / "tiny"
    folder.mkdir()
    for preset in ((), ("--preset", "fast")):
        file = folder / f"{len(preset)}.json"
        ran("tune", data, *small, *preset, "--trials", 1, "--out", file)
    text = "".join(f"[[methods]]\nname = '{name}'\n" for name in ("SDML", "SDML.fast"))
    recipe.write_text(recipe.read_text() + text)
    (table,) = ran(*asked(recipe, "--tuned", folder, "--seeds", 1))["tables"]
    rows = {row["label"]: row for row in table["rows"]}
    assert "members" not in rows["SDML"]["settings"]
    assert rows["SDML.fast"]["settings"]["members"] == 1
    for name in ("SDML", "SDML.fast"):
        assert rows[name]["settings"]["hidden"] == [8]
        assert "rows held back (1 trials, " in rows[name]["notes"][-1]


@pytest.mark.parametrize(
    ("method", "found", "words"),
    [
        ("Ridge", {}, ["'data'"]),
        ("Ridge", {"data": "./tiny"}, ["no data set of the table named './tiny'", "mine"]),
        ("Rigde", {"data": "DATA"}, ["Did you mean"]),
        ("CCA", {"data": "DATA"}, ["no row of", "'CCA'", "'Ridge'"]),
        ("Ridge", {"data": "DATA", "row": "Ridge.fats"}, ["preset of Ridge", "'fats'"]),
        ("Ridge", {"data": "DATA", "trials": "many"}, ["damaged", "'found'"]),
        (
            "Ridge",
            {"data": "DATA", "modalities": ["a", "b"], "modalities_of_data": ["a", "b", "c"]},
            ["modalities", "a, b"],
        ),
    ],
)
def test_settings_that_are_for_no_row_are_refused(recipe, tmp_path, method, found, words):
    folder, data = tmp_path / "mine", str(tmp_path / "tiny")
    found = {key: data if value == "DATA" else value for key, value in found.items()}
    write_settings(folder / "a.json", method, {}, **found)
    done = run(*asked(recipe, "--tuned", folder))
    assert done.code == 2
    for word in ["a.json", *words]:
        assert word in done.err


def test_settings_that_are_damaged_or_twice_are_refused(recipe, tmp_path):
    folder, data = tmp_path / "tuned", str(tmp_path / "tiny")
    assert run(*asked(recipe, "--tuned", tmp_path / "none")).code == 2
    for name in ("a", "b"):
        write_settings(folder / f"{name}.json", "Ridge", {"alphas": [7.0]}, data=data)
    done = run(*asked(recipe, "--tuned", folder))
    assert done.code == 2 and "b.json and a.json" in done.err
    (folder / "b.json").write_text('{"kind": "commonspace-settings", "format_version": 1}')
    done = run(*asked(recipe, "--tuned", folder))
    assert done.code == 2 and "b.json is damaged" in done.err


def test_settings_of_a_preset_hold_what_it_sets_back_to_the_class():
    from commonspace.benchmarks.tune import _changed

    plain, fast = SDML(), SDML.fast()
    kept = _changed(SDML.fast(learning_rate=plain.learning_rate), SDML.fast)
    assert plain.learning_rate != fast.learning_rate
    assert kept["learning_rate"] == plain.learning_rate
    assert SDML.fast(**kept).learning_rate == plain.learning_rate
