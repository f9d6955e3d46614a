"""One bit a direction: signs of a learned rotation (ITQ) or of random directions, and Hamming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from commonspace.checks import check_bits, check_one_of, check_range
from commonspace.errors import InputError
from commonspace.index.slots import SlotIndex, blocks
from commonspace.index.vectors import Metric, load_faiss, selector
from commonspace.types import AnyArray, Float32Array, IntArray, UInt8Array

# Rows that ITQ learns from.
_MOST_ROWS = 50_000


class BinaryIndex(SlotIndex):
    """Binary codes by Hamming distance: bits / 8 + 8 bytes an item, and 4 · dim with re-ranking.

    Without re-ranking a score is the share of equal bits less that of unequal ones. Removed rows
    stay as tombstones.

    Args:
        metric: "cosine".
        dim: Width of the vectors.
        bits: Of a code; at most ``dim`` for "itq".
        method: "itq", or "sign" of random directions.
        rerank: "float" keeps the vectors too, and ranks the best codes by them.
        effort: With re-ranking, how many times k codes are ranked again.
        n_threads: Threads of one search.
    """

    kind = "binary"
    metrics = ("cosine",)
    options = ("bits", "method", "rerank")

    def __init__(
        self,
        metric: Metric = "cosine",
        *,
        dim: int | None = None,
        bits: int = 64,
        method: str = "itq",
        rerank: str | None = None,
        effort: int = 10,
        n_threads: int = 1,
    ) -> None:
        super().__init__(metric, dim=dim, n_threads=n_threads)
        check_bits("bits", bits, high=4096)
        check_range("effort", effort, low=1, integer=True)
        check_one_of("method", method, ("itq", "sign"))
        check_one_of("rerank", rerank, (None, "float"))
        self.bits, self.method, self.rerank, self.effort = bits, method, rerank, effort
        self.efforts = (1, 2, 4, 8, 16, 32, 64, 128) if rerank == "float" else ()
        self._matrix: Float32Array
        self._offset: Float32Array
        self._floats: Any = None
        self._living: Any = None

    def _learn(self, rows: Float32Array, labels: Any, n_items: int) -> None:
        dim = rows.shape[1]
        if self.method == "itq":
            self._matrix, self._offset = self._rotation(rows)
        else:
            drawn = np.random.default_rng(0).standard_normal((self.bits, dim))
            self._matrix = drawn.astype(np.float32)
            self._offset = np.zeros(self.bits, np.float32)
        self._make(dim)

    def _rotation(self, rows: Float32Array) -> tuple[Float32Array, Float32Array]:
        faiss, dim = load_faiss(), rows.shape[1]
        if self.bits > dim or len(rows) < self.bits:
            raise InputError(
                f"index 'binary': {self.bits} bits of ITQ need as many dimensions and rows to "
                f"learn from, got {dim} and {len(rows)}. Take fewer bits, or method='sign'."
            )
        some = np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]
        learned = faiss.ITQTransform(dim, self.bits, self.bits < dim)
        learned.train(np.ascontiguousarray(rows[some]))
        whole = learned.apply(np.vstack([np.zeros((1, dim)), np.eye(dim)]).astype(np.float32))
        return np.ascontiguousarray((whole[1:] - whole[0]).T), whole[0].copy()

    def _learn_from(self, other: Self) -> None:
        self._matrix, self._offset = other._matrix, other._offset
        self._make(other._matrix.shape[1])

    def _make(self, dim: int) -> None:
        faiss = load_faiss()
        self.faiss_index = faiss.IndexBinaryFlat(self.bits)
        self._floats = faiss.IndexFlatIP(dim) if self.rerank == "float" else None

    def codes(self, unit: Float32Array) -> UInt8Array:
        """Signs of unit vectors, shape (n, bits / 8)."""
        return np.packbits(unit @ self._matrix.T + self._offset > 0, axis=1)

    def _append(self, rows: Float32Array, first: int) -> None:
        self.faiss_index.add(self.codes(rows))
        if self._floats is not None:
            self._floats.add(rows)
        self._living = None

    def _erase(self, slots: IntArray) -> None:
        self._living = None

    def _contents(self, live: IntArray) -> Iterator[tuple[IntArray, Any]]:
        stored = load_faiss().vector_to_array(self.faiss_index.xb).reshape(-1, self.bits // 8)
        for slots in blocks(live):
            rows = None if self._floats is None else self._floats.reconstruct_batch(slots)
            yield slots, (np.ascontiguousarray(stored[slots]), rows)

    def _place(self, content: Any, first: int) -> None:
        codes, rows = content
        self.faiss_index.add(codes)
        if rows is not None:
            self._floats.add(rows)

    def _scan(
        self, queries: Float32Array, k: int, pool: IntArray | None, *, whole: bool = False
    ) -> tuple[Float32Array, IntArray]:
        faiss = load_faiss()
        chosen = self._alive() if pool is None else self._map.selector(pool)
        parameters = None if chosen is None else faiss.SearchParameters(sel=chosen)
        if whole and self._floats is not None:
            found, slots = self._floats.search(queries, k, params=parameters)
            return found, slots
        there = len(self) if pool is None else len(pool)
        width = min(k * self.effort, there) if self._floats is not None else k
        apart, slots = self.faiss_index.search(self.codes(queries), width, params=parameters)
        slots = slots.astype(np.int64)
        if self._floats is None:
            return (1 - 2 * apart / self.bits).astype(np.float32), slots
        return self._ranked(queries, slots, k)

    def _ranked(
        self, queries: Float32Array, slots: IntArray, k: int
    ) -> tuple[Float32Array, IntArray]:
        faiss = load_faiss()
        scores = np.empty(slots.shape, np.float32)  # of slot -1: minus infinity
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(scores),
            faiss.swig_ptr(queries),
            self._floats.get_xb(),
            faiss.swig_ptr(slots),
            queries.shape[1],
            *slots.shape,
        )
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows = np.arange(len(order))[:, None]
        return scores[rows, order], slots[rows, order]

    def _alive(self) -> Any:
        if self.n_dead and self._living is None:
            self._living = selector(~self._map.dead, len(self._map))
        return self._living if self.n_dead else None

    def _parts(self) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        indexes = {"binary": self.faiss_index}
        if self._floats is not None:
            indexes["floats"] = self._floats
        return {"matrix": self._matrix, "offset": self._offset}, indexes

    def _take(self, arrays: dict[str, AnyArray], indexes: dict[str, Any]) -> None:
        self._matrix, self._offset = arrays["matrix"], arrays["offset"]
        self.faiss_index, self._floats = indexes["binary"], indexes.get("floats")
        self.dim = self._matrix.shape[1]
