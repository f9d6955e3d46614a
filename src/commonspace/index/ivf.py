"""Float vectors in lists around k-means centres, of which a query opens the nearest (IVF-Flat)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from commonspace.checks import check_range
from commonspace.index.lists import ListIndex
from commonspace.index.vectors import Metric, as_queries, faiss_metric, load_faiss
from commonspace.types import Float32Array

# A query opens one list in this many, unless it is told.
_SHARE = 40


class IVFIndex(ListIndex):
    """Approximate neighbours by lists: quick to build and to change, 4 · dim + 8 bytes an item.

    Args:
        metric: As `ExactIndex`.
        dim: Width of the vectors.
        n_lists: None takes 4 · √n of the rows it is made for.
        effort: Lists that a query opens; 0 takes one in 40, at least 8.
        n_threads: Threads of one search.
    """

    kind = "ivf"
    options = ("n_lists",)
    efforts = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)

    def __init__(
        self,
        metric: Metric = "cosine",
        *,
        dim: int | None = None,
        n_lists: int | None = None,
        effort: int = 0,
        n_threads: int = 1,
    ) -> None:
        super().__init__(metric, dim=dim, n_threads=n_threads)
        if n_lists is not None:
            check_range("n_lists", n_lists, low=1, high=1 << 20, integer=True)
        check_range("effort", effort, low=0, integer=True)
        self.n_lists, self.effort = n_lists, effort

    def share_read(self, queries: Any) -> float:
        """Share of all rows that a query reads, in the mean of some of shape (n, dim)."""
        rows, _ = as_queries(queries, self.metric, self.dim)
        lists = self._ivf.invlists
        sizes = np.array([lists.list_size(at) for at in range(lists.nlist)])
        opened = self._ivf.quantizer.search(rows, min(self.effort, lists.nlist))[1]
        return float(sizes[opened].sum() / max(1, len(rows) * sizes.sum()))

    def _learn(self, rows: Float32Array, labels: Any, n_items: int) -> None:
        wanted = self.n_lists or int(4 * np.sqrt(n_items))
        n_lists = max(1, min(wanted, len(rows)))
        self._make(rows.shape[1], n_lists)
        self._ivf.train(rows)
        if not self.effort:
            self.effort = max(8, n_lists // _SHARE)

    def _learn_from(self, other: Self) -> None:
        self._make(int(other._ivf.d), other._ivf.nlist)
        centres = other._ivf.quantizer.reconstruct_n(0, other._ivf.nlist)
        self._ivf.quantizer.add(centres)
        self._ivf.is_trained = True

    def _make(self, dim: int, n_lists: int) -> None:
        faiss = load_faiss()
        metric = faiss_metric(self.metric)
        self._ivf = faiss.IndexIVFFlat(faiss.IndexFlat(dim, metric), dim, n_lists, metric)
        self._ivf.cp.min_points_per_centroid = 1
        self._ivf.cp.max_points_per_centroid = 64
        self._ivf.cp.niter = 10
        self._ivf.cp.spherical = self.metric == "cosine"
        self.faiss_index = self._ivf
