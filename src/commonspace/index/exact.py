"""Exact search: every row is compared, and the order of the answer is fully determined.

FAISS scans in float32 and proposes candidates; their scores are then computed again in float64 and
rounded once. So a query alone gets the same bits as in a batch, equal vectors get equal scores
wherever they are stored, and ties go to the smaller key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np

from commonspace.checks import as_features, check_one_of, check_range
from commonspace.disk import atomic_file
from commonspace.errors import InputError, StorageError
from commonspace.index.base import Neighbours
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray

Metric = Literal["cosine", "inner", "euclidean"]

# Candidates beyond k that the float32 scan proposes: enough to settle ordinary near-ties at once.
_MARGIN = 16
# From this many queries on FAISS multiplies matrices instead of scanning row by row. FAISS 1.15
# switches at 128 000; measured on 100 000 x 512, one thread: 16 queries 118 ms against 240 ms, 100
# queries 0.4 s against 1.5 s.
_MATRIX_QUERIES = 16
# Numbers held at once where blocks bound the memory: 64 MB of float32.
_BLOCK = 1 << 24
# Beyond this norm, squares leave the range of float32.
_MAX_NORM = 1e18


class ExactIndex:
    """Exact nearest neighbours in memory, under integer keys of the caller's.

    Searches may run in several threads at once; adding and removing need the index for
    themselves.

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

    def __init__(
        self, metric: Metric = "cosine", *, dim: int | None = None, n_threads: int = 1
    ) -> None:
        check_one_of("metric", metric, get_args(Metric))
        check_range("n_threads", n_threads, low=1, integer=True)
        if dim is not None:
            check_range("dim", dim, low=1, integer=True)
        self.metric = metric
        self.dim = dim
        self.n_threads = n_threads
        self._flat: Any = None
        self._keys: IntArray = np.empty(0, dtype=np.int64)
        self._lookup: tuple[IntArray, IntArray] | None = None
        self._longest = 0.0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> IntArray:
        """The keys of all rows, ascending."""
        return self._sorted()[0].copy()

    def add(self, keys: Any, vectors: Any) -> None:
        """Add rows under keys that are not there yet.

        Args:
            keys: Distinct integers, shape (n,).
            vectors: Shape (n, dim).

        Raises:
            InputError: Keys repeat or are there already, or the vectors do not fit.
        """
        new = _as_keys(keys)
        rows = as_features(vectors, where="vectors to add", n_features=self.dim)
        if len(new) != len(rows):
            raise InputError(f"keys: expected {len(rows)} (one a vector), got {len(new)}.")
        self._check_new(new)
        rows, norms = _prepare(rows, self.metric, where="vectors to add")
        if self._flat is None:
            self._flat = _faiss().IndexFlat(rows.shape[1], _faiss_metric(self.metric))
            self.dim = rows.shape[1]
        self._flat.add(rows)
        self._keys = np.concatenate([self._keys, new])
        self._lookup = None
        self._longest = max(self._longest, float(norms.max(initial=0.0)))

    def remove(self, keys: Any) -> int:
        """Remove the rows of these keys; keys that are not there are passed over.

        The last rows take the places of those that go, so that the cost is that of the rows
        removed.

        Returns:
            How many rows were removed.
        """
        gone = np.unique(self._positions(_as_keys(keys)))
        left = len(self) - len(gone)
        if len(gone):
            holes = gone[gone < left]
            movers = np.setdiff1d(np.arange(left, len(self)), gone, assume_unique=True)
            rows = self._rows()
            rows[holes] = rows[movers]
            self._keys[holes] = self._keys[movers]
            self._keys = self._keys[:left].copy()
            self._flat.codes.resize(left * rows.shape[1] * rows.itemsize)
            self._flat.ntotal = left
            self._lookup = None
        return len(gone)

    def search(self, vectors: Any, k: int = 10, *, allowed: Any = None) -> Neighbours:
        """Return the best rows for each query, best first; ties go to the smaller key.

        Args:
            vectors: The queries, shape (n_queries, dim).
            k: How many rows for each; fewer come back where there are fewer.
            allowed: Keys to search among, shape (n,); None searches all. Keys that are not in
                the index are passed over.

        Returns:
            Keys and scores of shape (n_queries, min(k, rows searched)).

        Raises:
            InputError: Queries of another width or not finite, or k below 1.
        """
        check_range("k", k, low=1, integer=True)
        queries = as_features(vectors, where="queries", n_features=self.dim)
        queries, norms = _prepare(queries, self.metric, where="queries")
        pool = None if allowed is None else np.unique(self._positions(_as_keys(allowed)))
        if pool is not None and len(pool) == len(self):
            pool = None
        k = min(int(k), len(self) if pool is None else len(pool))
        if not k or not len(queries):
            shape = (len(queries), k)
            return Neighbours(np.empty(shape, np.int64), np.empty(shape, np.float32))
        with _threads(self.n_threads):
            return Neighbours(*self._top(queries, norms, k, k + _MARGIN, pool))

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
        faiss = _faiss()
        flat = self._flat
        if flat is None:
            flat = faiss.IndexFlat(self.dim, _faiss_metric(self.metric))
        mapped = faiss.IndexIDMap(faiss.IndexFlat(self.dim, _faiss_metric(self.metric)))
        owned = flat.this.own()
        mapped.index, mapped.own_fields, mapped.ntotal = flat, False, len(self)
        flat.this.own(owned)  # the assignment took it, and nobody would free the rows
        faiss.copy_array_to_vector(self._keys, mapped.id_map)
        with atomic_file(path) as file:
            sink = _HashingSink(file)
            faiss.write_index(mapped, faiss.PyCallbackIOWriter(sink.write))
        return sink.digest.hexdigest()

    @classmethod
    def read(cls, path: Path, *, metric: Metric = "cosine", n_threads: int = 1) -> ExactIndex:
        """Read what `write` wrote.

        The file does not tell "cosine" from "inner" (both are products), so the caller does.

        Raises:
            StorageError: Missing, damaged, or not an index of this kind and metric.
        """
        index = cls(metric, n_threads=n_threads)
        faiss = _faiss()
        try:
            mapped = faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            raise StorageError(f"{path} is missing or damaged: FAISS cannot read it.") from error
        flat = faiss.downcast_index(mapped.index) if isinstance(mapped, faiss.IndexIDMap) else None
        if not isinstance(flat, faiss.IndexFlat) or flat.metric_type != _faiss_metric(metric):
            raise StorageError(f"{path}: expected an exact index of metric {metric!r}.")
        index._keys = faiss.vector_to_array(mapped.id_map).astype(np.int64)
        mapped.id_map.resize(0)
        # The map keeps the rows: taking them over with ``this.own(True)`` gives back a reference
        # that SWIG never took, and after a few times its type table is freed under everybody.
        flat.referenced_objects = [mapped]
        index._flat, index.dim = flat, int(flat.d)
        if len(index._keys) != flat.ntotal:
            raise StorageError(f"{path} is damaged: {flat.ntotal} rows, {len(index._keys)} keys.")
        index._longest = float(_norms(index._rows()).max(initial=0.0))
        return index

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
        faiss = _faiss()
        if pool is None:
            found, at = self._flat.search(queries, width)
        elif len(queries) < _MATRIX_QUERIES or len(pool) * queries.shape[1] > 8 * _BLOCK:
            bits = np.zeros(len(self), dtype=bool)
            bits[pool] = True
            chosen = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
            parameters = faiss.SearchParameters(sel=chosen)
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
            candidates = self._keys[at[part]]
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
        rows: Float32Array = _faiss().rev_swig_ptr(self._flat.get_xb(), n * dim).reshape(n, dim)
        return rows

    def _sorted(self) -> tuple[IntArray, IntArray]:
        if self._lookup is None:
            order = np.argsort(self._keys, kind="stable")
            self._lookup = self._keys[order], order
        return self._lookup

    def _positions(self, keys: IntArray) -> IntArray:
        """Positions of those keys that are there, in the order asked."""
        if not len(self):
            return np.empty(0, dtype=np.int64)
        ascending, order = self._sorted()
        at = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
        found: IntArray = order[at[ascending[at] == keys]]
        return found

    def _check_new(self, keys: IntArray) -> None:
        values, counts = np.unique(keys, return_counts=True)
        if len(values) != len(keys):
            raise InputError(f"keys: {values[counts > 1][0]} stands at more than one row.")
        if len(self) and len(there := self._positions(keys)):
            raise InputError(
                f"keys: {self._keys[there[0]]} is in the index already; remove it first."
            )


