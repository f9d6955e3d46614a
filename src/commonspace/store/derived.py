"""The search index beside a collection: made from the truth, never trusted over it.

``index.json`` says from which batch of which history ``index.faiss`` was made, and its SHA-256. If
anything of that does not fit, the index is made again from SQLite; deleting both loses nothing. The
files may be behind the truth: what changed since is read from the log of batches.
"""

from __future__ import annotations

import logging
from pathlib import Path

from commonspace.errors import NotFoundError, StorageError
from commonspace.index import Index
from commonspace.store.building import Builder, Built, build_index
from commonspace.store.index_files import IndexFiles
from commonspace.store.items import ItemTable
from commonspace.store.wish import IndexWish
from commonspace.types import Float32Array, IntArray, JsonDict

# Changed items, as a share of all, that the next opening rather catches up with than have the
# files written again: a graph takes long to catch up with, codes have to be made.
_LEFT_BEHIND = {"hnsw": 0.002, "codes": 0.01, "codes4": 0.01}
_LEFT_BEHIND_ELSE = 0.05
# Of so few items the files are written whenever they are behind.
_ALWAYS_WRITTEN = 1000
_log = logging.getLogger(__name__)


class DerivedIndex:
    """The index over the vectors of an `ItemTable`, loaded when it is first needed.

    Args:
        folder: Of the collection.
        items: The truth.
        wish: What index there should be.

    Attributes:
        generation: The batch of the truth that the index in memory stands for; -1 without one.
    """

    def __init__(self, folder: Path, items: ItemTable, wish: IndexWish) -> None:
        self.wish = wish
        self.generation = -1
        self._folder, self._files = folder, IndexFiles(folder)
        self._items = items
        self._index: Index | None = None
        self._newest_key = 0
        self._lists_lost = 0
        self._written = -1
        self._changed = 0
        self._builder: Builder | None = None

    def current(self) -> Index:
        """Return the index of the truth as it is now; within `ItemTable.snapshot`."""
        generation = self._items.generation()
        self._adopt()
        if self._index is None:
            self._load()
        if self._index is None or (self.generation != generation and self._overrun()):
            self._install(build_index(self._items, self.wish))
        assert self._index is not None
        if self.generation != generation:
            gone = self._items.deleted_after(self.generation, self._newest_key)
            self._change(self._index, gone, generation)
        return self._index

    def follow(self, generation: int, gone: IntArray, keys: IntArray, rows: Float32Array) -> None:
        """Take in a batch that was just committed, without reading it back."""
        self._adopt()
        if self._index is None or self.generation != generation - 1:
            return  # the next search catches up
        index, self._index = self._index, None  # an interrupted change must not be seen
        index.remove(gone)
        index.add(keys, rows)
        self._newest_key = max(self._newest_key, int(keys.max(initial=0)))
        self._changed += len(gone) + len(keys)
        self._index, self.generation = index, generation

    def write(self, *, lazily: bool = False) -> None:
        """Bring the files up to the truth, if they are not; within `ItemTable.snapshot`.

        Args:
            lazily: Leave them behind where the next opening catches up quickly.
        """
        index = self.current()
        if self._written == self.generation or (lazily and self._soon_caught_up(index)):
            return
        self._files.write(
            index,
            {
                "generation": self.generation,
                "token": self._items.token(self.generation),
                "newest_key": self._newest_key,
                "lists_lost": self._lists_lost,
            },
        )
        self._written, self._changed = self.generation, 0

    def forgettable(self) -> int:
        """The generation up to which nobody needs the log; -1 for none of it."""
        return -1 if self._builder is not None else self._written

    def outgrown(self) -> bool:
        """Whether the index in memory should be made again."""
        index, dim = self._index, self._items.space.dim
        return index is not None and self.wish.outgrown(index, dim, self._lists_lost)

    def build_beside(self, truth: Path) -> Builder:
        """Start a thread that makes the index again; `current` takes it over when it is done."""
        if self._builder is None:
            self._builder = Builder(truth, self.wish)
        return self._builder

    def settle(self) -> None:
        """Stop the thread, if there is one."""
        if self._builder is not None:
            self._builder.stop()
            self._builder = None

    def describe(self) -> JsonDict:
        """What index there is; within `ItemTable.snapshot`."""
        index = self.current()
        settings = {k: v for k, v in index.settings.items() if k not in ("metric", "dim")}
        effort = getattr(index, "effort", None)
        return {**settings, "effort": effort, "items": len(index), "empty_slots": index.n_dead}

    def load_strictly(self) -> Index | None:
        """Read the files and nothing else; None where one is not there, so that there is no index.

        Raises:
            StorageError: They are damaged, or of another history of the items.
        """
        try:
            self._read()
        except NotFoundError:
            return None
        return self._index

    def _change(self, index: Index, gone: IntArray, generation: int) -> None:
        self._index = None
        index.remove(gone)
        newest = self._items.newest_key()
        self._changed += len(gone)
        for keys, rows in self._items.vectors_after(self._newest_key):
            index.add(keys, rows)
            self._changed += len(keys)
        self._index, self._newest_key, self.generation = index, newest, generation

    def _overrun(self) -> bool:
        """Whether the log does not reach back, or so much is new that another index costs less."""
        if self._index is None or self.generation < self._items.log_starts():
            return True
        n, dim = self._items.count(), self._items.space.dim
        known = len(self._index)
        return n > 2 * known and self._index.kind != self.wish.plan(n, dim, self._lists_lost)[0]

    def _soon_caught_up(self, index: Index) -> bool:
        share = _LEFT_BEHIND.get(index.kind, _LEFT_BEHIND_ELSE)
        many = len(index) > _ALWAYS_WRITTEN
        return many and self._written > -1 and self._changed <= share * len(index)

    def _install(self, built: Built) -> None:
        self._index, self.generation = built.index, built.generation
        self._newest_key, self._written, self._changed = built.newest_key, -1, 0
        self._lists_lost = built.lists_lost

    def _adopt(self) -> None:
        """Take over what the thread has made; the log tells what has changed since."""
        if self._builder is None or self._builder.running:
            return
        builder, self._builder = self._builder, None
        if builder.error is not None:
            _log.warning("%s: could not make the index again: %s", self._folder, builder.error)
        if builder.built is not None:
            self._install(builder.built)

    def _load(self) -> None:
        try:
            self._read()
        except NotFoundError:
            _log.debug("%s: no index yet, making it", self._folder)
        except StorageError as error:
            _log.warning("%s: making the index again from the items: %s", self._folder, error)

    def _read(self) -> None:
        index, origin = self._files.read()
        try:
            generation, newest_key = int(origin["generation"]), int(origin["newest_key"])
            lists_lost = int(origin["lists_lost"])
        except (TypeError, ValueError, OverflowError) as error:
            raise StorageError(f"{self._files.manifest} is damaged: {error}.") from error
        if not 0 <= generation <= self._items.generation():
            raise StorageError(f"{self._files.index} is of a later state of the items.")
        if origin["token"] is None or origin["token"] != self._items.token(generation):
            raise StorageError(f"{self._files.index} was made from another history of the items.")
        if index.dim != self._items.space.dim:
            raise StorageError(f"{self._files.index} is of {index.dim} dimensions.")
        self._index, self._changed = index, 0
        self._newest_key, self._lists_lost = newest_key, lists_lost
        self.generation = self._written = generation
