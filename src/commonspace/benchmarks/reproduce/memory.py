"""How much memory a call takes: the growth of this process and its workers while it runs."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from functools import cache
from pathlib import Path
from typing import Self

from commonspace.data import make_dataset
from commonspace.methods import SDML, SM
from commonspace.training import Run

_PAUSE = 0.02  # seconds between looks
_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@cache
def warm_up() -> None:
    """Let a network train once, so that no row of a table pays for what all of them load."""
    data = make_dataset(n_items=40, n_classes=2, dims={"image": 4, "text": 3})["train"]
    SM().fit(data)
    SDML(dim=8, hidden=(4,), epochs=1, members=1).fit(data, run=Run(jobs=1))


class PeakMemory:
    """Largest resident memory of the process tree within a ``with`` block, over its start.

    Sampled, so a peak of less than a fiftieth of a second may be missed; memory that was freed
    before is given back first, so that it hides nothing. A method that is the first to need a
    library pays for loading it. Only where ``/proc`` tells (Linux).

    Attributes:
        mib: MiB over the start; None where nothing tells.
    """

    def __init__(self) -> None:
        self.mib: float | None = None
        self._peak = 0
        self._done = threading.Event()

    def __enter__(self) -> Self:
        warm_up()
        gc.collect()
        _give_back()
        self._start = self._peak = _resident(os.getpid())
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()
        self._peak = max(self._peak, _resident(os.getpid()))
        if self._start:
            self.mib = round((self._peak - self._start) / 2**20, 1)

    def _look(self) -> None:
        while not self._done.wait(_PAUSE):
            self._peak = max(self._peak, _resident(os.getpid()))


def _resident(process: int) -> int:
    """Bytes of a process and all below it, 0 where unknown or gone."""
    try:
        pages = int((_PROC / str(process) / "statm").read_text().split()[1])
        tasks = list((_PROC / str(process) / "task").iterdir())
        below = [child for task in tasks for child in (task / "children").read_text().split()]
    except (OSError, IndexError, ValueError):
        return _own(process)
    return pages * _PAGE + sum(_resident(int(child)) for child in below)


def _own(process: int) -> int:
    try:
        return int((_PROC / str(process) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _give_back() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return
