"""A collection in Milvus, as `commonspace.store.engine.Engine` says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from commonspace.checks import check_range
from commonspace.errors import NotFoundError, StorageError, UnsupportedError
from commonspace.index import Neighbours
from commonspace.index.vectors import as_queries
from commonspace.space import Space
from commonspace.store.conditions import parse_where
from commonspace.store.hits import NONE
from commonspace.store.milvus.address import Address, parse_address
from commonspace.store.milvus.connection import MOST_BYTES, MOST_ROWS, Connection, in_pieces
from commonspace.store.milvus.expressions import Filter, compile_filter, has_any
from commonspace.store.milvus.index import build_parameters, search_parameters
from commonspace.store.milvus.items import MOST_TERMS, MOST_TEXT, SHOWN, MilvusItems, rows_of
from commonspace.store.milvus.register import Register, add_text, data_type
from commonspace.store.milvus.terms import KEY_LENGTH, SLOTS, TERM_LENGTH, modality_term
from commonspace.store.wish import IndexWish
from commonspace.types import Float32Array, IntArray, JsonDict

Where = Mapping[str, Any] | None

_HITS_AT_ONCE = 20_000
_INDEX = "index"


class MilvusEngine:
    """Items in one collection of Milvus, what goes beside them in another.

    Reads are of the consistency level "Strong": what a write acknowledged, every later read sees.
    A batch is one request as long as it is below 8 MB; a crash within a larger one may leave a
    part of it. What its methods are for, `commonspace.store.engine.Engine` says.
    """

    learns_codes = False

    def __init__(self, connection: Connection, register: Register, *, read_only: bool) -> None:
        self._call, self._register, self.read_only = connection, register, read_only
        self._address = connection.address
        register.load()
        self.items = MilvusItems(connection, register, self._address.name)
        connection("load_collection", self._address.name)
        self._wish = _read_wish(register)

    @classmethod
    def create(cls, place: str | Path, space: Space, wish: IndexWish) -> Self:
        """Make an empty collection."""
        address = parse_address(place)
        kind, settings = build_parameters(wish, space.dim, lite=address.lite)
        connection = Connection(address)
        try:
            if connection("has_collection", address.name):
                raise StorageError(
                    f"{address.place} holds a collection already. Take another name, or use "
                    "Collection.open."
                )
            register = Register(connection, address.name)
            register.create(space)
            _write_wish(register, wish, space.dim)
            _create_items(connection, address, space.dim, kind, settings)
            return cls(connection, register, read_only=False)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def open(cls, place: str | Path, *, read_only: bool) -> Self:
        """Open a collection; several processes may write."""
        address = parse_address(place)
        if address.lite and not Path(address.uri).exists():
            raise NotFoundError(f"{address.place} is not a collection: there is no such file.")
        connection = Connection(address)
        try:
            register = Register(connection, address.name)
            if not (connection("has_collection", address.name) and register.exists()):
                raise NotFoundError(
                    f"{address.place} is not a collection: Milvus has none of this name that "
                    "commonspace made."
                )
            return cls(connection, register, read_only=read_only)
        except BaseException:
            connection.close()
            raise

    @property
    def place(self) -> str:
        """The address, without what is secret."""
        return self._address.place

    @property
    def folder(self) -> Path:
        """There is none."""
        self._lacks("folder", "use Collection.place for its address")

    def close(self) -> None:
        """Give the connection back."""
        self._call.close()

    def modality_names(self) -> Sequence[str]:
        """Those that ever had items."""
        return self.items.modality_names()

    def nearest(
        self, vectors: Any, k: int, modalities: Sequence[str] | None, where: Where
    ) -> Neighbours:
        """What Milvus finds, in pieces of queries that it takes."""
        queries, _ = as_queries(vectors, "cosine", self.items.space.dim)
        check_range("k", k, low=1, integer=True)
        limit = min(int(k), MOST_ROWS)
        chosen = compile_filter(modalities, parse_where(where))
        self._check_doubts(chosen, modalities)
        lists: list[Any] = []
        at_once = min(MOST_ROWS, _HITS_AT_ONCE // limit, MOST_BYTES // (4 * queries.shape[1]))
        for some in in_pieces(queries, max(1, at_once)):
            lists += self._search(np.stack(some), limit, chosen.expression)
        if k > limit and any(len(found) == limit for found in lists):
            raise UnsupportedError(
                f"k: Milvus answers with {MOST_ROWS} items at most, and there are more of them."
            )
        return self._neighbours(lists)

    def match(
        self, words: str, k: int, modalities: Sequence[str] | None, where: Where
    ) -> tuple[IntArray, Float32Array]:
        """There is no index of words."""
        self._lacks("search by words", "filter on payload fields, or keep the texts in a folder")

    def put(
        self,
        ids: Sequence[str],
        modality: str,
        payloads: Sequence[str] | None,
        texts: Sequence[str],
        vectors: Float32Array,
        encoder: str | None,
    ) -> None:
        """Upsert rows; Milvus acknowledges once they are in its log."""
        stored = repeat("{}") if payloads is None else payloads
        rows = rows_of(ids, modality, stored, vectors, encoder)
        self.items.record(modality, encoder)
        longest = max((len(row["payload"]) + 20 * len(row["terms"]) for row in rows), default=0)
        row_bytes = 4 * self.items.space.dim + 4 * longest + 200
        self._call.upsert(self._address.name, rows, row_bytes=row_bytes)

    def remove(self, ids: Sequence[str], modality: str | None) -> int:
        """Delete by primary key those that are there."""
        keys = self.items.stored(self.items.keys_of(ids, modality))
        self._call.delete(self._address.name, keys)
        return len(keys)

    def describe_index(self) -> JsonDict:
        """Our name of the kind, Milvus's, its settings, and the items."""
        kind, settings = self._parameters(self._wish)
        effort = self._wish.options.get("effort")
        said = {"kind": self._wish.kind, "milvus": kind, **settings, "effort": effort}
        return {**said, "items": self.items.count()}

    def set_index(self, wish: IndexWish) -> None:
        """Have Milvus make another index in the place of the one there is, if it differs."""
        wanted, now = self._parameters(wish), self._parameters(_read_wish(self._register))
        if wanted != now:
            try:
                self._make_index(*wanted)
            except BaseException:
                with suppress(StorageError):  # the first error says what is wrong
                    self._make_index(*now)
                raise
        _write_wish(self._register, wish, self.items.space.dim)
        self._wish = wish

    def index_field(self, name: str, *, drop: bool = False) -> None:
        """Nothing to do, so nothing is done."""
        self._lacks("index on a payload field", "every field is looked up there as it is")

    def indexed_fields(self) -> list[str]:
        """None that were asked for."""
        return []

    def outgrown(self) -> bool:
        """Milvus sees to that."""
        return False

    def compact(self) -> Callable[[], None]:
        """Milvus sees to that."""
        return lambda: None

    def flush(self) -> None:
        """Have Milvus seal what is in its memory."""
        self._call("flush", self._address.name)

    def snapshot(self, folder: Path) -> None:
        """There are tools of its own."""
        self._lacks(
            "snapshot", "use milvus-backup; of Milvus Lite, copy the file when it is closed"
        )

    def verify(self) -> list[str]:
        """There are tools of its own."""
        self._lacks("check for damage", "Milvus and its object store keep checksums of their own")

    def _lacks(self, what: str, instead: str) -> NoReturn:
        raise UnsupportedError(f"{self.place}: a collection in Milvus has no {what}; {instead}.")

    def _parameters(self, wish: IndexWish) -> tuple[str, JsonDict]:
        return build_parameters(wish, self.items.space.dim, lite=self._address.lite)

    def _make_index(self, kind: str, settings: JsonDict) -> None:
        name = self._address.name
        self._call("release_collection", name)
        if self._call("list_indexes", name, "vector"):
            self._call("drop_index", name, "vector")
        self._call("create_index", name, _index_parameters(self._call, kind, settings))
        self._call("load_collection", name)

    def _search(self, queries: Float32Array, limit: int, expression: str) -> Any:
        return self._call(
            "search",
            self._address.name,
            data=queries,
            anns_field="vector",
            limit=limit,
            filter=expression,
            output_fields=list(SHOWN),
            search_params=search_parameters(self._wish, limit),
        )

    def _neighbours(self, lists: Sequence[Any]) -> Neighbours:
        """Matrices of ragged lists."""
        shape = len(lists), max(map(len, lists), default=0)
        keys = np.full(shape, NONE, dtype=np.int64)
        scores = np.full(shape, -np.inf, dtype=np.float32)
        for row, found in enumerate(lists):
            for column, hit in enumerate(found):
                # Which of the two holds the primary key, and under what name, is pymilvus's.
                known = {"key": hit.get("key", hit.get("id")), **hit["entity"]}
                keys[row, column] = self.items.meet(known)
                scores[row, column] = hit["distance"]
        return Neighbours(keys, scores)

    def _check_doubts(self, chosen: Filter, modalities: Sequence[str] | None) -> None:
        """Refuse a range that some items hold too many values for."""
        if not chosen.doubtful:
            return
        expression = has_any(chosen.doubtful)
        if modalities is not None:
            expression = f"{expression} and {has_any(map(modality_term, modalities))}"
        found = self._call(
            "query",
            self._address.name,
            filter=expression,
            output_fields=["id", "terms"],
            limit=1,
        )
        for row in found:
            field = next(chosen.doubtful[t] for t in row["terms"] if t in chosen.doubtful)
            raise UnsupportedError(
                f"where[{field!r}]: in Milvus, a range with two bounds compares {SLOTS} "
                f"different values of a list, and item {row['id']!r} holds more. Ask for one bound."
            )


