"""Search OUR codes with FAISS's scans: an additive code in the clothes of one FAISS knows.

Of 8-bit words, ``⟨q, Σ_m D_m[b_m]⟩`` is a product-quantizer score of the query repeated M times,
for which FAISS has a faster scan than for additive codes. Of 4-bit words there is the fast scan,
whose tables are rounded; its candidates are scored again exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np

from commonspace.checks import as_features, check_one_of, check_range
from commonspace.quantization.distance import squared_norms
from commonspace.quantization.quantizer import Quantizer
from commonspace.types import Float32Array, FloatArray, IntArray

CANDIDATES = 4  # times k, from the fast scan to the exact score


@dataclass(frozen=True, eq=False)
class CodeHits:
    """Rows of the codes and their scores, best first; both of shape (n_queries, k)."""

    rows: IntArray
    scores: FloatArray


class CodeIndex:
    """Codes of a `Quantizer` in a FAISS index.

    Args:
        quantizer: Fitted.
        codes: Shape (n, n_bytes).
        metric: "inner": products, larger first. "euclidean": squared distances, smaller first, with
            four bytes a row for the norm.

    Attributes:
        index: The FAISS index.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        codes: Any,
        *,
        metric: Literal["inner", "euclidean"] = "inner",
    ) -> None:
        check_one_of("metric", metric, ("inner", "euclidean"))
        words = quantizer.words(codes)
        self.dim, self.tiles = quantizer.dim, 1
        if metric == "inner" and quantizer.D_.shape[1] == 256:
            self.tiles = quantizer.n_words
            self.index = _tiled(quantizer.D_, words)
        else:
            self.index = _additive(quantizer.D_, words, metric)
            if metric == "inner" and quantizer.n_words > 1:
                self._held = self.index, _fast_scan(self.index)  # FAISS holds pointers only
                self.index = _refined(*self._held)

    def search(self, queries: Any, *, k: int = 10) -> CodeHits:
        """Find the k best rows of every float query.

        Where there are fewer than k rows, the places left over have row -1, and as their score
        FAISS's filler: the lowest float32 for "inner", the highest for "euclidean".
        """
        check_range("k", k, low=1, integer=True)
        q_QE = as_features(queries, where="queries", n_features=self.dim)
        scores, rows = self.index.search(np.tile(q_QE, (1, self.tiles)), k)
        return CodeHits(rows, scores)


def _tiled(D_MQE: Float32Array, words_NM: IntArray) -> Any:
    faiss: Any = import_module("faiss")  # loaded late, and used beyond what its stubs say

    n_words, _, dim = D_MQE.shape
    index = faiss.IndexPQ(n_words * dim, n_words, 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(D_MQE).ravel(), index.pq.centroids)
    index.is_trained = True
    index.add_sa_codes(np.ascontiguousarray(words_NM, np.uint8))
    return index


def _additive(D_MQE: Float32Array, words_NM: IntArray, metric: str) -> Any:
    """Exact scores by FAISS's own additive codes; the norm is stored in full."""
    faiss: Any = import_module("faiss")

    n_words, n_entries, dim = D_MQE.shape
    kind = faiss.AdditiveQuantizer
    inner = metric == "inner"
    index = faiss.IndexLocalSearchQuantizer(
        dim,
        n_words,
        int(n_entries).bit_length() - 1,
        faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2,
        kind.ST_LUT_nonorm if inner else kind.ST_norm_float,
    )
    faiss.copy_array_to_vector(np.ascontiguousarray(D_MQE).ravel(), index.lsq.codebooks)
    index.lsq.is_trained = index.is_trained = True
    norms = np.ascontiguousarray(squared_norms(D_MQE, words_NM), np.float32)
    if not inner:
        index.lsq.train_norm(len(norms), faiss.swig_ptr(norms))
    wide = np.ascontiguousarray(words_NM, np.int32)
    packed = np.zeros((len(wide), index.lsq.code_size), np.uint8)
    index.lsq.pack_codes(
        len(wide), faiss.swig_ptr(wide), faiss.swig_ptr(packed), -1, faiss.swig_ptr(norms)
    )
    index.add_sa_codes(packed)
    return index


def _fast_scan(additive: Any) -> Any:
    faiss: Any = import_module("faiss")

    return faiss.IndexAdditiveQuantizerFastScan(additive)


def _refined(additive: Any, scan: Any) -> Any:
    """The fast scan, with its best candidates scored again by the additive index."""
    faiss: Any = import_module("faiss")

    index = faiss.IndexRefine(scan, additive)
    index.k_factor = CANDIDATES
    return index
