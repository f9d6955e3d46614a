"""The answer of a search in a collection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np

from commonspace.store.engine import Items
from commonspace.types import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    JsonDict,
    StrArray,
)

NONE = -1
"""The key of a place without an item."""

Measure = Literal["cosine", "match", "bm25", "fusion"]
"""What scores are: cosines, probabilities of a match, of words (BM25), of words and vectors."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The best items for each query, best first.

    All arrays have shape (n_queries, k); k is smaller than asked where fewer items match, and
    then all of them are there. Where some queries find fewer items than others (only searches with
    ``text``, ``at_least`` or examples do), their rows end in places without an item: id and
    modality "", score -inf, payload None.

    Attributes:
        ids: Item ids.
        scores: Larger is better, float32.
        modalities: The modality of each item.
        payloads: The payload of each item, a dict of its own in each cell (dtype object).
        measure: What scores are: "cosine"; "match", the probability of one; "bm25" for words;
            "fusion" for reciprocal ranks of words and vectors together.
    """

    ids: StrArray
    scores: Float32Array
    modalities: StrArray
    payloads: AnyArray
    measure: Measure = "cosine"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def found(self) -> BoolArray:
        """Which places hold an item, shape (n_queries, k)."""
        return np.asarray(self.modalities != "")

    def rows(self) -> list[list[JsonDict]]:
        """One list a query of ``{"id", "score", "modality", "payload"}``, ready for JSON."""
        names = ("id", "score", "modality", "payload")
        columns = (self.ids, self.scores, self.modalities, self.payloads)
        lists = [column.tolist() for column in columns]
        return [
            [dict(zip(names, cell, strict=True)) for cell in zip(*query, strict=True) if cell[2]]
            for query in zip(*lists, strict=True)
        ]


def hits_of(
    items: Items, keys: IntArray, scores: Float32Array | FloatArray, measure: Measure
) -> Hits:
    """Return what keys and scores stand for; within `Items.snapshot`."""
    wanted = keys.ravel().tolist()
    described = items.describe(np.array(sorted(set(wanted)), dtype=np.int64))
    described.setdefault(NONE, ("", "", "null"))
    cells = [described[key] for key in wanted]
    payloads = np.empty(keys.size, dtype=object)
    # All at once: each cell gets a dict of its own, and one call takes a third of the time.
    payloads[:] = json.loads(f"[{','.join([payload for _, _, payload in cells])}]")
    ids = np.array([id_ for id_, _, _ in cells], dtype=np.str_)
    modalities = np.array([modality for _, modality, _ in cells], dtype=np.str_)
    return Hits(
        ids.reshape(keys.shape),
        scores.astype(np.float32, copy=False),
        modalities.reshape(keys.shape),
        payloads.reshape(keys.shape),
        measure,
    )
