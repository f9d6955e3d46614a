"""A graph of near neighbours, walked from hub to hub (HNSW)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from commonspace.checks import check_range
from commonspace.index.slots import SlotIndex, blocks
from commonspace.index.vectors import Metric, faiss_metric, load_faiss, selector
from commonspace.types import AnyArray, Float32Array, IntArray

# Where fewer than this share of the rows may be found, the walk meets too few of them, and the
# allowed rows are scanned instead.
_SCAN_SHARE = 0.1


class HNSWIndex(SlotIndex):
    """Approximate neighbours by a graph: fastest to search, slowest to build.

    It takes 4 · dim + 8 · links + 37 bytes an item. Removed rows stay in the graph as tombstones,
    so that its ways stay open. Inner products of vectors of very unequal length are no distances,
    and a graph finds them badly.

    Args:
        metric: As `ExactIndex`.
        dim: Width of the vectors.
        links: Neighbours a row is linked to.
        effort_build: Candidates looked at while a row is linked.
        effort: Candidates looked at by a query; it reads at least k.
        n_threads: Threads of one search.
    """

    kind = "hnsw"
    options = ("links", "effort_build")
    learns = False
    efforts = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

    def __init__(
        self,
        metric: Metric = "cosine",
        *,
        dim: int | None = None,
        links: int = 16,
        effort_build: int = 80,
        effort: int = 64,
        n_threads: int = 1,
    ) -> None:
        super().__init__(metric, dim=dim, n_threads=n_threads)
        check_range("links", links, low=4, high=256, integer=True)
        check_range("effort_build", effort_build, low=8, high=10_000, integer=True)
        check_range("effort", effort, low=1, high=100_000, integer=True)
        self.links, self.effort_build, self.effort = links, effort_build, effort
        self._living: Any = None

    def _learn(self, rows: Float32Array, labels: Any, n_items: int) -> None:
        self.faiss_index = self._empty(rows.shape[1])

    def _learn_from(self, other: Self) -> None:
        self.faiss_index = self._empty(int(other.faiss_index.d))

    def _empty(self, dim: int) -> Any:
        graph = load_faiss().IndexHNSWFlat(dim, self.links, faiss_metric(self.metric))
        graph.hnsw.efConstruction = self.effort_build
        return graph

    def _append(self, rows: Float32Array, first: int) -> None:
        self.faiss_index.add(rows)
        self._living = None

    def _erase(self, slots: IntArray) -> None:
        self._living = None

    def _contents(self, live: IntArray) -> Iterator[tuple[IntArray, Any]]:
        return (
            (slots, self.faiss_index.storage.reconstruct_batch(slots)) for slots in blocks(live)
        )

    def _place(self, content: Any, first: int) -> None:
        self._append(content, first)

    def _scan(
        self, queries: Float32Array, k: int, pool: IntArray | None, *, whole: bool = False
    ) -> tuple[Float32Array, IntArray]:
        faiss = load_faiss()
        share = 1.0 if pool is None else len(pool) / len(self._map)
        chosen = self._alive() if pool is None else self._map.selector(pool)
        if whole or share < _SCAN_SHARE:
            parameters = faiss.SearchParameters(sel=chosen)
            found, slots = self.faiss_index.storage.search(queries, k, params=parameters)
        else:
            effort = max(int(self.effort / share), k)
            if chosen is None:
                if self._set_before.get("efSearch") != effort:
                    self._set(self.faiss_index.hnsw, "efSearch", effort)
                found, slots = self.faiss_index.search(queries, k)
            else:
                parameters = faiss.SearchParametersHNSW(sel=chosen, efSearch=effort)
                found, slots = self.faiss_index.search(queries, k, params=parameters)
        # Of this graph FAISS returns products as they are, and squared distances.
        return (-np.sqrt(np.maximum(found, 0)) if self.metric == "euclidean" else found), slots

    def _alive(self) -> Any:
        """The selector of all rows but tombstones; None without any."""
        if self.n_dead and self._living is None:
            self._living = selector(~self._map.dead, len(self._map))
        return self._living if self.n_dead else None

    def _parts(self) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        return {}, {"graph": self.faiss_index}

    def _take(self, arrays: dict[str, AnyArray], indexes: dict[str, Any]) -> None:
        self.faiss_index = indexes["graph"]
        self.dim = int(self.faiss_index.d)
