"""Make an index from the items: at once, or in a thread while searches go on."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonspace.errors import CommonspaceError
from commonspace.index import Index, make_index
from commonspace.store.items import ItemTable
from commonspace.store.wish import IndexWish

# Items that an index learns from, and is tuned by.
_LEARN_FROM = 100_000
_TUNE_BY = 200
# Items added between two looks at whether to stop.
_STEP = 2048
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Built:
    """An index and the moment of the truth that it stands for; see `IndexWish.plan`."""

    index: Index
    generation: int
    newest_key: int
    lists_lost: int


class StoppedError(Exception):
    """The thread was told to stop."""


def build_index(items: ItemTable, wish: IndexWish, stop: threading.Event | None = None) -> Built:
    """Make the index that a wish asks for of all items; within `ItemTable.snapshot`."""
    n, dim = items.count(), items.space.dim
    index = wish.make(n, dim)
    if index.kind != "exact":
        index.train(items.sample(_LEARN_FROM)[1], n_items=n)
    _fill(index, items, stop)
    _tune(index, items, wish)
    lost = index.kind == "ivf" and wish.lists_lose(index, items.sample(_TUNE_BY)[1])
    if lost:
        index = make_index("exact", dim=dim)
        _fill(index, items, stop)
    return Built(index, items.generation(), items.newest_key(), n if lost else 0)


def _fill(index: Index, items: ItemTable, stop: threading.Event | None) -> None:
    for keys, rows in items.vectors_after(0):
        for at in range(0, len(keys), _STEP):
            if stop is not None and stop.is_set():
                raise StoppedError
            index.add(keys[at : at + _STEP], rows[at : at + _STEP])


def _tune(index: Any, items: ItemTable, wish: IndexWish) -> None:
    recall = wish.wanted_recall()
    if recall is None or not hasattr(index, "tune"):
        return
    keys, rows = items.sample(_TUNE_BY)
    reached = index.tune(rows, recall, own=keys)
    if reached < recall:
        _log.warning("index %s finds %.2f of the neighbours, not %.2f", index.kind, reached, recall)


class Builder:
    """A thread that makes an index from a connection of its own.

    Args:
        truth: The SQLite file.
        wish: What to make.
    """

    def __init__(self, truth: Path, wish: IndexWish) -> None:
        self.built: Built | None = None
        self.error: BaseException | None = None
        self._truth, self._wish = truth, wish
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commonspace-index", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Return when it is done."""
        self._thread.join()

    def stop(self) -> None:
        """Tell it to stop, and return when it has."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            items = ItemTable(self._truth, read_only=True)
            try:
                with items.snapshot():
                    self.built = build_index(items, self._wish, self._stop)
            finally:
                items.close()
        except StoppedError:
            pass
        except (CommonspaceError, RuntimeError, MemoryError) as error:
            self.error = error
