"""What may stand in a recipe: keys, types, and messages that name file, key, expected and got."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from commonspace.errors import InputError

Check = Callable[[Any], bool]
Field = tuple[str, Check]  # what is expected, in words, and whether a value is that


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and bool(value) and all(map(check, value))


def one_of(*allowed: str) -> Field:
    """One of some words."""
    return f"one of {', '.join(map(repr, allowed))}", lambda value: value in allowed


TEXT: Field = "a text", _is_text
TEXTS: Field = "a list of texts", _is_list_of(_is_text)
NAMES: Field = (
    "a name or a list of names",
    lambda value: _is_text(value) or _is_list_of(_is_text)(value),
)
NUMBER: Field = "a number", _is_number
COUNT: Field = "a whole number above 0", _is_count
COUNTS: Field = "a list of whole numbers above 0", _is_list_of(_is_count)
FLAG: Field = "true or false", lambda value: isinstance(value, bool)
TABLE: Field = "a table", lambda value: isinstance(value, dict)
TABLES: Field = "a list of tables", _is_list_of(lambda value: isinstance(value, dict))
TEXT_TABLE: Field = (
    "a table of texts",
    lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
)


def checked(
    values: Mapping[str, Any],
    fields: Mapping[str, Field],
    *,
    required: Sequence[str] = (),
    where: str,
) -> dict[str, Any]:
    """Return the values, each known and of its type.

    Args:
        values: What stands in the file.
        fields: What may stand there.
        required: What must.
        where: File and, below the top, table: what messages begin with.

    Raises:
        InputError: A key is unknown or missing, or a value is something else.
    """
    for key, value in values.items():
        if key not in fields:
            near = get_close_matches(key, fields, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{where}, key {key!r}: expected one of {', '.join(fields)}, got an unknown "
                f"key.{hint}"
            )
        expected, fits = fields[key]
        if not fits(value):
            raise InputError(f"{where}, key {key!r}: expected {expected}, got {value!r}.")
    for key in required:
        if key not in values:
            raise InputError(f"{where}, key {key!r}: expected {fields[key][0]}, got nothing.")
    return dict(values)
