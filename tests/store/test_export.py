"""Models as ONNX files, run by onnxruntime and read by onnx."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from commonspace.disk import sha256_file
from commonspace.errors import (
    InputError,
    MissingExtraError,
    NotFittedError,
    NotFoundError,
    StorageError,
    UnsupportedError,
)
from commonspace.methods import SDML, SM
from commonspace.methods.base import Method
from commonspace.store import export
from commonspace.store.export import export_onnx, read_export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
TINY = {"dim": 32, "hidden": (8,), "epochs": 2, "batch_size": 16, "schedule": "serial"}


@pytest.fixture(scope="module")
def model(train):
    return SDML(**TINY).fit(train)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return folder, export_onnx(model, folder, modalities=["text"])


def test_a_file_answers_as_transform(model, exported, test):
    folder, manifest = exported
    file = manifest["modalities"]["text"]["file"]
    session = onnxruntime.InferenceSession(folder / file)
    x = test.x("text")
    for rows in (x, x[:1], x[:0]):
        (z,) = session.run(["vectors"], {"features": rows})
        np.testing.assert_allclose(z, model.transform("text", rows), rtol=0, atol=1e-5)


def test_a_file_says_what_it_is(model, exported):
    folder, manifest = exported
    entry = manifest["modalities"]["text"]
    proto = onnx.load(folder / entry["file"])
    told = {prop.key.removeprefix("commonspace."): prop.value for prop in proto.metadata_props}
    assert told["space"] == model.space_.fingerprint and told["modality"] == "text"
    assert json.loads(told["classes"]) == list(model.space_.classes)
    assert json.loads(told["encoder"]) is None and told["method"] == "SDML"
    assert told["library_version"] == manifest["library_version"]
    (given,) = proto.graph.input
    rows, width = given.type.tensor_type.shape.dim
    assert rows.dim_param and not rows.HasField("dim_value") and width.dim_value == 6


def test_the_manifest_names_the_files(model, exported):
    folder, manifest = exported
    assert read_export(folder) == manifest and list(manifest["modalities"]) == ["text"]
    entry = manifest["modalities"]["text"]
    assert entry["sha256"] == sha256_file(folder / entry["file"])
    assert entry["n_features"] == 6 and entry["largest_difference"] < 1e-5
    assert manifest["space"] == model.space_.fingerprint and manifest["dim"] == 32
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "text.onnx"]


@pytest.fixture
def instant(monkeypatch):
    """Let no network be exported: what is tested stands around it."""
    monkeypatch.setattr(export, "to_onnx", lambda *_: b"onnx")
    monkeypatch.setattr(export, "_check_equal", lambda *_: 0.0)


def test_an_earlier_export_is_replaced_and_nothing_else(instant, model, train, tmp_path):
    export_onnx(model, tmp_path / "a")
    other = SM().fit(train)
    assert export_onnx(other, tmp_path / "a")["method"] == "SM"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no export"):
        export_onnx(model, tmp_path / "b")
    with pytest.raises(InputError, match="is a file"):
        export_onnx(model, tmp_path / "b" / "notes.txt")
    (tmp_path / "a" / "export.json").write_text('{"kind": "something else"}')
    with pytest.raises(StorageError):
        export_onnx(model, tmp_path / "a")


def test_what_cannot_be_exported_says_so(instant, model, train, tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match=r"'txet'.*Did you mean 'text'"):
        export_onnx(model, tmp_path / "a", modalities=["txet"])
    with pytest.raises(NotFittedError):
        SDML().module("image")
    monkeypatch.setattr(SM, "_module", Method._module)
    with pytest.raises(UnsupportedError, match=r"SM cannot be exported: .* 'image'"):
        export_onnx(SM().fit(train), tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(model, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*commonspace\[onnx\]"):
        export_onnx(model, tmp_path / "a")


def test_a_file_that_differs_is_not_written(model, exported, tmp_path, monkeypatch):
    content = (exported[0] / "text.onnx").read_bytes()
    monkeypatch.setattr(export, "to_onnx", lambda *_: content)

    class Wrong(onnxruntime.InferenceSession):
        def run(self, *arguments):
            return [z + 1 for z in super().run(*arguments)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(RuntimeError, match=r"'text': the ONNX file differs .* was not written"):
        export_onnx(model, tmp_path, modalities=["text"])
    assert not list(tmp_path.iterdir())
