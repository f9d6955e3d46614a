"""What goes beside the items of a collection in Milvus: its space, its settings, its metadata.

Rows of a second collection. A text that is longer than Milvus takes is several of them; the basis
of the space is one vector a row, which keeps its bits.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from commonspace.errors import CommonspaceError, StorageError
from commonspace.space import Space
from commonspace.store.milvus.address import REGISTER
from commonspace.store.milvus.connection import Connection
from commonspace.store.milvus.terms import KEY_LENGTH, digest
from commonspace.types import JsonDict

FORMAT_VERSION = 1
_TEXT = 65_535  # bytes
_PIECE = 16_000  # letters, of four bytes at most
_BASIS_KEYS = 256  # rows of the basis that are read at once
_SPACE = "space"
_TEXTS = {"kind": 32, "name": _TEXT, "text": _TEXT}
_NUMBERS = ("part", "parts")
_FIELDS = {"key", *_TEXTS, *_NUMBERS, "vector"}


class Register:
    """Texts by kind and name.

    Args:
        connection: To Milvus.
        name: Of the collection that the items are in.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._call, self.name = connection, f"{name}{REGISTER}"

    def exists(self) -> bool:
        """Whether there is one."""
        return bool(self._call("has_collection", self.name))

    def create(self, space: Space) -> None:
        """Make it, with the space in it; what a creation that was cut off left goes.

        Raises:
            StorageError: A collection of its name is something else.
        """
        if self.exists():
            self._check_ours()
            self._call("drop_collection", self.name)
        client = self._call.client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        add_text(schema, "key", KEY_LENGTH, is_primary=True)
        for field, length in _TEXTS.items():
            add_text(schema, field, length)
        for field in _NUMBERS:
            schema.add_field(field, data_type("INT64"))
        schema.add_field("vector", data_type("FLOAT_VECTOR"), dim=space.dim)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        self._call(
            "create_collection",
            self.name,
            schema=schema,
            index_params=index,
            consistency_level="Strong",
        )
        self._write_space(space)

    def load(self) -> None:
        """Have Milvus keep it in memory."""
        self._call("load_collection", self.name)

    def _check_ours(self) -> None:
        found = {field["name"] for field in self._call("describe_collection", self.name)["fields"]}
        if found != _FIELDS:
            raise StorageError(
                f"{self._call.address.place}: beside it goes the collection {self.name!r}, and "
                "Milvus has one of this name that commonspace did not make. Take another name."
            )

    def _write_space(self, space: Space) -> None:
        rows = (
            self._row("basis", str(number), "", vector=vector)
            for number, vector in enumerate(space.basis.astype(np.float32))
        )
        self._call.upsert(self.name, rows, row_bytes=4 * space.dim + 200)
        content = {"format_version": FORMAT_VERSION, "manifest": space.manifest()}
        self.write(_SPACE, "", json.dumps(content, ensure_ascii=False), space.dim)

    def read_space(self) -> Space:
        """The space of the collection.

        Raises:
            StorageError: It is of a newer format, or damaged.
        """
        try:
            content = json.loads(self.read(_SPACE)[""])
            if content["format_version"] > FORMAT_VERSION:
                raise StorageError(
                    f"{self._call.address.place}: format version {content['format_version']} is "
                    f"newer than the {FORMAT_VERSION} this commonspace reads. Install a newer one."
                )
            manifest = content["manifest"]
            return Space.from_manifest(manifest, self._basis(int(manifest["dim"])))
        except StorageError:
            raise
        except (KeyError, ValueError, TypeError, CommonspaceError) as error:
            raise StorageError(
                f"{self._call.address.place} is damaged: its space does not read."
            ) from error

    def _basis(self, dim: int) -> np.ndarray[Any, Any]:
        basis = np.empty((dim, dim), dtype=np.float32)
        for start in range(0, dim, _BASIS_KEYS):
            names = range(start, min(start + _BASIS_KEYS, dim))
            keys = [_key("basis", str(number), 0) for number in names]
            for row in self._call.get(self.name, keys, ["name", "vector"]):
                basis[int(row["name"])] = row["vector"]
        return basis

    def write(self, kind: str, name: str, text: str, dim: int) -> None:
        """Store a text in the place of that of the same kind and name."""
        pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)] or [""]
        nothing = np.zeros(dim, dtype=np.float32)
        rows = [
            self._row(kind, name, piece, part=part, parts=len(pieces), vector=nothing)
            for part, piece in enumerate(pieces)
        ]
        self._call.upsert(self.name, rows, row_bytes=4 * dim + 4 * _PIECE)

    def read(self, kind: str, name: str | None = None) -> dict[str, str]:
        """Texts of a kind by name; all, or one."""
        fields = ["name", "text", "part", "parts"]
        if name is None:
            expression = f'kind == "{kind}"'
            rows = self._call("query", self.name, filter=expression, output_fields=fields)
        else:
            first = self._call.get(self.name, [_key(kind, name, 0)], fields)
            more = range(1, first[0]["parts"]) if first else ()
            rows = first + self._call.get(self.name, [_key(kind, name, i) for i in more], fields)
        found: dict[str, list[JsonDict]] = {}
        for row in rows:
            found.setdefault(row["name"], []).append(row)
        return {each: _whole(parts) for each, parts in found.items()}

    @staticmethod
    def _row(kind: str, name: str, text: str, *, part: int = 0, parts: int = 1, vector: Any) -> Any:
        row = {"key": _key(kind, name, part), "kind": kind, "name": name, "text": text}
        return {**row, "part": part, "parts": parts, "vector": vector}


def add_text(schema: Any, name: str, length: int, *, is_primary: bool = False) -> None:
    """Add a field of strings to a schema."""
    schema.add_field(name, data_type("VARCHAR"), max_length=length, is_primary=is_primary)


def data_type(name: str) -> Any:
    """Milvus's type of a field."""
    from pymilvus import DataType

    return DataType[name]


def _key(kind: str, name: str, part: int) -> str:
    return digest(kind, name, str(part), length=KEY_LENGTH)


def _whole(rows: list[JsonDict]) -> str:
    """The text of its pieces; a longer one may have left some behind."""
    rows = sorted(rows, key=lambda row: int(row["part"]))
    return "".join(row["text"] for row in rows[: int(rows[0]["parts"])])
