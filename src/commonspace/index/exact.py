"""Exact search: every row is compared, and the order of the answer is fully determined.

FAISS scans in float32 and proposes candidates; their scores are then computed again in float64 and
rounded once. So a query alone gets the same bits as in a batch, equal vectors get equal scores
wherever they are stored, and ties go to the smaller key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from commonspace.disk import atomic_file
from commonspace.errors import InputError, StorageError
from commonspace.index.base import Neighbours
from commonspace.index.files import HashingSink
from commonspace.index.keyed import KeyedIndex
from commonspace.index.keys import KeyMap
from commonspace.index.vectors import (
    MATRIX_QUERIES,
    Metric,
    faiss_metric,
    load_faiss,
    row_lengths,
)
from commonspace.types import Float32Array, FloatArray, IntArray, JsonDict

# Candidates beyond k that the float32 scan proposes: enough to settle ordinary near-ties at once.
_MARGIN = 16
# Numbers held at once where blocks bound the memory: 64 MB of float32.
_BLOCK = 1 << 24


class ExactIndex(KeyedIndex):
    """Exact nearest neighbours in memory; ties go to the smaller key.

    Args:
        metric: "cosine" (rows and queries are brought to unit length; a zero vector scores 0),
            "inner" product, or "euclidean" (the score is minus the distance, not squared).
        dim: Width of the vectors; None takes that of the first rows added.
        n_threads: Threads of one search.

    Example:
        >>> index = ExactIndex("euclidean")
        >>> index.add(keys=[7, 8, 9], vectors=[[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
        >>> found = index.search([[0.0, 0.0]], k=2)
        >>> found.keys, found.scores
        (array([[7, 9]]), array([[ 0., -1.]], dtype=float32))
    """

    kind = "exact"

    def __init__(
        self, metric: Metric = "cosine", *, dim: int | None = None, n_threads: int = 1
    ) -> None:
        super().__init__(metric, dim=dim, n_threads=n_threads)
        self._flat: Any = None
        self._longest = 0.0

    @property
    def faiss_index(self) -> Any:
        """What FAISS searches; None without rows."""
        return self._flat

    @property
    def n_dead(self) -> int:
        """Always 0: removed rows leave nothing behind."""
        return 0

    @property
    def n_trained(self) -> int:
        """Always 0: there is nothing to learn."""
        return 0

    @property
    def settings(self) -> JsonDict:
        """What `make_index` makes an empty index like this one from."""
        return {"kind": self.kind, "metric": self.metric, "dim": self.dim}

    def add(self, keys: Any, vectors: Any) -> None:
        """Add rows under keys that are not there yet.

        Args:
            keys: Distinct integers, shape (n,).
            vectors: Shape (n, dim).

        Raises:
            InputError: Keys repeat or are there already, or the vectors do not fit.
        """
        new, rows, norms = self._new_rows(keys, vectors)
        if self._flat is None:
            self._flat = load_faiss().IndexFlat(rows.shape[1], faiss_metric(self.metric))
            self.dim = rows.shape[1]
        self._own_rows()
        self._flat.add(rows)
        self._map.append(new)
        self._longest = max(self._longest, float(norms.max(initial=0.0)))

    def train(self, vectors: Any, labels: Any = None, *, n_items: int | None = None) -> None:
        """Do nothing but give up all rows: there is nothing to learn."""
        self._flat, self._map, self._longest = None, KeyMap(), 0.0

    def compacted(self) -> Self:
        """Return the index itself: rows that are removed leave nothing behind."""
        return self

    def write(self, path: Path) -> str:
        """Write the index to one file of FAISS's format, atomically.

        Returns:
            The SHA-256 of the file, as hexadecimal.

        Raises:
            InputError: Nothing was ever added and no ``dim`` given, so there is no width.
            StorageError: The file cannot be written.
        """
        if self.dim is None:
            raise InputError("an index without rows and without dim cannot be written.")
        faiss = load_faiss()
        flat = self._flat
        if flat is None:
            flat = faiss.IndexFlat(self.dim, faiss_metric(self.metric))
        mapped = faiss.IndexIDMap(faiss.IndexFlat(self.dim, faiss_metric(self.metric)))
        owned = flat.this.own()
        mapped.index, mapped.own_fields, mapped.ntotal = flat, False, len(self)
        flat.this.own(owned)  # the assignment took it, and nobody would free the rows
        faiss.copy_array_to_vector(self._map.keys, mapped.id_map)
        with atomic_file(path) as file:
            sink = HashingSink(file)
            faiss.write_index(mapped, faiss.PyCallbackIOWriter(sink.write))
        return sink.digest.hexdigest()

    @classmethod
    def read(cls, path: Path, *, metric: Metric = "cosine", n_threads: int = 1) -> ExactIndex:
        """Read what `write` wrote.

        The rows are a memory map of the file, shared by all who read it, until they are changed.
        The file may be replaced or deleted meanwhile, but not be written into. It does not tell
        "cosine" from "inner" (both are products), so the caller does.

        Raises:
            StorageError: Missing, damaged, or not an index of this kind and metric.
        """
        index = cls(metric, n_threads=n_threads)
        faiss = load_faiss()
        try:
            mapped = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            raise StorageError(f"{path} is missing or damaged: FAISS cannot read it.") from error
        flat = faiss.downcast_index(mapped.index) if isinstance(mapped, faiss.IndexIDMap) else None
        if not isinstance(flat, faiss.IndexFlat) or flat.metric_type != faiss_metric(metric):
            raise StorageError(f"{path}: expected an exact index of metric {metric!r}.")
        index._map = KeyMap(faiss.vector_to_array(mapped.id_map).astype(np.int64))
        mapped.id_map.resize(0)
        # The map keeps the rows: taking them over with ``this.own(True)`` gives back a reference
        # that SWIG never took, and after a few times its type table is freed under everybody.
        flat.referenced_objects = [mapped]
        index._flat, index.dim = flat, int(flat.d)
        if len(index) != flat.ntotal:
            raise StorageError(f"{path} is damaged: {flat.ntotal} rows, {len(index)} keys.")
        if metric != "cosine":  # of which all rows are of length 1
            index._longest = float(row_lengths(index._rows()).max(initial=0.0))
        return index

    def _own_rows(self) -> None:
        """Copy rows that are a map of the file, before they change."""
        if not self._flat.codes.is_owned:
            rows = self._rows()
            mine = load_faiss().IndexFlat(rows.shape[1], faiss_metric(self.metric))
            mine.add(rows)
            self._flat = mine

    def _take_out(self, places: IntArray) -> None:
        """The last rows take the places of those that go, so that only these cost."""
        self._own_rows()
        rows = self._rows()
        holes, movers = self._map.fill_from_end(places)
        rows[holes] = rows[movers]
        self._flat.codes.resize(len(self) * rows.shape[1] * rows.itemsize)
        self._flat.ntotal = len(self)

    def _nearest(
        self, queries: Float32Array, norms: FloatArray, k: int, pool: IntArray | None
    ) -> Neighbours:
        return Neighbours(*self._top(queries, norms, k, k + _MARGIN, pool))

    def _top(
        self, queries: Float32Array, norms: FloatArray, k: int, width: int, pool: IntArray | None
    ) -> tuple[IntArray, Float32Array]:
        """Scan for ``width`` candidates, rank them; widen where float32 leaves doubt."""
        n = len(self) if pool is None else len(pool)
        width = min(width, n)
        scanned, at = self._scan(queries, width, pool)
        keys, scores = self._rank(queries, at, k)
        if width < n:
            doubt = scanned[:, k - 1] - scanned[:, -1] <= self._slack(norms)
            unsettled = np.flatnonzero(doubt)
            step = max(1, _BLOCK // (8 * width))
            for start in range(0, len(unsettled), step):
                rows = unsettled[start : start + step]
                keys[rows], scores[rows] = self._top(queries[rows], norms[rows], k, 4 * width, pool)
        return keys, scores

    def _scan(
        self, queries: Float32Array, width: int, pool: IntArray | None
    ) -> tuple[Float32Array, IntArray]:
        """Let FAISS propose: float32 scores (larger is better) and positions of the best rows."""
        faiss = load_faiss()
        if pool is None:
            found, at = self._flat.search(queries, width)
        elif len(queries) < MATRIX_QUERIES or len(pool) * queries.shape[1] > 8 * _BLOCK:
            parameters = faiss.SearchParameters(sel=self._map.selector(pool))
            found, at = self._flat.search(queries, width, params=parameters)
        else:
            rows = self._rows()[pool]
            found, at = faiss.knn(queries, rows, width, metric=self._flat.metric_type)
            at = pool[at]
        return (-found if self.metric == "euclidean" else found), at

    def _rank(self, queries: Float32Array, at: IntArray, k: int) -> tuple[IntArray, Float32Array]:
        """Score the candidates again in float64 and keep the best k of them, in final order."""
        keys = np.empty((len(at), k), dtype=np.int64)
        scores = np.empty((len(at), k), dtype=np.float32)
        rows = self._rows()
        step = max(1, _BLOCK // at.shape[1] // rows.shape[1] // 2)
        for start in range(0, len(at), step):
            part = slice(start, start + step)
            exact = _scores(queries[part], rows[at[part]], self.metric)
            candidates = self._map.keys[at[part]]
            order = np.lexsort((candidates, -exact), axis=-1)[:, :k]
            keys[part] = np.take_along_axis(candidates, order, axis=1)
            scores[part] = np.take_along_axis(exact, order, axis=1)
        return keys, scores

    def _slack(self, norms: FloatArray) -> FloatArray:
        """How far two float32 scores of the scan must differ before their order is beyond doubt.

        Twice the rounding error of each: about sqrt(dim) roundings of 2^-24 of the largest sum,
        doubled for safety.
        """
        if self.metric == "cosine":
            scale: FloatArray = np.ones(len(norms))
        elif self.metric == "inner":
            scale = norms * self._longest
        else:
            scale = (norms + self._longest) ** 2
        slack: FloatArray = scale * np.sqrt(self._flat.d) * 2.0**-22
        return slack

    def _rows(self) -> Float32Array:
        """A view of FAISS's own memory: valid until the next add or remove."""
        n, dim = len(self), int(self._flat.d)
        if not n:
            return np.empty((0, dim), dtype=np.float32)
        rows: Float32Array = load_faiss().rev_swig_ptr(self._flat.get_xb(), n * dim).reshape(n, dim)
        return rows


def _scores(queries: Float32Array, rows_QKE: Float32Array, metric: Metric) -> Float32Array:
    """Scores of each query against its own candidates, summed in float64 row by row."""
    wide, against = rows_QKE.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        wide -= against[:, None]
        distances: FloatArray = np.sqrt(np.einsum("qke,qke->qk", wide, wide))
        return (0.0 - distances).astype(np.float32)
    exact: Float32Array = np.einsum("qke,qe->qk", wide, against).astype(np.float32)
    return exact.clip(-1.0, 1.0) if metric == "cosine" else exact
