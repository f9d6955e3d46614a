"""Every page of the guide runs, block after block: Python, and commands of ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commonspace.cli import app

PAGES = sorted(Path(__file__).parents[2].joinpath("docs", "guide").glob("*.md"))
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXTRA = {"settings": "optuna", "give-it-away": "onnxruntime"}


def commands(text: str) -> list[list[str]]:
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_commands(text: str) -> None:
    for program, *arguments in commands(text):
        assert program == "commonspace"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{shlex.join(arguments)}\n{done.output}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page, tmp_path, monkeypatch):
    if page.stem in EXTRA:
        pytest.importorskip(EXTRA[page.stem])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for language, text in blocks:
        if language == "bash":
            run_commands(text)
        else:
            exec(compile(text, page.name, "exec"), names)


def test_there_is_a_page_for_each_task():
    tasks = (
        "your-own-table add-a-modality labels-partly-missing settings inspect codes collections "
        "compare give-it-away"
    )
    assert {page.stem for page in PAGES} == set(tasks.split())
