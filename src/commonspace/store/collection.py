"""A searchable folder: items of many modalities in one space, durable, any-to-any.

``collection.sqlite`` is the truth; ``index.faiss`` and ``index.json`` are derived from it and can
be deleted at any time. One process writes (``writer.lock``), any number read.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from commonspace.checks import as_features, as_ids, check_range, not_found
from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.space import Space
from commonspace.store.derived import DerivedIndex
from commonspace.store.hits import Hits
from commonspace.store.items import ItemTable, create_items
from commonspace.store.lexical import match_expression, searchable_text
from commonspace.store.lock import WriterLock
from commonspace.store.where import compile_where
from commonspace.types import Float32Array, IntArray, JsonDict

_TRUTH = "collection.sqlite"
_LOCK = "writer.lock"
# Selections remembered until the next write; each holds one integer an item.
_REMEMBERED = 16

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

Modalities = str | Sequence[str] | None


class Collection:
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

    def __init__(self, folder: Path, items: ItemTable, lock: WriterLock | None) -> None:
        self.folder = folder
        self._items = items
        self._lock = lock
        self._index = DerivedIndex(folder, items)
        self._mutex = threading.RLock()
        self._closed = False
        self._selections: dict[str, IntArray] = {}
        self._known: dict[str, int] = {}
        self._remembered_at = -1

    @classmethod
    def create(cls, folder: str | Path, *, space: Space) -> Collection:
        """Make an empty collection for vectors of one space, and open it for writing.

        Args:
            folder: A folder that is empty or not there yet.
            space: The contract of all vectors, such as ``model.space_``.

        Raises:
            StorageError: The folder holds something already, or cannot be written.
        """
        path = Path(folder)
        _check_empty(path)
        lock = WriterLock(path / _LOCK)
        try:
            _check_empty(path)  # another process may have been faster to the lock
            create_items(path / _TRUTH, space, _library_version())
            return cls(path, ItemTable(path / _TRUTH, read_only=False), lock)
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
        if not (path / _TRUTH).is_file():
            raise NotFoundError(f"{path} is not a collection: it has no {_TRUTH}.")
        lock = None if read_only else WriterLock(path / _LOCK)
        try:
            return cls(path, ItemTable(path / _TRUTH, read_only=read_only), lock)
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
        _check_name("modality", modality)
        rows = as_features(vectors, where="vectors", n_features=self.space.dim)
        names = _ids(ids, n=len(rows))
        stored, texts = _payloads(payloads, len(rows))
        with self._writing():
            if not names:
                return
            with self._items.batch() as generation:
                gone = self._items.find(names, modality)
                self._items.delete(generation, gone)
                keys = self._items.insert(generation, names, modality, stored, texts, rows)
            self._index.follow(generation, gone, keys, rows)

    def delete(self, ids: Iterable[Any], modality: str | None = None) -> int:
        """Delete items in one modality, or in all, durably; ids that are not there are passed over.

        Returns:
            How many items were deleted.
        """
        names = list(dict.fromkeys(_id_strings(ids)))
        if modality is not None:
            _check_name("modality", modality)
        with self._writing():
            gone = self._items.find(names, modality)
            if len(gone):
                with self._items.batch() as generation:
                    self._items.delete(generation, gone)
                nothing = np.empty((0, self.space.dim), dtype=np.float32)
                self._index.follow(generation, gone, gone[:0], nothing)
        return len(gone)

    def search(
        self,
        vectors: Any,
        k: int = 10,
        *,
        modality: Modalities = None,
        where: Mapping[str, Any] | None = None,
    ) -> Hits:
        """Return the items most similar to each query by cosine; exact, ties to the older item.

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
        queries = as_features(vectors, where="queries", n_features=self.space.dim)
        check_range("k", k, low=1, integer=True)
        with self._reading():
            index = self._index.current()
            found = index.search(queries, k, allowed=self._selected(modality, where))
            return self._hits(found.keys, found.scores)

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
            names = self._modality_names(modality)
            keys, scores = self._items.match(
                match_expression(words), limit, names, condition, values
            )
            return self._hits(keys[None], scores[None])

    def vectors(self, ids: Iterable[Any], modality: str) -> Float32Array:
        """Return stored vectors in the order asked, shape (n, dim), equal to the bit.

        Raises:
            NotFoundError: An id is not there in this modality.
        """
        names = _id_strings(ids)
        _check_name("modality", modality)
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
        names = list(dict.fromkeys(_id_strings(ids)))
        if modality is not None:
            _check_name("modality", modality)
        with self._reading():
            described = self._items.describe(self._items.find(names, modality)).values()
        found: dict[str, list[JsonDict]] = {}
        for id_, kind, payload in sorted(described, key=lambda row: row[1]):
            item = {"id": id_, "modality": kind, "payload": json.loads(payload)}
            found.setdefault(id_, []).append(item)
        return [item for name in names for item in found.get(name, [])]

    @property
    def space(self) -> Space:
        """The space of all vectors."""
        return self._items.space

    @property
    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        with self._reading():
            self._remember()
            return dict(self._known)

    @property
    def metadata(self) -> JsonDict:
        """A copy of what `set_metadata` stored, by name."""
        with self._reading():
            return self._items.metadata()

    def set_metadata(self, name: str, value: Any) -> None:
        """Store a JSON value with the collection, such as the path of the model behind it."""
        _check_name("name", name)
        text = _dumps(value, where=f"metadata {name!r}")
        with self._writing():
            self._items.set_metadata(name, text)

    def flush(self) -> None:
        """Write the search index beside the items, so that the next open need not make it."""
        with self._writing():
            with self._items.snapshot():
                self._index.write()
            self._items.forget(self._index.generation)

    def close(self) -> None:
        """Write the index and give the lock back; closing twice is fine."""
        with self._mutex:
            if self._closed:
                return
            try:
                if self._lock is not None:
                    self.flush()
            finally:
                self._closed = True
                self._items.close()
                if self._lock is not None:
                    self._lock.release()

    def __len__(self) -> int:
        with self._reading():
            return self._items.count()

    def __contains__(self, id_: object) -> bool:
        try:
            names = _id_strings([id_])
        except InputError:
            return False
        with self._reading():
            return bool(len(self._items.find(names, None)))

    def __enter__(self) -> Collection:
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

    def _selected(self, modality: Modalities, where: Mapping[str, Any] | None) -> IntArray | None:
        """Keys to search among, remembered until something is written; None for all."""
        names = self._modality_names(modality)
        condition, values = compile_where(where)
        if names is None and condition == "1":
            return None
        self._remember()
        name = json.dumps([names, condition, values])
        if name not in self._selections:
            if len(self._selections) >= _REMEMBERED:
                self._selections.clear()
            self._selections[name] = self._items.select(names, condition, values)
        return self._selections[name]

    def _remember(self) -> None:
        """Forget what was remembered of another generation than the snapshot's."""
        generation = self._items.generation()
        if self._remembered_at != generation:
            self._selections, self._known = {}, self._items.modalities()
            self._remembered_at = generation

    def _modality_names(self, modality: Modalities) -> list[str] | None:
        if modality is None:
            return None
        names = [modality] if isinstance(modality, str) else sorted({str(m) for m in modality})
        if not names:
            raise InputError("modality: expected at least one name, or None for all.")
        self._remember()
        for name in names:
            if name not in self._known:
                raise not_found("modality", name, self._known)
        return names

    def _hits(self, keys: IntArray, scores: Float32Array) -> Hits:
        described = self._items.describe(np.unique(keys))
        cells = [described[key] for key in keys.ravel().tolist()]
        payloads = np.empty(keys.size, dtype=object)
        payloads[:] = [json.loads(payload) for _, _, payload in cells]
        ids = np.array([id_ for id_, _, _ in cells], dtype=np.str_)
        modalities = np.array([modality for _, modality, _ in cells], dtype=np.str_)
        return Hits(
            ids.reshape(keys.shape),
            scores,
            modalities.reshape(keys.shape),
            payloads.reshape(keys.shape),
        )

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


