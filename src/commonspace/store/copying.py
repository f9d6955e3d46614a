"""Copies of a whole collection, and a look at everything that can be wrong with one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from commonspace.errors import NotFoundError, StorageError
from commonspace.index import Index
from commonspace.store.derived import DerivedIndex
from commonspace.store.index_files import INDEX_FILES
from commonspace.store.inputs import TRUTH
from commonspace.store.items import ItemTable
from commonspace.store.milvus import as_folder
from commonspace.store.schema import connect, has_checksums, item_sum
from commonspace.store.wish import IndexWish

# Damaged items that are named; the rest is counted.
_NAMED = 10


def copy_collection(folder: Path, items: ItemTable, target: Path) -> None:
    """Copy a collection that is open here: its truth by SQLite's backup, and its index files.

    The index files may be behind the truth, or from after it; the copy finds out.

    Raises:
        StorageError: There is something at ``target``, or it cannot be written.
    """
    if target.exists():
        raise StorageError(f"{target} exists already. Name a folder that does not.")
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name in INDEX_FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, unfinished / name)
        items.copy_to(unfinished / TRUTH)
        unfinished.rename(target)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot write {target}: {error.strerror or error}.") from error


def check_collection(folder: str | Path) -> list[str]:
    """Look for everything that can be wrong with a collection, without changing it.

    Reads all of it: SQLite's own check of the file, the checksum of every vector, id and
    payload, that items and vectors belong together, and the index files against their SHA-256 and
    against the items.

    Returns:
        One sentence a problem; none if all is well.

    Raises:
        NotFoundError: The folder is not a collection.
        UnsupportedError: It is an address.
    """
    path = as_folder(folder, what="a check for damage")
    if not (path / TRUTH).is_file():
        raise NotFoundError(f"{path} is not a collection: it has no {TRUTH}.")
    try:
        problems = list(_wrong_in_truth(path / TRUTH))
    except sqlite3.Error as error:
        problems = [f"{path / TRUTH} is damaged: SQLite says {str(error)!r}."]
    try:
        return problems + list(_wrong_in_index(path))
    except StorageError as error:
        return [*problems, str(error)]


def _wrong_in_truth(path: Path) -> Iterator[str]:
    sql = connect(path, read_only=True)
    try:
        for (line,) in sql.execute("PRAGMA integrity_check(20)"):
            if line != "ok":
                yield f"{path} is damaged: SQLite says {line!r}."
        yield from _listed(path, "has no vector", _missing(sql, "items", "vectors"))
        yield from _listed(path, "is a vector without an item", _missing(sql, "vectors", "items"))
        if has_checksums(sql, "vectors"):
            yield from _listed(path, "is not what was stored", _flipped(sql))
        if has_checksums(sql, "items"):
            changed = _listed(path, "is not what was stored", _changed(sql), "the id or payload")
            yield from changed
    finally:
        sql.close()


def _missing(sql: sqlite3.Connection, here: str, there: str) -> Iterator[int]:
    query = f"SELECT key FROM {here} WHERE key NOT IN (SELECT key FROM {there})"
    return (int(key) for (key,) in sql.execute(query))


def _flipped(sql: sqlite3.Connection) -> Iterator[int]:
    """Keys of vectors that do not have their checksum; older rows have none."""
    rows = sql.execute("SELECT key, vector, crc FROM vectors WHERE crc IS NOT NULL")
    return (int(key) for key, vector, crc in rows if _sum_of(vector) != crc)


def _changed(sql: sqlite3.Connection) -> Iterator[int]:
    """Keys of items whose id, modality or payload do not have their checksum."""
    rows = sql.execute("SELECT key, id, modality, payload, crc FROM items WHERE crc IS NOT NULL")
    return (int(key) for key, *item, crc in rows if not _are_texts(item) or item_sum(*item) != crc)


def _sum_of(vector: Any) -> int | None:
    """Checksum of a vector; None of what damage has made another kind of value."""
    return crc32(vector) if isinstance(vector, bytes) else None


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _listed(path: Path, what: str, keys: Iterator[int], part: str = "the vector") -> Iterator[str]:
    """A sentence for each of the first keys, by the item's name, and a count of the rest."""
    found = list(keys)
    for key in found[:_NAMED]:
        yield f"{path} is damaged: {part} of {_name(path, key)} {what}."
    if len(found) > _NAMED:
        yield f"{path} is damaged: the same of {len(found) - _NAMED} more items."


def _name(path: Path, key: int) -> str:
    sql = connect(path, read_only=True)
    try:
        row = sql.execute("SELECT id, modality FROM items WHERE key = ?", (key,)).fetchone()
    finally:
        sql.close()
    return f"key {key}" if row is None else f"item {row[0]!r} of modality {row[1]!r}"


def _loaded(derived: DerivedIndex) -> Index | None:
    """The index of the files; read twice before they are wrong: a writer may move on meanwhile."""
    try:
        return derived.load_strictly()
    except StorageError:
        return derived.load_strictly()


def _wrong_in_index(folder: Path) -> Iterator[str]:
    items = ItemTable(folder / TRUTH, read_only=True)
    try:
        wish = IndexWish.restored(items.meta("index"), items.meta("quantizer"))
        derived = DerivedIndex(folder, items, wish)
        # Before the snapshot, which is then not older than files that a writer replaces meanwhile.
        if _loaded(derived) is None:
            return
        with items.snapshot():
            found, expected = derived.current().keys, items.keys()
            if not np.array_equal(found, expected):
                yield (
                    f"{folder / INDEX_FILES[0]} does not hold the items: {len(found)} of "
                    f"{len(expected)}. Delete it; it is made again."
                )
    finally:
        items.close()
