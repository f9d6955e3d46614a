"""What ranks: costs of a block of queries against the whole gallery, lower is better.

Products are summed in float64 and then rounded to steps of 2**-40 of the largest cost there could
be. That makes a tie mean something: equal vectors have equal costs wherever they stand, and neither
the size of a block nor the BLAS at hand moves a rank, as the last bits of float32 sums would. It
also leaves the last bits of each cost zero, where `ranking` carries a flag.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from commonspace.evaluation.protocol import Metric
from commonspace.types import AnyArray, Float32Array

_STEP_BITS = 40
_TILE_SHARE = 6


class Costs:
    """Costs between two sets of vectors, made a block at a time.

    Args:
        queries: Shape (n_queries, dim), float32.
        gallery: Shape (n_gallery, dim), float32.
        metric: "cosine" (a zero vector has cosine 0 with all), "inner" or "euclidean" (squared).
        block_rows: The most queries a block will have.
        memory: Bound of working memory in bytes: a share of it for a tile of the product, the
            rest to keep the gallery in float64, if it fits.
    """

    def __init__(
        self,
        queries: Float32Array,
        gallery: Float32Array,
        *,
        metric: Metric,
        block_rows: int,
        memory: int,
    ) -> None:
        self._queries, self._gallery, self._metric = queries, gallery, metric
        self._rounder = 1.5 * 2.0 ** (52 - _STEP_BITS) * self._bound()
        tile_bytes = memory // _TILE_SHARE
        self._tile_rows = max(16, tile_bytes // (8 * max(block_rows, gallery.shape[1])))
        self._scale = _inverse_norms(gallery) if metric == "cosine" else None
        kept = gallery.size * 8 <= memory - 2 * tile_bytes
        self._kept = list(self._make_tiles()) if kept else None

    def block(self, start: int, stop: int, *, out: AnyArray) -> None:
        """Write costs of queries start..stop to ``out``, (stop - start, n_gallery), float64."""
        rows = self._queries[start:stop]
        query = rows.astype(np.float64)
        if self._metric == "cosine":
            query *= _inverse_norms(rows)[:, None]
        squares = _squares(query)[:, None]
        np.negative(query, out=query)
        at = 0
        for tile in self._kept if self._kept is not None else self._make_tiles():
            cost = query @ tile.T
            if self._metric == "euclidean":
                cost *= 2.0
                cost += squares + _squares(tile)
                np.maximum(cost, 0.0, out=cost)
            # Adding a number so large that the sum keeps whole steps only, and taking it away
            # again, rounds to steps, and makes 0.0 of -0.0, whose bits differ.
            cost += self._rounder
            np.subtract(cost, self._rounder, out=out[:, at : at + len(tile)])
            at += len(tile)

    def _make_tiles(self) -> Iterator[AnyArray]:
        for start in range(0, len(self._gallery), self._tile_rows):
            tile = self._gallery[start : start + self._tile_rows].astype(np.float64)
            if self._scale is not None:
                tile *= self._scale[start : start + self._tile_rows, None]
            yield tile

    def _bound(self) -> float:
        """The least power of two that no cost exceeds."""
        if self._metric == "cosine":
            return 1.0
        query, item = _largest_norm(self._queries), _largest_norm(self._gallery)
        bound = query * item if self._metric == "inner" else (query + item) ** 2
        return 2.0 ** math.ceil(math.log2(bound)) if bound > 0 else 1.0


def _largest_norm(x: Float32Array) -> float:
    return math.sqrt(float(_square_norms(x).max()))


def _inverse_norms(x: Float32Array) -> AnyArray:
    """One over the length of each row; 0 for a zero vector."""
    norms = _square_norms(x)
    np.sqrt(norms, out=norms)
    np.divide(1.0, norms, out=norms, where=norms > 0)
    return norms


def _square_norms(x: Float32Array, rows: int = 1024) -> AnyArray:
    out = np.empty(len(x))
    for start in range(0, len(x), rows):
        out[start : start + rows] = _squares(x[start : start + rows].astype(np.float64))
    return out


def _squares(x: AnyArray) -> AnyArray:
    return np.asarray(np.einsum("ne,ne->n", x, x))
