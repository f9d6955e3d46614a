from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from commonspace.encoders import Broken, EncodeRun, FeatureCache, encode_items
from commonspace.encoders import cache as cache_module
from commonspace.encoders import files as files_module
from commonspace.errors import InputError, MissingExtraError, StorageError


@dataclass
class Sizes:
    """Reads files: their length and first byte. Empty ones are broken. Says what it read."""

    factor: float = 1.0
    modality_kind: str = "image"
    read: list[str] = field(default_factory=list)
    dim = 2

    @property
    def id(self) -> str:
        return f"sizes:v1:factor={self.factor}"

    def spec(self):
        return {"kind": "sizes", "version": 1, "factor": self.factor}

    def encode(self, items):
        rows = []
        for item in items:
            content = Path(item).read_bytes()
            self.read.append(Path(item).name)
            if not content:
                raise InputError(f"{item}: the file is empty.")
            if content == b"bug":
                raise ZeroDivisionError("ours")
            rows.append([self.factor * len(content), content[0]])
        return np.array(rows, np.float32).reshape(-1, 2)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_SETTLED_NS", 0)
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(7):
        (folder / f"{n}.bin").write_bytes(bytes([n + 1]) * (n + 1))
    return [str(path) for path in sorted(folder.glob("*.bin"))]


@pytest.fixture
def run(tmp_path):
    return EncodeRun(cache=tmp_path / "cache", batch=3)


def expected(count=7):
    return np.array([[n + 1, n + 1] for n in range(count)], np.float32)


def test_a_second_run_reads_nothing(files, run, monkeypatch):
    first = encode_items(Sizes(), files, run)
    np.testing.assert_array_equal(first.x, expected())
    assert first.cached == 0 and first.rows.tolist() == list(range(7))
    again = Sizes()
    monkeypatch.setattr(cache_module, "sha256_file", None)  # not even to take its digest
    second = encode_items(again, files, run)
    np.testing.assert_array_equal(second.x, first.x)
    assert second.cached == 7 and again.read == []


def test_changed_content_is_encoded_again(files, run):
    encode_items(Sizes(), files, run)
    before = os.stat(files[2])
    Path(files[2]).write_bytes(b"\xff\xff\xff")  # as long as before
    os.utime(files[2], ns=(before.st_atime_ns, before.st_mtime_ns))  # and as old, it says
    encoder = Sizes()
    assert encode_items(encoder, files, run).x[2].tolist() == [3, 255]
    assert encoder.read == ["2.bin"]


def test_a_file_that_has_just_changed_is_not_trusted_by_its_time(files, run, monkeypatch):
    monkeypatch.setattr(cache_module, "_SETTLED_NS", 10**15)
    encode_items(Sizes(), files, run)
    with sqlite3.connect(run.cache / "features-1.sqlite") as database:
        assert database.execute("SELECT count(*) FROM files").fetchone() == (0,)
    encoder = Sizes()
    assert encode_items(encoder, files, run).cached == 7 and encoder.read == []


def test_the_encoder_counts_and_so_does_the_suffix(files, run, tmp_path):
    encode_items(Sizes(), files, run)
    other = encode_items(Sizes(factor=2), files, run)
    assert other.cached == 0 and other.x[3].tolist() == [8, 4]
    (tmp_path / "same.bin").write_bytes(Path(files[0]).read_bytes())
    (tmp_path / "same.other").write_bytes(Path(files[0]).read_bytes())
    found = encode_items(Sizes(), [tmp_path / "same.bin", tmp_path / "same.other"], run)
    assert found.cached == 1


def test_equal_files_are_read_once(files, run, tmp_path):
    for n in range(3):
        (tmp_path / f"copy{n}.bin").write_bytes(b"aa")
    encoder = Sizes()
    x = encode_items(encoder, sorted(tmp_path.glob("copy*.bin")), run).x
    assert len(encoder.read) == 1 and x.tolist() == [[2, 97]] * 3


def test_broken_items_are_left_out_and_named(files, run, tmp_path):
    (tmp_path / "empty.bin").touch()
    (tmp_path / "bug.bin").write_bytes(b"bug")
    items = [*files[:2], str(tmp_path / "empty.bin"), *files[2:4], str(tmp_path / "none.bin")]
    items.append(str(tmp_path / "bug.bin"))
    skip = EncodeRun(cache=run.cache, batch=4, on_error="skip")
    found = encode_items(Sizes(), items, skip)
    assert found.rows.tolist() == [0, 1, 3, 4]
    np.testing.assert_array_equal(found.x, expected(4))
    assert [Path(part.item).name for part in found.broken] == ["empty.bin", "none.bin", "bug.bin"]
    assert "is empty" in found.broken[0].reason and "FileNotFoundError" in found.broken[1].reason
    assert "ZeroDivisionError: ours" in found.broken[2].reason
    assert skip.broken == list(found.broken) and isinstance(skip.broken[0], Broken)
    with pytest.raises(InputError, match=r"empty\.bin: the file is empty"):
        encode_items(Sizes(), items, run)
    with pytest.raises(InputError, match="none of 1 items"):
        encode_items(Sizes(), items[2:3], skip)


