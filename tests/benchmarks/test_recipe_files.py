"""Recipes as files: those that come with the library, and what is said of wrong ones."""

from __future__ import annotations

import math

import pytest

from commonspace.benchmarks.contestants import find_method, make
from commonspace.benchmarks.reproduce import list_recipes, load_recipe, narrowed
from commonspace.benchmarks.reproduce.recipes import FOLDER
from commonspace.data.catalog import CATALOG
from commonspace.errors import InputError, NotFoundError
from commonspace.methods import SDML

RECIPES = {recipe.name: recipe for recipe in list_recipes()}
HEAD = 'format = 1\ntitle = "T"\npaper = "none"\ntable = "t"\ndata = "x"\n'


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_of_the_library_is_whole(name):
    recipe = RECIPES[name]
    assert set(recipe.sets) <= set(CATALOG)
    assert recipe.entries or recipe.kind == "orders"
    assert not (recipe.study and recipe.published)
    if recipe.published is None:
        return
    rows = recipe.published.rows
    assert any(entry.published in rows for entry in recipe.entries)
    for values in rows.values():
        for column, value in zip(recipe.published.columns, values, strict=True):
            score = not column.endswith(("seconds", "MiB", "mib"))
            assert math.isnan(value) or (0 < value < 1 if score else value > 0)


def test_files_and_list_are_the_same():
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(RECIPES)
    studies = [recipe.study for recipe in list_recipes()]
    assert studies == sorted(studies) and any(studies) and not all(studies)


# Read a second time from the papers' tables, without the files.
TRANSCRIBED = [
    ("sdml_table2_xmedia", "SDML", "audio->model3d", 0.501),
    ("sdml_table2_xmedia", "CMPM+CMPC", "video->audio", 0.385),
    ("sdml_table2_xmedia", "MCCA", "mean", 0.148),
    ("sdml_table3_wikipedia", "SDML", "text->image", 0.488),
    ("sdml_table3_wikipedia", "CBT", "mean", 0.490),
    ("sdml_table3_wikipedia_classic", "ml-CCA", "image->text", 0.388),
    ("sdml_table4_nus_wide", "GSS-SL", "mean", 0.650),
    ("sdml_table5_ms_coco", "DCCAE", "text->image", 0.411),
    ("sdml_table6_nus_wide", "SDML-3", "seconds", 599.45),
    ("sdml_table6_xmedia", "SDML-1", "memory_mib", 1375),
    ("sdml_table7_xmedia", "MvLDAN", "video seconds", 2681.42),
    ("sdml_table7_xmedia", "SDML", "audio seconds", 6.64),
    ("sdml_table7_xmedia", "SDML", "model3d MiB", 815),
    ("msdmml_table1_nus_wide", "Intra", "text->image", 0.1990),
    ("msdmml_table1_wikipedia", "Inter", "image->text", 0.4655),
    ("msdmml_table1_mirflickr", "MS-DMML", "all", 0.8927),
    ("msdmml_table2_wikipedia", "bin, alpha=0.4", "text->text", 0.3891),
    ("msdmml_table2_nus_wide", "multi-scale, alpha=0.8", "image->image", 0.5620),
    ("msdmml_table3_nus_wide", "CFA(ED)", "text->image", 0.1416),
    ("msdmml_table4_mirflickr", "Recipe(cos)", "image->image", 0.9442),
    ("msdmml_table5_wikipedia", "MS-DMML", "all", 0.5897),
    ("spdq_table1_mirflickr", "SPDQ, bits=128", "image->text", 0.8725),
    ("spdq_table1_nus_wide", "CMSSH, bits=64", "text->image", 0.6445),
    ("spdq_table2_nus_wide", "CVH, bits=128", "image->text", 0.5993),
    ("spdq_table2_mirflickr", "CDQ, bits=16", "text->image", 0.8848),
]


