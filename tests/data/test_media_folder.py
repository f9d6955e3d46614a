from __future__ import annotations

import logging

import numpy as np
import pytest

from commonspace.data import import_file, import_folder, load_dataset
from commonspace.errors import InputError, NotFoundError


@pytest.fixture
def make(tmp_path):
    def make(*paths: str, content: bytes = b"x"):
        for path in paths:
            place = tmp_path / "pets" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return tmp_path / "pets"

    return make


def test_classes_are_folders_and_modalities_types_of_files(make):
    make("cat/1.png", "cat/2.JPG", "dog/1.png", "dog/bark.wav", ".hidden/3.png", "cat/.4.png")
    root = make("cat/1.txt", content=b" a cat \n")
    splits = import_folder(root)
    assert list(splits) == ["train"] and splits.name == "pets" and splits.classes == ("cat", "dog")
    train = splits["train"]
    assert train.modalities == ("image", "text", "audio")
    assert train["image"].items.tolist() == ["cat/1", "cat/2", "dog/1"]
    assert train.labels("image").codes.tolist() == [0, 0, 1]
    assert train.x("image").tolist() == [
        str(root.resolve() / name) for name in ("cat/1.png", "cat/2.JPG", "dog/1.png")
    ]
    assert train.x("text").tolist() == ["a cat"]
    assert train.pairs("image", "text")[0].tolist() == [0]
    assert "left_out" not in splits.provenance


def test_splits_and_groups(make):
    root = make("train/photos/cat/1.png", "val/photos/cat/2.png", "Test/drawings/dog/3.png")
    make("train/drawings/cat/1.png", "train/sounds/cat/1.wav", "train/4.png")
    splits = import_folder(root)
    assert list(splits) == ["train", "valid", "test"]
    assert splits["train"].modalities == ("drawings", "image", "photos", "audio")
    assert splits["valid"].modalities == ("photos",)
    assert splits["test"]["drawings"].items.tolist() == ["Test/drawings/dog/3"]
    assert not splits["train"].labels("image").known.any()


def test_a_group_of_several_types_next_to_another(make):
    root = make("a/cat/1.png", "a/cat/1.wav", "b/cat/1.png", "b/cat/1.wav")
    assert import_folder(root)["train"].modalities == ("a-image", "a-audio", "b-image", "b-audio")


def test_two_files_of_one_name_and_type_are_two_items(make):
    root = make("cat/1.png", "cat/1.jpg", "cat/2.png")
    items = import_folder(root)["train"]["image"].items.tolist()
    assert items == ["cat/1.jpg", "cat/1.png", "cat/2"]


def test_what_cannot_be_read_is_left_out_and_named(make, caplog):
    root = make("cat/1.png", "cat/notes.docx", "cat/README")
    make("cat/2.txt", content=b"\xff\xfe")
    make("cat/3.txt", content=b" \n")
    np.save(root / "cat" / "4.npy", np.array([1, 2]))
    np.save(root / "cat" / "5.npy", np.array([1, 2, 3]))
    np.save(root / "cat" / "6.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(root / "cat" / "7.npy", np.array([1, np.nan]))
    with caplog.at_level(logging.WARNING):
        splits = import_folder(root)
    assert splits["train"].x("vector").tolist() == [[1, 2]]
    reasons = {entry["item"]: entry["reason"] for entry in splits.provenance["left_out"]}
    assert set(reasons) == {
        f"cat/{n}" for n in "README notes.docx 2.txt 3.txt 5.npy 6.npy 7.npy".split()
    }
    assert "unknown type '.docx'" in reasons["cat/notes.docx"] and "got 3" in reasons["cat/5.npy"]
    assert "7 files left out" in caplog.text and "and 2 more" in caplog.text


def test_what_is_no_such_folder(make, tmp_path):
    with pytest.raises(NotFoundError, match="no folder"):
        import_folder(tmp_path / "nothing")
    with pytest.raises(NotFoundError, match=r"no dataset\.json, and no file of a known type"):
        load_dataset(make("cat/notes.docx"))
    with pytest.raises(InputError, match=r"got a/b/c/1\.png"):
        import_folder(make("a/b/c/1.png"))
    with pytest.raises(InputError, match="options for"):
        import_file(make("cat/1.png"), label="x")


def test_every_door_takes_a_folder(make, splits, tmp_path):
    root = make("cat/1.png")
    assert load_dataset(root).modalities == import_file(root, name="x").modalities == ("image",)
    splits.save(tmp_path / "set")
    (tmp_path / "set" / "dataset.json").unlink()  # as if the writing had been cut off
    with pytest.raises(NotFoundError, match="commonspace-dataset"):
        load_dataset(tmp_path / "set")
