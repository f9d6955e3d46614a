"""The SQLite file of a collection: its tables, how it is opened, and older forms of it."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from pathlib import Path
from urllib.parse import quote

import numpy as np

from commonspace.disk import atomic_file
from commonspace.errors import CommonspaceError, NotFoundError, StorageError
from commonspace.space import Space
from commonspace.types import JsonDict

FORMAT_VERSION = 2

# Vectors lie in a table of their own, so that filters read payloads without paging through them.
# Keys are never used twice (AUTOINCREMENT): a key above the newest one of an index is new to it.
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE metadata (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (generation INTEGER PRIMARY KEY, token TEXT NOT NULL);
CREATE TABLE items (
  key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, modality TEXT NOT NULL,
  payload TEXT NOT NULL, generation INTEGER NOT NULL, UNIQUE (id, modality)
);
CREATE TABLE vectors (key INTEGER PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER);
CREATE TABLE deleted (
  generation INTEGER NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (generation, key)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = "unicode61 remove_diacritics 2");
"""
# 16 KB pages hold 512-d vectors with 12 % waste where SQLite's 4 KB ones waste half.
_PAGE_SIZE = 16384
_CACHE_KIB = 1 << 16


def create_items(path: Path, space: Space, library: str, more: JsonDict | None = None) -> None:
    """Write the file of an empty collection, whole or not at all; ``more`` goes to its meta."""
    manifest = json.dumps(space.manifest(), ensure_ascii=False)
    meta = {
        "kind": "commonspace-collection",
        "format_version": FORMAT_VERSION,
        "space": manifest,
        "basis": space.basis.astype("<f4", copy=False).tobytes(),
        "created_by": library,
        "log_starts": 0,
        **(more or {}),
    }
    memory = sqlite3.connect(":memory:", isolation_level=None)
    try:
        memory.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        memory.executescript(_SCHEMA)
        memory.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        memory.execute("INSERT INTO batches VALUES (0, ?)", (secrets.token_hex(8),))
        content = memory.serialize()
    finally:
        memory.close()
    with atomic_file(path) as file:
        file.write(content)


def read_space(sql: sqlite3.Connection, path: Path) -> Space:
    """Return the space of a collection, or say what is wrong with its file."""
    try:
        meta = dict(sql.execute("SELECT name, value FROM meta").fetchall())
        version = meta["format_version"]
        if meta["kind"] != "commonspace-collection" or not isinstance(version, int):
            raise StorageError(f"{path} is not the file of a collection.")
        if version > FORMAT_VERSION:
            raise StorageError(
                f"{path}: format version {version} is newer than the {FORMAT_VERSION} "
                "this commonspace reads. Install a newer commonspace."
            )
        manifest = json.loads(meta["space"])
        basis = np.frombuffer(meta["basis"], dtype="<f4").reshape(-1, manifest["dim"])
        return Space.from_manifest(manifest, basis)
    except StorageError:
        raise
    except (KeyError, ValueError, TypeError, CommonspaceError) as error:
        raise StorageError(f"{path} is damaged: its space does not read.") from error


def upgrade(sql: sqlite3.Connection) -> None:
    """Bring the file of version 1 to this one: vectors have a checksum."""
    sql.execute("BEGIN IMMEDIATE")
    try:
        if not has_checksums(sql):
            sql.execute("ALTER TABLE vectors ADD COLUMN crc INTEGER")
        sql.execute("UPDATE meta SET value = ? WHERE name = 'format_version'", (FORMAT_VERSION,))
        sql.execute("COMMIT")
    except BaseException:
        sql.execute("ROLLBACK")
        raise


def has_checksums(sql: sqlite3.Connection) -> bool:
    """Whether vectors have a column for them."""
    return any(row[1] == "crc" for row in sql.execute("PRAGMA table_info(vectors)"))


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the file; read-only also where there is no write access to its folder."""
    if not path.is_file():
        raise NotFoundError(f"{path.parent} is not a collection: it has no {path.name}.")
    address = f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}"
    sql = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, timeout=30.0
    )
    try:
        sql.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if not read_only:
            sql.execute("PRAGMA journal_mode = WAL")
            sql.execute("PRAGMA synchronous = FULL")
        sql.execute("SELECT count(*) FROM sqlite_master")
        return sql
    except sqlite3.OperationalError:
        sql.close()
        # Without write access there is no room for SQLite's shared memory. If no log is waiting
        # there either, the file is all there is.
        log = path.with_name(f"{path.name}-wal")
        writable = os.access(path.parent, os.W_OK)
        if not read_only or writable or (log.exists() and log.stat().st_size):
            raise
        return sqlite3.connect(
            f"{address}&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    except BaseException:
        sql.close()
        raise
