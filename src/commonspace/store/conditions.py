"""Filters on payload fields: what may be asked, checked, as a tree that each store compiles.

::

    {"lang": "fr"}                        equal
    {"lang": ["fr", "de"]}                any of
    {"size": {"gte": 3, "lt": 9}}         a range; also {"in": [...]}
    {"shop.city": "Paris", "sale": True}  nested fields; all conditions must hold
    {"$or": [{"lang": "fr"}, {"size": {"gt": 3}}]}    one of them must hold; also "$and"
    {"$not": {"lang": "fr"}}              holds for all items for which the inner one does not

A field that holds a list matches if one of its elements does. ``None`` matches a field that is null
or absent. Types count: 1, "1" and True are three different values (1 and 1.0 are one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.errors import InputError

RANGES = ("gt", "gte", "lt", "lte")
_OPERATORS = (*RANGES, "in")
# SQLite's expressions have a depth, and nobody means more than this.
_MAX_FIELDS = 100
_MAX_DEPTH = 20

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class AnyOf:
    """An element is one of these values."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Bound:
    """An element is of the bound's kind, number or string, and on this side of it."""

    operator: str
    value: str | int | float


@dataclass(frozen=True)
class Field:
    """What a field holds passes all tests; of a list, one element does."""

    path: tuple[str, ...]
    tests: tuple[AnyOf | Bound, ...]


@dataclass(frozen=True)
class Every:
    """All parts hold; without parts, always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """One of the parts holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Condition


Condition = Field | Every | Some | Not


def parse_where(where: Mapping[str, Any] | None) -> Condition:
    """Return conditions as a tree.

    Args:
        where: Field to value, list of values, or operators; or "$and", "$or", "$not" to what
            they join. None and {} hold for every item.

    Raises:
        InputError: Not a mapping, an unknown operator, a value that is no JSON scalar, or a
            field name that cannot be a path.
    """
    return Every(()) if where is None else _Parser().all_of(where, 0)


def field_parts(name: Any) -> tuple[str, ...]:
    """Names of objects within objects; dots separate, every other character stands for itself."""
    if not isinstance(name, str) or not all(name.split(".")):
        raise InputError(
            f"where: expected field names such as 'lang' or 'shop.city', got {name!r}."
        )
    if any(letter in '"\\' or letter < " " for letter in name):
        raise InputError(
            f"where: the field {name!r} holds a quote, backslash or control character, and such "
            "fields cannot be filtered on. Store the value under another name."
        )
    _check_text(name, name)
    return tuple(name.split("."))


class _Parser:
    """Counts fields while conditions are read."""

    def __init__(self) -> None:
        self._n_fields = 0

    def all_of(self, where: Any, depth: int) -> Condition:
        if not isinstance(where, Mapping):
            raise InputError(
                f"where: expected a mapping from field to value, got {type(where).__name__}."
            )
        if depth > _MAX_DEPTH:
            raise InputError(f"where: expected at most {_MAX_DEPTH} conditions in one another.")
        self._n_fields += max(1, len(where))  # {} is one too, of which a list may hold many
        if self._n_fields > _MAX_FIELDS:
            raise InputError(f"where: expected at most {_MAX_FIELDS} fields, got {self._n_fields}.")
        return Every(tuple(self._condition(*item, depth) for item in where.items()))

    def _condition(self, name: Any, wanted: Any, depth: int) -> Condition:
        if name == "$not":
            return Not(self.all_of(wanted, depth + 1))
        if name in ("$and", "$or"):
            if not isinstance(wanted, (list, tuple)) or not wanted:
                raise InputError(
                    f"where: {name!r} expects a list of conditions, such as "
                    f'{{{name!r}: [{{"lang": "fr"}}, {{"size": 3}}]}}, got {wanted!r}.'
                )
            parts = tuple(self.all_of(part, depth + 1) for part in wanted)
            return Every(parts) if name == "$and" else Some(parts)
        return Field(field_parts(name), _tests(name, wanted))


def _tests(name: str, wanted: Any) -> tuple[AnyOf | Bound, ...]:
    if not isinstance(wanted, Mapping):
        return (_any_of(name, wanted if _is_list(wanted) else [wanted]),)
    if not wanted:
        raise InputError(f"where[{name!r}]: no operator given. {_allowed()}")
    return tuple(_test(name, *item) for item in wanted.items())


def _test(name: str, operator: Any, bound: Any) -> AnyOf | Bound:
    if operator not in _OPERATORS:
        raise InputError(f"where[{name!r}]: unknown operator {operator!r}. {_allowed()}")
    if operator == "in":
        if not _is_list(bound):
            raise InputError(f"where[{name!r}]: 'in' expects a list, got {bound!r}.")
        return _any_of(name, bound)
    value = _scalar(name, bound)
    if isinstance(value, bool) or value is None:
        raise InputError(
            f"where[{name!r}]: {operator!r} expects a number or a string, got {value!r}."
        )
    return Bound(operator, value)


def _any_of(name: str, wanted: Any) -> AnyOf:
    return AnyOf(tuple(_scalar(name, value) for value in wanted))


def _scalar(name: str, value: Any) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        _check_text(name, value)
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = as_number(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise InputError(
        f"where[{name!r}]: expected a string, a finite number, True, False or None "
        f"(or a list of them, or operators), got {value!r}."
    )


def as_number(value: int) -> int | float:
    """What SQLite reads a whole number as: one that does not fit 64 bits is a float."""
    if -(2**63) <= value < 2**63:
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"where[{name!r}]: {text!r} is not valid Unicode.") from error
    if "\0" in text:
        raise InputError(f"where[{name!r}]: {text!r} holds a NUL character.")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, np.ndarray))


def _allowed() -> str:
    return f"Operators are {', '.join(map(repr, _OPERATORS))}; equality is the value itself."
