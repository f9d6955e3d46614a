"""Features that were computed once, by content of the file and id of the encoder.

One SQLite file in a folder. What a killed run had written is there whole; several processes may
use the folder at once. It is derived: delete it at any time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np

from commonspace.disk import sha256_file
from commonspace.errors import StorageError
from commonspace.types import AnyArray

VARIABLE = "COMMONSPACE_CACHE"
_FILE = "features-1.sqlite"
_WAIT = 120.0  # seconds for another process to finish its transaction
# A file that changed less than this before it was looked at could change again unnoticed, as
# clocks of file systems are coarse: it is read again next time.
_SETTLED_NS = 2_000_000_000
_AT_ONCE = 500  # keys of one query
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, digest TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (
  key BLOB PRIMARY KEY, dtype TEXT NOT NULL, x BLOB NOT NULL) WITHOUT ROWID;
"""


def default_cache() -> Path:
    """Return where features are kept: $COMMONSPACE_CACHE, or the user's cache folder."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "commonspace"


class FeatureCache:
    """Features on disk, by what is in a file and which encoder looked at it.

    Args:
        folder: Made where it is missing.

    Raises:
        StorageError: The folder cannot be written, or what is in it is damaged.

    Example:
        >>> import tempfile
        >>> with FeatureCache(tempfile.mkdtemp()) as cache:
        ...     cache.put({b"key": np.float32([1, 2])})
        ...     cache.get([b"key", b"other"])
        {b'key': array([1., 2.], dtype=float32)}
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / _FILE
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._connection.close()
            raise self._error(error) from error

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def digest(self, path: Path) -> str:
        """SHA-256 of a file, which is read only if it could have changed since the last time.

        Raises:
            OSError: It cannot be read.
        """
        full, state = str(path.resolve()), path.stat()
        changed = max(state.st_mtime_ns, state.st_ctime_ns)
        asked = "SELECT digest FROM files WHERE path = ? AND size = ? AND changed = ?"
        with self._errors():
            found = self._connection.execute(asked, (full, state.st_size, changed)).fetchone()
        if found is not None:
            return str(found[0])
        looked = time.time_ns()
        digest = sha256_file(path)
        if looked - changed >= _SETTLED_NS:
            row = (full, state.st_size, changed, digest)
            with self._errors():
                self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
        return digest

    def get(self, keys: Sequence[bytes]) -> dict[bytes, AnyArray]:
        """Return the features that are there."""
        found: dict[bytes, AnyArray] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            asked = f"SELECT key, dtype, x FROM features WHERE key IN ({marks})"
            with self._errors():
                rows = self._connection.execute(asked, some).fetchall()
            found |= {key: np.frombuffer(x, np.dtype(dtype)) for key, dtype, x in rows}
        return found

    def put(self, features: Mapping[bytes, AnyArray]) -> None:
        """Keep features, all of them or none."""
        rows = [
            (key, x.dtype.str, np.ascontiguousarray(x).tobytes()) for key, x in features.items()
        ]
        with self._errors(), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StorageError:
        return StorageError(
            f"{self.path}: the cache of features cannot be used ({error}). Delete the file, or "
            f"name another folder in the environment variable {VARIABLE}."
        )


def feature_key(encoder_id: str, suffix: str, digest: str) -> bytes:
    """What features are kept under; the suffix counts, for it can decide how a file is read."""
    return sha256("\0".join([encoder_id, suffix.lower(), digest]).encode()).digest()
