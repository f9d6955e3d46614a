"""A connection to SQLite: its transactions, and its errors in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import numpy as np

from commonspace.errors import StorageError
from commonspace.types import IntArray, JsonDict

NOT_STORED = " Nothing of this batch was stored; what was stored before is as it was."


class Transactions:
    """One connection; the caller serialises its use."""

    _path: Path
    _sql: sqlite3.Connection

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        with self._errors():
            self._sql.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see one state."""
        with self._errors(), self._transaction("BEGIN"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._sql.execute(begin)
        try:
            yield
            self._sql.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._sql.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self, outcome: str = "") -> Iterator[None]:
        """Turn SQLite's errors into ours: a full disk, a damaged file, a lock held too long."""
        try:
            yield
        except sqlite3.Error as error:
            what = f"{self._path}: SQLite says {str(error)!r}."
            raise StorageError(f"{what}{_advice(error)}{outcome}") from error

    def _int(self, query: str) -> int:
        with self._errors():
            return int(self._sql.execute(query).fetchone()[0])

    def _keys(self, query: str, values: JsonDict) -> IntArray:
        with self._errors():
            rows = self._sql.execute(query, values)
            return np.fromiter(chain.from_iterable(rows), dtype=np.int64)


def _advice(error: sqlite3.Error) -> str:
    """What to look at where the disk refuses."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
        return " Is the disk full, or a limit on file sizes reached? Make room and try again."
    return ""
