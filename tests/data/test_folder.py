from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from commonspace.data import Dataset, Splits, make_dataset, read_folder
from commonspace.errors import InputError, NotFoundError, StorageError


@pytest.fixture
def splits() -> Splits:
    return make_dataset(n_items=30, label_kind="multi", dims={"image": 4, "text": 3})


@pytest.fixture
def folder(splits, tmp_path):
    splits.save(tmp_path / "set")
    return tmp_path / "set"


def test_round_trip_is_equal_and_memory_mapped(splits, folder):
    again = read_folder(folder, verify=True)
    assert list(again) == ["train", "test"] and again.name == splits.name
    assert again.provenance == splits.provenance and again.classes == splits.classes
    for split, data in splits.items():
        assert again[split].fingerprint() == data.fingerprint()
    x = again["train"].x("image")
    assert isinstance(x, np.memmap) and not x.flags.writeable


def test_texts_unknowns_and_encoders_survive(tmp_path):
    x = {"text": np.array(["é", "two words", ""])}
    encoder = {"id": "some-encoder", "dim": 3}
    data = Dataset.from_arrays(
        x, ["b", None, "a"], items=["p", "q", "日"], encoders={"text": encoder}
    )
    Splits({"train": data}, "texts", {"source": "here"}).save(tmp_path / "t")
    again = read_folder(tmp_path / "t")["train"]
    assert again.fingerprint() == data.fingerprint()
    assert again["text"].encoder == encoder
    assert again.labels("text").codes.tolist() == [1, -1, 0]


def test_damage_is_named(folder):
    path = folder / "train" / "image" / "x.npy"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(bytes(blob))
    with pytest.raises(StorageError, match=r"x\.npy is damaged"):
        read_folder(folder, verify=True)
    path.write_bytes(bytes(blob[:40]))
    with pytest.raises(StorageError, match=r"x\.npy"):
        read_folder(folder)
    path.unlink()
    with pytest.raises(StorageError, match=r"x\.npy"):
        read_folder(folder)


def edit(folder, change) -> None:
    manifest = json.loads((folder / "dataset.json").read_text())
    change(manifest)
    (folder / "dataset.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("label_indices", lambda a: np.where(np.arange(len(a)) == 0, 10**6, a)),
        ("label_indices", lambda a: a[:-2]),
        ("label_indices", lambda a: a.astype(float)),
        ("label_indptr", lambda a: np.where(np.arange(len(a)) == 1, 500, a)),
    ],
)
def test_labels_that_point_outside_are_refused(folder, file, change):
    path = folder / "train" / "image" / f"{file}.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(StorageError, match=r"train/image/label_\*\.npy are damaged"):
        read_folder(folder)


@pytest.mark.parametrize("key", ["classes", "splits", "name"])
def test_a_manifest_that_lacks_something_is_refused(folder, key):
    edit(folder, lambda manifest: manifest.pop(key))
    with pytest.raises(StorageError, match=rf"dataset\.json is damaged.*{key}"):
        read_folder(folder)


def test_path_escape_is_refused(folder, tmp_path):
    shutil.copy(folder / "train" / "image" / "x.npy", tmp_path / "x.npy")

    def escape(manifest):
        manifest["splits"]["train"]["image"]["files"]["x"]["path"] = "../x.npy"

    edit(folder, escape)
    with pytest.raises(StorageError, match="outside"):
        read_folder(folder)


def test_newer_and_foreign_manifests_are_refused(folder, tmp_path):
    edit(folder, lambda manifest: manifest.update(format_version=99))
    with pytest.raises(StorageError, match="newer"):
        read_folder(folder)
    edit(folder, lambda manifest: manifest.update(kind="other"))
    with pytest.raises(StorageError, match="other"):
        read_folder(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(StorageError, match=r"dataset\.json is damaged"):
        read_folder(folder)
    with pytest.raises(NotFoundError, match=r"dataset\.json"):
        read_folder(tmp_path)


def test_counts_that_differ_are_refused(folder):
    np.save(folder / "train" / "text" / "items.npy", np.array(["only one"]))
    with pytest.raises(StorageError, match="1 ids"):
        read_folder(folder)


def test_a_width_that_differs_is_refused(splits, folder):
    x = splits["train"].x("image")
    np.save(folder / "train" / "image" / "x.npy", np.ascontiguousarray(x[:, :-1]))
    with pytest.raises(StorageError, match=r"x\.npy: expected shape"):
        read_folder(folder)


def test_a_full_folder_is_not_written_over(splits, folder):
    with pytest.raises(InputError, match="not empty"):
        splits.save(folder)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a\\b"])
def test_names_that_are_no_folder_names_are_refused(name, tmp_path):
    data = Dataset.from_arrays({"a": np.zeros((1, 1))}, [0])
    with pytest.raises(InputError, match="folder's name"):
        Splits({name: data}).save(tmp_path / "set")


def test_select_and_unknown_names(splits):
    assert splits.select(["text"]).modalities == ("text",)
    with pytest.raises(NotFoundError, match="'txt'"):
        splits.select(["txt"])
    with pytest.raises(NotFoundError, match="'tests'"):
        splits["tests"]
