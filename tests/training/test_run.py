from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commonspace.errors import MissingExtraError, StorageError
from commonspace.training import History, Run, Settings, run_all, train
from commonspace.training.progress import Board
from commonspace.training.run import SMALL, TensorBoard, _worthwhile, available_cores

from .task import Regression


def square(*, x, callbacks):
    for callback in callbacks:
        callback.on_epoch(f"job {int(x[0])}", 2, 5, {"train_loss": 0.5, "valid_loss": 0.25})
    return os.getpid(), x**2


def jobs(n: int) -> dict[str, dict[str, np.ndarray]]:
    return {f"job {k}": {"x": np.full(k + 1, k)} for k in range(n)}


def test_results_come_in_the_order_of_the_jobs_from_one_process_or_several():
    here = run_all(square, jobs(3), Run(jobs=1), epochs=5)
    assert {pid for pid, _ in here.values()} == {os.getpid()}
    there = run_all(square, jobs(3), Run(jobs=2), epochs=5)
    assert os.getpid() not in {pid for pid, _ in there.values()}
    assert list(here) == list(there) == ["job 0", "job 1", "job 2"]
    for name in here:
        np.testing.assert_array_equal(here[name][1], there[name][1])


def test_one_job_takes_no_process_of_its_own():
    assert run_all(square, jobs(1), Run(jobs=4), epochs=1)["job 0"][0] == os.getpid()
    assert available_cores() >= 1


@pytest.fixture
def terminal(monkeypatch):
    """Make rich believe that stderr is a wide terminal: it draws no bars elsewhere."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


def test_the_board_shows_every_training_and_cleans_up(capsys, terminal):
    with Board(["image", "text"], epochs=4, show=True) as board:
        callback = board.callback()
        callback.on_epoch("image", 3, 4, {"train_loss": 0.5, "valid_loss": 0.25})
        callback.on_epoch("unknown", 3, 4, {"train_loss": 0.5})
        callback.on_epoch("text", 1, 4, {"train_loss": 0.75})
        table = np.fromfile(callback.path).reshape(2, -1)
        np.testing.assert_array_equal(table[:, :3], [[3, 0.5, 0.25], [1, 0.75, np.nan]])
    assert not callback.path.exists()
    callback.on_epoch("image", 4, 4, {"train_loss": 0.5})  # a late worker
    out, err = capsys.readouterr()
    assert out == "" and "image" in err and "3/4" in err and "train 0.5000" in err


def test_trainings_of_one_bar_are_shown_together(capsys, terminal):
    """Of three trainings two have begun: 3 + 1 of 4 epochs each, and their mean losses."""
    bars = {"image/a": "image", "image/b": "image", "image/c": "image", "text/a": "text"}
    with Board(bars, epochs=1, show=True) as board:
        callback = board.callback()
        callback.on_epoch("image/a", 3, 4, {"train_loss": 0.5, "valid_loss": 0.25})
        callback.on_epoch("image/b", 1, 4, {"train_loss": 1.0, "valid_loss": 0.75})
    drawn = capsys.readouterr().err
    assert "4/12" in drawn and "train 0.7500  valid 0.5000" in drawn
    assert "text" in drawn and "0/1" in drawn and "image/" not in drawn


def where_it_lies(*, x, labels, callbacks):
    return type(x).__name__, getattr(x, "filename", None), float(x[-1, -1] + labels[0])


def test_features_on_disk_reach_every_training_as_the_file_they_are(tmp_path):
    """Trainings of the same rows neither copy nor send them."""
    np.save(tmp_path / "x.npy", np.arange(400_000, dtype=np.float32).reshape(-1, 4))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    calls = {f"image/{k}": {"x": x, "labels": np.full(9, k)} for k in range(3)}
    found = run_all(where_it_lies, calls, Run(jobs=2), epochs=1)
    assert [name for name, _, _ in found.values()] == ["memmap"] * 3
    assert {str(path) for _, path, _ in found.values()} == {str(tmp_path / "x.npy")}
    assert [value for _, _, value in found.values()] == [399_999, 400_000, 400_001]


def test_rows_that_trainings_share_are_counted_once(monkeypatch):
    """Four networks on the same few rows are not worth a process; four times the rows are."""
    monkeypatch.setattr("commonspace.training.run.available_cores", lambda: 7)
    x = np.zeros(SMALL // 2)
    assert _worthwhile({f"job {k}": {"job": {"x": x}} for k in range(4)}) == 1
    assert _worthwhile({f"job {k}": {"job": {"x": x.copy()}} for k in range(4)}) == 7


def test_a_board_that_shows_nothing_is_silent(capsys):
    with Board(["image"], epochs=4, show=False):
        pass
    assert capsys.readouterr() == ("", "")


def test_progress_reaches_the_board_from_the_run(capsys, terminal):
    run_all(square, jobs(2), Run(jobs=1, progress=True), epochs=5)
    assert "2/5" in capsys.readouterr().err


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def told(history: History, key: str) -> list[tuple[int, Any]]:
    return [(int(row["epoch"]), pytest.approx(row[key], rel=1e-6)) for row in history]


def test_tensorboard_gets_every_epoch_in_order_once(tmp_path):
    pytest.importorskip("tensorboard")
    callbacks = Run(log_dir=tmp_path).all_callbacks(None)
    for seed, epochs in ((0, 12), (1, 11)):  # the second run takes the place of the first
        task = Regression({"image": 16})
        settings = Settings(epochs=epochs, batch_size=8)
        history = train(task, settings, name="image", seed=seed, callbacks=callbacks)
        written = scalars(tmp_path / "image")
        assert written.keys() == {"train_loss", "valid_loss"}
        for key, values in written.items():
            assert values == told(history, key)
    (tmp_path / "text").write_text("taken")
    with pytest.raises(StorageError, match="cannot write"):
        callbacks[0].on_epoch("text", 1, 2, {"train_loss": 0.5})


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(MissingExtraError, match=r"commonspace\[tensorboard\]"):
        TensorBoard(tmp_path).on_epoch("image", 1, 2, {"train_loss": 0.5})


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    checkpoint = Run(checkpoints=tmp_path / "taken").checkpoint("image", "id")
    with pytest.raises(StorageError, match=r"cannot write .*image\.safetensors"):
        train(
            Regression({"image": 16}),
            Settings(epochs=1),
            name="image",
            seed=0,
            checkpoint=checkpoint,
        )
    assert Run().checkpoint("image", "id") is None
