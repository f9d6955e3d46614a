from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")


def block(language: str, after: str = "") -> str:
    """The first block of code in that language behind a heading."""
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"README.md has no block of {language}"
    return found.group(1)


def test_the_program_is_short():
    assert len(block("python").strip().splitlines()) <= 12


def test_the_program_prints_what_the_page_shows(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "README.md", "exec"), {"__name__": "readme"})
    printed, shown = capsys.readouterr().out, block("text", "## A first program")
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    # Another processor rounds otherwise, which training carries into the last digits.
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)


def test_the_commands_exist():
    from typer.main import get_command

    from commonspace.cli import app

    known = set(get_command(app).commands)
    asked = re.findall(r"^commonspace ([\w-]+)", block("bash", "command line"), re.MULTILINE)
    assert asked and set(asked) <= known
    targets = Path(__file__).parents[2].joinpath("Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in targets
