"""An open collection: who may read and write in it, one at a time, until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from commonspace.errors import StorageError
from commonspace.space import Space
from commonspace.store.derived import DerivedIndex
from commonspace.store.items import ItemTable
from commonspace.store.lock import WriterLock
from commonspace.store.selections import Selections
from commonspace.store.wish import IndexWish


class Handle:
    """What is open of a collection: its items, the index beside them, and the writer's lock."""

    def __init__(self, folder: Path, items: ItemTable, lock: WriterLock | None) -> None:
        self.folder = folder
        self._items = items
        self._lock = lock
        wish = IndexWish.restored(items.meta("index"), items.meta("quantizer"))
        self._index = DerivedIndex(folder, items, wish)
        self._mutex = threading.RLock()
        self._closed = False
        self._selections = Selections(items)

    @property
    def space(self) -> Space:
        """The space of all vectors."""
        return self._items.space

    def close(self) -> None:
        """Write the index and give the lock back; closing twice is fine."""
        with self._mutex:
            if self._closed:
                return
            try:
                self._index.settle()
                if self._lock is not None:
                    self._write_index(lazily=True)
            finally:
                self._closed = True
                self._items.close()
                if self._lock is not None:
                    self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self._lock is None else "writing"
        return f"Collection({str(self.folder)!r}, dim={self.space.dim}, {state})"

    def _write_index(self, *, lazily: bool = False) -> None:
        with self._writing():
            with self._items.snapshot():
                self._index.write(lazily=lazily)
            self._items.forget(self._index.forgettable())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex:
            self._check_open()
            with self._items.snapshot():
                yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._mutex:
            self._check_open()
            if self._lock is None:
                raise StorageError(
                    f"{self.folder} was opened with read_only=True. Open it without to write."
                )
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"{self.folder} is closed. Open it again with Collection.open.")
