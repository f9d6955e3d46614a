"""Product codes of FAISS, plain (PQ) or after a learned rotation (OPQ)."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from commonspace.errors import InputError
from commonspace.index.coded import CodedIndex, one_list, set_codebooks, tiles
from commonspace.index.vectors import faiss_metric, load_faiss
from commonspace.types import AnyArray, Float32Array

# Codewords of an 8-bit word: k-means wants as many rows.
_CENTRES = 256
# Rows that codebooks and the rotation are learned from.
_MOST_ROWS = 50_000
_ROTATION_ROUNDS = 10


class PQIndex(CodedIndex):
    """Product codes of 8-bit words: bits / 8 + 8 bytes an item, and 4 · dim with re-ranking.

    Learning takes 256 rows at least.

    Args:
        metric: As `ExactIndex`.
        dim: Width of the vectors.
        bits: Of a code.
        rerank: "float" keeps the vectors too, and ranks the best codes by them.
        effort: With re-ranking, how many times k codes are ranked again.
        n_threads: Threads of one search.
    """

    kind: ClassVar[str] = "pq"

    def _learn(self, rows: Float32Array, labels: Any, n_items: int) -> None:
        if len(rows) < _CENTRES:
            raise InputError(
                f"index {self.kind!r}: expected at least {_CENTRES} vectors to learn from, got "
                f"{len(rows)}. Take 'exact' for so few."
            )
        some = np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]
        rows = np.ascontiguousarray(rows[some])
        transform = self._transform(rows)
        ivf = self._list(transform.d_out)
        inner = transform.apply(rows)
        ivf.pq.cp.min_points_per_centroid = 1
        ivf.pq.train(inner)
        set_codebooks(ivf, _codebooks(ivf))
        self._assemble(transform, ivf, self._floats(rows.shape[1]))

    def _learn_from(self, other: Self) -> None:
        dim = int(other.faiss_index.d)
        ivf = self._list(other._ivf.d)
        set_codebooks(ivf, _codebooks(other._ivf))
        transform = load_faiss().downcast_VectorTransform(other._codes().chain.at(0))
        self._assemble(transform, ivf, self._floats(dim))
        self._held = (*self._held, other)  # whose transform this is

    def _transform(self, rows: Float32Array) -> Any:
        return tiles(rows.shape[1], 1, pad=-rows.shape[1] % (self.bits // 8))

    def _list(self, width: int) -> Any:
        return one_list(width, self.bits // 8, 8, faiss_metric(self.metric))

    def _floats(self, dim: int) -> Any:
        if self.rerank is None:
            return None
        return load_faiss().IndexFlat(dim, faiss_metric(self.metric))


class OPQIndex(PQIndex):
    """Product codes after a rotation that spreads what varies over the words.

    Args: those of `PQIndex`.
    """

    kind = "opq"

    def _transform(self, rows: Float32Array) -> Any:
        faiss, n_words = load_faiss(), self.bits // 8
        dim = rows.shape[1]
        width = dim + -dim % n_words
        rotation = faiss.OPQMatrix(dim, n_words, width)
        words = faiss.ProductQuantizer(width, n_words, 8)
        words.cp.min_points_per_centroid = 1
        rotation.pq = words
        rotation.niter = _ROTATION_ROUNDS
        rotation.train(rows)
        rotation.pq = None
        return rotation


def _codebooks(ivf: Any) -> AnyArray:
    flat = load_faiss().vector_to_array(ivf.pq.centroids)
    return np.asarray(flat.reshape(ivf.pq.M, ivf.pq.ksub, ivf.pq.dsub))
