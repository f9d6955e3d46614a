from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import commonspace as cs
from commonspace.errors import InputError, NotFoundError, SpaceMismatchError, StorageError
from commonspace.store import models

SETTINGS = {
    "dim": 8,
    "hidden": (16,),
    "epochs": 2,
    "batch_size": 16,
    "schedule": "serial",
    "variant": "code",
    "lam": 0.5,
    "standardize": True,
}


@pytest.fixture(scope="module")
def model(train):
    return cs.SDML(**SETTINGS).fit(train)


@pytest.fixture
def folder(model, tmp_path) -> Path:
    cs.save(model, tmp_path / "model")
    return tmp_path / "model"


def named(folder: Path, start: str) -> Path:
    return next(folder.glob(f"{start}-*.safetensors"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def same(first, second, data) -> bool:
    return all(
        np.array_equal(first.transform(m, data.x(m)), second.transform(m, data.x(m)))
        for m in first.modalities
    )


def test_the_folder_is_what_the_design_says(folder, model, train):
    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["kind"] == "commonspace-model" and manifest["format_version"] == 1
    assert manifest["method"] == "SDML" and manifest["params"]["hidden"] == [16]
    assert manifest["space"]["fingerprint"] == model.space_.fingerprint
    assert manifest["training"]["data"] == train.fingerprint()
    assert manifest["modalities"]["image"]["n_features"] == 8
    files = {manifest["space"]["file"], *(m["file"] for m in manifest["modalities"].values())}
    assert {path.name for path in folder.iterdir()} == files | {"model.json"}


@pytest.mark.parametrize("start", ["space", "modality-image", "modality-text"])
@pytest.mark.parametrize("damage", ["a bit", "cut", "gone", "pickle", "swapped"])
def test_every_damaged_file_is_named(folder, start, damage):
    path = named(folder, start)
    if damage == "a bit":
        bits = bytearray(path.read_bytes())
        bits[-3] ^= 4
        path.write_bytes(bytes(bits))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "gone":
        path.unlink()
    elif damage == "pickle":
        path.write_bytes(pickle.dumps({"weights": [1, 2]}))
    else:
        other = "modality-text" if start != "modality-text" else "modality-image"
        path.write_bytes(named(folder, other).read_bytes())
    with pytest.raises(StorageError, match=r"Restore it from a copy") as caught:
        cs.load(folder)
    assert path.name in str(caught.value)


class Bomb:
    """Pickled, it would create a file on loading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_never_read_even_if_the_manifest_vouches_for_it(folder, tmp_path):
    path = named(folder, "modality-image")
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    manifest = json.loads((folder / "model.json").read_text())
    manifest["modalities"]["image"]["sha256"] = models.sha256_bytes(path.read_bytes())
    edit(folder, **manifest)
    with pytest.raises(StorageError, match=r"modality-image.* is damaged"):
        cs.load(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("cut", [0, 1, 200, -3])
def test_a_damaged_manifest_is_named(folder, cut):
    path = folder / "model.json"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StorageError, match=r"model\.json is damaged"):
        cs.load(folder)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"format_version": 2}, StorageError, "2 is newer than the 1 .* Install a newer"),
        ({"kind": "commonspace-dataset"}, StorageError, "got 'commonspace-dataset'"),
        ({"method": "SDLM"}, NotFoundError, "method named 'SDLM'.*Did you mean 'SDML'"),
        ({"method": "os"}, NotFoundError, "method named 'os'"),
    ],
)
def test_what_this_library_cannot_read_is_refused(folder, changes, error, message):
    edit(folder, **changes)
    with pytest.raises(error, match=message):
        cs.load(folder)


@pytest.mark.parametrize("key", ["method", "params", "space", "modalities", "info", "training"])
def test_a_manifest_that_lacks_something_is_damaged(folder, key):
    manifest = json.loads((folder / "model.json").read_text())
    del manifest[key]
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match=rf"model\.json is damaged: it lacks '{key}'"):
        cs.load(folder)


def test_a_manifest_with_another_space_is_refused(folder):
    manifest = json.loads((folder / "model.json").read_text())
    space = {**manifest["space"], "fingerprint": "0" * 64}
    edit(folder, space=space)
    with pytest.raises(SpaceMismatchError, match="damaged"):
        cs.load(folder)


def test_files_are_looked_for_in_the_folder_alone(folder, tmp_path):
    manifest = json.loads((folder / "model.json").read_text())
    path = named(folder, "space")
    path.rename(tmp_path / path.name)
    edit(folder, space={**manifest["space"], "file": f"../{path.name}"})
    with pytest.raises(StorageError, match="is missing"):
        cs.load(folder)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(NotFoundError, match="is not a commonspace-model folder"):
        cs.load(tmp_path)
    with pytest.raises(NotFoundError, match="is not a commonspace-model folder"):
        cs.load(tmp_path / "nowhere")


def test_what_is_not_ours_is_not_overwritten(model, folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        cs.save(model, tmp_path / "file")
    for changes in ({"kind": "other"}, {"kind": "commonspace-model", "format_version": 2}):
        edit(folder, **changes)
        before = content(folder)
        with pytest.raises(StorageError, match=r"model\.json"):
            cs.save(model, folder)
        assert content(folder) == before


def test_files_of_others_stay(model, folder, train):
    (folder / "adapter.safetensors").write_bytes(b"mine")
    (folder / "README.md").write_text("mine")
    old = named(folder, "modality-image")
    cs.save(cs.SDML(**SETTINGS, random_state=1).fit(train), folder)
    assert (folder / "adapter.safetensors").read_bytes() == b"mine"
    assert (folder / "README.md").exists() and not old.exists()


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_crash_before_the_manifest_leaves_the_old_model(model, folder, splits, test, monkeypatch):
    before = content(folder)
    grown, audio = copy.deepcopy(model), splits["train"]["audio"]
    grown.fit_modality("audio", audio.x, audio.labels)
    with monkeypatch.context() as patch:
        patch.setattr(models, "write_json", fail)
        with pytest.raises(OSError, match="No space left"):
            cs.save(grown, folder)
    assert {name: content(folder)[name] for name in before} == before
    old = cs.load(folder)
    assert old.modalities == ("image", "text") and same(old, model, test)
    cs.save(grown, folder)
    assert same(cs.load(folder), grown, test)


def test_a_crash_while_a_refit_replaces_the_model_leaves_the_old_one(
    model, folder, train, test, monkeypatch
):
    other = cs.SDML(**SETTINGS, random_state=1).fit(train)
    with monkeypatch.context() as patch:
        patch.setattr(models, "write_json", fail)
        with pytest.raises(OSError, match="No space left"):
            cs.save(other, folder)
    assert same(cs.load(folder), model, test)
    cs.save(other, folder)
    assert same(cs.load(folder), other, test) and len(list(folder.iterdir())) == 4
    cs.save(model, folder)
    assert same(cs.load(folder), model, test) and len(list(folder.iterdir())) == 4


def test_a_damaged_file_is_written_again(model, folder, test):
    named(folder, "modality-text").write_bytes(b"damaged")
    cs.save(model, folder)
    assert same(cs.load(folder), model, test)


def test_arguments_of_every_kind_come_back(train, test, tmp_path):
    first = cs.SDML(
        **{**SETTINGS, "dim": np.int64(8), "hidden": (np.int64(16),)},
        learning_rate={"image": np.float64(1e-3), "*": 2e-3},
        space=cs.Space.create(8, train.classes, seed=4).with_classes(["later"]),
    ).fit(train)
    cs.save(first, tmp_path, scores={"mean_ap": 0.25})
    back = cs.load(tmp_path)
    assert back.get_params()["learning_rate"] == {"image": 1e-3, "*": 2e-3}
    assert back.hidden == (16,) and back.dim == 8
    assert back.space.fingerprint == first.space.fingerprint
    assert back.space_.classes == (*train.classes, "later") and same(back, first, test)


@pytest.mark.parametrize("given", ["text", None, {"text": 1}, cs.Ridge])
def test_what_is_no_model_is_named(tmp_path, given):
    name = type(given).__name__
    with pytest.raises(InputError, match=f"expected a fitted method, .* got {name}"):
        cs.save(given, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_scores_that_are_no_json_are_named(model, tmp_path):
    with pytest.raises(InputError, match=r"model\.json: JSON has no form"):
        cs.save(model, tmp_path, scores={"mean_ap": float("nan")})


@pytest.mark.parametrize("name", ["v1.5", "a/b", "../up", "type", "Bild ü", "joint"])
def test_a_modality_may_have_any_name(train, test, tmp_path, name):
    data = cs.Dataset.from_arrays(
        {name: train.x("image"), "a_b": train.x("text")}, train.labels("image")
    )
    first = cs.SDML(**SETTINGS).fit(data)
    cs.save(first, tmp_path / "model")
    back = cs.load(tmp_path / "model")
    assert back.modalities == (name, "a_b")
    x = test.x("image")
    np.testing.assert_array_equal(back.transform(name, x), first.transform(name, x))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_modality_that_another_added_meanwhile_is_not_lost(train, tmp_path):
    cs.save(cs.SDML(**SETTINGS).fit(train), tmp_path)
    before = (tmp_path / "model.json").read_bytes()
    less = cs.SDML(**SETTINGS).fit(train.select(["text"]))
    with pytest.raises(InputError, match="'image', which this model lacks"):
        cs.save(less, tmp_path)
    assert (tmp_path / "model.json").read_bytes() == before
    cs.save(less, tmp_path, replace=True)
    assert cs.load(tmp_path).modalities == ("text",)


@pytest.mark.parametrize("key", ["file", "info", "history", "n_features", "encoder", "sha256"])
def test_a_manifest_that_lacks_a_key_of_a_modality_is_damaged(train, tmp_path, key):
    cs.save(cs.SDML(**SETTINGS).fit(train), tmp_path)
    manifest = json.loads((tmp_path / "model.json").read_text())
    del manifest["modalities"]["text"][key]
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="damaged or of another version"):
        cs.load(tmp_path)
