"""A searchable folder: items of many modalities in one space, durable, any-to-any.

``collection.sqlite`` is the truth; ``index.faiss`` and ``index.json`` are derived from it and can
be deleted at any time. One process writes (``writer.lock``), any number read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import as_features, check_range
from commonspace.errors import InputError, NotFoundError
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.store.hits import Hits, hits_of
from commonspace.store.inputs import (
    LOCK,
    TRUTH,
    check_empty,
    check_name,
    dump_json,
    id_strings,
    item_ids,
    library_version,
    stored_payloads,
)
from commonspace.store.items import ItemTable
from commonspace.store.lexical import match_expression
from commonspace.store.lock import WriterLock
from commonspace.store.maintenance import Maintained
from commonspace.store.schema import create_items
from commonspace.store.selections import Modalities
from commonspace.store.where import compile_where
from commonspace.store.wish import IndexWish
from commonspace.types import Float32Array, JsonDict


class Collection(Maintained):
    """Items of many modalities, searchable by any vector of their space.

    Make one with `Collection.create` or `Collection.open`. An item is known by its id *and* its
    modality: one id in two modalities is a pair. What `add` and `delete` acknowledge by returning
    survives a crash of the process and of the machine; a batch that was not acknowledged is there
    whole or not at all. A collection may be used from several threads, which take turns. It is
    not for use across ``fork``.

    Example:
        >>> from tempfile import mkdtemp
        >>> with Collection.create(mkdtemp(), space=Space.create(2)) as col:
        ...     col.add(["cat", "dog"], [[1, 0], [0, 1]], modality="text", payloads=[{"n": 3}, {}])
        ...     hits = col.search([[1.0, 0.2]], k=1)
        ...     hits.ids, hits.payloads
        (array([['cat']], dtype='<U3'), array([[{'n': 3}]], dtype=object))
    """

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        space: Space,
        index: str = "auto",
        memory: int | None = None,
        recall: float | None = None,
        quantizer: Quantizer | None = None,
        **options: Any,
    ) -> Collection:
        """Make an empty collection for vectors of one space, and open it for writing.

        Args:
            folder: A folder that is empty or not there yet.
            space: The contract of all vectors, such as ``model.space_``.
            index: The kind of its search index, among `commonspace.index.KINDS`; "auto" goes by
                the number of items, ``memory`` and ``recall``, and changes as the items grow.
                Fewer than 1,000 items are searched exactly by every kind that has to learn.
            memory: Bytes that an "auto" index may take; None sets no bound.
            recall: Share of the true neighbours to find, which the index is tuned to when it is
                made. None is 0.95 for "auto", and no tuning for a kind that is named.
            quantizer: Of "codes" and "codes4"; None learns one from the items.
            options: Of the kind, such as ``bits=32``.

        Raises:
            StorageError: The folder holds something already, or cannot be written.
            InputError: The kind does not have such options.
        """
        path = Path(folder)
        wish = IndexWish(index, memory, recall, options, quantizer)
        wish.check(space.dim)
        check_empty(path)
        lock = WriterLock(path / LOCK)
        try:
            check_empty(path)  # another process may have been faster to the lock
            create_items(path / TRUTH, space, library_version(), wish.stored())
            return cls(path, ItemTable(path / TRUTH, read_only=False), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: str | Path, *, read_only: bool = False) -> Collection:
        """Open a collection: for writing (one at a time), or to read what others commit.

        Raises:
            NotFoundError: The folder is not a collection.
            StorageError: Another writer has it open, it is damaged, or of a newer format.
        """
        path = Path(folder)
        if not (path / TRUTH).is_file():
            raise NotFoundError(f"{path} is not a collection: it has no {TRUTH}.")
        lock = None if read_only else WriterLock(path / LOCK)
        try:
            return cls(path, ItemTable(path / TRUTH, read_only=read_only), lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def add(
        self,
        ids: Iterable[Any],
        vectors: Any,
        *,
        modality: str,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        space: Space | None = None,
    ) -> None:
        """Store items; when this returns they are durable and found.

        An item whose id is there in this modality is replaced, payload and all, and counts as the
        newest.

        Args:
            ids: Strings or integers (kept as strings), distinct, one a vector.
            vectors: Shape (n, dim); stored as float32, unchanged.
            modality: What the items are, such as "image".
            payloads: What to give back with a hit, one mapping a vector, read back as JSON; its
                strings are what `search_text` finds.
            space: The space the vectors are of, checked if given.

        Raises:
            SpaceMismatchError: ``space`` is another than the collection's.
            InputError: Something does not fit; nothing was stored.
            StorageError: Read-only, closed, or the disk refused; nothing was stored.
        """
        if space is not None:
            self.space.check_same(space, where=f"collection {self.folder}")
        check_name("modality", modality)
        rows = as_features(vectors, where="vectors", n_features=self.space.dim)
        names = item_ids(ids, n=len(rows))
        stored, texts = stored_payloads(payloads, len(rows))
        with self._writing():
            if not names:
                return
            with self._items.batch() as generation:
                gone = self._items.find(names, modality)
                self._items.delete(generation, gone)
                keys = self._items.insert(generation, names, modality, stored, texts, rows)
            self._index.follow(generation, gone, keys, rows)
            self._tend()

    def delete(self, ids: Iterable[Any], modality: str | None = None) -> int:
        """Delete items in one modality, or in all, durably; ids that are not there are passed over.

        Returns:
            How many items were deleted.
        """
        names = list(dict.fromkeys(id_strings(ids)))
        if modality is not None:
            check_name("modality", modality)
        with self._writing():
            gone = self._items.find(names, modality)
            if len(gone):
                with self._items.batch() as generation:
                    self._items.delete(generation, gone)
                nothing = np.empty((0, self.space.dim), dtype=np.float32)
                self._index.follow(generation, gone, gone[:0], nothing)
                self._tend()
        return len(gone)

    def search(
        self,
        vectors: Any,
        k: int = 10,
        *,
        modality: Modalities = None,
        where: Mapping[str, Any] | None = None,
    ) -> Hits:
        """Return the items most similar to each query by cosine.

        How surely they are the most similar ones is the index's; "exact" is exact, and gives ties
        to the older item.

        Args:
            vectors: Queries of any modality, shape (n_queries, dim).
            k: How many items for each; fewer come back where fewer match.
            modality: Search among one modality, several, or all (None).
            where: Conditions on payload fields, see `commonspace.store.where`:
                ``{"lang": "fr", "year": [1999, 2000], "size": {"gte": 3, "lt": 9}}``.

        Raises:
            InputError: Queries, k or ``where`` are not what is needed.
            NotFoundError: A modality has no items.
        """
        with self._reading():
            allowed = self._selections.keys(modality, where)
            found = self._index.current().search(vectors, k, allowed=allowed)
            return hits_of(self._items, found.keys, found.scores)

    def search_text(
        self,
        words: str,
        k: int = 10,
        *,
        modality: Modalities = None,
        where: Mapping[str, Any] | None = None,
    ) -> Hits:
        """Return the items whose payload strings hold the words, best first by BM25.

        Any of the words is enough, more and rarer ones score higher; accents and case do not
        count. Nothing in ``words`` is an operator.

        Returns:
            Hits of one query, shape (1, k) or less.
        """
        if not isinstance(words, str):
            raise InputError(f"words: expected a string, got {type(words).__name__}.")
        check_range("k", k, low=1, integer=True)
        condition, values = compile_where(where)
        limit = min(int(k), 2**62)
        with self._reading():
            names = self._selections.names(modality)
            keys, scores = self._items.match(
                match_expression(words), limit, names, condition, values
            )
            return hits_of(self._items, keys[None], scores[None])

    def vectors(self, ids: Iterable[Any], modality: str) -> Float32Array:
        """Return stored vectors in the order asked, shape (n, dim), equal to the bit.

        Raises:
            NotFoundError: An id is not there in this modality.
        """
        names = id_strings(ids)
        check_name("modality", modality)
        with self._reading():
            blobs = self._items.vectors_of(names, modality)
        missing = [name for name in names if name not in blobs]
        if missing:
            raise NotFoundError(
                f"{self.folder}: no item {missing[0]!r} of modality {modality!r} "
                f"({len(missing)} of {len(names)} ids are not there)."
            )
        joined = b"".join(blobs[name] for name in names)
        stored = np.frombuffer(joined, dtype="<f4").reshape(len(names), self.space.dim)
        return stored.astype(np.float32)

    def get(self, ids: Iterable[Any], modality: str | None = None) -> list[JsonDict]:
        """Return stored items in the order asked, an id once for each modality that has it.

        Args:
            ids: Those that are not there are passed over.
            modality: Look in one modality, or in all (None).

        Returns:
            ``{"id", "modality", "payload"}`` of each item.
        """
        names = list(dict.fromkeys(id_strings(ids)))
        if modality is not None:
            check_name("modality", modality)
        with self._reading():
            described = self._items.describe(self._items.find(names, modality)).values()
        found: dict[str, list[JsonDict]] = {}
        for id_, kind, payload in sorted(described, key=lambda row: row[1]):
            item = {"id": id_, "modality": kind, "payload": json.loads(payload)}
            found.setdefault(id_, []).append(item)
        return [item for name in names for item in found.get(name, [])]

    @property
    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        with self._reading():
            return self._selections.modalities()

    @property
    def metadata(self) -> JsonDict:
        """A copy of what `set_metadata` stored, by name."""
        with self._reading():
            return self._items.metadata()

    def set_metadata(self, name: str, value: Any) -> None:
        """Store a JSON value with the collection, such as the path of the model behind it."""
        check_name("name", name)
        text = dump_json(value, where=f"metadata {name!r}")
        with self._writing():
            self._items.set_metadata(name, text)

    def __len__(self) -> int:
        with self._reading():
            return self._items.count()

    def __contains__(self, id_: object) -> bool:
        try:
            names = id_strings([id_])
        except InputError:
            return False
        with self._reading():
            return bool(len(self._items.find(names, None)))
