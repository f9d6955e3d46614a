"""The two files of an index: ``index.faiss``, and ``index.json`` that says what it is made from.

One writer replaces them while any number read. A file is replaced, never written into, and the
manifest tells of a file before it takes its place; so a reader that hashes the file first and reads
the manifest then finds what belongs together, if no other file took its place meanwhile.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from commonspace.disk import read_json, replace_file, write_json
from commonspace.errors import CommonspaceError, NotFoundError, StorageError
from commonspace.index import Index, read_index
from commonspace.types import JsonDict

INDEX_FILES = ("index.faiss", "index.json")
_KIND = "commonspace-index"
_VERSION = 2
_BEFORE = 4
_ENTRY = ("generation", "token", "newest_key", "items", "index", "lists_lost", "sha256")
# Times that the files are read where a writer replaces them meanwhile.
_READINGS = 5


class IndexFiles:
    """What a writer publishes of an index, and readers take.

    Args:
        folder: Of the collection.
    """

    def __init__(self, folder: Path) -> None:
        self.index, self.manifest = (folder / name for name in INDEX_FILES)

    def write(self, index: Index, origin: JsonDict) -> None:
        """Replace both files.

        Args:
            index: What to write.
            origin: What it is made from: generation, token, newest key, lists lost.
        """
        # The manifest tells of the file that is to come and of those that may be there until then,
        # so that at no moment the two do not go together.
        fresh = self.index.with_name(f"{self.index.name}.new")
        kept = {"items": len(index), "index": index.kind, "sha256": index.write(fresh)}
        before: list[JsonDict] = []
        with suppress(CommonspaceError):  # none, or damaged
            before = self._entries()[:_BEFORE]
        head = {"kind": _KIND, "format_version": _VERSION}
        write_json(self.manifest, {**head, **origin, **kept, "before": before})
        replace_file(fresh, self.index)
        for left in self.index.parent.glob(".index.*.tmp"):  # by a writer that was killed
            left.unlink(missing_ok=True)

    def read(self) -> tuple[Index, JsonDict]:
        """Return an index and what the manifest says of this very one.

        Raises:
            NotFoundError: One of the files is not there.
            StorageError: They are damaged, or do not go together.
        """
        for _ in range(_READINGS):
            with self._opened() as file:
                try:
                    found = self._pair(file)
                except StorageError:
                    if self._in_place(file):
                        raise
                    continue
                if self._in_place(file):
                    return found
        raise StorageError(f"{self.index} was replaced each of {_READINGS} times it was read.")

    def _opened(self) -> BufferedReader:
        try:
            return self.index.open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.index} is not there.") from error
        except OSError as error:
            raise StorageError(f"cannot read {self.index}: {error.strerror}.") from error

    def _in_place(self, file: BufferedReader) -> bool:
        """Whether the index still is this file, which is no other's while it is open."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.index.stat())
        except OSError:
            return False

    def _pair(self, file: BufferedReader) -> tuple[Index, JsonDict]:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        entries = self._entries()
        entry = next((entry for entry in entries if entry["sha256"] == digest), None)
        if entry is None:
            raise StorageError(
                f"{self.index} is damaged: its SHA-256 is {digest[:12]}..., the manifest says "
                f"{str(entries[0]['sha256'])[:12]}.... It is made again."
            )
        index = read_index(self.index, metric="cosine")
        if len(index) != entry["items"]:
            raise StorageError(f"{self.index} does not hold what {self.manifest.name} says.")
        return index, entry

    def _entries(self) -> list[JsonDict]:
        """What the manifest says of the newest file, and of those before it."""
        manifest = read_json(self.manifest, kind=_KIND, max_version=_VERSION)
        try:
            every = [manifest, *manifest.get("before", ())]
            # Those of before it was noted lost no lists.
            return [{name: {"lists_lost": 0, **entry}[name] for name in _ENTRY} for entry in every]
        except (KeyError, TypeError) as error:
            raise StorageError(f"{self.manifest} is damaged: {error!r}.") from error
