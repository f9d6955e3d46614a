"""The search index beside a collection: made from the truth, never trusted over it.

``index.json`` says from which batch of which history ``index.faiss`` was made, and its SHA-256. If
anything of that does not fit, the index is made again from SQLite; deleting both loses nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path

from commonspace.disk import check_file, read_json, write_json
from commonspace.errors import NotFoundError, StorageError
from commonspace.index import ExactIndex
from commonspace.store.items import ItemTable
from commonspace.types import Float32Array, IntArray

_KIND = "commonspace-index"
_VERSION = 1
_log = logging.getLogger(__name__)


class DerivedIndex:
    """An exact cosine index over the vectors of an `ItemTable`, loaded when it is first needed.

    Attributes:
        generation: The batch of the truth that the index in memory stands for; -1 without one.
    """

    def __init__(self, folder: Path, items: ItemTable) -> None:
        self._file = folder / "index.faiss"
        self._manifest = folder / "index.json"
        self._items = items
        self._index: ExactIndex | None = None
        self._newest_key = 0
        self._written = -1
        self.generation = -1

    def current(self) -> ExactIndex:
        """Return the index of the truth as it is now; within `ItemTable.snapshot`."""
        generation = self._items.generation()
        if self._index is None:
            self._index = self._load()
        if -1 < self.generation < self._items.log_starts():
            self._index = self._empty()
        if self.generation != generation:
            gone = self._items.deleted_after(self.generation, self._newest_key)
            self._change(self._index, gone, generation)
        return self._index

    def follow(self, generation: int, gone: IntArray, keys: IntArray, rows: Float32Array) -> None:
        """Take in a batch that was just committed, without reading it back."""
        if self._index is None or self.generation != generation - 1:
            return  # the next search catches up
        index, self._index = self._index, None  # an interrupted change must not be seen
        index.remove(gone)
        index.add(keys, rows)
        self._newest_key = max(self._newest_key, int(keys.max(initial=0)))
        self._index, self.generation = index, generation

    def write(self) -> None:
        """Bring the files up to the truth, if they are not; within `ItemTable.snapshot`."""
        index = self.current()
        if self._written == self.generation:
            return
        digest = index.write(self._file)
        write_json(
            self._manifest,
            {
                "kind": _KIND,
                "format_version": _VERSION,
                "generation": self.generation,
                "token": self._items.token(self.generation),
                "newest_key": self._newest_key,
                "items": len(index),
                "sha256": digest,
            },
        )
        self._written = self.generation

    def _change(self, index: ExactIndex, gone: IntArray, generation: int) -> None:
        self._index = None
        index.remove(gone)
        newest = self._items.newest_key()
        for keys, rows in self._items.vectors_after(self._newest_key):
            index.add(keys, rows)
        self._index, self._newest_key, self.generation = index, newest, generation

    def _empty(self) -> ExactIndex:
        self.generation, self._newest_key, self._written = -1, 0, -1
        return ExactIndex("cosine", dim=self._items.space.dim)

    def _load(self) -> ExactIndex:
        try:
            return self._read()
        except NotFoundError:
            _log.debug("%s: no index yet, making it", self._file.parent)
        except (StorageError, KeyError, TypeError, ValueError) as error:
            _log.warning("%s: making the index again from the items: %s", self._file.parent, error)
        return self._empty()

    def _read(self) -> ExactIndex:
        manifest = read_json(self._manifest, kind=_KIND, max_version=_VERSION)
        generation = int(manifest["generation"])
        if manifest["token"] is None or manifest["token"] != self._items.token(generation):
            raise StorageError(f"{self._manifest} was made from another history of the items.")
        if not self._file.exists():
            raise NotFoundError(f"{self._file} was deleted.")
        check_file(self._file, str(manifest["sha256"]), restore="It is made again.")
        index = ExactIndex.read(self._file, metric="cosine")
        if index.dim != self._items.space.dim or len(index) != manifest["items"]:
            raise StorageError(f"{self._file} does not hold what {self._manifest.name} says.")
        self.generation = self._written = generation
        self._newest_key = int(manifest["newest_key"])
        return index
