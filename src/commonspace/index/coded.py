"""What kinds that keep codes share: one list of them, and an exact ranking of its best rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from commonspace.checks import check_bits, check_range
from commonspace.errors import InputError
from commonspace.index.lists import ListIndex
from commonspace.index.vectors import Metric, load_faiss, selector
from commonspace.types import Float32Array, IntArray, UInt8Array


class CodedIndex(ListIndex):
    """Codes in one list, with or without something finer beside them that ranks the best again.

    The list is ``IndexPreTransform(transform, IndexIVFPQ)`` of FAISS, with ``IndexRefine`` around
    it where there is a ranking. Its one centre is the origin.
    """

    options: ClassVar[tuple[str, ...]] = ("bits", "rerank")
    reranks: ClassVar[tuple[Any, ...]] = (None, "float")

    def __init__(
        self,
        metric: Metric = "cosine",
        *,
        dim: int | None = None,
        bits: int = 64,
        rerank: Any = None,
        effort: int = 4,
        n_threads: int = 1,
    ) -> None:
        super().__init__(metric, dim=dim, n_threads=n_threads)
        check_bits("bits", bits, high=1024)
        check_range("effort", effort, low=1, integer=True)
        self._check_rerank(rerank)
        self.bits, self.rerank, self.effort = bits, rerank, effort
        self.efforts = (1, 2, 4, 8, 16, 32, 64, 128) if rerank == "float" else ()
        self._fine: Any = None
        self._held: tuple[Any, ...] = ()

    def _check_rerank(self, rerank: Any) -> None:
        if rerank not in self.reranks:
            allowed = ", ".join(map(repr, self.reranks))
            raise InputError(f"rerank: expected one of {allowed}, got {rerank!r}.")

    def _assemble(self, transform: Any, ivf: Any, fine: Any) -> None:
        """Put the parts together; FAISS holds pointers only, so that they are held here."""
        faiss = load_faiss()
        codes = faiss.IndexPreTransform(transform, ivf)
        self._ivf, self._fine, self.faiss_index = ivf, fine, codes
        if fine is not None:
            self.faiss_index = faiss.IndexRefine(codes, fine)
        self._held = transform, ivf, codes, fine

    def _append(self, rows: Float32Array, first: int) -> None:
        self._add_codes(rows, first)
        if self._fine is not None:
            self._fine.add_sa_codes(self._fine_codes(rows))
        self._count()

    def _add_codes(self, rows: Float32Array, first: int) -> None:
        transform = load_faiss().downcast_VectorTransform
        inner = rows
        chain = self._codes().chain
        for at in range(chain.size()):
            inner = transform(chain.at(at)).apply(inner)
        super()._append(inner, first)

    def _fine_codes(self, rows: Float32Array) -> UInt8Array:
        """Of float rows: their bytes."""
        return np.ascontiguousarray(rows, "<f4").view(np.uint8)

    def _erase(self, slots: IntArray) -> None:
        super()._erase(slots)
        self._count()

    def _contents(self, live: IntArray) -> Iterator[tuple[IntArray, Any]]:
        for slots, inner in super()._contents(live):
            yield slots, (inner, self._fine_of(slots))

    def _place(self, content: Any, first: int) -> None:
        inner, finer = content
        super()._place(inner, first)
        self._place_fine(finer)

    def _fine_of(self, slots: IntArray) -> UInt8Array | None:
        """What ranks again, of some slots, as bytes."""
        if self._fine is None:
            return None
        n, width = self._fine.ntotal, self._fine.code_size
        stored = load_faiss().rev_swig_ptr(self._fine.codes.data(), n * width)
        return np.ascontiguousarray(stored.reshape(n, width)[slots])

    def _place_fine(self, finer: UInt8Array | None) -> None:
        if finer is not None:
            self._fine.add_sa_codes(finer)
        self._count()

    def _scan(
        self, queries: Float32Array, k: int, pool: IntArray | None, *, whole: bool = False
    ) -> tuple[Float32Array, IntArray]:
        faiss = load_faiss()
        if self._fine is None:
            return super()._scan(queries, k, pool, whole=whole)
        if whole:
            live = np.flatnonzero(~self._map.dead) if pool is None else pool
            parameters = faiss.SearchParameters(sel=selector(live, len(self._map)))
            found, slots = self._fine.search(queries, k, params=parameters)
        elif pool is None:
            self._set(self.faiss_index, "k_factor", self.effort)
            found, slots = self.faiss_index.search(queries, k)
        else:
            within = faiss.SearchParametersIVF(sel=self._map.selector(pool), nprobe=1)
            parameters = faiss.IndexRefineSearchParameters(
                base_index_params=within, k_factor=self.effort
            )
            found, slots = self.faiss_index.search(queries, k, params=parameters)
        return self._scores(found), slots

    def _codes(self) -> Any:
        """The transform and the list, of what is searched."""
        faiss = load_faiss()
        within = self.faiss_index
        if isinstance(within, faiss.IndexRefine):
            within = faiss.downcast_index(within.base_index)
        return within

    def _count(self) -> None:
        """Let the outer parts know how many rows the inner ones have, or slots."""
        self._codes().ntotal = self._ivf.ntotal
        self.faiss_index.ntotal = self._ivf.ntotal if self._fine is None else self._fine.ntotal

    def _take(self, arrays: Any, indexes: Any) -> None:
        super()._take(arrays, indexes)
        if isinstance(self.faiss_index, load_faiss().IndexRefine):
            self._fine = load_faiss().downcast_index(self.faiss_index.refine_index)


def one_list(dim: int, n_words: int, bits_per_word: int, metric: int) -> Any:
    """An empty list of product codes around the origin; 4-bit words in the fast scan."""
    faiss = load_faiss()
    centre = faiss.IndexFlat(dim, metric)
    centre.add(np.zeros((1, dim), np.float32))
    kind = faiss.IndexIVFPQFastScan if bits_per_word == 4 else faiss.IndexIVFPQ
    ivf = kind(centre, dim, 1, n_words, bits_per_word, metric)
    ivf.by_residual, ivf.nprobe = False, 1
    return ivf


def set_codebooks(ivf: Any, codebooks: Float32Array) -> None:
    """Give a list its codebooks, shape (n_words, entries, width of a word)."""
    flat = np.ascontiguousarray(codebooks, np.float32).ravel()
    load_faiss().copy_array_to_vector(flat, ivf.pq.centroids)
    if hasattr(ivf, "precompute_table"):
        ivf.use_precomputed_table = -1
    ivf.is_trained = True


def tiles(dim: int, n_tiles: int, *, pad: int = 0) -> Any:
    """A transform that repeats a vector, or appends zeros to it."""
    faiss = load_faiss()
    transform = faiss.RemapDimensionsTransform(dim, dim * n_tiles + pad, False)
    wanted = np.concatenate([np.tile(np.arange(dim), n_tiles), np.full(pad, -1)])
    faiss.copy_array_to_vector(wanted.astype(np.int32), transform.map)
    return transform
