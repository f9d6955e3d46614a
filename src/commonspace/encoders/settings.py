"""What encoders that are nothing but their settings share: id, JSON, and files that are safe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import JsonDict

MAX_FILE_BYTES: dict[MediaKind, int] = {
    "image": 256 << 20,
    "audio": 1 << 30,
    "video": 8 << 30,
    "mesh": 128 << 20,
}


@dataclass(frozen=True)
class SettingsEncoder:
    """Base of an encoder whose features follow from its kind, version and settings alone.

    Attributes:
        kind: Name in specs and on the command line.
        version: Raised by any change of the features.
        modality_kind: What it reads.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    modality_kind: ClassVar[MediaKind]

    @property
    def id(self) -> str:
        """Name with version and settings."""
        shown = [f"{name}={value}" for name, value in self._settings().items()]
        return ":".join([self.kind, f"v{self.version}", *shown])

    def spec(self) -> JsonDict:
        """Plain JSON from which `encoder_from_spec` makes this encoder again."""
        return {"kind": self.kind, "version": self.version, **self._settings()}

    def _settings(self) -> JsonDict:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.compare}


def as_items(items: Any, what: str) -> list[Any]:
    """The items of a list of files; one path is none."""
    if isinstance(items, str | os.PathLike) or not isinstance(items, Sequence):
        raise InputError(f"{what}: expected a list of files, got {items!r:.60}. Pass [file].")
    return list(items)


def checked_file(item: Any, kind: MediaKind) -> Path:
    """Return the path of a file that is there, not empty, and not too large to be opened.

    Raises:
        InputError: It is not so; the message names the file.
    """
    if not isinstance(item, str | os.PathLike):
        raise InputError(f"{kind}: expected the path of a file, got {type(item).__name__}.")
    path = Path(item)
    if not path.is_file():
        raise InputError(f"{kind} {path}: there is no such file.")
    size, most = path.stat().st_size, MAX_FILE_BYTES[kind]
    if not size:
        raise InputError(f"{kind} {path}: the file is empty.")
    if size > most:
        raise InputError(f"{kind} {path}: {size} bytes are more than the {most} that are opened.")
    return path
