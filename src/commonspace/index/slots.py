"""What the approximate kinds share: rows under keys, rows that are gone, files, effort.

FAISS knows a row by its *slot*, a number that is given once and never again. Keys and slots meet in
a `KeyMap`. Where FAISS can take a row out it does (inverted lists); where it cannot (a graph), the
row stays as a tombstone that no search returns. Either way the slot is empty until `compacted`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from commonspace.checks import as_features, check_range
from commonspace.errors import InputError, StorageError
from commonspace.index.base import Neighbours
from commonspace.index.files import read_parts, write_parts
from commonspace.index.keyed import KeyedIndex
from commonspace.index.keys import KeyMap, as_keys
from commonspace.index.vectors import Metric, as_queries, prepare, threads
from commonspace.types import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    JsonDict,
)

# Rows that pass through FAISS at once.
BLOCK = 1 << 14
TUNING_K = 10


class SlotIndex(KeyedIndex):
    """Approximate search in memory; see the kinds.

    Of equal scores within an answer the smaller key comes first; which of many rows
    of equal score are in it is FAISS's choice.

    Attributes:
        effort: How much of the index a query looks at; a kind says what it counts.
        faiss_index: What FAISS searches; its rows are slots.
    """

    kind: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    learns: ClassVar[bool] = True
    efforts: tuple[int, ...] = ()
    effort: int = 0
    faiss_index: Any = None

    def __init__(
        self, metric: Metric = "cosine", *, dim: int | None = None, n_threads: int = 1
    ) -> None:
        super().__init__(metric, dim=dim, n_threads=n_threads)
        self._n_trained = 0
        self._ready = False
        self._set_before: dict[str, int] = {}

    @property
    def n_dead(self) -> int:
        """Slots whose rows were removed."""
        return self._map.n_dead

    @property
    def n_trained(self) -> int:
        """Rows that the index learned from, or was made for; 0 for kinds that learn nothing."""
        return self._n_trained

    @property
    def settings(self) -> JsonDict:
        """What `make_index` makes an empty index like this one from."""
        chosen = {name: getattr(self, name) for name in self.options}
        return {"kind": self.kind, "metric": self.metric, "dim": self.dim, **chosen}

    def train(self, vectors: Any, labels: Any = None, *, n_items: int | None = None) -> None:
        """Learn from vectors, and give up all rows.

        Args:
            vectors: Of every modality that will be added, shape (n, dim).
            labels: As `Quantizer.fit` takes them; of use to learned codes only.
            n_items: How many rows will come, where these are a sample of them.
        """
        rows = as_features(vectors, where="vectors to learn from", n_features=self.dim)
        if not len(rows):
            raise InputError("vectors to learn from: expected at least one row, got none.")
        rows, _ = prepare(rows, self.metric, where="vectors to learn from")
        self.dim = rows.shape[1]
        self._map = KeyMap()
        self._n_trained = max(len(rows), n_items or 0) if self.learns else 0
        with threads(self.n_threads):
            self._learn(rows, labels, max(len(rows), n_items or 0))
        self._ready = True

    def add(self, keys: Any, vectors: Any) -> None:
        """Add rows under keys that are not there yet; the first rows are learned from.

        Args:
            keys: Distinct integers, shape (n,).
            vectors: Shape (n, dim).

        Raises:
            InputError: Keys repeat or are there already, or the vectors do not fit.
        """
        new, rows, _ = self._new_rows(keys, vectors)
        if not len(rows):
            return
        if not self._ready:
            self.train(rows)
        with threads(self.n_threads):
            for at in range(0, len(rows), BLOCK):
                self._append(rows[at : at + BLOCK], len(self._map))
                self._map.append(new[at : at + BLOCK])

    def compacted(self) -> Self:
        """Return an index of the same rows and the same learning, without empty slots."""
        fresh = self._like()
        with threads(self.n_threads):
            for slots, content in self._contents(np.flatnonzero(~self._map.dead)):
                fresh._place(content, len(fresh._map))
                fresh._map.append(self._map.keys[slots])
        return fresh

    def tune(self, queries: Any, recall: float, *, own: Any = None) -> float:
        """Set ``effort`` to the least with which queries find enough of their true neighbours.

        Args:
            queries: Vectors such as will be asked, shape (n, dim).
            recall: Share of the 10 true neighbours to find, in the mean.
            own: The key of each query where it is a row itself, which is then not counted.

        Returns:
            The recall that was reached; 1 for kinds without effort to set.
        """
        check_range("recall", recall, low=0, high=1)
        if not self.efforts or not len(self):
            return 1.0
        rows, _ = as_queries(queries, self.metric, self.dim)
        k = min(TUNING_K + (own is not None), len(self))
        reached = 0.0
        with threads(self.n_threads):
            true = self._scan(rows, k, None, whole=True)[1]
            counted = true >= 0 if own is None else self._map.keys[true] != as_keys(own)[:, None]
            for effort in self.efforts:
                self.effort = effort
                # Not by `search`, which fills short answers by looking at everything.
                reached = _overlap(self._scan(rows, k, None)[1], true, counted)
                if reached >= recall:
                    break
        return reached

    def write(self, path: Path) -> str:
        """Write the index to one file, atomically.

        Returns:
            The SHA-256 of the file, as hexadecimal.

        Raises:
            InputError: It has not learned yet, so that there is nothing to keep.
            StorageError: The file cannot be written.
        """
        if not self._ready:
            raise InputError("an index that has learned nothing yet cannot be written.")
        arrays, indexes = self._parts()
        arrays = {"keys": self._map.keys, "dead": self._map.dead, **arrays}
        more = {"n_trained": self._n_trained, "effort": self.effort}
        return write_parts(path, {**self.settings, **more}, arrays, indexes)

    @classmethod
    def read(cls, path: Path, *, n_threads: int = 1) -> Self:
        """Read what `write` wrote.

        Raises:
            StorageError: Missing, damaged, or not an index of this kind.
        """
        settings, arrays, indexes = read_parts(path)
        if settings.pop("kind", None) != cls.kind:
            raise StorageError(f"{path}: expected an index of kind {cls.kind!r}.")
        try:
            n_trained, effort = int(settings.pop("n_trained")), int(settings.pop("effort"))
            index = cls(**settings, n_threads=n_threads)
            index._map = KeyMap(arrays.pop("keys"), arrays.pop("dead"))
            index._take(arrays, indexes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(f"{path} is damaged: {error}.") from error
        index._n_trained, index.effort, index._ready = n_trained, effort, True
        return index

    def _like(self) -> Self:
        """An index that has learned the same and holds nothing."""
        fresh = type(self)(**self._arguments(), n_threads=self.n_threads)
        fresh._n_trained, fresh.effort, fresh._ready = self._n_trained, self.effort, self._ready
        if self._ready:
            fresh._learn_from(self)
        return fresh

    def _arguments(self) -> JsonDict:
        return {name: value for name, value in self.settings.items() if name != "kind"}

    def _take_out(self, places: IntArray) -> None:
        self._erase(places)
        self._map.bury(places)

    def _nearest(
        self, queries: Float32Array, norms: FloatArray, k: int, pool: IntArray | None
    ) -> Neighbours:
        scores, slots = self._scan(queries, k, pool)
        if slots[:, -1].min() < 0:
            short = np.flatnonzero(slots[:, -1] < 0)
            scores[short], slots[short] = self._scan(queries[short], k, pool, whole=True)
        return self._answer(slots, scores)

    def _answer(self, slots: IntArray, scores: Float32Array) -> Neighbours:
        keys = self._map.keys[slots]
        if (scores[:, 1:] == scores[:, :-1]).any():
            order = np.lexsort((keys, -scores), axis=-1)
            rows = np.arange(len(keys))[:, None]
            keys, scores = keys[rows, order], scores[rows, order]
        return Neighbours(keys, scores)

    def _set(self, where: Any, name: str, value: int) -> None:
        """Set an attribute of FAISS's, which takes long enough to be done only where it changes."""
        if self._set_before.get(name) != value:
            setattr(where, name, value)
            self._set_before[name] = value

    # What a kind fills in.

    def _learn(self, rows: Float32Array, labels: Any, n_items: int) -> None:
        raise NotImplementedError

    def _learn_from(self, other: Self) -> None:
        raise NotImplementedError

    def _append(self, rows: Float32Array, first: int) -> None:
        raise NotImplementedError

    def _erase(self, slots: IntArray) -> None:
        """Take rows out; a kind that cannot leaves them as tombstones."""

    def _contents(self, live: IntArray) -> Iterator[tuple[IntArray, Any]]:
        """Blocks of living slots, each with what `_place` puts into another index."""
        raise NotImplementedError

    def _place(self, content: Any, first: int) -> None:
        raise NotImplementedError

    def _scan(
        self, queries: Float32Array, k: int, pool: IntArray | None, *, whole: bool = False
    ) -> tuple[Float32Array, IntArray]:
        """Scores (larger is better) and slots, -1 where fewer than k were met.

        With ``whole`` every row is looked at, and k are met.
        """
        raise NotImplementedError

    def _parts(self) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        raise NotImplementedError

    def _take(self, arrays: dict[str, AnyArray], indexes: dict[str, Any]) -> None:
        raise NotImplementedError


def blocks(slots: IntArray) -> Iterator[IntArray]:
    """Slots in blocks."""
    return (slots[at : at + BLOCK] for at in range(0, len(slots), BLOCK))


def _overlap(found: IntArray, true: IntArray, counted: BoolArray) -> float:
    """Share of the true neighbours, those that count, that were found."""
    same = (true[:, :, None] == found[:, None, :]).any(axis=2)
    return float((same & counted).sum() / max(1, counted.sum()))
