"""Looking after a collection: its index, copies of it, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commonspace.quantization import Quantizer
from commonspace.store.copying import check_collection, copy_collection
from commonspace.store.handle import Handle
from commonspace.store.inputs import TRUTH
from commonspace.store.wish import IndexWish
from commonspace.types import JsonDict


class Maintained(Handle):
    """An open collection that can be looked after."""

    @property
    def index(self) -> JsonDict:
        """The search index there is now: its kind, settings, items and empty slots."""
        with self._reading():
            return self._index.describe()

    def set_index(
        self,
        kind: str = "auto",
        *,
        memory: int | None = None,
        recall: float | None = None,
        quantizer: Quantizer | None = None,
        **options: Any,
    ) -> None:
        """Record another wish for the index, see `create`, and make that index."""
        wish = IndexWish(kind, memory, recall, options, quantizer)
        wish.check(self.space.dim)
        with self._writing():
            self._items.set_meta(wish.stored())
            self._index.settle()
            self._index.wish = wish
        self.compact()

    def compact(self, *, wait: bool = True) -> None:
        """Make the search index again, of the items there are, without what deleted ones left.

        Searches and writes go on meanwhile; the new index takes over when it is done. This
        happens by itself when a quarter of the index is empty, or it has outgrown its kind.

        Args:
            wait: Return when it is done, not when it has begun.
        """
        with self._writing():
            builder = self._index.build_beside(self.folder / TRUTH)
        if wait:
            builder.wait()
            with self._reading():
                self._index.current()

    def flush(self) -> None:
        """Write the search index beside the items, so that the next open need not make it.

        An index that is outgrown is made again first.
        """
        with self._writing():
            with self._items.snapshot():
                self._index.current()
            outgrown = self._index.outgrown()
        if outgrown:
            self.compact()
        self._write_index()

    def snapshot(self, folder: str | Path) -> None:
        """Write a copy of the collection as it is now to a new folder, which is whole or absent.

        Raises:
            StorageError: The folder is there already, or cannot be written.
        """
        with self._mutex:
            self._check_open()
            copy_collection(self.folder, self._items, Path(folder))

    def verify(self) -> list[str]:
        """Look for damage, see `check_collection`; one sentence a problem."""
        with self._mutex:
            self._check_open()
        return check_collection(self.folder)

    def _tend(self) -> None:
        """Begin to make an index again that the last write has outgrown."""
        if self._index.outgrown():
            self._index.build_beside(self.folder / TRUTH)
