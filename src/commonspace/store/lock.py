"""One writer at a time: an advisory lock that the system drops when its holder ends."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from commonspace.errors import StorageError, UnsupportedError


class WriterLock:
    """Holds a lock file until `release`, or refuses with the name of who holds it.

    Raises:
        StorageError: Another writer holds it, or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            import fcntl
        except ImportError as error:
            raise UnsupportedError("writing collections needs a POSIX system (flock).") from error
        try:
            self._file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"cannot write in {path.parent}: {error.strerror}. To search only, open it with "
                "read_only=True."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StorageError(
                f"{path.parent} is open for writing by {_holder(path)}. Close it there, or open it "
                "here with read_only=True."
            ) from error
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        self._file.flush()

    def release(self) -> None:
        """Give the lock back; the file stays, empty."""
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