def _check_empty(folder: Path) -> None:
    """Make the folder, or raise if it holds anything but what a create that was cut off left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = [file.name for file in folder.iterdir() if not _ours_unfinished(file.name)]
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}.") from error
    if held:
        what = "a collection" if _TRUTH in held else f"{held[0]!r}"
        raise StorageError(
            f"{folder} holds {what} already. Name an empty folder, or use Collection.open."
        )


def _ours_unfinished(name: str) -> bool:
    """Whether a file is the lock, or what a create that was cut off left."""
    return name == _LOCK or name.startswith(f".{_TRUTH}.")


def _library_version() -> str:
    try:
        return version("commonspace")
    except PackageNotFoundError:
        return "unknown"


def _ids(ids: Iterable[Any], *, n: int) -> list[str]:
    names = _id_strings(ids)
    as_ids(names, where="ids", n=n)
    return names


def _id_strings(ids: Iterable[Any]) -> list[str]:
    if isinstance(ids, (str, bytes)):
        raise InputError(f"ids: expected a list of ids, got the one {ids!r}. Pass [{ids!r}].")
    names = [str(value) for value in ids]
    _check_encodable("ids", names)
    for row, name in enumerate(names):
        if "\0" in name:
            raise InputError(f"ids: the id at row {row} holds a NUL character.")
    return names


def _payloads(
    payloads: Sequence[Mapping[str, Any] | None] | None, n: int
) -> tuple[list[str] | None, list[str]]:
    """JSON and searchable text of each payload."""
    if payloads is None:
        return None, []
    if isinstance(payloads, Mapping) or len(payloads) != n:
        got = "one mapping" if isinstance(payloads, Mapping) else str(len(payloads))
        raise InputError(f"payloads: expected a list of {n} mappings (one a vector), got {got}.")
    stored = []
    for row, payload in enumerate(payloads):
        if payload is not None and not isinstance(payload, Mapping):
            raise InputError(
                f"payloads: row {row}: expected a mapping, got {type(payload).__name__}."
            )
        stored.append(_dumps(dict(payload or {}), where=f"payloads: row {row}"))
    _check_encodable("payloads", stored)
    return stored, [searchable_text(payload) for payload in payloads]


def _dumps(value: Any, *, where: str) -> str:
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected what JSON can hold; {error}.") from error


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{what}: expected a name, got {name!r}.")
    _check_encodable(what, [name])


def _check_encodable(what: str, texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        for row, text in enumerate(texts):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{what}: row {row} is not valid Unicode (half of a surrogate pair)."
                ) from error
