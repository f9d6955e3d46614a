"""What every kind of index shares: the metric, rows under keys, what is asked and what goes."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import numpy as np

from commonspace.checks import as_features, check_one_of, check_range
from commonspace.errors import InputError
from commonspace.index.base import Neighbours
from commonspace.index.keys import KeyMap, as_keys, replace
from commonspace.index.vectors import Metric, as_queries, prepare, threads
from commonspace.types import Float32Array, FloatArray, IntArray


class KeyedIndex:
    """Search in memory, under integer keys of the caller's; see the kinds.

    Searches may run in several threads at once; adding and removing need the index for
    themselves.
    """

    metrics: ClassVar[tuple[str, ...]] = get_args(Metric)

    def __init__(
        self, metric: Metric = "cosine", *, dim: int | None = None, n_threads: int = 1
    ) -> None:
        check_one_of("metric", metric, self.metrics)
        check_range("n_threads", n_threads, low=1, integer=True)
        if dim is not None:
            check_range("dim", dim, low=1, integer=True)
        self.metric: Metric = metric
        self.dim = dim
        self.n_threads = n_threads
        self._map = KeyMap()

    def __len__(self) -> int:
        return self._map.n_items

    @property
    def keys(self) -> IntArray:
        """The keys of all rows, ascending."""
        return self._map.ascending().copy()

    def update(self, keys: Any, vectors: Any) -> None:
        """Put rows in the place of those of the same keys, where there are any."""
        replace(self, keys, vectors)

    def remove(self, keys: Any) -> int:
        """Remove the rows of these keys; keys that are not there are passed over.

        Returns:
            How many rows were removed.
        """
        gone = np.unique(self._map.places(as_keys(keys)))
        if len(gone):
            self._take_out(gone)
        return len(gone)

    def search(self, vectors: Any, k: int = 10, *, allowed: Any = None) -> Neighbours:
        """Return the best rows for each query, best first.

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
        queries, norms = as_queries(vectors, self.metric, self.dim)
        pool = self._map.pool(allowed)
        k = min(int(k), len(self) if pool is None else len(pool))
        if not k or not len(queries):
            shape = (len(queries), k)
            return Neighbours(np.empty(shape, np.int64), np.empty(shape, np.float32))
        with threads(self.n_threads):
            return self._nearest(queries, norms, k, pool)

    def _new_rows(self, keys: Any, vectors: Any) -> tuple[IntArray, Float32Array, FloatArray]:
        """Keys and rows to add, checked and as the metric compares them, and their lengths."""
        new = as_keys(keys)
        rows = as_features(vectors, where="vectors to add", n_features=self.dim)
        if len(new) != len(rows):
            raise InputError(f"keys: expected {len(rows)} (one a vector), got {len(new)}.")
        self._map.check_new(new)
        return new, *prepare(rows, self.metric, where="vectors to add")

    # What a kind fills in.

    def _take_out(self, places: IntArray) -> None:
        """Remove the rows in these places, and their keys."""
        raise NotImplementedError

    def _nearest(
        self, queries: Float32Array, norms: FloatArray, k: int, pool: IntArray | None
    ) -> Neighbours:
        """The best k, 1 at least, among the places ``pool``; None: among all."""
        raise NotImplementedError
