"""An index as one file: a ZIP archive, not compressed, of JSON, ``.npy`` and FAISS's own format."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from commonspace.disk import atomic_file
from commonspace.errors import StorageError
from commonspace.index.vectors import load_faiss
from commonspace.types import AnyArray, JsonDict

FORMAT_VERSION = 1
_SETTINGS = "settings.json"


class HashingSink:
    """Takes bytes to a file and hashes them on the way; there is no way back in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, part: bytes) -> int:
        """Write and hash."""
        self.digest.update(part)
        return self.file.write(part)

    def flush(self) -> None:
        """Write what waits."""
        self.file.flush()


def write_parts(
    path: Path, settings: JsonDict, arrays: Mapping[str, AnyArray], indexes: Mapping[str, Any]
) -> str:
    """Write an archive atomically and return the SHA-256 of the file."""
    faiss = load_faiss()
    content = json.dumps({"format_version": FORMAT_VERSION, **settings}, indent=2)
    with atomic_file(path) as file:
        sink: Any = HashingSink(file)
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(_SETTINGS), content)
            for name, array in arrays.items():
                with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, array, allow_pickle=False)
            for name, index in indexes.items():
                with archive.open(_entry(f"{name}.faiss"), "w", force_zip64=True) as part:
                    binary = isinstance(index, faiss.IndexBinary)
                    write = faiss.write_index_binary if binary else faiss.write_index
                    write(index, faiss.PyCallbackIOWriter(part.write))
    return str(sink.digest.hexdigest())


def read_parts(
    path: Path, *, arrays: bool = True
) -> tuple[JsonDict, dict[str, AnyArray], dict[str, Any]]:
    """Return what `write_parts` was given; with ``arrays=False`` the settings alone.

    Raises:
        StorageError: Missing, damaged, or of a newer format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(archive.read(_SETTINGS))
            version = settings.pop("format_version")
            if version > FORMAT_VERSION:
                raise StorageError(
                    f"{path}: format version {version} is newer than the {FORMAT_VERSION} this "
                    "commonspace reads. Install a newer commonspace."
                )
            names = [Path(name) for name in archive.namelist()] if arrays else []
            tables = {n.stem: _array(archive, n.name) for n in names if n.suffix == ".npy"}
            indexes = {n.stem: _index(archive, n.name) for n in names if n.suffix == ".faiss"}
        return settings, tables, indexes
    except StorageError:
        raise
    except (OSError, RuntimeError, MemoryError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} is missing or damaged: it cannot be read.") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise StorageError(f"{path} is damaged: {error}.") from error


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry of one fixed date, so that equal indexes are equal files."""
    return zipfile.ZipInfo(name)


def _array(archive: zipfile.ZipFile, name: str) -> AnyArray:
    with archive.open(name) as part:
        return np.asarray(np.lib.format.read_array(part, allow_pickle=False))


def _index(archive: zipfile.ZipFile, name: str) -> Any:
    faiss = load_faiss()
    binary = name.startswith("binary")
    read = faiss.read_index_binary if binary else faiss.read_index
    with archive.open(name) as part:
        return read(faiss.PyCallbackIOReader(part.read))
