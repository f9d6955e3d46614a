from __future__ import annotations

import json

import pytest
from command_line import ran, run

from commonspace.benchmarks import contestants
from commonspace.methods import Ridge

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


def test_formats_of_one_table(recipe):
    table = run(*asked(recipe))
    assert table.code == 0 and "chance" in table.out and "Study on other data" in table.out
    assert "Ridge" in table.err  # cells are told as they finish
    markdown = run(*asked(recipe, "--format", "markdown"))
    assert markdown.out.startswith("# Tiny") and not markdown.err
    lines = run(*asked(recipe, "--format", "csv")).out
    assert lines.startswith("recipe,set,study,method")
    (found,) = ran(*asked(recipe))["tables"]
    assert found == json.loads(run(*asked(recipe, "--format", "json")).out)["tables"][0]


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
    ],
)
def test_mistakes_are_named(more, word, tmp_path):
    done = run("reproduce", *more, "--root", tmp_path, "--cells", tmp_path / "cells")
    assert done.code == 2 and word in done.err


def test_site_needs_results(tmp_path):
    done = run("reproduce", "site", "--out", tmp_path, "--docs", tmp_path / "docs")
    assert done.code == 2 and "reproduce all" in done.err


def test_settings_that_were_searched_for_are_taken_and_said(recipe, tmp_path):
    folder = tmp_path / "tuned"
    folder.mkdir()
    content = {"kind": "commonspace-settings", "format_version": 1, "method": "Ridge"}
    found = {"settings": {"alphas": [7.0]}, "found": {"data": str(tmp_path / "tiny")}}
    (folder / "a.json").write_text(json.dumps({**content, **found}))
    (table,) = ran(*asked(recipe, "--tuned", folder))["tables"]
    row = next(row for row in table["rows"] if row["label"] == "Ridge")
    assert row["settings"] == {"alphas": [7.0]}
    assert row["notes"] == ["settings found on rows held back"]
    (folder / "b.json").write_text(json.dumps({**content, "settings": {}}))
    done = run(*asked(recipe, "--tuned", folder))
    assert done.code == 2 and "b.json" in done.err and "'data'" in done.err
    assert run(*asked(recipe, "--tuned", tmp_path / "none")).code == 2
