"""Filters on payload fields, compiled to SQL in which every name and value is a bound parameter.

::

    {"lang": "fr"}                        equal
    {"lang": ["fr", "de"]}                any of
    {"size": {"gte": 3, "lt": 9}}         a range; also {"in": [...]}
    {"shop.city": "Paris", "sale": True}  nested fields; all conditions must hold
    {"$or": [{"lang": "fr"}, {"size": {"gt": 3}}]}    one of them must hold; also "$and"
    {"$not": {"lang": "fr"}}              holds for all items for which the inner one does not

A field that holds a list matches if one of its elements does. ``None`` matches a field that is null
or absent. Types count: 1, "1" and True are three different values (1 and 1.0 are one). Fields that
`Collection.create_index` was asked for are looked up (`store.fields`); the others are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from commonspace.errors import InputError
from commonspace.types import JsonDict

_RANGES = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_OPERATORS = (*_RANGES, "in")
# SQLite's expressions have a depth, and nobody means more than this.
_MAX_FIELDS = 100
_MAX_DEPTH = 20
_COMBINE = {"$and": " AND ", "$or": " OR "}


def compile_where(
    where: Mapping[str, Any] | None, indexed: Mapping[str, int] | None = None
) -> tuple[str, JsonDict]:
    """Return a condition on ``items`` and the parameters it binds.

    Args:
        where: Field to value, list of values, or operators; or "$and", "$or", "$not" to what
            they join. None and {} hold for every item.
        indexed: Number of each field that has an index, by its JSON path.

    Returns:
        SQL ("1" without conditions), and named parameters.

    Raises:
        InputError: Not a mapping, an unknown operator, a value that is no JSON scalar, or a
            field name that cannot be a path.
    """
    if where is None:
        return "1", {}
    compiler = _Compiler(indexed or {})
    return compiler.all_of(where, 0), compiler.parameters


def field_path(name: Any) -> str:
    """A JSON path of quoted names: dots separate, every other character stands for itself."""
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
    return "$" + "".join(f'."{part}"' for part in name.split("."))


class _Compiler:
    """Collects the parameters while conditions are written."""

    def __init__(self, indexed: Mapping[str, int]) -> None:
        self.parameters: JsonDict = {}
        self._indexed = indexed
        self._n_fields = 0

    def all_of(self, where: Any, depth: int) -> str:
        """All conditions of a mapping, as SQL that is true or false, never null."""
        if not isinstance(where, Mapping):
            raise InputError(
                f"where: expected a mapping from field to value, got {type(where).__name__}."
            )
        if depth > _MAX_DEPTH:
            raise InputError(f"where: expected at most {_MAX_DEPTH} conditions in one another.")
        self._n_fields += len(where)
        if self._n_fields > _MAX_FIELDS:
            raise InputError(f"where: expected at most {_MAX_FIELDS} fields, got {self._n_fields}.")
        parts = [self._condition(name, value, depth) for name, value in where.items()]
        return " AND ".join(parts) or "1"

    def _condition(self, name: Any, wanted: Any, depth: int) -> str:
        if name == "$not":
            return f"NOT ({self.all_of(wanted, depth + 1)})"
        if name in _COMBINE:
            if not isinstance(wanted, (list, tuple)) or not wanted:
                raise InputError(
                    f"where: {name!r} expects a list of conditions, such as "
                    f'{{{name!r}: [{{"lang": "fr"}}, {{"size": 3}}]}}, got {wanted!r}.'
                )
            parts = [f"({self.all_of(part, depth + 1)})" for part in wanted]
            return f"({_COMBINE[name].join(parts)})"
        return self._field(name, wanted)

    def _field(self, name: Any, wanted: Any) -> str:
        path = field_path(name)
        tests = " AND ".join(self._tests(name, wanted))
        if path in self._indexed:
            test = tests.format(kind="kind", value="value", number="= 'number'")
            return (
                "items.key IN (SELECT key FROM fields "
                f"WHERE field = {self._indexed[path]:d} AND ({test}))"
            )
        path = self._bind(path)
        kind, value = f"json_type(items.payload, {path})", f"json_extract(items.payload, {path})"
        number = "IN ('integer', 'real')"
        scalar = tests.format(kind=kind, value=value, number=number)
        element = tests.format(kind="each.type", value="each.value", number=number)
        among = f"EXISTS (SELECT 1 FROM json_each(items.payload, {path}) AS each WHERE {element})"
        return f"coalesce(CASE {kind} WHEN 'array' THEN {among} ELSE ({scalar}) END, 0)"

    def _tests(self, name: str, wanted: Any) -> list[str]:
        if not isinstance(wanted, Mapping):
            return [self._any_of(name, wanted if _is_list(wanted) else [wanted])]
        if not wanted:
            raise InputError(f"where[{name!r}]: no operator given. {_allowed()}")
        return [self._operator(name, *item) for item in wanted.items()]

    def _operator(self, name: str, operator: Any, bound: Any) -> str:
        if operator not in _OPERATORS:
            raise InputError(f"where[{name!r}]: unknown operator {operator!r}. {_allowed()}")
        if operator == "in":
            if not _is_list(bound):
                raise InputError(f"where[{name!r}]: 'in' expects a list, got {bound!r}.")
            return self._any_of(name, bound)
        bound = _scalar(name, bound)
        if isinstance(bound, bool) or bound is None:
            raise InputError(
                f"where[{name!r}]: {operator!r} expects a number or a string, got {bound!r}."
            )
        kind = "= 'text'" if isinstance(bound, str) else "{number}"
        return f"({{kind}} {kind} AND {{value}} {_RANGES[operator]} {self._bind(bound)})"

    def _any_of(self, name: str, wanted: Any) -> str:
        values = [_scalar(name, value) for value in wanted]
        tests = [f"{{kind}} = '{str(v).lower()}'" for v in (True, False) if _holds(values, v)]
        if _holds(values, None):
            tests.append("({kind} IS NULL OR {kind} = 'null')")
        for kind, types in (("= 'text'", str), ("{number}", (int, float))):
            chosen = [v for v in values if isinstance(v, types) and not isinstance(v, bool)]
            if chosen:
                among = self._bind(json.dumps(chosen, ensure_ascii=False))
                tests.append(
                    f"({{kind}} {kind} AND {{value}} IN (SELECT value FROM json_each({among})))"
                )
        return f"({' OR '.join(tests) or '0'})"

    def _bind(self, value: Any) -> str:
        name = f"w{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"


def _scalar(name: str, value: Any) -> str | int | float | bool | None:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        _check_text(name, value)
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = value if -(2**63) <= value < 2**63 else _as_float(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise InputError(
        f"where[{name!r}]: expected a string, a finite number, True, False or None "
        f"(or a list of them, or operators), got {value!r}."
    )


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"where[{name!r}]: {text!r} is not valid Unicode.") from error
    if "\0" in text:
        raise InputError(f"where[{name!r}]: {text!r} holds a NUL character.")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, np.ndarray))


def _holds(values: list[Any], wanted: bool | None) -> bool:
    return any(value is wanted for value in values)


def _as_float(value: int) -> float:
    """What SQLite reads a whole number as that does not fit 64 bits."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _allowed() -> str:
    return f"Operators are {', '.join(map(repr, _OPERATORS))}; equality is the value itself."
