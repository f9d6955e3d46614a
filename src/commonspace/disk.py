"""Files that are whole or absent: atomic writes, checksums, manifests.

Everything commonspace stores is plain JSON, ``.npy``, ``safetensors`` or SQLite. A write goes to a
temporary name, is flushed to the device and then renamed. A manifest carries the SHA-256 of the
files it speaks of, and reading checks them; nothing that is read is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.types import AnyArray, JsonDict


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of ``path`` only when it is written whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. What stood there before is unchanged."
        ) from error
    except BaseException:  # of the caller's block, or Ctrl-C: no half a file stays
        temporary.unlink(missing_ok=True)
        raise


def replace_file(new: Path, path: Path) -> None:
    """Let a file that is written whole take the place of another."""
    try:
        os.replace(new, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}.") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(folder: Path, *, what: str) -> None:
    """Raise `InputError` if a file stands where a folder for ``what`` is to be."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Name a folder for {what}.")


def check_target(folder: Path, *, what: str, marker: str | None = None) -> None:
    """Raise `InputError` unless ``what`` can be written to a folder: absent, empty, or ours.

    Args:
        folder: Where to; hidden files, such as checkpoints, do not count.
        what: What will be written.
        marker: A file by which an earlier one is known, which may be replaced.
    """
    check_folder(folder, what=what)
    ours = marker is not None and (folder / marker).exists()
    if not ours and folder.exists() and any(p.name[0] != "." for p in folder.iterdir()):
        raise InputError(
            f"{folder} is not empty. Name a new folder for {what}, or remove this one first."
        )


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: sorted only where the caller sorted, readable, newline at the end.

    Raises:
        InputError: The content is no JSON: NaN, or a type of its own. Nothing is written.
        StorageError: The disk refuses.
    """
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot write {path}: JSON has no form for it ({error}).") from error
    with atomic_file(path) as file:
        file.write(text.encode() + b"\n")


def read_json(path: Path, *, kind: str, max_version: int) -> JsonDict:
    """Read a manifest, or say what is wrong with it.

    Args:
        path: The file.
        kind: The ``"kind"`` it must declare, such as ``"commonspace-model"``.
        max_version: The newest ``"format_version"`` this library reads.

    Raises:
        NotFoundError: There is no such file.
        StorageError: Not JSON, another kind, or written by a newer version.
    """
    if not path.exists():
        raise NotFoundError(f"{path.parent} is not a {kind} folder: it has no {path.name}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} is damaged: it is not readable JSON ({error}).") from error
    if not isinstance(content, dict) or content.get("kind") != kind:
        found = content.get("kind") if isinstance(content, dict) else type(content).__name__
        raise StorageError(f"{path}: expected the manifest of a {kind}, got {found!r}.")
    version = content.get("format_version")
    if not isinstance(version, int):
        raise StorageError(f"{path} is damaged: it names no format version, got {version!r}.")
    if version > max_version:
        raise StorageError(
            f"{path}: format version {version!r} is newer than the {max_version} this commonspace "
            "reads. Install a newer commonspace."
        )
    return content


def write_array(path: Path, array: AnyArray) -> str:
    """Write one array as ``.npy`` atomically and return the SHA-256 of the file."""
    with atomic_file(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return sha256_file(path)


def read_array(path: Path, *, mmap: bool = True) -> AnyArray:
    """Open a ``.npy`` file as a read-only memory map (or read it), or name the damaged file."""
    try:
        array: AnyArray = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except FileNotFoundError as error:
        raise StorageError(f"{path} is missing; the manifest beside it names it.") from error
    except (ValueError, OSError, EOFError) as error:
        if mmap and "mmap" in str(error):  # an empty array cannot be mapped
            return read_array(path, mmap=False)
        objects = "pickle" in str(error)  # numpy's own words say how to load them unsafely
        why = "it is no .npy file of plain numbers or text" if objects else error
        raise StorageError(f"{path} is damaged: {why}.") from error
    return array


def safe_name(name: str) -> str:
    """Return a file name for any text: itself where it is plain, else cleaned with a digest.

    Example:
        >>> safe_name("text_en"), safe_name("../up")
        ('text_en', '.._up-8c722b8a')
    """
    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return name if name == cleaned else f"{cleaned}-{sha256_bytes(name.encode())[:8]}"


def sha256_bytes(*parts: bytes | memoryview) -> str:
    """SHA-256 of the parts in order, as hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, expected: str, *, restore: str) -> None:
    """Raise `StorageError` naming the file unless its SHA-256 is the expected one."""
    try:
        found = sha256_file(path)
    except OSError as error:
        raise StorageError(f"{path} is missing or unreadable. {restore}") from error
    if found != expected:
        raise StorageError(
            f"{path} is damaged: its SHA-256 is {found[:12]}..., the manifest says "
            f"{expected[:12]}.... {restore}"
        )
