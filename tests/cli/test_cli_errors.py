from __future__ import annotations

import numpy as np
import pytest
from command_line import TINY, run

from commonspace.cli import app
from commonspace.cli.errors import report
from commonspace.errors import InputError


def test_a_mistake_prints_its_message_and_exits_with_2(shop):
    done = run("evaluate", shop.model, shop.data, "--split", "tset")
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("NotFoundError: no split named 'tset'.")
    assert "Did you mean 'test'?" in done.err and "Traceback" not in done.err


def test_with_json_errors_are_json_too(shop):
    done = run("evaluate", shop.model, shop.data, "--split", "tset", "--json")
    assert done.code == 2 and done.err == ""
    assert set(done.json) == {"error"} and done.json["error"]["code"] == "NotFoundError"
    usage = run("evaluate", shop.model, "--json")
    assert usage.code == 2 and usage.json["error"]["code"] == "UsageError"
    assert "DATA" in usage.json["error"]["message"]
    unknown = run("evaluate", "--json", "--no-such-option")
    assert unknown.code == 2 and "--no-such-option" in unknown.json["error"]["message"]


def test_debug_shows_where(shop, monkeypatch):
    monkeypatch.setenv("COMMONSPACE_DEBUG", "1")
    done = run("evaluate", shop.model, shop.data, "--split", "tset")
    assert done.code == 2 and "Traceback" in done.err


def test_what_is_ours_exits_with_1(shop, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("[red]oh[/red]")

    monkeypatch.setattr("commonspace.data.load_dataset", broken)
    done = run("data", "show", shop.data)
    assert done.code == 1 and "ZeroDivisionError: [red]oh[/red]" in done.err
    assert run("data", "show", shop.data, "--json").json["error"]["code"] == "InternalError"


def test_an_interrupt_is_one_line(shop, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("commonspace.data.load_dataset", interrupted)
    done = run("data", "show", shop.data)
    assert (done.code, done.out, done.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "smd"), "Did you mean 'SM'?"),
        (("--set", "epoch=3"), "Did you mean 'epochs'?"),
        (("--set", "epochs"), "expected NAME=VALUE, got 'epochs'"),
        (("--set", "space=x"), "no argument of SDML named 'space'"),
        (("--set", "epochs=3"), "'epochs' is given twice"),
        (("--set", "batch_size=two"), "batch_size: expected a whole number"),
        (("--preset", "papper"), "Did you mean 'paper'?"),
        (("--engine", "cloud"), "--engine: expected one of 'local', 'ray'"),
        (("--address", "10.0.0.1:6379"), "only the engine 'ray' has one"),
        (("--engine", "ray", "--address", "auto"), "expected HOST:PORT"),
        (("--modalities", "image,smell"), "no modality named 'smell'"),
        (("--modalities", ""), "expected some of image, text, audio, got none"),
        (("--split", "all"), "no split named 'all'"),
        (("--encoder", "text=hash"), "no encoder named 'hash'"),
    ],
)
def test_train_refuses(shop, tmp_path, options, said):
    done = run("train", shop.data, "--out", tmp_path / "model", *TINY, *options)
    assert done.code == 2 and said in done.err, done.err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("train", "data"), "--out"),
        (("evaluate", "model", "data"), "--plots"),
        (("inspect", "model", "data"), "--plots"),
        (("encode", "model", "data"), "--out"),
    ],
)
def test_a_file_in_place_of_a_folder_is_named(shop, tmp_path, command, option):
    (tmp_path / "file").write_text("kept")
    name, *places = command
    done = run(name, *(getattr(shop, place) for place in places), option, tmp_path / "file")
    assert done.code == 2 and "file is a file. Name a folder for the" in done.err, done.err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_training_that_could_not_be_saved_does_not_begin(shop, monkeypatch):
    monkeypatch.setattr("commonspace.data.load_dataset", lambda *_, **__: 1 / 0)
    done = run("train", shop.data, "--out", shop.data, *TINY)
    assert done.code == 2 and "is not empty. Name a new folder for the model" in done.err


@pytest.mark.parametrize("size", ["nan", "inf", "-1"])
def test_memory_that_is_no_size(shop, tmp_path, size):
    done = run("index", shop.model, shop.data, "--out", tmp_path / "x", "--memory", size)
    assert done.code == 2 and "--memory" in done.err, done.err


def test_a_model_is_not_replaced_by_accident(shop):
    done = run("train", shop.data, "--out", shop.model, *TINY)
    assert done.code == 2 and "--force" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "expected one of --text"),
        (("--text", "x", "--item", "x"), "got --text and --item"),
        (("--text", "x"), "no modality of this model ('image', 'text') has an encoder"),
        (("--text", "x", "--modality", "text"), "(--vector)"),
        (("--vector", "no.npy"), "there is no file no.npy"),
        (("--item", "nobody"), "no item 'nobody' in any modality"),
        (("--item", "0"), "several modalities have it: 'image', 'text'"),
        (("--item", "0", "--modality", "text", "--in", "smell"), "no modality named 'smell'"),
        (("--item", "0", "--modality", "text", "--where", "split"), "FIELD=VALUE"),
    ],
)
def test_search_refuses(shop, options, said):
    done = run("search", shop.collection, *options)
    assert done.code == 2 and said in done.err, done.err


def test_search_names_the_modality_and_the_width(shop, tmp_path):
    np.save(tmp_path / "q.npy", np.zeros((1, 3), np.float32))
    nameless = run("search", shop.collection, "--vector", tmp_path / "q.npy")
    assert nameless.code == 2 and "name the modality" in nameless.err
    narrow = run("search", shop.collection, "--vector", tmp_path / "q.npy", "--modality", "text")
    assert narrow.code == 2 and "expected 6 features" in narrow.err


def test_names_that_stand_in_no_common_modality(shop, splits, tmp_path):
    from commonspace.data import Splits

    Splits({"test": splits["test"].select(["audio"])}).save(tmp_path / "audio")
    for command in (("evaluate",), ("index", "--out", tmp_path / "c")):
        done = run(command[0], shop.model, tmp_path / "audio", *command[1:])
        assert done.code == 2 and "none in common" in done.err


def test_what_users_write_is_no_markup_and_no_terminal_code(tmp_path):
    name = "[bold]set[/bold] \x1b[31m"
    done = run("data", "show", name)
    assert done.code == 2 and "[bold]set[/bold]" in done.err
    (tmp_path / "t.csv").write_text("[red]x[/red],label\n1 2,a\n")
    shown = run("data", "show", tmp_path / "t.csv").out
    assert "[red]x[/red]" in shown
    from commonspace.cli.output import plain

    assert plain("a\x1b[31m\x07é\n") == "a\\x1b[31m\\x07é\n"


def test_errors_are_reported_without_markup(capsys):
    assert report(InputError("[red]no[/red]"), as_json=False) == 2
    assert capsys.readouterr().err == "InputError: [red]no[/red]\n"


def test_the_app_is_importable_as_documented():
    assert app.info.name == "commonspace"
