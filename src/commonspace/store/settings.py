"""Settings of a method in a file, for a search to write and a training to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commonspace.disk import read_json, write_json
from commonspace.errors import NotFoundError, StorageError
from commonspace.types import JsonDict

KIND = "commonspace-settings"
FORMAT_VERSION = 1


def write_settings(
    path: str | Path, method: str, settings: Mapping[str, Any], *, found: JsonDict | None = None
) -> None:
    """Write the arguments of a method that differ from its defaults, atomically.

    Args:
        path: The file; replaced when the new one is whole.
        method: Its class.
        settings: Arguments by name, as JSON has them.
        found: How they were found, see `read_found`.

    Raises:
        InputError: An argument has no form in JSON.
        StorageError: The disk refuses.
    """
    content = {"kind": KIND, "format_version": FORMAT_VERSION, "method": method}
    write_json(Path(path), {**content, "settings": dict(settings), "found": found or {}})


def read_settings(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Return the method and its arguments as `write_settings` wrote them, lists as tuples.

    Raises:
        NotFoundError: There is no such file.
        StorageError: It is damaged, of another kind, or written by a newer version.
    """
    content = _content(Path(path))
    method, settings = content.get("method"), content.get("settings")
    if not isinstance(method, str) or not isinstance(settings, dict):
        raise StorageError(f"{path} is damaged: it names no method, or no settings.")
    return method, as_arguments(settings)


def read_found(path: str | Path) -> JsonDict:
    """Return how the settings of a file were found, empty where it does not say.

    Raises:
        NotFoundError: There is no such file.
        StorageError: It is damaged, of another kind, or written by a newer version.
    """
    found = _content(Path(path)).get("found", {})
    if not isinstance(found, dict):
        raise StorageError(f"{path} is damaged: key 'found' is no object.")
    return found


def _content(file: Path) -> JsonDict:
    if not file.is_file():
        raise NotFoundError(f"no settings file {file}. Make one with: commonspace tune ... --out")
    return read_json(file, kind=KIND, max_version=FORMAT_VERSION)


def as_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as methods take them: what JSON has as a list is a tuple."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
