"""What the doors of a collection check about ids, payloads, names and folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from commonspace.checks import as_ids
from commonspace.errors import InputError, StorageError
from commonspace.store.lexical import searchable_text

TRUTH = "collection.sqlite"
LOCK = "writer.lock"

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def check_empty(folder: Path) -> None:
    """Make the folder, or raise if it holds anything but what a create that was cut off left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = [file.name for file in folder.iterdir() if not _ours_unfinished(file.name)]
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}.") from error
    if held:
        what = "a collection" if TRUTH in held else f"{held[0]!r}"
        raise StorageError(
            f"{folder} holds {what} already. Name an empty folder, or use Collection.open."
        )


def _ours_unfinished(name: str) -> bool:
    """Whether a file is the lock, or what a create that was cut off left."""
    return name == LOCK or name.startswith(f".{TRUTH}.")


def library_version() -> str:
    """Of commonspace."""
    try:
        return version("commonspace")
    except PackageNotFoundError:
        return "unknown"


def item_ids(ids: Iterable[Any], *, n: int) -> list[str]:
    """Distinct ids of n items, as strings."""
    names = id_strings(ids)
    as_ids(names, where="ids", n=n)
    return names


def id_strings(ids: Iterable[Any]) -> list[str]:
    """Ids as strings that SQLite can hold."""
    if isinstance(ids, (str, bytes)):
        raise InputError(f"ids: expected a list of ids, got the one {ids!r}. Pass [{ids!r}].")
    names = [str(value) for value in ids]
    _check_encodable("ids", names)
    for row, name in enumerate(names):
        if "\0" in name:
            raise InputError(f"ids: the id at row {row} holds a NUL character.")
    return names


def stored_payloads(
    payloads: Sequence[Mapping[str, Any] | None] | None, n: int
) -> tuple[list[str] | None, list[str]]:
    """JSON and searchable text of each payload."""
    if payloads is None:
        return None, []
    if isinstance(payloads, Mapping) or len(payloads) != n:
        got = "one mapping" if isinstance(payloads, Mapping) else str(len(payloads))
        raise InputError(f"payloads: expected a list of {n} mappings (one a vector), got {got}.")
    stored = []
    for row, payload in enumerate(payloads):
        if payload is not None and not isinstance(payload, Mapping):
            raise InputError(
                f"payloads: row {row}: expected a mapping, got {type(payload).__name__}."
            )
        stored.append(dump_json(dict(payload or {}), where=f"payloads: row {row}"))
    _check_encodable("payloads", stored)
    return stored, [searchable_text(payload) for payload in payloads]


def dump_json(value: Any, *, where: str) -> str:
    """JSON of a value, or `InputError`."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected what JSON can hold; {error}.") from error


def check_name(what: str, name: object) -> None:
    """Raise `InputError` unless it is a name."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{what}: expected a name, got {name!r}.")
    _check_encodable(what, [name])


def _check_encodable(what: str, texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        for row, text in enumerate(texts):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{what}: row {row} is not valid Unicode (half of a surrogate pair)."
                ) from error
