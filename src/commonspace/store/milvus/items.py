"""Items of a collection in Milvus: as rows, and to read."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from commonspace.errors import InputError
from commonspace.space import Space
from commonspace.store.milvus.connection import MOST_ROWS, Connection
from commonspace.store.milvus.expressions import has_any
from commonspace.store.milvus.register import Register
from commonspace.store.milvus.terms import encoder_term, facts_of, item_key, modality_term
from commonspace.types import Float32Array, IntArray, JsonDict

SHOWN = ("key", "id", "modality", "payload")
MOST_TEXT = 65_535
"""Bytes of a payload, as JSON; and of an id."""
MOST_TERMS = 4096
_METADATA = "metadata"
_MADE = "made"


class MilvusItems:
    """What `commonspace.store.engine.Items` says, of rows in Milvus.

    Keys are the first 63 bits of an item's primary key; rows that were met are kept until the next
    `snapshot`.

    Attributes:
        space: The space of all vectors.
    """

    def __init__(self, connection: Connection, register: Register, name: str) -> None:
        self.space: Space = register.read_space()
        self._call, self._register, self._name = connection, register, name
        self._met: dict[int, tuple[str, str, str]] = {}
        self._made: set[tuple[str, str | None]] = set()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Forget what was met before; others may write meanwhile, which Milvus lets us see."""
        self._met = {}
        yield

    def count(self) -> int:
        """How many items there are."""
        return self._call.count(self._name)

    def modalities(self) -> dict[str, int]:
        """How many items each modality has, one question a modality."""
        counts = {n: self._count([modality_term(n)]) for n in sorted(self.modality_names())}
        return {name: count for name, count in counts.items() if count}

    def modality_names(self) -> list[str]:
        """Modalities that ever had items."""
        self._read_made()
        return sorted({modality for modality, _ in self._made})

    def encoders(self) -> dict[str, dict[str | None, int]]:
        """How many items each encoder made, one question an encoder."""
        self._read_made()
        found: dict[str, dict[str | None, int]] = {}
        for modality, encoder in sorted(self._made, key=lambda pair: (pair[0], pair[1] or "")):
            count = self._count([modality_term(modality)], [encoder_term(encoder)])
            if count:
                found.setdefault(modality, {})[encoder] = count
        return found

    def made_by_others(self, modality: str, encoder: str) -> list[str]:
        """Ids of items whose vectors this encoder did not make."""
        others = has_any([encoder_term(encoder)], holds=False)
        expression = f"{has_any([modality_term(modality)])} and {others}"
        pages = self._call(
            "query_iterator", self._name, MOST_ROWS, filter=expression, output_fields=["id"]
        )
        ids: list[str] = []
        while page := pages.next():
            ids += [row["id"] for row in page]
        pages.close()
        return ids

    def find(self, ids: Sequence[str], modality: str | None) -> IntArray:
        """Keys of the items of these ids, in one modality or all."""
        rows = self._rows(self.keys_of(ids, modality), SHOWN)
        return np.array([self.meet(row) for row in rows], dtype=np.int64)

    def describe(self, keys: IntArray) -> dict[int, tuple[str, str, str]]:
        """Id, modality and payload (JSON) of items that were met."""
        return {key: self._met[key] for key in keys.tolist() if key in self._met}

    def vectors_of(self, ids: Sequence[str], modality: str) -> dict[str, bytes]:
        """Stored vectors by id, those that are there."""
        rows = self._rows(self.keys_of(ids, modality), ("id", "vector"))
        return {row["id"]: np.asarray(row["vector"], dtype="<f4").tobytes() for row in rows}

    def payloads_of(self, ids: Sequence[str], modality: str) -> dict[str, str]:
        """Payloads (JSON) by id, those that are there."""
        rows = self._rows(self.keys_of(ids, modality), ("id", "payload"))
        return {row["id"]: row["payload"] for row in rows}

    def metadata(self) -> JsonDict:
        """What the caller stored, by name."""
        texts = self._register.read(_METADATA)
        return {name: json.loads(texts[name]) for name in sorted(texts)}

    def metadata_text(self, name: str) -> str | None:
        """The JSON of what the caller stored under a name."""
        return self._register.read(_METADATA, name).get(name)

    def set_metadata(self, name: str, value: str) -> None:
        """Store JSON under a name."""
        self._register.write(_METADATA, name, value, self.space.dim)

    def meet(self, row: JsonDict) -> int:
        """The key of a row that Milvus answered with, for `describe`."""
        key = int.from_bytes(urlsafe_b64decode(row["key"])[:8]) >> 1
        self._met[key] = (row["id"], row["modality"], row["payload"])
        return key

    def keys_of(self, ids: Sequence[str], modality: str | None) -> list[str]:
        """Primary keys that such items would have."""
        names = self.modality_names() if modality is None else [modality]
        return [item_key(name, id_) for name in names for id_ in dict.fromkeys(ids)]

    def stored(self, keys: Sequence[str]) -> list[str]:
        """Those primary keys that there are."""
        return [row["key"] for row in self._rows(keys, ("key",))]

    def record(self, modality: str, encoder: str | None) -> None:
        """Note that there are such items, before there are."""
        if (modality, encoder) not in self._made:
            self._register.write(_MADE, json.dumps([modality, encoder]), "", self.space.dim)
            self._made.add((modality, encoder))

    def _read_made(self) -> None:
        self._made |= {tuple(json.loads(name)) for name in self._register.read(_MADE)}

    def _count(self, *terms: Sequence[str]) -> int:
        return self._call.count(self._name, " and ".join(str(has_any(some)) for some in terms))

    def _rows(self, keys: Sequence[str], fields: Sequence[str]) -> list[JsonDict]:
        return self._call.get(self._name, keys, fields) if keys else []


def rows_of(
    ids: Sequence[str],
    modality: str,
    payloads: Iterable[str],
    vectors: Float32Array,
    encoder: str | None,
) -> list[JsonDict]:
    """Rows to store.

    Raises:
        InputError: An id or a payload is larger than Milvus takes.
    """
    return [
        _row(id_, modality, payload, vector, encoder)
        for id_, payload, vector in zip(ids, payloads, vectors, strict=False)
    ]


def _row(id_: str, modality: str, payload: str, vector: Any, encoder: str | None) -> JsonDict:
    facts = facts_of(json.loads(payload), modality, encoder)
    values = json.dumps(facts.values)
    sizes = {
        "the id": (len(id_.encode()), MOST_TEXT),
        "the modality": (len(modality.encode()), MOST_TEXT),
        "the payload": (len(payload.encode()), MOST_TEXT),
        "what ranges compare of the payload": (len(values), MOST_TEXT),
    }
    for what, (size, most) in sizes.items():
        if size > most:
            raise InputError(f"item {id_[:40]!r}: {what} has {size} bytes; Milvus takes {most}.")
    if len(facts.terms) > MOST_TERMS:
        raise InputError(
            f"item {id_[:40]!r}: the payload has {len(facts.terms)} fields and values to filter "
            f"on; Milvus takes {MOST_TERMS}."
        )
    return {
        "key": item_key(modality, id_),
        "id": id_,
        "modality": modality,
        "payload": payload,
        "terms": facts.terms,
        "values": facts.values,
        "vector": vector,
    }
