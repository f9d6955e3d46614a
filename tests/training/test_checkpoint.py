from __future__ import annotations

import logging
import signal
import subprocess
import sys

import numpy as np
import pytest

from commonspace.errors import StorageError
from commonspace.training import Settings, train
from commonspace.training.checkpoint import Checkpoint

from .task import Regression

SETTINGS = Settings(epochs=6, batch_size=8, schedule="one-cycle", clip=0.5, weight_decay=0.01)


class StopError(RuntimeError):
    pass


class StopAfter:
    def __init__(self, epoch: int) -> None:
        self.epoch, self.seen = epoch, []

    def on_epoch(self, name, epoch, epochs, metrics):
        self.seen.append(epoch)
        if epoch == self.epoch:
            raise StopError


def same_training(first: Regression, second: Regression) -> bool:
    one, other = first.weights(), second.weights()
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole():
    """The training that was never interrupted, and its history."""
    task = Regression()
    return task, train(task, SETTINGS, name="t", seed=0)


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("stop", [1, 3, 6])
def test_an_interrupted_training_continues_to_the_same_bits(tmp_path, whole, every, stop):
    checkpoint = Checkpoint(tmp_path / "t.safetensors", "id", every)
    with pytest.raises(StopError):
        train(
            Regression(),
            SETTINGS,
            name="t",
            seed=0,
            checkpoint=checkpoint,
            callbacks=[StopAfter(stop)],
        )
    task, watch = Regression(), StopAfter(99)
    history = train(task, SETTINGS, name="t", seed=0, checkpoint=checkpoint, callbacks=[watch])
    assert same_training(task, whole[0]) and history == whole[1]
    saved = 6 if stop == 6 else stop // every * every
    assert watch.seen == list(range(saved + 1, 7))


def test_a_training_stopped_by_patience_does_not_go_on(tmp_path):
    settings = Settings(epochs=40, batch_size=8, patience=1)
    checkpoint = Checkpoint(tmp_path / "t.safetensors", "id", every=3)
    first = Regression()
    history = train(first, settings, name="t", seed=0, checkpoint=checkpoint)
    assert len(history) < 40
    task = Regression()
    assert train(task, settings, name="t", seed=0, checkpoint=checkpoint) == history
    assert same_training(task, first)


KILLED = """
import os, signal, sys, pathlib
sys.path.insert(0, sys.argv[1])
from commonspace.training import train
from commonspace.training.checkpoint import Checkpoint
from training.task import Regression
from training.test_checkpoint import SETTINGS

steps = 0
def kill(rows):
    global steps
    steps += 1
    if steps == 18:  # in the middle of the fourth epoch of five steps
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint = Checkpoint(pathlib.Path(sys.argv[2]), "id")
train(Regression(watch=kill), SETTINGS, name="t", seed=0, checkpoint=checkpoint)
"""


def test_kill_9_in_the_middle_of_an_epoch(tmp_path, whole, request):
    path = tmp_path / "t.safetensors"
    here = str(request.path.parent.parent)
    done = subprocess.run([sys.executable, "-c", KILLED, here, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    task, watch = Regression(), StopAfter(99)
    checkpoint = Checkpoint(path, "id")
    history = train(task, SETTINGS, name="t", seed=0, checkpoint=checkpoint, callbacks=[watch])
    assert watch.seen == [4, 5, 6]
    assert same_training(task, whole[0]) and history == whole[1]


def test_the_checkpoint_of_another_training_is_not_continued(tmp_path, whole, caplog):
    path = tmp_path / "t.safetensors"
    train(Regression(), SETTINGS, name="t", seed=1, checkpoint=Checkpoint(path, "other"))
    task, watch = Regression(), StopAfter(99)
    with caplog.at_level(logging.WARNING):
        train(
            task,
            SETTINGS,
            name="t",
            seed=0,
            checkpoint=Checkpoint(path, "id"),
            callbacks=[watch],
        )
    assert watch.seen[0] == 1 and same_training(task, whole[0])
    assert f"{path} is of another training" in caplog.text


def damages(content: bytes) -> dict[str, bytes]:
    flipped = bytearray(content)
    flipped[-5] ^= 1
    return {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "longer": content + b"x",
        "other": b"no safetensors at all",
        "a bit": bytes(flipped),
    }


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "other", "a bit"])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "t.safetensors"
    train(Regression(), SETTINGS, name="t", seed=0, checkpoint=Checkpoint(path, "id"))
    path.write_bytes(damages(path.read_bytes())[damage])
    with pytest.raises(StorageError, match=r"t\.safetensors is damaged .* Remove it"):
        train(Regression(), SETTINGS, name="t", seed=0, checkpoint=Checkpoint(path, "id"))
