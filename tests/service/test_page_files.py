"""The files of the page: nothing from elsewhere, nothing inline, nothing that reads markup."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import commonspace.service

PAGE = Path(commonspace.service.__file__).with_name("page")
SCRIPTS = sorted(PAGE.glob("*.js"))
HTML = (PAGE / "index.html").read_text()
CSS = (PAGE / "style.css").read_text()
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML"
TEXTS = ["--ink", "--soft", "--broken"]
PLACES = ["--page", "--card", "--plate"]


def palettes() -> dict[str, dict[str, str]]:
    """Colours by name, light and dark."""
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    return {
        name: dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", text))
        for name, text in {"light": light, "dark": dark}.items()
    }


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_known_colours():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(theme):
    colours = palettes()[theme]
    pairs = [
        *product(TEXTS, PLACES),
        ("--accent", "--page"),
        ("--on-accent", "--accent"),
        ("--tint-ink", "--tint"),
        *((name, f"{name}-card") for name in ("--fine", "--look", "--broken")),
        *(("--ink", f"{name}-card") for name in ("--fine", "--look", "--broken")),
    ]
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_and_edges_can_be_seen(theme):
    colours = palettes()[theme]
    marks = [name for name in colours if name.startswith("--mark-")]
    assert len(marks) == 10 and len({colours[name] for name in marks}) == 10
    pairs = [*((mark, "--card") for mark in marks), *product(["--edge", "--accent"], PLACES)]
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 3} == {}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_read_no_markup_and_fetch_nothing_from_elsewhere(path):
    text = path.read_text()
    assert not re.search(MARKUP, text)
    assert "://" not in text
    for name in re.findall(r'from "\./([\w.]+)"', text):
        assert (PAGE / name).is_file()


def test_html_has_nothing_inline_and_nothing_from_elsewhere():
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", HTML)
    assert re.findall(r"<script(?![^>]* src=)", HTML) == []
    for target in re.findall(r'(?:src|href)="([^"#]+)"', HTML):
        assert (PAGE / target).is_file(), target
    assert "://" not in re.sub(r"http://www.w3.org/2000/svg", "", HTML + CSS)


def test_every_element_that_scripts_name_is_there():
    ids = re.findall(r'\bid="([\w-]+)"', HTML)
    assert len(ids) == len(set(ids))
    for path in SCRIPTS:
        for name in re.findall(r'\$\("([\w-]+)"\)', path.read_text()):
            assert name in ids, f"{path.name}: {name}"


def test_every_colour_that_is_used_is_defined():
    for theme in palettes().values():
        used = set(re.findall(r"var\((--[\w-]+)\)", CSS))
        assert used <= set(theme)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/main.js", "javascript"), ("/style.css", "text/css")],
)
def test_the_service_shows_the_page_under_its_own_headers(http, path, kind):
    answer = http.get(path)
    assert answer.status_code == 200 and kind in answer.headers["content-type"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_files_are_not_served(http):
    assert http.get("/../app.py").status_code == 404
    assert http.get("/%2e%2e/app.py").status_code == 404
    assert http.get("/no-such.js").status_code == 404
