"""Trainings on a real Ray: what is learned is what this machine alone learns, to the bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import commonspace as cs
from commonspace.errors import InputError
from commonspace.store.pipelines import modality_digests
from commonspace.training import Run, run_all

TINY = {"dim": 8, "hidden": (16,), "epochs": 5, "members": 1}


@dataclass(frozen=True)
class Diary:
    """Write every epoch down; end the process after epoch 2 of one training, the first time."""

    folder: Path
    victim: str | None = None

    def on_epoch(self, name: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        path = self.folder / name.replace("/", "-")
        with path.open("a") as file:
            file.write(f"{epoch} ")
        if name == self.victim and path.read_text() == "1 2 ":
            os.kill(os.getpid(), signal.SIGKILL)


def learned(train, folder: Path, run: Run) -> dict[str, str]:
    """SHA-256 of each modality's file of a model that was trained so."""
    cs.save(cs.SDML(**TINY).fit(train, run=run), folder)
    return modality_digests(folder)


@pytest.fixture(scope="module")
def alone(train, tmp_path_factory):
    """Trained in this process, undisturbed."""
    return learned(train, tmp_path_factory.mktemp("local"), Run(jobs=1))


def test_a_model_has_the_bytes_of_the_local_engine(cluster, train, alone, tmp_path):
    (tmp_path / "diary").mkdir()
    run = Run(engine="ray", callbacks=(Diary(tmp_path / "diary"),))
    assert learned(train, tmp_path / "model", run) == alone
    told = {path.read_text() for path in (tmp_path / "diary").iterdir()}
    assert told == {"1 2 3 4 5 "}  # callbacks are called where it trains


def test_a_training_whose_worker_is_killed_goes_on_from_its_checkpoint(
    cluster, train, alone, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # checkpoints are found though workers stand elsewhere
    (tmp_path / "diary").mkdir()
    first = next(iter(sorted(told_names(train))))
    diary = Diary(tmp_path / "diary", victim=first)
    run = Run(engine="ray", checkpoints=Path("checkpoints"), callbacks=(diary,))
    assert learned(train, tmp_path / "model", run) == alone
    told = {path.name: path.read_text() for path in (tmp_path / "diary").iterdir()}
    assert len(told) > 1 and set(told.values()) == {"1 2 3 4 5 "}  # 3, not 1, came after the kill
    assert told[first.replace("/", "-")] == "1 2 3 4 5 "


def told_names(train) -> set[str]:
    """What the trainings are called, as callbacks are told."""
    names: set[str] = set()

    class Names:
        def on_epoch(self, name: str, *_: object) -> None:
            names.add(name)

    cs.SDML(**{**TINY, "epochs": 1}).fit(train, run=Run(jobs=1, callbacks=(Names(),)))
    return names


OTHERS = {
    "MSDMML": {"dim": 8, "hidden": (16,), "epochs": 2, "batch_size": 16},
    "SPDQ": {"bits": 16, "hidden": (16,), "epochs": 2, "batch_size": 16},
    "Sequential": {"dim": 8, "width": 12, "hidden": (16,), "steps": 5, "batch_size": 8},
}


@pytest.mark.parametrize("name", OTHERS)
def test_methods_that_train_all_at_once_learn_the_same(cluster, name, train):
    from commonspace import methods

    models = [
        getattr(methods, name)(**OTHERS[name]).fit(train, run=run)
        for run in (Run(jobs=1), Run(engine="ray"))
    ]
    for modality, part in train.items():
        here, there = (model.transform(modality, part.x) for model in models)
        np.testing.assert_array_equal(here, there)


def where(*, n, callbacks):
    for callback in callbacks:
        callback.on_epoch(f"job {n}", 2, 5, {"train_loss": 0.5, "valid_loss": 0.25})
    return n, os.getpid()


def test_one_training_and_small_ones_go_to_the_cluster_too(cluster):
    assert run_all(where, {"job 1": {"n": 1}}, Run(engine="ray"), epochs=5)["job 1"][1] != (
        os.getpid()
    )
    jobs = {f"job {n}": {"n": n} for n in range(5)}
    done = run_all(where, jobs, Run(engine="ray", jobs=2), epochs=5)
    assert [(name, n) for name, (n, _) in done.items()] == [(f"job {n}", n) for n in range(5)]


def test_progress_of_workers_on_this_machine_reaches_the_board(cluster, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    run_all(where, {"job 1": {"n": 1}}, Run(engine="ray", progress=True), epochs=5)
    out, err = capsys.readouterr()
    assert out == "" and "2/5" in err


def test_engines_and_addresses_are_checked():
    with pytest.raises(InputError, match="engine: expected one of 'local', 'ray'"):
        Run(engine="cloud")
    with pytest.raises(InputError, match="only the engine 'ray'"):
        Run(address="10.0.0.1:6379")


@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.parametrize("jobs", [0, -1, 1.5, True])
def test_jobs_are_a_number_of_them(engine, jobs):
    with pytest.raises(InputError, match="jobs: expected a whole number"):
        Run(engine=engine, jobs=jobs)
