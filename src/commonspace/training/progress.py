"""Progress bars for trainings in several processes.

Workers write their epoch and loss into a small memory-mapped file; the parent reads it a few times
a second and draws. No server, no queue, and nothing to wait for when a worker dies.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np


@dataclass(frozen=True)
class BoardCallback:
    """Write the epoch and its losses into the row of the training's name."""

    path: Path
    names: tuple[str, ...]

    def on_epoch(self, name: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Overwrite this training's row; silently absent on another machine."""
        if name not in self.names or not self.path.exists():
            return
        table = np.memmap(self.path, dtype=np.float64, mode="r+", shape=(len(self.names), 4))
        losses = metrics["train_loss"], metrics.get("valid_loss", float("nan"))
        table[self.names.index(name)] = epoch, *losses, epochs


class Board:
    """A context that shows one progress bar a training on stderr, through rich.

    Args:
        names: Of the trainings.
        epochs: Of each.
        show: Whether to show anything.
    """

    def __init__(self, names: list[str], *, epochs: int, show: bool) -> None:
        self.names = tuple(names)
        self.epochs = epochs
        self.show = show
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def callback(self) -> BoardCallback:
        """What the trainings call after each epoch."""
        return BoardCallback(self._path, self.names)

    def __enter__(self) -> Self:
        if self.show:
            handle, path = tempfile.mkstemp(prefix="commonspace-progress-")
            os.close(handle)
            self._path = Path(path)
            np.zeros((len(self.names), 4)).tofile(path)
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._path.unlink(missing_ok=True)

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(
            *columns, "{task.fields[losses]}", console=Console(stderr=True), transient=True
        ) as bars:
            tasks = [bars.add_task(name, total=self.epochs, losses="") for name in self.names]
            while True:
                ended = self._stop.wait(0.2)
                rows = np.fromfile(self._path).reshape(len(self.names), 4)
                for task, (epoch, training, validation, epochs) in zip(tasks, rows, strict=True):
                    shown = f"train {training:.4f}  valid {validation:.4f}" if epoch else ""
                    total = int(epochs) or self.epochs
                    bars.update(task, completed=int(epoch), total=total, losses=shown)
                if ended:
                    return
