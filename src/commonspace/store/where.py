"""Conditions on payload fields as SQL, in which every name and value is a bound parameter.

Fields that `Collection.create_index` was asked for are looked up (`store.fields`); the others are
read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from commonspace.store.conditions import (
    AnyOf,
    Bound,
    Condition,
    Every,
    Field,
    Not,
    Scalar,
    field_parts,
    parse_where,
)
from commonspace.types import JsonDict

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def compile_where(
    where: Mapping[str, Any] | None, indexed: Mapping[str, int] | None = None
) -> tuple[str, JsonDict]:
    """Return a condition on ``items`` and the parameters it binds.

    Args:
        where: See `commonspace.store.conditions`.
        indexed: Number of each field that has an index, by its JSON path.

    Returns:
        SQL that is true or false, never null ("1" without conditions), and named parameters.

    Raises:
        InputError: See `parse_where`.
    """
    compiler = _Compiler(indexed or {})
    return compiler.sql(parse_where(where)), compiler.parameters


def field_path(name: Any) -> str:
    """The JSON path of a field, of quoted names."""
    return _json_path(field_parts(name))


def _json_path(parts: Sequence[str]) -> str:
    return "$" + "".join(f'."{part}"' for part in parts)


class _Compiler:
    """Collects the parameters while conditions are written."""

    def __init__(self, indexed: Mapping[str, int]) -> None:
        self.parameters: JsonDict = {}
        self._indexed = indexed

    def sql(self, condition: Condition) -> str:
        """A condition that can stand beside AND."""
        if isinstance(condition, Field):
            return self._field(condition)
        if isinstance(condition, Not):
            return f"NOT ({self.sql(condition.part)})"
        if isinstance(condition, Every):
            return " AND ".join(f"({self.sql(part)})" for part in condition.parts) or "1"
        return f"({' OR '.join(f'({self.sql(part)})' for part in condition.parts)})"

    def _field(self, field: Field) -> str:
        path = _json_path(field.path)
        tests = " AND ".join(self._test(test) for test in field.tests)
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

    def _test(self, test: AnyOf | Bound) -> str:
        if isinstance(test, AnyOf):
            return self._any_of(test.values)
        kind = "= 'text'" if isinstance(test.value, str) else "{number}"
        sign = _SIGNS[test.operator]
        return f"({{kind}} {kind} AND {{value}} {sign} {self._bind(test.value)})"

    def _any_of(self, values: Sequence[Scalar]) -> str:
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


def _holds(values: Sequence[Scalar], wanted: bool | None) -> bool:
    return any(value is wanted for value in values)
