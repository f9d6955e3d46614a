"""Where and how trainings run: how many at once, saved where, watched by whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from commonspace.checks import check_one_of, check_range
from commonspace.cluster import ENGINES, Engine, check_address, connect, each_call
from commonspace.disk import safe_name
from commonspace.errors import InputError, MissingExtraError, StorageError
from commonspace.machine import available_cores
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback
from commonspace.training.progress import Board

Result = TypeVar("Result")
SMALL = 1_000_000  # numbers in the features and labels of all trainings together


@dataclass(frozen=True)
class TensorBoard:
    """Append each epoch's metrics to a TensorBoard event file, one folder a training.

    Nothing stays open between epochs, so that a killed training has lost nothing; every epoch
    begins a session, so that one that is run again takes the place of what it repeats.
    """

    folder: Path

    def on_epoch(self, name: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of one epoch.

        Args:
            name: Of the training: its folder.
            epoch: Number of the epoch, from 1.
            epochs: In all.
            metrics: By name.

        Raises:
            MissingExtraError: tensorboard is not installed.
            StorageError: The disk refuses.
        """
        try:
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise MissingExtraError("log_dir", "tensorboard", "tensorboard") from error
        measured = {key: value for key, value in metrics.items() if key != "epoch"}
        summary = Summary(
            value=[Summary.Value(tag=key, simple_value=value) for key, value in measured.items()]
        )
        events = [
            Event(step=epoch, session_log=SessionLog(status=SessionLog.START)),
            Event(step=epoch, summary=summary),
        ]
        path = self.folder / safe_name(name) / "events.out.tfevents.commonspace"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                if not file.tell():
                    events.insert(0, Event(file_version="brain.Event:2"))
                for event in events:
                    event.wall_time = time.time()
                    RecordWriter(file).write(event.SerializeToString())
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror or error}.") from error


@dataclass(frozen=True)
class Run:
    """How to run a fit; nothing in it changes what is learned.

    Attributes:
        jobs: Trainings at once, each in a process of its own with one torch thread. None takes
            one a processor core, or one in all where the data are small. 1 trains in this process.
        checkpoints: Folder to save to after every epoch, and to resume from; None saves nothing.
        checkpoint_every: Epochs between saves.
        log_dir: Folder for TensorBoard event files; None writes none.
        progress: Show progress bars on stderr.
        callbacks: Called after each epoch, in the process that trains: they must pickle.
        engine: "local", or "ray": every training is a task of a Ray cluster, and is made again on
            another worker, from its checkpoint, when its worker is lost. Folders must be the same
            on every node; progress is that of workers on this machine.
        address: Of the cluster, see `cluster.connect`.
    """

    jobs: int | None = None
    checkpoints: Path | None = None
    checkpoint_every: int = 1
    log_dir: Path | None = None
    progress: bool = False
    callbacks: tuple[Callback, ...] = field(default=())
    engine: Engine = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        check_one_of("engine", self.engine, ENGINES)
        check_address(self.engine, self.address)
        if self.jobs is not None:
            check_range("jobs", self.jobs, low=1, integer=True)

    def checkpoint(self, name: str, identity: str) -> Checkpoint | None:
        """Where the training of that name is saved."""
        if self.checkpoints is None:
            return None
        # Whole, for a worker may stand in another folder.
        path = Path(self.checkpoints).absolute() / f"{safe_name(name)}.safetensors"
        return Checkpoint(path, identity, self.checkpoint_every)

    def all_callbacks(self, board: Board | None) -> tuple[Callback, ...]:
        """The caller's callbacks and those that the attributes ask for."""
        out = list(self.callbacks)
        if self.log_dir is not None:
            out.append(TensorBoard(Path(self.log_dir).absolute()))
        if board is not None:
            out.append(board.callback())
        return tuple(out)


def as_run(run: Run | None) -> Run:
    """Return how to run a fit, by default in the plain way; `InputError` for anything else."""
    if run is not None and not isinstance(run, Run):
        raise InputError(f"run: expected a Run such as Run(jobs=2), got {type(run).__name__}.")
    return run or Run()


def run_all(
    function: Callable[..., Result],
    jobs: Mapping[str, Mapping[str, Any]],
    run: Run,
    *,
    epochs: int,
    bars: Mapping[str, str] | None = None,
) -> dict[str, Result]:
    """Call ``function(**arguments, callbacks=...)`` for every job, in parallel where it pays.

    The bits of the results do not depend on how many run at once or in which order.

    Args:
        function: A module-level function (it travels to worker processes by name).
        jobs: Arguments of each call, by the name of the training.
        run: How many at once, and who watches.
        epochs: Of each training, for the progress bars.
        bars: Of which bar a training is a part; None gives each its own.

    Returns:
        The results by name, in the order of ``jobs``.
    """
    n_jobs = min(run.jobs or _worthwhile(jobs), len(jobs))
    with Board(bars or list(jobs), epochs=epochs, show=run.progress) as board:
        callbacks = run.all_callbacks(board if run.progress else None)
        calls = [{**arguments, "callbacks": callbacks} for arguments in jobs.values()]
        if run.engine == "ray":
            results = _on_ray(function, calls, run)
        elif n_jobs == 1:
            results = [function(**arguments) for arguments in calls]
        else:
            results = _in_processes(function, calls, n_jobs)
    return dict(zip(jobs, results, strict=True))


def _in_processes(
    function: Callable[..., Result], calls: Sequence[Mapping[str, Any]], n_jobs: int
) -> list[Result]:
    from joblib import Parallel, delayed

    order = _largest_first(calls)
    pool = Parallel(n_jobs=n_jobs, inner_max_num_threads=1)
    done = dict(zip(order, pool(delayed(function)(**calls[i]) for i in order), strict=True))
    return [done[i] for i in range(len(calls))]


def _on_ray(
    function: Callable[..., Result], calls: Sequence[Mapping[str, Any]], run: Run
) -> list[Result]:
    connect(run.address)
    order = _largest_first(calls)
    ended = each_call(function, (calls[i] for i in order), at_once=run.jobs)
    done = {order[number]: result for number, result in ended}
    return [done[i] for i in range(len(calls))]


def _largest_first(calls: Sequence[Mapping[str, Any]]) -> list[int]:
    """The order of starting, so that no long training starts when the others have ended."""
    return sorted(range(len(calls)), key=lambda i: -_size(calls[i]))


def _worthwhile(jobs: Mapping[str, Mapping[str, Any]]) -> int:
    """One job where all are small: a worker process takes seconds to import torch."""
    return 1 if _size(jobs) < SMALL else available_cores()


def _size(arguments: Mapping[str, Any]) -> int:
    """Numbers in the arrays of the arguments, at any depth: the time of a training follows it."""
    return sum(_sizes(arguments).values())


def _sizes(arguments: Mapping[str, Any]) -> dict[int, int]:
    """Of each array its size: trainings of the same rows have them once."""
    found: dict[int, int] = {}
    for value in arguments.values():
        deeper = _sizes(value) if isinstance(value, Mapping) else None
        found |= {id(value): int(getattr(value, "size", 0))} if deeper is None else deeper
    return found
