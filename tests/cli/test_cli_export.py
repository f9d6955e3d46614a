"""`export` and `card` from the command line."""

from __future__ import annotations

import pytest
from command_line import ran, run

import commonspace as cs
from commonspace.store import export
from commonspace.store.card import model_card
from commonspace.store.export import read_export


@pytest.fixture
def instant(monkeypatch):
    """Let no network be exported: tests/store has that."""
    monkeypatch.setattr(export, "to_onnx", lambda *_: b"onnx")
    monkeypatch.setattr(export, "_check_equal", lambda *_: 0.0)


def test_export_writes_files_and_tells(instant, shop, tmp_path):
    got = ran("export", shop.model, "--out", tmp_path / "onnx")
    assert got.pop("folder") == str(tmp_path / "onnx") and got == read_export(tmp_path / "onnx")
    assert set(got["modalities"]) == {"image", "text"}
    assert got["space"] == cs.load(shop.model).space_.fingerprint
    shown = run("export", shop.model, "--out", tmp_path / "onnx", "--modalities", "text")
    assert shown.code == 0 and "text.onnx" in shown.out and "image.onnx" not in shown.out


@pytest.mark.parametrize(
    ("more", "word"), [(("--modalities", "txet"), "txet"), (("--format", "pickle"), "pickle")]
)
def test_export_names_what_is_wrong(instant, shop, tmp_path, more, word):
    done = run("export", shop.model, "--out", tmp_path / "onnx", *more)
    assert done.code == 2 and word in done.err and "Traceback" not in done.err


def test_card_is_the_librarys(shop, tmp_path):
    page = tmp_path / "card.md"
    assert ran("card", shop.model, "--out", page)["card"] == str(page)
    assert page.read_text(encoding="utf-8") == model_card(shop.model)
    shown = run("card", shop.model, "--data", shop.data, "--out", page)
    assert shown.code == 0 and f"wrote {page}" in shown.out.replace("\n", "")
    text = page.read_text(encoding="utf-8")
    assert "## Health" in text and "95 % interval" in text and "my data, test" in text


def test_card_leaves_other_pages_alone(shop, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("mine")
    done = run("card", shop.model, "--out", page)
    assert done.code == 2 and "README.md" in done.err and page.read_text() == "mine"
