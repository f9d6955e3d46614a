"""The answer of a search in a collection."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from commonspace.store.items import ItemTable
from commonspace.types import AnyArray, Float32Array, IntArray, JsonDict, StrArray


@dataclass(frozen=True, eq=False)
class Hits:
    """The best items for each query, best first.

    All arrays have shape (n_queries, k); k is smaller than asked where fewer items match, and
    then all of them are there.

    Attributes:
        ids: Item ids.
        scores: Larger is better: cosine similarity, or BM25 for words; float32.
        modalities: The modality of each item.
        payloads: The payload of each item, a dict of its own in each cell (dtype object).
    """

    ids: StrArray
    scores: Float32Array
    modalities: StrArray
    payloads: AnyArray

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> list[list[JsonDict]]:
        """One list a query of ``{"id", "score", "modality", "payload"}``, ready for JSON."""
        names = ("id", "score", "modality", "payload")
        columns = (self.ids, self.scores, self.modalities, self.payloads)
        lists = [column.tolist() for column in columns]
        return [
            [dict(zip(names, cell, strict=True)) for cell in zip(*query, strict=True)]
            for query in zip(*lists, strict=True)
        ]


def hits_of(items: ItemTable, keys: IntArray, scores: Float32Array) -> Hits:
    """Return what keys and scores stand for; within `ItemTable.snapshot`."""
    wanted = keys.ravel().tolist()
    described = items.describe(np.array(sorted(set(wanted)), dtype=np.int64))
    cells = [described[key] for key in wanted]
    payloads = np.empty(keys.size, dtype=object)
    # All at once: each cell gets a dict of its own, and one call takes a third of the time.
    payloads[:] = json.loads(f"[{','.join([payload for _, _, payload in cells])}]")
    ids = np.array([id_ for id_, _, _ in cells], dtype=np.str_)
    modalities = np.array([modality for _, modality, _ in cells], dtype=np.str_)
    return Hits(
        ids.reshape(keys.shape),
        scores,
        modalities.reshape(keys.shape),
        payloads.reshape(keys.shape),
    )
