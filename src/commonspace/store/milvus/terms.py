"""What a payload is to filters: terms that it has or has not, and values that can be compared.

Every fact that a condition may ask for is a *term*: "the field is there", "it holds this value",
"the item is of this modality". An item stores the digests of its terms in an array, in which
Milvus looks up; whether an item has a term is true or false, never unknown, so that negations mean
what they say. (Milvus's own conditions on JSON tell true, false and unknown apart, and which is
which of a missing field differs between its versions.)

For ranges an item also stores its values so that they compare as strings: numbers as 20
hexadecimal digits in their order, strings as the hexadecimal digits of their first 64 bytes.
"""

from __future__ import annotations

import json
import struct
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from commonspace.store.conditions import as_number

SLOTS = 8
"""Different values of one list that ranges with two bounds compare."""
MAX_BOUND = 64
"""Bytes of a string that ranges compare."""
TERM_LENGTH = 16
KEY_LENGTH = 20

Path = tuple[str, ...]


def digest(*parts: str, length: int = TERM_LENGTH) -> str:
    """So many letters, digits, - and _ that stand for these strings."""
    content = json.dumps(parts).encode()
    return urlsafe_b64encode(blake2b(content, digest_size=length * 3 // 4).digest()).decode()


def item_key(modality: str, id_: str) -> str:
    """The primary key of an item."""
    return digest("item", modality, id_, length=KEY_LENGTH)


def modality_term(modality: str) -> str:
    """The item is of this modality."""
    return digest("modality", modality)


def encoder_term(encoder: str | None) -> str:
    """This encoder made the vector; None: it is not on record."""
    return digest("encoder", *([] if encoder is None else [encoder]))


def present_term(path: Path) -> str:
    """The field is there, and not null."""
    return digest("present", *path)


def value_term(path: Path, value: Any) -> str:
    """The field is, or a list in it holds, this value."""
    kind = kind_of(value)
    return digest("value", kind, _canonical(kind, value), *path)


def slot_term(path: Path, kind: str, slot: int) -> str:
    """The field holds more values of this kind than ``slot``; also the name of that value."""
    return digest("slot", kind, str(slot), *path)


def more_term(path: Path, kind: str) -> str:
    """The field holds more different values of this kind than there are slots."""
    return digest("more", kind, *path)


def kind_of(value: Any) -> str:
    """What a JSON value counts as: types are different values."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else "truth"
    return "text" if isinstance(value, str) else "number"


def sortable(value: str | int | float) -> str:
    """A string that compares as the value does with others of its kind."""
    if isinstance(value, str):
        content = value.encode()
        return content[:MAX_BOUND].hex() + ("g" if len(content) > MAX_BOUND else "")
    near = float(value) + 0.0  # which makes -0.0 one with 0.0
    (bits,) = struct.unpack(">q", struct.pack(">d", near))
    ordered = bits ^ (1 << 63) if bits >= 0 else ~bits
    beside = value - int(near) if isinstance(value, int) else 0
    return f"{ordered & (2**64 - 1):016x}{2048 + beside:04x}"


@dataclass(frozen=True)
class Facts:
    """What an item stores for filters.

    Attributes:
        terms: Digests.
        values: Values that compare, by the digest of their slot.
    """

    terms: list[str]
    values: dict[str, str]


def facts_of(payload: Any, modality: str, encoder: str | None) -> Facts:
    """Everything that a condition may ask of an item."""
    terms = {modality_term(modality), encoder_term(encoder)}
    values: dict[str, str] = {}
    for path, elements in _fields(payload):
        terms.add(present_term(path))
        terms.update(value_term(path, value) for value in elements)
        for kind in ("number", "text"):
            several = {sortable(as_read(v)) for v in elements if kind_of(v) == kind}
            found = dict(_slots(path, kind, sorted(several)))
            values |= found
            terms |= found.keys()
            if len(several) > SLOTS:
                terms.add(more_term(path, kind))
    return Facts(sorted(terms), values)


def as_read(value: Any) -> Any:
    """A number as SQLite would read it."""
    return as_number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _slots(path: Path, kind: str, values: list[str]) -> Iterator[tuple[str, str]]:
    """The largest value, the smallest one, then the others."""
    for slot, value in enumerate([*values[-1:], *values[:-1]][:SLOTS]):
        yield slot_term(path, kind, slot), value


def _fields(payload: Any) -> Iterator[tuple[Path, list[Any]]]:
    """Every field at any depth that is not null, and the scalars that it is or holds."""
    waiting: list[tuple[Path, Any]] = [((), payload)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, name), inner) for name, inner in value.items()]
        if path and value is not None:
            elements = value if isinstance(value, list) else [value]
            yield path, [v for v in elements if not isinstance(v, (dict, list))]


def _canonical(kind: str, value: Any) -> str:
    """One string for all forms of a value: 1 and 1.0 are one."""
    if kind != "number":
        return str(value)
    return sortable(as_read(value))
