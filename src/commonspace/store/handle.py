"""An open collection: who may read and write in it, one at a time, until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from commonspace.errors import StorageError
from commonspace.space import Space
from commonspace.store.engine import Engine


class Handle:
    """What is open of a collection: the engine that keeps its items."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._items = engine, engine.items
        self._mutex = threading.RLock()
        self._closed = False

    @property
    def space(self) -> Space:
        """The space of all vectors."""
        return self._items.space

    @property
    def place(self) -> str:
        """Where the collection is: its folder, or its address without what is secret in it."""
        return self._engine.place

    @property
    def folder(self) -> Path:
        """The folder of the collection.

        Raises:
            UnsupportedError: It is in a cluster, and in no folder.
        """
        return self._engine.folder

    @property
    def learns_codes(self) -> bool:
        """Whether its index takes codes that `commonspace.quantization` learned."""
        return self._engine.learns_codes

    def close(self) -> None:
        """Write the index and give the lock back; closing twice is fine."""
        with self._mutex:
            if not self._closed:
                self._closed = True
                self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self._engine.read_only else "writing"
        return f"Collection({self.place!r}, dim={self.space.dim}, {state})"

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
            if self._engine.read_only:
                raise StorageError(
                    f"{self.place} was opened with read_only=True. Open it without to write."
                )
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"{self.place} is closed. Open it again with Collection.open.")
