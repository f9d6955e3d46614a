"""Conditions on payload fields as an expression of Milvus.

Negations are carried inwards, so that every comparison stands beside a term that says whether there
is anything to compare, and an expression is true or false of every item. It holds digests and
hexadecimal digits alone, see `store.milvus.terms`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from commonspace.errors import UnsupportedError
from commonspace.store.conditions import AnyOf, Bound, Condition, Every, Field, Not, Scalar
from commonspace.store.milvus.terms import (
    MAX_BOUND,
    SLOTS,
    kind_of,
    modality_term,
    more_term,
    present_term,
    slot_term,
    sortable,
    value_term,
)

NEVER = 'array_contains(terms, "-")'
"""Holds for no item; no term is so short."""
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

Expression = str | bool
"""As Milvus reads it; True and False where that is known of every item."""


@dataclass
class Filter:
    """Which items a search is among.

    Attributes:
        expression: Empty: all of them.
        doubtful: Fields with a range that has two bounds, by the term of the items that hold too
            many values in them to tell.
    """

    expression: str = ""
    doubtful: dict[str, str] = field(default_factory=dict)


def compile_filter(modalities: Sequence[str] | None, condition: Condition) -> Filter:
    """Return the items of some modalities, or all (None), for which a condition holds.

    Raises:
        UnsupportedError: A bound of a range is longer than what is compared.
    """
    made = Filter()
    among = True if modalities is None else has_any(map(modality_term, modalities))
    whole = _all([among, _compile(condition, True, made)])
    made.expression = ("" if whole else NEVER) if isinstance(whole, bool) else whole
    return made


def has_any(terms: Iterable[str], holds: bool = True) -> Expression:
    """The item has one of these terms, or none of them."""
    listed = ", ".join(f'"{term}"' for term in terms)
    if not listed:
        return not holds
    return f"{'' if holds else 'not '}array_contains_any(terms, [{listed}])"


def _compile(condition: Condition, holds: bool, made: Filter) -> Expression:
    """Of a condition, or of its negation."""
    if isinstance(condition, Not):
        return _compile(condition.part, not holds, made)
    if isinstance(condition, Field):
        return _field(condition, holds, made)
    parts = [_compile(part, holds, made) for part in condition.parts]
    return (_all if isinstance(condition, Every) == holds else _one)(parts)


def _field(condition: Field, holds: bool, made: Filter) -> Expression:
    bounds = [test for test in condition.tests if isinstance(test, Bound)]
    lists = [test for test in condition.tests if isinstance(test, AnyOf)]
    if lists:
        chosen = [v for v in lists[0].values if all(_within(v, bound) for bound in bounds)]
        return _any_of(condition.path, chosen, holds)
    kinds = {kind_of(bound.value) for bound in bounds}
    if len(kinds) > 1:  # no element is a number and a string
        return not holds
    return _range(condition.path, kinds.pop(), bounds, holds, made)


def _any_of(path: tuple[str, ...], values: Sequence[Scalar], holds: bool) -> Expression:
    among = has_any((value_term(path, value) for value in values), holds)
    if not any(value is None for value in values):
        return among
    return (_one if holds else _all)([among, has_any([present_term(path)], not holds)])


def _range(
    path: tuple[str, ...], kind: str, bounds: Sequence[Bound], holds: bool, made: Filter
) -> Expression:
    """The largest value decides of a lower bound, it and the smallest one of an upper bound."""
    for bound in bounds:
        if isinstance(bound.value, str) and len(bound.value.encode()) > MAX_BOUND:
            raise UnsupportedError(
                f"where[{'.'.join(path)!r}]: in Milvus, ranges compare the first {MAX_BOUND} bytes "
                f"of strings, and this bound has {len(bound.value.encode())}."
            )
    tests = [(_SIGNS[bound.operator], sortable(bound.value)) for bound in bounds]
    sides = {sign[0] for sign, _ in tests}
    slots = SLOTS if len(sides) > 1 else 1 if sides == {">"} else 2
    if slots == SLOTS:
        made.doubtful[more_term(path, kind)] = ".".join(path)
    parts = [_slot(slot_term(path, kind, slot), tests, holds) for slot in range(slots)]
    return (_one if holds else _all)(parts)


def _slot(slot: str, tests: Sequence[tuple[str, str]], holds: bool) -> Expression:
    compared: list[Expression] = [
        f'values["{slot}"] {sign if holds else _OPPOSITE[sign]} "{bound}"' for sign, bound in tests
    ]
    return (_all if holds else _one)([has_any([slot], holds), *compared])


def _within(value: Scalar, bound: Bound) -> bool:
    if value is None or kind_of(value) != kind_of(bound.value):
        return False
    here, there = (v.encode() if isinstance(v, str) else v for v in (value, bound.value))
    return bool(_COMPARE[bound.operator](here, there))


def _all(parts: Sequence[Expression]) -> Expression:
    if any(part is False for part in parts):
        return False
    return _joined(" and ", parts)


def _one(parts: Sequence[Expression]) -> Expression:
    if any(part is True for part in parts):
        return True
    joined = _joined(" or ", parts)
    return False if joined is True else joined


def _joined(word: str, parts: Sequence[Expression]) -> Expression:
    written = [part for part in parts if isinstance(part, str)]
    return f"({word.join(written)})" if written else True
