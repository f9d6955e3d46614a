"""The pages on methods know every method, and say of it what its class says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from commonspace import methods

DOCS = Path(__file__).parents[2] / "docs"
BASELINES = (DOCS / "methods" / "baselines.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^### `(\w+)`$", BASELINES, re.MULTILINE)


@pytest.mark.parametrize("name", methods.__all__)
def test_every_method_has_a_place(name):
    own = DOCS / "methods" / f"{name.lower()}.md"
    assert (name in HEADINGS) != own.exists(), f"{name}: a page, or a heading in baselines.md"


def test_every_heading_is_a_method():
    assert len(HEADINGS) == len(set(HEADINGS)) and set(HEADINGS) <= set(methods.__all__)


@pytest.mark.parametrize("name", HEADINGS)
def test_the_table_says_what_the_class_says(name):
    (line,) = re.findall(rf"^\| `{name}` \|(.*)\|$", BASELINES, re.MULTILINE)
    kind = getattr(methods, name)
    flags = [kind.needs_pairs, kind.needs_labels, kind.multi_label, kind.can_add_modality]
    told = ["yes" if flag else "no" for flag in flags]
    told.insert(3, "any" if kind.max_modalities is None else str(kind.max_modalities))
    assert [cell.strip() for cell in line.split("|")] == told


def test_a_method_that_differs_from_its_paper_is_said_to():
    for name in HEADINGS:
        section = BASELINES.split(f"### `{name}`")[1].split("\n##")[0]
        assert "*Use it*" in section, name
        if "Differs from the paper" in (getattr(methods, name).__doc__ or ""):
            assert "*Differs*" in section, name