class _HashingSink:
    """Takes FAISS's bytes to a file and hashes them on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, part: bytes) -> int:
        self.digest.update(part)
        return self.file.write(part)


def _as_keys(keys: Any) -> IntArray:
    array = np.asarray(keys)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
        raise InputError(
            f"keys: expected a list of integers, got dtype {array.dtype} and shape {array.shape}."
        )
    return array.astype(np.int64)


def _prepare(x: Float32Array, metric: Metric, *, where: str) -> tuple[Float32Array, FloatArray]:
    """Bring rows to unit length where the metric asks for it; also return their lengths before."""
    norms = _norms(x)
    if metric == "cosine":
        length = np.where(norms > 0, norms, 1.0)[:, None]
        out = np.empty_like(x)
        for part in _parts(x):
            out[part] = x[part] / length[part]
        return out, norms
    if norms.max(initial=0.0) > _MAX_NORM:
        row = int(np.argmax(norms))
        raise InputError(
            f"{where}: row {row} has length {norms[row]:.3g}; beyond {_MAX_NORM:.0e} products "
            "leave the range of float32. Scale the vectors down, or use metric='cosine'."
        )
    return x, norms


def _norms(x: Float32Array) -> FloatArray:
    norms = np.empty(len(x))
    for part in _parts(x):
        wide = x[part].astype(np.float64)
        norms[part] = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    return norms


def _parts(x: AnyArray) -> Iterator[slice]:
    step = max(1, (1 << 20) // x.shape[1])
    return (slice(start, start + step) for start in range(0, len(x), step))


def _scores(queries: Float32Array, rows_QKE: Float32Array, metric: Metric) -> Float32Array:
    """Scores of each query against its own candidates, summed in float64 row by row."""
    wide, against = rows_QKE.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        wide -= against[:, None]
        distances: FloatArray = np.sqrt(np.einsum("qke,qke->qk", wide, wide))
        return (0.0 - distances).astype(np.float32)
    exact: Float32Array = np.einsum("qke,qe->qk", wide, against).astype(np.float32)
    return exact.clip(-1.0, 1.0) if metric == "cosine" else exact


def _faiss() -> Any:
    """Import FAISS when it is first needed, and let it multiply matrices for batches of queries."""
    import faiss

    switch = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = min(switch, _MATRIX_QUERIES)
    return faiss


def _faiss_metric(metric: Metric) -> int:
    faiss = _faiss()
    return int(faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Run FAISS with n OpenMP threads; the setting belongs to the calling thread alone."""
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