@pytest.mark.parametrize(("name", "row", "column", "value"), TRANSCRIBED)
def test_published_numbers_are_those_of_the_papers(name, row, column, value):
    assert RECIPES[name].published.value(row, column) == value


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.published])
def test_published_averages_follow_from_their_rows_or_are_called_doubtful(name):
    published = RECIPES[name].published
    for mean in {"mean", "all"} & set(published.columns):
        for row in set(published.rows) - set(published.doubtful):
            others = [published.value(row, column) for column in published.columns]
            others = [v for v, c in zip(others, published.columns, strict=True) if c != mean]
            found = published.value(row, mean)
            assert abs(sum(others) / len(others) - found) < 0.0011, row


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colums = ['mean']", ["'colums'", "Did you mean 'columns'"]),
        ("tolerance = 'small'", ["'tolerance'", "a number", "'small'"]),
        ("kind = 'metods'", ["'kind'", "'methods'", "'metods'"]),
        ("cutoffs = [0]", ["'cutoffs'", "above 0"]),
        ("protocol = {preset = 'sdlm'}", ["[protocol]", "'sdml'", "'sdlm'"]),
        ("protocol = {divide_by = 'some'}", ["[protocol]", "divide_by", "'some'"]),
        ("[[methods]]\nlabel = 'a'", ["[[methods]] 1", "'name'", "got nothing"]),
        ("[[methods]]\nname = 'SDLM'", ["[[methods]] 1", "'name'", "SDLM"]),
        ("[[methods]]\nname = 'SM'\n[[methods]]\nname = 'SM'", ["[[methods]] 2", "'label'"]),
        ("[[methods]]\nname = 'SM'\nsweep = {C = 1}", ["'sweep'", "one argument"]),
        ("[[methods]]\nname = '*'\ngroups = ['depe']", ["'groups'", "'depe'"]),
        (
            "[published]\nsource = 's'\ncolumns = ['mean']\nrows = {A = [1, 2]}",
            ["'A'", "1 numbers"],
        ),
        ("study = true\n[published]\nsource = 's'\ncolumns = ['mean']\nrows = {}", ["study"]),
        ("[tuned.x.SDLM]\ndim = 3", ["[tuned.x]", "'SDLM'"]),
        ("[tuned.x.Ridge]\nalfas = [3.0]", ["[tuned.x.Ridge]", "Did you mean 'alphas'"]),
        (
            "[[methods]]\nname = 'CCA'\nsettings = {bogus = 1}",
            ["[[methods]] 1", "of CCA", "'bogus'"],
        ),
        ("[[methods]]\nname = 'CCA'\nsettings = {c = 'abc'}", ["settings of CCA", "c: ", "'abc'"]),
        ("[[methods]]\nname = 'CCA'\nsweep = {c = [0.1, 2]}", ["CCA, c=2", "c: expected"]),
        ("[tuned.y.Ridge]\ndim = 8", ["[tuned.y.Ridge]", "no data set of the table", "'y'", "x"]),
        ("[tuned.x.Ridge]\ndim = 8", ["[tuned.x.Ridge]", "no row of x", "'Ridge'", "SM"]),
        (
            "[[methods]]\nname = 'CCA'\nsettings = {c = 0.5}\n[tuned.x.CCA]\nc = 0.1",
            ["[tuned.x.CCA]", "without settings of its own"],
        ),
        ("kind = 'growth'\n[tuned.x.SM]\nC = 1.0", ["[tuned.x.SM]", "no row of x"]),
        ("[[methods]]\nname = 'CCA'\nfits = 0", ["[[methods]] 1", "'fits'", "above 0", "0"]),
        ("[[methods]]\nname = 'SPDQ'\nfits = 2\ncodes = true", ["[[methods]] 1", "'fits'", "2"]),
        ("kind = 'growth'\n[[methods]]\nname = 'SDML'\nfits = 4", ["'fits'", "'growth'"]),
        ("title = ", ["TOML"]),
    ],
)
def test_what_is_wrong_is_named_with_its_file(text, words, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + text)
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_a_key_that_is_missing_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("format = 1\n")
    with pytest.raises(InputError, match="'title': expected a text, got nothing"):
        load_recipe(path)


def test_a_recipe_that_is_not_there_is_named():
    with pytest.raises(NotFoundError, match="study_methods"):
        load_recipe("study_method")


def test_sweeps_and_all_methods_become_rows(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + "[[methods]]\nname = 'SDML'\nsweep = {lam = [0.0, 0.5]}\n"
        "[[methods]]\nname = '*'\ngroups = ['supervised']\nlabel = '{label}(IP)'\nmetric='inner'\n"
    )
    entries = load_recipe(path).entries
    labels = [entry.label for entry in entries]
    assert labels[:2] == ["SDML, lam=0.0", "SDML, lam=0.5"]
    assert {"SM(IP)", "Ridge(IP)"} <= set(labels) and "SDML(IP)" not in labels
    assert entries[1].settings == {"lam": 0.5} and entries[1].at == ("lam", 0.5)


def test_rows_of_a_paper_run_by_their_published_names(tmp_path):
    path = tmp_path / "mine.toml"
    rows = '"MS-DMML" = [0.5]\n"SM(ED)" = [0.2]\n"SPDQ, bits=16" = [0.3]\nnobody = [0.1]\n'
    text = f"[published]\nsource = 's'\ncolumns = ['mean']\n[published.rows]\n{rows}"
    path.write_text(HEAD + text)
    found = {entry.published: entry for entry in load_recipe(path).entries}
    assert list(found) == ["MS-DMML", "SM(ED)", "SPDQ, bits=16"]
    assert found["MS-DMML"].name == "MSDMML.paper"
    assert found["SM(ED)"].metric == "euclidean"
    assert found["SPDQ, bits=16"].codes and found["SPDQ, bits=16"].settings == {"bits": 16}


def test_a_papers_table_is_not_made_of_other_data():
    with pytest.raises(InputError, match="table of wikipedia_deep"):
        load_recipe("sdml_table3_wikipedia").narrowed(["mfeat"], [])
    with pytest.raises(NotFoundError, match="SDLM"):
        load_recipe("study_methods").narrowed([], ["SDLM"])
    assert load_recipe("study_methods").narrowed(["mine"], ["SM"]).sets == ("mine",)


def test_methods_are_named_in_any_case(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + "[[methods]]\nname = 'sdml.FAST'\n[[methods]]\nname = 'ridge'\n")
    recipe = load_recipe(path)
    assert [entry.label for entry in recipe.entries] == ["SDML.fast", "Ridge"]
    assert recipe.narrowed([], ["RIDGE"]).entries == recipe.entries[1:]
    assert type(make("sdml.Fast", 0)) is SDML and find_method("SDML.FAST")().members == 1


def test_rows_of_several_recipes_are_chosen_by_name():
    found = narrowed(list(RECIPES.values()), ["ms_coco"], ["sdml"])
    assert [recipe.name for recipe in found] == ["sdml_table5_ms_coco"]
    for sets, rows, words in (
        ([], ["SDLM"], "no method of the recipes named 'SDLM'.*Did you mean 'SDML'"),
        (["mfaet"], [], "no data set of the recipes named 'mfaet'.*Did you mean 'mfeat'"),
        (["mirflickr_38"], ["Sequential"], "no recipe has Sequential on mirflickr_38"),
    ):
        with pytest.raises(NotFoundError, match=words):
            narrowed(list(RECIPES.values()), sets, rows)
