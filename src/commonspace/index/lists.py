"""Kinds that are inverted lists in FAISS: it can take rows out of them, and search among some."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from commonspace.index.slots import SlotIndex, blocks
from commonspace.index.vectors import load_faiss, selector
from commonspace.types import AnyArray, Float32Array, IntArray

_ALL_LISTS = 1 << 30


class ListIndex(SlotIndex):
    """Rows in the inverted lists of a FAISS index, maybe behind a transform or before a ranking."""

    _ivf: Any = None

    def _append(self, rows: Float32Array, first: int) -> None:
        self._ivf.add_with_ids(rows, np.arange(first, first + len(rows)))

    def _erase(self, slots: IntArray) -> None:
        self._ivf.remove_ids(selector(slots, len(self._map)))

    def _contents(self, live: IntArray) -> Iterator[tuple[IntArray, Any]]:
        held = self._ivf.ntotal
        for slots in blocks(live):
            first, stop = int(slots[0]), int(slots[-1]) + 1
            self._ivf.ntotal = len(self._map)  # FAISS counts rows, and means slots
            try:
                rows = self._ivf.reconstruct_n(first, stop - first)[slots - first]
            finally:
                self._ivf.ntotal = held
            yield slots, rows

    def _place(self, content: Any, first: int) -> None:
        ListIndex._append(self, content, first)

    def _scan(
        self, queries: Float32Array, k: int, pool: IntArray | None, *, whole: bool = False
    ) -> tuple[Float32Array, IntArray]:
        if pool is None and not whole:
            self._set(self._ivf, "nprobe", self.effort)  # FAISS opens no more than there are
            found, slots = self.faiss_index.search(queries, k)
        else:
            # The fewer rows of a list are allowed, the more lists are opened.
            n_allowed = len(self) if pool is None else len(pool)
            wider = int(np.ceil(self.effort * len(self) / n_allowed))
            parameters = load_faiss().SearchParametersIVF(
                sel=None if pool is None else self._map.selector(pool),
                nprobe=_ALL_LISTS if whole else wider,
            )
            found, slots = self.faiss_index.search(queries, k, params=parameters)
        return self._scores(found), slots

    def _scores(self, found: Float32Array) -> Float32Array:
        """Larger is better."""
        return -np.sqrt(np.maximum(found, 0)) if self.metric == "euclidean" else found

    def _parts(self) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        return {}, {"index": self.faiss_index}

    def _take(self, arrays: dict[str, AnyArray], indexes: dict[str, Any]) -> None:
        self.faiss_index = indexes["index"]
        self._ivf = _lists_of(self.faiss_index)
        self.dim = int(self.faiss_index.d)


def _lists_of(index: Any) -> Any:
    """The inverted lists within a FAISS index, as what they are."""
    faiss = load_faiss()
    for name in ("base_index", "index"):
        if not isinstance(index, faiss.IndexIVF) and hasattr(index, name):
            index = faiss.downcast_index(getattr(index, name))
    return index
