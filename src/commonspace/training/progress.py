"""Progress bars for trainings in several processes.

Workers write their epoch and loss into a small memory-mapped file; the parent reads it a few times
a second and draws. No server, no queue, and nothing to wait for when a worker dies.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from commonspace.types import AnyArray


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
    """A context that shows progress bars on stderr, through rich.

    Args:
        names: Of the trainings; or of each the bar that it is a part of, which then shows the
            epochs of all its trainings together and their mean losses.
        epochs: Of each training, until it tells.
        show: Draw at all.
    """

    def __init__(
        self, names: Sequence[str] | Mapping[str, str], *, epochs: int, show: bool
    ) -> None:
        self.names = tuple(names)
        self.bars = tuple(names.values()) if isinstance(names, Mapping) else self.names
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

    def __exit__(self, *_: object) -> None:
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
            tasks = {name: bars.add_task(name, total=None, losses="") for name in self.bars}
            while True:
                ended = self._stop.wait(0.2)
                table = np.fromfile(self._path).reshape(len(self.names), 4)
                for name, task in tasks.items():
                    rows = table[[bar == name for bar in self.bars]]
                    bars.update(task, **self._shown(rows))
                if ended:
                    return

    def _shown(self, rows: AnyArray) -> dict[str, Any]:
        """What a bar shows of its trainings: their epochs together, their mean losses."""
        begun = rows[rows[:, 0] > 0]
        training, validation = begun[:, 1:3].mean(axis=0) if len(begun) else (0.0, 0.0)
        return {
            "completed": int(rows[:, 0].sum()),
            "total": int(np.where(rows[:, 3] > 0, rows[:, 3], self._epochs_of(begun)).sum()),
            "losses": f"train {training:.4f}  valid {validation:.4f}" if len(begun) else "",
        }

    def _epochs_of(self, begun: AnyArray) -> float:
        """Epochs of a training that has not told yet: as many as others of its bar have."""
        return float(begun[0, 3]) if len(begun) else self.epochs
