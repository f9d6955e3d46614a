from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").glob("*.py"))
TOLD = {
    "add_a_modality": ["stored vectors stay valid: True", "the space is the same: True"],
    "codes_of_vectors": ["a vector: 128 bytes; a code: 2"],
    "compare_methods": ["chance", "query by query", "Holm"],
    "inspect_a_space": ["shifted:    broken", "modality gap"],
    "labels_partly_missing": ["labelled rows: 35 of 350", "ThreeViewCCA"],
    "search_a_collection": ["180 items: {'image': 90, 'text': 90}", "from 2040 on: ["],
    "train_on_your_table": ["captions are read by: text-bag-of-words", "a ripe apple: fruit"],
    "train_and_evaluate": ["chance", "SDML", "loaded model answers the same: True"],
}


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= set(TOLD)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_says_what_it_promises(path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    for expected in TOLD.get(path.stem, []):
        assert expected in printed
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
