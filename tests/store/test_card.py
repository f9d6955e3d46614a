"""The card of a model: read back as YAML and as Markdown."""

from __future__ import annotations

import re

import pytest
import yaml

import commonspace as cs
from commonspace.data import Dataset
from commonspace.errors import InputError, NotFoundError
from commonspace.methods import SM
from commonspace.store.card import MARK, model_card, write_card

NASTY = "a|b <img> *x*`\n---\U0001f600"


@pytest.fixture(scope="module")
def fitted(train):
    return SM(C=0.1).fit(train)


@pytest.fixture(scope="module")
def folder(fitted, test, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    cs.save(fitted, folder, scores=cs.evaluate(fitted, test.select(["image", "text"])).to_dict())
    return folder


def front_matter(card):
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


def tables(card):
    """All tables, whose rows have as many cells as their header."""
    found = re.findall(r"(?:^\|.*\|\n)+", card, re.MULTILINE)
    for table in found:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    return found


def test_it_says_what_the_manifest_says(folder, fitted, train):
    card = model_card(folder)
    for told in (fitted.space_.fingerprint, train.fingerprint(), "`C`", "class-0", "image → text"):
        assert told in card
    assert len(tables(card)) == 4
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# SM: image, text",
        "## Method",
        "## Modalities",
        "## Space and training",
        "## Scores",
        "## Limits",
        "## Use",
        "## Licence",
    ]
    matter = front_matter(card)
    assert matter["library_name"] == "commonspace" and matter["license"] == "other"
    assert {"SM", "image", "text"} <= set(matter["tags"]) and "model-index" not in matter


def test_scores_come_with_intervals_and_their_data(folder, fitted, test):
    inputs = test.select(["image", "text"])
    report, health = cs.evaluate(fitted, inputs), cs.inspect(fitted, inputs)
    card = model_card(folder, report=report, health=health, data="toys, test")
    score = report["image", "text"]
    low, high = score.ci
    assert f"| {score.mean_ap:.4f} | {low:.4f} - {high:.4f} |" in card
    assert f"Verdict on toys, test: **{health.verdict}**" in card and "Protocol: " in card
    (result,) = front_matter(card)["model-index"][0]["results"]
    assert result["dataset"] == {"name": "toys, test", "type": "toys"}
    assert "Protocol: k: all, " in card and "None" not in card
    assert [m["value"] for m in result["metrics"]] == [s.mean_ap for s in report.scores.values()]


def test_the_use_that_it_shows_works(folder, test, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", model_card(folder), re.DOTALL)
    monkeypatch.chdir(folder)
    names = {"features": test.x("image")}
    exec(code, names)
    assert names["vectors"].shape == (len(test["image"]), 3)


def test_names_of_users_are_no_markup(train, tmp_path):
    x = {NASTY: train.x("image"), "b": train.x("text")}
    codes = train.labels("image").codes
    spec = {"id": NASTY, "words": ["w"] * 1000}
    data = Dataset.from_arrays(x, codes, classes=[NASTY, "x", "y"], encoders={"b": spec})
    cs.save(SM().fit(data), tmp_path)
    card = model_card(tmp_path)
    assert NASTY in front_matter(card)["tags"]
    page = re.sub(
        r"```.*?```|(?<!\\)`[^`]*`", "", card.split(MARK)[1], flags=re.DOTALL
    )  # code is shown
    assert "<img>" not in page and "*x" not in page.replace("\\*x", "")
    assert len(card) < 10_000 and len(tables(card)) == 3
    assert "None on record." in card


def test_training_rows_that_a_model_holds_are_told(train, tmp_path):
    small = {"dim": 8, "hidden": (4,), "epochs": 1, "members": 1}
    held = "hold 7 training rows of"
    for name, landmarks in (("with", 7), ("without", 0)):
        cs.save(cs.SDML(**small, landmarks=landmarks).fit(train), tmp_path / name)
        limits = model_card(tmp_path / name).split("## Limits")[1].split("## Use")[0]
        assert [line for line in limits.splitlines() if held in line] == [
            f"- The weights {held} {modality}, standardised."
            for modality in ("image", "text")
            if landmarks
        ]
        assert ("training rows" in limits) == bool(landmarks)


def test_a_page_of_somebody_else_is_left_alone(folder, tmp_path):
    page = tmp_path / "README.md"
    write_card(page, model_card(folder))
    write_card(page, model_card(folder))  # ours may be made again
    page.write_text("mine")
    with pytest.raises(InputError, match="no card of ours"):
        write_card(page, model_card(folder))
    assert page.read_text() == "mine"
    write_card(page, model_card(folder), force=True)
    assert MARK in page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="is a folder"):
        write_card(tmp_path, "card")
    with pytest.raises(NotFoundError):
        model_card(tmp_path / "nothing")


def test_a_model_with_its_card_is_still_a_model(folder, fitted, test):
    write_card(folder / "README.md", model_card(folder))
    cs.save(fitted, folder)
    assert (folder / "README.md").exists() and cs.load(folder).modalities == ("image", "text")
    kinds = {path.suffix for path in folder.iterdir()}
    assert kinds == {".md", ".json", ".safetensors"}