def _create_items(
    connection: Connection, address: Address, dim: int, kind: str, settings: JsonDict
) -> None:
    schema = connection.client.create_schema(auto_id=False, enable_dynamic_field=False)
    add_text(schema, "key", KEY_LENGTH, is_primary=True)
    for field in ("id", "modality", "payload"):
        add_text(schema, field, MOST_TEXT)
    schema.add_field(
        "terms",
        data_type("ARRAY"),
        element_type=data_type("VARCHAR"),
        max_capacity=MOST_TERMS,
        max_length=TERM_LENGTH,
    )
    schema.add_field("values", data_type("JSON"))
    schema.add_field("vector", data_type("FLOAT_VECTOR"), dim=dim)
    index = _index_parameters(connection, kind, settings)
    if not address.lite:  # which has none on arrays
        index.add_index("terms", index_type="INVERTED")
    connection(
        "create_collection",
        address.name,
        schema=schema,
        index_params=index,
        consistency_level="Strong",
    )


def _index_parameters(connection: Connection, kind: str, settings: JsonDict) -> Any:
    index = connection.client.prepare_index_params()
    index.add_index("vector", index_type=kind, metric_type="COSINE", params=settings)
    return index


def _read_wish(register: Register) -> IndexWish:
    return IndexWish.restored(register.read(_INDEX, "").get(""), None)


def _write_wish(register: Register, wish: IndexWish, dim: int) -> None:
    register.write(_INDEX, "", wish.stored()["index"], dim)
