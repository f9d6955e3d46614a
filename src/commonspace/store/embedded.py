"""A collection in a folder: SQLite is the truth, a FAISS index beside it, and one writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from commonspace.errors import NotFoundError
from commonspace.index import Neighbours
from commonspace.space import Space
from commonspace.store.copying import check_collection, copy_collection
from commonspace.store.derived import DerivedIndex
from commonspace.store.inputs import LOCK, TRUTH, check_empty, library_version
from commonspace.store.items import ItemTable
from commonspace.store.lexical import match_expression
from commonspace.store.lock import WriterLock
from commonspace.store.schema import create_items
from commonspace.store.selections import Selections
from commonspace.store.where import field_path
from commonspace.store.wish import IndexWish
from commonspace.types import Float32Array, IntArray, JsonDict

Where = Mapping[str, Any] | None


class Embedded:
    """What is open of a folder: its items, the index beside them, and the writer's lock.

    What its methods are for, `commonspace.store.engine.Engine` says.
    """

    learns_codes = True

    def __init__(self, folder: Path, items: ItemTable, lock: WriterLock | None) -> None:
        self.folder, self.items, self._lock = folder, items, lock
        wish = IndexWish.restored(items.meta("index"), items.meta("quantizer"))
        self.index = DerivedIndex(folder, items, wish)
        self.selections = Selections(items)

    @classmethod
    def create(cls, place: str | Path, space: Space, wish: IndexWish) -> Self:
        """Make an empty collection and open it for writing."""
        folder = Path(place)
        wish.check(space.dim)
        check_empty(folder)
        lock = WriterLock(folder / LOCK)
        try:
            check_empty(folder)  # another process may have been faster to the lock
            create_items(folder / TRUTH, space, library_version(), wish.stored())
            return cls(folder, ItemTable(folder / TRUTH, read_only=False), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, place: str | Path, *, read_only: bool) -> Self:
        """Open a collection, for writing or to read what others commit."""
        folder = Path(place)
        if not (folder / TRUTH).is_file():
            raise NotFoundError(f"{folder} is not a collection: it has no {TRUTH}.")
        lock = None if read_only else WriterLock(folder / LOCK)
        try:
            return cls(folder, ItemTable(folder / TRUTH, read_only=read_only), lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def read_only(self) -> bool:
        """Whether it holds no lock."""
        return self._lock is None

    def close(self) -> None:
        """Write the index and give the lock back."""
        with ExitStack() as last:
            if self._lock is not None:
                last.callback(self._lock.release)
            last.callback(self.items.close)
            self.index.settle()
            if self._lock is not None:
                self._write_index(lazily=True)

    def modality_names(self) -> Sequence[str]:
        """Those that have items."""
        return list(self.selections.modalities())

    def nearest(
        self, vectors: Any, k: int, modalities: Sequence[str] | None, where: Where
    ) -> Neighbours:
        """What the index finds among the keys that SQLite selects."""
        allowed = self.selections.keys(modalities, where)
        return self.index.current().search(vectors, k, allowed=allowed)

    def match(
        self, words: str, k: int, modalities: Sequence[str] | None, where: Where
    ) -> tuple[IntArray, Float32Array]:
        """By SQLite's full-text index."""
        condition, values = self.selections.condition(where)
        return self.items.match(match_expression(words), k, modalities, condition, values)

    def put(
        self,
        ids: Sequence[str],
        modality: str,
        payloads: Sequence[str] | None,
        texts: Sequence[str],
        vectors: Float32Array,
        encoder: str | None,
    ) -> None:
        """One transaction; the index follows."""
        with self.items.batch() as generation:
            gone = self.items.find(ids, modality)
            self.items.delete(generation, gone)
            keys = self.items.insert(generation, ids, modality, payloads, texts, vectors)
            if encoder is not None:
                self.items.record_encoder(generation, encoder)
        self._follow(generation, gone, keys, vectors)

    def remove(self, ids: Sequence[str], modality: str | None) -> int:
        """One transaction; the index follows."""
        gone = self.items.find(ids, modality)
        if len(gone):
            with self.items.batch() as generation:
                self.items.delete(generation, gone)
            nothing = np.empty((0, self.items.space.dim), dtype=np.float32)
            self._follow(generation, gone, gone[:0], nothing)
        return len(gone)

    def describe_index(self) -> JsonDict:
        """Kind, settings, items and empty slots."""
        return self.index.describe()

    def set_index(self, wish: IndexWish) -> None:
        """Store the wish with the items."""
        wish.check(self.items.space.dim)
        self.items.set_meta(wish.stored())
        self.index.settle()
        self.index.wish = wish

    def index_field(self, name: str, *, drop: bool = False) -> None:
        """By SQLite's triggers."""
        self.items.index_field(field_path(name), drop=drop)

    def indexed_fields(self) -> list[str]:
        """JSON paths."""
        return sorted(self.items.indexed_fields())

    def outgrown(self) -> bool:
        """Whether the current index is."""
        with self.items.snapshot():
            self.index.current()
        return self.index.outgrown()

    def compact(self) -> Callable[[], None]:
        """In a thread, from a snapshot."""
        return self.index.build_beside(self.folder / TRUTH).wait

    def flush(self) -> None:
        """Write the index files."""
        self._write_index()

    def snapshot(self, folder: Path) -> None:
        """SQLite's backup, and the index files."""
        copy_collection(self.folder, self.items, folder)

    def verify(self) -> list[str]:
        """Everything that `check_collection` reads."""
        return check_collection(self.folder)

    def _write_index(self, *, lazily: bool = False) -> None:
        with self.items.snapshot():
            self.index.write(lazily=lazily)
        self.items.forget(self.index.forgettable())

    def _follow(
        self, generation: int, gone: IntArray, keys: IntArray, vectors: Float32Array
    ) -> None:
        """Let the index take in a batch; if that was too much for it, begin to make it again."""
        self.index.follow(generation, gone, keys, vectors)
        if self.index.outgrown():
            self.index.build_beside(self.folder / TRUTH)
