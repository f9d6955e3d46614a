"""Some items of a collection, drawn evenly: for pictures and figures that need not see them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commonspace.checks import check_range
from commonspace.errors import NotFoundError
from commonspace.store.items import ItemTable
from commonspace.store.milvus import as_folder
from commonspace.types import Float32Array, JsonDict

_TRUTH = "collection.sqlite"


@dataclass(frozen=True, eq=False)
class Sample:
    """Items of a collection, in the order in which they were added.

    Attributes:
        ids: Of each item.
        modalities: Of each item.
        payloads: Of each item.
        vectors: Shape (n, dim), as they are stored.
        total: Items of the collection.
        space: Fingerprint of its space.
    """

    ids: list[str]
    modalities: list[str]
    payloads: list[JsonDict]
    vectors: Float32Array
    total: int
    space: str

    def __len__(self) -> int:
        return len(self.ids)

    def classes(self) -> list[tuple[str, ...]]:
        """Names of the classes of each item; none where its payload holds none."""
        return [_names(payload.get("classes")) for payload in self.payloads]


def sample_items(folder: str | Path, n: int, *, seed: int = 0) -> Sample:
    """Draw items of a collection, each as likely as any other; all of them if there are no more.

    Reads what is committed, whether or not somebody else writes.

    Args:
        folder: A collection.
        n: How many at most.
        seed: Which ones.

    Raises:
        NotFoundError: The folder is not a collection.
    """
    check_range("n", n, low=1, integer=True)
    path = as_folder(folder, what="a sample")
    if not (path / _TRUTH).is_file():
        raise NotFoundError(f"{path} is not a collection: it has no {_TRUTH}.")
    table = ItemTable(path / _TRUTH, read_only=True)
    try:
        return _drawn(table, n, seed)
    finally:
        table.close()


def _drawn(table: ItemTable, n: int, seed: int) -> Sample:
    with table.snapshot():
        keys = np.sort(table.select(None, "1", {}))
        chosen = keys
        if len(keys) > n:
            rows = np.random.default_rng(seed).choice(len(keys), n, replace=False)
            chosen = keys[np.sort(rows)]
        described = table.describe(chosen)
        rows_of = [described[key] for key in chosen.tolist()]
        ids, modalities = [row[0] for row in rows_of], [row[1] for row in rows_of]
        vectors = _vectors(table, ids, modalities)
    payloads = [json.loads(row[2]) for row in rows_of]
    return Sample(ids, modalities, payloads, vectors, len(keys), table.space.fingerprint)


def _vectors(table: ItemTable, ids: Sequence[str], modalities: Sequence[str]) -> Float32Array:
    blobs = {
        name: table.vectors_of([i for i, m in zip(ids, modalities, strict=True) if m == name], name)
        for name in dict.fromkeys(modalities)
    }
    joined = b"".join(blobs[m][i] for i, m in zip(ids, modalities, strict=True))
    return np.frombuffer(joined, dtype="<f4").reshape(len(ids), -1).astype(np.float32)


def _names(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(name for name in listed if isinstance(name, str))
