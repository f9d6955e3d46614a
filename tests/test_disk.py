from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commonspace import disk
from commonspace.errors import InputError, NotFoundError, StorageError

KIND = {"kind": "thing", "format_version": 1}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_when_written_whole(tmp_path):
    path = tmp_path / "new" / "a.bin"
    with disk.atomic_file(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError, match="stop"), disk.atomic_file(path) as file:
        file.write(b"half of the n")
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old" and names(path.parent) == ["a.bin"]
    with disk.atomic_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and names(path.parent) == ["a.bin"]


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = f"""
import os, pathlib
from commonspace.disk import atomic_file
with atomic_file(pathlib.Path({str(path)!r})) as file:
    file.write(b"half of the n")
    file.flush()
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.json"
    disk.write_json(path, {"v": 1})

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(StorageError, match=r"cannot write .*a\.json: No space left") as caught:
        disk.write_json(path, {"v": 2})
    assert isinstance(caught.value, OSError)
    assert path.read_text() == '{\n  "v": 1\n}\n' and names(tmp_path) == ["a.json"]


def test_a_folder_that_is_a_file_is_a_write_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        disk.write_json(tmp_path / "taken" / "a.json", {})


def test_a_target_is_absent_empty_or_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file is a file\. Name a folder for the model\."):
        disk.check_target(tmp_path / "file", what="the model")
    folder = tmp_path / "folder"
    disk.check_target(folder, what="the model")
    folder.mkdir()
    (folder / ".checkpoints").mkdir()
    disk.check_target(folder, what="the model")
    (folder / "model.json").write_text("")
    disk.check_target(folder, what="the model", marker="model.json")
    for marker in (None, "other.json"):
        with pytest.raises(InputError, match=r"folder is not empty\. Name a new folder for the"):
            disk.check_target(folder, what="the model", marker=marker)


def test_json_round_trip(tmp_path):
    content = {**KIND, "name": "Größe 🦊", "list": [1, 2.5, None, True], "nested": {"z": 1, "a": 2}}
    disk.write_json(tmp_path / "a.json", content)
    assert disk.read_json(tmp_path / "a.json", kind="thing", max_version=1) == content


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_cannot_say_is_refused_by_the_name_of_the_file(tmp_path, value):
    disk.write_json(tmp_path / "a.json", {"v": 1})
    with pytest.raises(InputError, match=r"a\.json"):
        disk.write_json(tmp_path / "a.json", {"v": value})
    assert (tmp_path / "a.json").read_text() == '{\n  "v": 1\n}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"kind": "thing", "form', "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[1, 2]", "expected the manifest of a thing, got 'list'"),
        (b'{"kind": "other", "format_version": 1}', "got 'other'"),
        (b'{"kind": "thing", "format_version": 2}', "2 is newer .* Install a newer"),
        (b'{"kind": "thing"}', "damaged: it names no format version"),
        (b'{"kind": "thing", "format_version": "1"}', "names no format version, got '1'"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path, content, message):
    path = tmp_path / "thing.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=message) as caught:
        disk.read_json(path, kind="thing", max_version=1)
    assert str(path) in str(caught.value)


def test_no_manifest_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"is not a thing folder: it has no thing\.json"):
        disk.read_json(tmp_path / "thing.json", kind="thing", max_version=1)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (5,)])
def test_arrays_round_trip_to_the_bit(tmp_path, shape):
    array = np.random.default_rng(0).normal(size=shape)
    digest = disk.write_array(tmp_path / "a.npy", array)
    assert digest == disk.sha256_file(tmp_path / "a.npy")
    for mmap in (True, False):
        back = disk.read_array(tmp_path / "a.npy", mmap=mmap)
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype
    if array.size:
        with pytest.raises(ValueError, match="read-only"):
            disk.read_array(tmp_path / "a.npy")[0] = 0


def test_damaged_arrays_are_named_and_pickles_are_never_read(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(StorageError, match=r"a\.npy is missing"):
        disk.read_array(path)
    digest = disk.write_array(path, np.arange(100.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    with pytest.raises(StorageError, match=r"a\.npy is damaged"):
        disk.read_array(path)
    path.write_bytes(b"")
    with pytest.raises(StorageError, match=r"a\.npy is damaged"):
        disk.read_array(path)
    path.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(StorageError, match=r"a\.npy is damaged"):
        disk.read_array(path)
    np.save(path, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(StorageError, match=r"a\.npy is damaged"):
        disk.read_array(path)
    with pytest.raises(StorageError, match=r"a\.npy is damaged: its SHA-256 .* Train again\."):
        disk.check_file(path, digest, restore="Train again.")
    path.unlink()
    with pytest.raises(StorageError, match=r"a\.npy is missing"):
        disk.check_file(path, digest, restore="Train again.")


def test_a_file_that_is_no_array_is_no_reason_to_load_pickles(tmp_path):
    (tmp_path / "a.npy").write_text("no array")
    with pytest.raises(StorageError, match=r"no \.npy file of plain numbers or text") as caught:
        disk.read_array(tmp_path / "a.npy")
    assert "unsafely" not in str(caught.value)


def test_objects_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        disk.write_array(tmp_path / "a.npy", np.array([{}], dtype=object))
    assert names(tmp_path) == []


def test_digests():
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert disk.sha256_bytes() == disk.sha256_bytes(b"") == empty
    assert disk.sha256_bytes(b"ab", b"c") == disk.sha256_bytes(b"abc")


def test_names_of_files_stay_inside_and_apart():
    assert disk.safe_name("text_en.v1-2") == "text_en.v1-2"
    odd = ["../up", "a/b", "a_b/", "a b", "ä"]
    assert len({disk.safe_name(name) for name in odd}) == len(odd)
    assert not any(set(disk.safe_name(name)) & set("/\\ ä") for name in odd)