def test_what_is_no_fault_of_the_item_is_not_skipped(files):
    class Wants(Sizes):
        def encode(self, items):
            raise MissingExtraError("this", "that", "image")

    with pytest.raises(MissingExtraError):
        encode_items(Wants(), files, EncodeRun(on_error="skip"))


def test_features_of_another_shape_or_not_finite_are_refused(files):
    class Wide(Sizes):
        dim = 3

    with pytest.raises(InputError, match=r"expected float32 of shape \(1, 3\)"):
        encode_items(Wide(), files)
    with pytest.raises(InputError, match="not finite"):
        encode_items(Sizes(factor=np.inf), files)


def test_progress_and_no_items(files, run):
    told = []
    options = EncodeRun(cache=run.cache, batch=3, progress=lambda *pair: told.append(pair))
    encode_items(Sizes(), files, options)
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]
    told.clear()
    encode_items(Sizes(), files, options)
    assert told == [(7, 7)]

    class Empty(Sizes):
        def encode(self, items):
            return np.empty((0, 2), np.float32)

    assert encode_items(Empty(), []).x.shape == (0, 2)


def test_texts_are_kept_only_if_they_are_slow_to_encode(run):
    @dataclass
    class Lengths(Sizes):
        modality_kind: str = "text"
        slow: bool = False

        def encode(self, items):
            self.read += items
            return np.array([[len(text), 0] for text in items], np.float32)

    for slow in (False, True):
        encode_items(Lengths(slow=slow), ["a", "bb", "a"], run)
        again = Lengths(slow=slow)
        x = encode_items(again, ["a", "bb", "a"], run).x
        assert x[:, 0].tolist() == [1, 2, 1] and bool(again.read) != slow


def test_processes_give_the_same(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    from commonspace.encoders import MFCCEncoder

    rng = np.random.default_rng(0)
    for n in range(5):
        soundfile.write(tmp_path / f"{n}.wav", rng.normal(size=2000) / 9, 8000)
    (tmp_path / "5.wav").write_bytes(b"no sound")
    paths = sorted(tmp_path.glob("*.wav"))
    encoder = MFCCEncoder(rate=8000)
    alone = encode_items(encoder, paths, EncodeRun(on_error="skip"))
    many = EncodeRun(jobs=2, batch=2, on_error="skip", cache=tmp_path / "cache")
    together = encode_items(encoder, paths, many)
    np.testing.assert_array_equal(together.x, alone.x)
    assert together.broken == alone.broken and "5.wav" in together.broken[0].reason


def dies(spec, batch):
    """In place of what runs in a process: one file is the end of it."""
    if any(item.endswith("deadly.bin") for _, item in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return files_module._encode_batch(Sizes(), batch)


def test_a_file_that_ends_the_process_that_reads_it_is_left_out(files, tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "_encode_elsewhere", dies)
    (tmp_path / "deadly.bin").write_bytes(b"x")
    items = [*files[:2], str(tmp_path / "deadly.bin"), files[2]]
    found = encode_items(Sizes(), items, EncodeRun(jobs=2, batch=2, on_error="skip"))
    assert found.rows.tolist() == [0, 1, 3]
    assert "the process that read it was ended" in found.broken[0].reason


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import commonspace.encoders.cache as cache
cache._SETTLED_NS = 0
from test_files import Sizes
from commonspace.encoders import EncodeRun, encode_items

def progress(done, total):
    print(done, flush=True)
    time.sleep(0.2 if done else 0)

encode_items(Sizes(), {files!r}, EncodeRun(cache={cache!r}, batch=1, progress=progress))
"""


def test_a_run_that_was_killed_is_continued(files, tmp_path):
    cache = str(tmp_path / "cache")
    code = KILLED.format(tests=str(Path(__file__).parent), files=files, cache=cache)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        while int(other.stdout.readline()) < 3:
            time.sleep(0)
        other.send_signal(signal.SIGKILL)
    encoder = Sizes()
    found = encode_items(encoder, files, EncodeRun(cache=cache))
    np.testing.assert_array_equal(found.x, expected())
    assert 3 <= found.cached < 7 and encoder.read == [Path(f).name for f in files[found.cached :]]


def test_two_runs_share_a_cache(files, tmp_path):
    cache = str(tmp_path / "cache")
    code = KILLED.format(tests=str(Path(__file__).parent), files=files, cache=cache)
    code = code.replace("0.2", "0.0")
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) for _ in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert encode_items(Sizes(), files, EncodeRun(cache=cache)).cached == 7


def test_a_cache_that_cannot_be_used_says_so(files, tmp_path):
    (tmp_path / "features-1.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match=r"features-1\.sqlite.*Delete the file"):
        encode_items(Sizes(), files, EncodeRun(cache=tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="COMMONSPACE_CACHE"):
        FeatureCache(tmp_path / "file")


def test_options_are_checked():
    for options in ({"jobs": 0}, {"batch": 0}, {"on_error": "ignore"}):
        with pytest.raises(InputError, match=next(iter(options))):
            EncodeRun(**options)
