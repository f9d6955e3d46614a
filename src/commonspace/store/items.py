"""The truth of a collection: one SQLite file with items, payloads, vectors and their space.

Write-ahead log, ``synchronous=FULL`` and one transaction a batch: a batch that was acknowledged is
on the device, one that was not is not there at all. Every batch advances the *generation* and has
a random token, by which an index beside the file is known to be made from exactly this history.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from commonspace.errors import StorageError
from commonspace.store.fields import drop_field, index_field, indexed_fields
from commonspace.store.schema import FORMAT_VERSION, connect, item_sum, read_space, upgrade
from commonspace.store.transactions import NOT_STORED, Transactions
from commonspace.store.versions import encoders, made_by_others, record_encoder
from commonspace.types import Float32Array, IntArray, JsonDict

_BLOCK_BYTES = 1 << 26
# The log of deletes and batches is forgotten once it is longer than this and than the items.
_LOG_ROWS = 10_000
_FEW_KEYS = 64
_VERSION = "SELECT value FROM meta WHERE name = 'format_version'"


class ItemTable(Transactions):
    """Rows of a collection in SQLite. One connection; the caller serialises its use.

    Attributes:
        space: The space of all vectors.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        with self._errors():
            self._sql = connect(path, read_only=read_only)
        try:
            with self._errors():
                self.space = read_space(self._sql, path)
                if not read_only and self._int(_VERSION) < FORMAT_VERSION:
                    upgrade(self._sql)
        except BaseException:
            self._sql.close()
            raise

    @contextmanager
    def batch(self) -> Iterator[int]:
        """Do all writes inside or none; yields the new generation."""
        with self._errors(NOT_STORED), self._transaction("BEGIN IMMEDIATE"):
            generation = self.generation() + 1
            token = secrets.token_hex(8)
            self._sql.execute("INSERT INTO batches VALUES (?, ?)", (generation, token))
            yield generation

    def generation(self) -> int:
        """Number of the newest batch."""
        return self._int("SELECT max(generation) FROM batches")

    def token(self, generation: int) -> str | None:
        """The token of a batch; None if there is no such batch, or no memory of it."""
        row = self._sql.execute(
            "SELECT token FROM batches WHERE generation = ?", (generation,)
        ).fetchone()
        return None if row is None else str(row[0])

    def newest_key(self) -> int:
        """The largest key that was ever given."""
        row = self._sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
        return 0 if row is None else int(row[0])

    def count(self) -> int:
        """How many items there are."""
        return self._int("SELECT count(*) FROM items")

    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        counts = "SELECT modality, count(*) FROM items GROUP BY modality ORDER BY modality"
        with self._errors():
            return dict(self._sql.execute(counts).fetchall())

    def insert(
        self,
        generation: int,
        ids: Sequence[str],
        modality: str,
        payloads: Sequence[str] | None,
        texts: Sequence[str],
        vectors: Float32Array,
    ) -> IntArray:
        """Insert rows under new keys and return the keys; within `batch`."""
        first = self.newest_key() + 1
        keys = range(first, first + len(ids))
        stored = repeat("{}") if payloads is None else payloads
        rows = (
            (key, id_, modality, payload, generation, item_sum(id_, modality, payload))
            for key, id_, payload in zip(keys, ids, stored, strict=False)
        )
        self._sql.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)
        blobs = [row.tobytes() for row in vectors.astype("<f4", copy=False)]
        sums = zip(keys, blobs, map(crc32, blobs), strict=True)
        self._sql.executemany("INSERT INTO vectors VALUES (?, ?, ?)", sums)
        words = ((key, text) for key, text in zip(keys, texts, strict=False) if text)
        self._sql.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", words)
        return np.arange(first, first + len(ids), dtype=np.int64)

    def record_encoder(self, generation: int, encoder: str) -> None:
        """Note what made the vectors of a batch; within `batch`."""
        record_encoder(self._sql, generation, encoder)

    def encoders(self) -> dict[str, dict[str | None, int]]:
        """How many items of each modality each encoder made; None is not on record."""
        with self._errors():
            return encoders(self._sql)

    def made_by_others(self, modality: str, encoder: str) -> list[str]:
        """Ids of the items whose vectors this encoder did not make, oldest first."""
        with self._errors():
            return made_by_others(self._sql, modality, encoder)

    def payloads_of(self, ids: Sequence[str], modality: str) -> dict[str, str]:
        """Payloads (JSON) by id."""
        rows = self._sql.execute(
            "SELECT id, payload FROM items WHERE modality = ? AND id IN "
            "(SELECT value FROM json_each(?))",
            (modality, _json(ids)),
        )
        return dict(rows.fetchall())

    def find(self, ids: Sequence[str], modality: str | None) -> IntArray:
        """Keys of the items of these ids, in one modality or all."""
        return self._keys(
            "SELECT key FROM items WHERE id IN (SELECT value FROM json_each(:ids)) "
            "AND (:modality IS NULL OR modality = :modality)",
            {"ids": _json(ids), "modality": modality},
        )

    def delete(self, generation: int, keys: IntArray) -> None:
        """Delete rows and log their keys; within `batch`."""
        listed = _json(keys.tolist())
        for table, column in (("items", "key"), ("vectors", "key"), ("texts", "rowid")):
            self._sql.execute(
                f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", (listed,)
            )
        self._sql.executemany(
            "INSERT INTO deleted VALUES (?, ?)", zip(repeat(generation), keys.tolist())
        )

    def select(
        self, modalities: Sequence[str] | None, condition: str, values: JsonDict
    ) -> IntArray:
        """Keys of the items of these modalities for which the condition holds."""
        return self._keys(
            f"SELECT key FROM items WHERE {_OF_MODALITIES} AND {condition}",
            {"modalities": None if modalities is None else _json(modalities), **values},
        )

    def match(
        self,
        expression: str,
        k: int,
        modalities: Sequence[str] | None,
        condition: str,
        values: JsonDict,
    ) -> tuple[IntArray, Float32Array]:
        """Keys and BM25 scores (larger is better) of the k best full-text matches."""
        rows = self._sql.execute(
            "SELECT items.key, -bm25(texts) AS score FROM texts JOIN items ON items.key = "
            f"texts.rowid WHERE texts MATCH :expression AND {_OF_MODALITIES} AND {condition} "
            "ORDER BY score DESC, items.key LIMIT :k",
            {
                "expression": expression,
                "k": k,
                "modalities": None if modalities is None else _json(modalities),
                **values,
            },
        ).fetchall()
        keys, scores = zip(*rows, strict=True) if rows else ((), ())
        return np.array(keys, dtype=np.int64), np.array(scores, dtype=np.float32)

    def describe(self, keys: IntArray) -> dict[int, tuple[str, str, str]]:
        """Id, modality and payload (JSON) by key."""
        listed = keys.tolist()
        if len(listed) <= _FEW_KEYS:  # a list of parameters is found faster than a JSON array
            among, values = ",".join("?" * len(listed)), listed
        else:
            among, values = "SELECT value FROM json_each(?)", [_json(listed)]
        rows = self._sql.execute(
            f"SELECT key, id, modality, payload FROM items WHERE key IN ({among})", values
        )
        return {key: (id_, modality, payload) for key, id_, modality, payload in rows}

    def vectors_of(self, ids: Sequence[str], modality: str) -> dict[str, bytes]:
        """Stored vectors by id, those that are there."""
        rows = self._sql.execute(
            "SELECT items.id, vectors.vector FROM items JOIN vectors USING (key) "
            "WHERE items.modality = ? AND items.id IN (SELECT value FROM json_each(?))",
            (modality, _json(ids)),
        )
        found = dict(rows.fetchall())
        width = 4 * self.space.dim
        for name, blob in found.items():
            if not isinstance(blob, bytes) or len(blob) != width:
                raise StorageError(
                    f"{self._path} is damaged: the vector of item {name!r} is not {width} bytes "
                    "long."
                )
        return found

    def vectors_after(self, key: int) -> Iterator[tuple[IntArray, Float32Array]]:
        """All rows above a key, ascending, in blocks of keys and vectors."""
        return self._blocks(
            self._sql.execute("SELECT key, vector FROM vectors WHERE key > ? ORDER BY key", (key,))
        )

    def _blocks(self, cursor: sqlite3.Cursor) -> Iterator[tuple[IntArray, Float32Array]]:
        width = 4 * self.space.dim
        while rows := cursor.fetchmany(max(1, _BLOCK_BYTES // width)):
            keys, blobs = zip(*rows, strict=True)
            if any(not isinstance(blob, bytes) or len(blob) != width for blob in blobs):
                raise StorageError(
                    f"{self._path} is damaged: vectors of keys {keys[0]} to "
                    f"{keys[-1]} are not all {width} bytes long."
                )
            matrix = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(rows), -1)
            yield np.array(keys, dtype=np.int64), matrix

    def sample(self, limit: int) -> tuple[IntArray, Float32Array]:
        """Keys and vectors of so many items at most, ascending, always the same ones."""
        keys = self.keys()
        if len(keys) > limit:
            keys = np.sort(np.random.default_rng(len(keys)).choice(keys, limit, replace=False))
        rows = self._sql.execute(
            "SELECT key, vector FROM vectors WHERE key IN (SELECT value FROM json_each(?)) "
            "ORDER BY key",
            (_json(keys.tolist()),),
        )
        found = list(self._blocks(rows))
        empty = np.empty((0, self.space.dim), dtype=np.float32)
        return (
            np.concatenate([keys for keys, _ in found] or [keys[:0]]),
            np.concatenate([rows for _, rows in found] or [empty]),
        )

    def keys(self) -> IntArray:
        """Keys of all items, ascending."""
        return self._keys("SELECT key FROM items ORDER BY key", {})

    def deleted_after(self, generation: int, key: int) -> IntArray:
        """Keys up to ``key`` whose rows were deleted after a generation."""
        return self._keys(
            "SELECT key FROM deleted WHERE generation > :generation AND key <= :key",
            {"generation": generation, "key": key},
        )

    def log_starts(self) -> int:
        """The oldest generation from which the log tells what changed."""
        return self._int("SELECT value FROM meta WHERE name = 'log_starts'")

    def forget(self, generation: int) -> None:
        """Drop the log up to a generation, once it is longer than what it speaks of."""
        if generation < 0:
            return
        length = self._int("SELECT (SELECT count(*) FROM deleted) + (SELECT count(*) FROM batches)")
        if length <= max(_LOG_ROWS, self.count()):
            return
        with self._errors(), self._transaction("BEGIN IMMEDIATE"):
            self._sql.execute("DELETE FROM deleted WHERE generation <= ?", (generation,))
            self._sql.execute("DELETE FROM batches WHERE generation < ?", (generation,))
            self._sql.execute("UPDATE meta SET value = ? WHERE name = 'log_starts'", (generation,))

    def meta(self, name: str) -> Any:
        """A setting of the collection itself; None without it."""
        with self._errors():
            row = self._sql.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, values: JsonDict) -> None:
        """Store settings of the collection itself, durably."""
        with self._errors(NOT_STORED), self._transaction("BEGIN IMMEDIATE"):
            self._sql.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def indexed_fields(self) -> dict[str, int]:
        """Number of each payload field that has an index, by its JSON path."""
        with self._errors():
            return indexed_fields(self._sql)

    def index_field(self, path: str, *, drop: bool = False) -> None:
        """Index a payload field, or forget its index."""
        with self._errors(NOT_STORED), self._transaction("BEGIN IMMEDIATE"):
            (drop_field if drop else index_field)(self._sql, path)

    def copy_to(self, path: Path) -> None:
        """Write a copy of the whole file as it is now, by SQLite's backup."""
        with self._errors():
            target = sqlite3.connect(path)
            try:
                self._sql.backup(target)
            finally:
                target.close()

    def metadata(self) -> JsonDict:
        """What the caller stored, by name."""
        with self._errors():
            rows = self._sql.execute("SELECT name, value FROM metadata ORDER BY name").fetchall()
        return {name: json.loads(value) for name, value in rows}

    def metadata_text(self, name: str) -> str | None:
        """The JSON of what the caller stored under a name."""
        with self._errors():
            query = "SELECT value FROM metadata WHERE name = ?"
            row = self._sql.execute(query, (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_metadata(self, name: str, value: str) -> None:
        """Store JSON under a name, durably."""
        with self._errors(NOT_STORED), self._transaction("BEGIN IMMEDIATE"):
            self._sql.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?)", (name, value))


_OF_MODALITIES = (
    "(:modalities IS NULL OR items.modality IN (SELECT value FROM json_each(:modalities)))"
)


def _json(values: Any) -> str:
    return json.dumps(list(values), ensure_ascii=False)
