"""Our learned additive codes in FAISS's scans.

An additive code scores ``⟨q, Σ_m D_m[b_m]⟩``, which is the score of a product code for the query
repeated M times: so words of 8 bits go into FAISS's product codes, and words of 4 bits into its
fast scan, whose tables are rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np

from commonspace.checks import check_bits, check_range
from commonspace.errors import InputError
from commonspace.index.coded import CodedIndex, one_list, set_codebooks, tiles
from commonspace.index.keys import as_keys
from commonspace.index.slots import BLOCK, blocks
from commonspace.index.vectors import Metric, faiss_metric, load_faiss, threads
from commonspace.quantization import Quantizer, pack
from commonspace.types import AnyArray, Float32Array, IntArray, UInt8Array

# Rows that codebooks are learned from, unless they are given.
_MOST_ROWS = 20_000
# Codes in a block of the fast scan, and where each of its first 16 stands in 16 bytes.
_FAST_BLOCK = 32
_FAST_ORDER = (0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15)
# Queries that share one way through the codes. FAISS takes 11; of a million codes of 32 bits 16 are
# read 1.3 times as fast. (24 are not searched at all: seen with 1.15.1.)
_TOGETHER = 16
_STATE = ("D", "weight", "V", "rest")


class CodesIndex(CodedIndex):
    """Codes of a `Quantizer` with 8-bit words: bits / 8 + 8 bytes an item.

    Args:
        metric: "cosine" or "inner"; scores are products of the query and the decoded vector.
        dim: Width of the vectors.
        bits: Of a code, 8 to 128; that of ``quantizer`` where it is given.
        rerank: Ranks the best codes again: "float" by the vectors, which are kept too; "code" by
            the code itself where the scan rounds; a number by a second code of as many bits.
        effort: With re-ranking, how many times k codes are ranked again.
        quantizer: A fitted one; None learns from the first rows, or those of ``train``.
        n_threads: Threads of one search.
    """

    kind: ClassVar[str] = "codes"
    metrics = ("cosine", "inner")
    bits_per_word: ClassVar[int] = 8

    def __init__(
        self,
        metric: Metric = "cosine",
        *,
        dim: int | None = None,
        bits: int = 32,
        rerank: str | int | None = None,
        effort: int = 4,
        quantizer: Quantizer | None = None,
        n_threads: int = 1,
    ) -> None:
        if quantizer is not None:
            bits, dim = 8 * quantizer.n_bytes, dim or quantizer.dim
        super().__init__(
            metric, dim=dim, bits=bits, rerank=rerank, effort=effort, n_threads=n_threads
        )
        check_range("bits", bits, low=8, high=128, integer=True)
        self.given = quantizer
        if quantizer is not None and quantizer.D_.shape[1] != 2**self.bits_per_word:
            raise InputError(
                f"quantizer: index {self.kind!r} takes words of {self.bits_per_word} bits, got a "
                f"quantizer with {quantizer.D_.shape[1]} codewords a word."
            )
        self._coarse: Quantizer
        self._finer: Quantizer | None = None

    def add_codes(self, keys: Any, codes: Any) -> None:
        """Add rows by codes that the given quantizer made, shape (n, bits / 8).

        Raises:
            InputError: There is no quantizer, or vectors are needed for the re-ranking.
        """
        if self.given is None and not self._ready:
            raise InputError("add_codes: the index has no quantizer. Pass one, or train it.")
        if self.rerank not in (None, "code"):
            raise InputError(f"add_codes: rerank={self.rerank!r} needs vectors. Use add.")
        new = as_keys(keys)
        self._map.check_new(new)
        if self.given is not None and not self._ready:
            self.train(np.zeros((1, self.given.dim), np.float32))
        words = self._coarse.words(codes)
        if len(words) != len(new):
            raise InputError(f"keys: expected {len(words)} (one a code), got {len(new)}.")
        with threads(self.n_threads):
            for at in range(0, len(words), BLOCK):
                part = slice(at, at + BLOCK)
                self._add_words(words[part], codes[part], len(self._map))
                if self._fine is not None:
                    self._fine.add_sa_codes(np.ascontiguousarray(codes[part]))
                self._count()
                self._map.append(new[part])

    def decode(self, vectors: Any) -> Float32Array:
        """Return what the codes of vectors stand for: what is left of them here."""
        return self._coarse.decode(self._coarse.encode(vectors))

    def _check_rerank(self, rerank: Any) -> None:
        if isinstance(rerank, int) and not isinstance(rerank, bool):
            check_bits("rerank", rerank, high=128)
        elif rerank not in (None, "float", "code"):
            raise InputError(
                f"rerank: expected None, 'float', 'code' or a number of bits, got {rerank!r}."
            )

    def _learn(self, rows: Float32Array, labels: Any, n_items: int) -> None:
        some = np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]
        known = None if labels is None else np.asarray(labels)[some]
        if self.given is not None:
            self._coarse = self.given
        else:
            self._coarse = Quantizer(self.bits, self.bits_per_word).fit(rows[some], known)
        if isinstance(self.rerank, int):
            self._finer = Quantizer(self.rerank).fit(rows[some], known)
        self._make()

    def _learn_from(self, other: Self) -> None:
        self._coarse, self._finer = other._coarse, other._finer
        self._make()

    def _make(self) -> None:
        n_words, dim = self._coarse.n_words, self._coarse.dim
        ivf = one_list(n_words * dim, n_words, self.bits_per_word, faiss_metric(self.metric))
        set_codebooks(ivf, self._coarse.D_)
        self._assemble(tiles(dim, n_words), ivf, self._ranking())

    def _ranking(self) -> Any:
        if self.rerank is None:
            return None
        if self.rerank == "float":
            return load_faiss().IndexFlat(self._coarse.dim, faiss_metric(self.metric))
        return _additive((self._finer or self._coarse).D_)

    def _add_codes(self, rows: Float32Array, first: int) -> None:
        codes = self._coarse.encode(rows)
        self._add_words(self._coarse.words(codes), codes, first)

    def _add_words(self, words: AnyArray, codes: UInt8Array, first: int) -> None:
        slots = np.arange(first, first + len(words))
        self._ivf.add_sa_codes(np.ascontiguousarray(codes), slots)

    def _contents(self, live: IntArray) -> Iterator[tuple[IntArray, Any]]:
        n, lists = len(self._map), self._ivf.invlists
        stored = lists.list_size(0)
        words = np.empty((n, self._coarse.n_words), np.uint8)
        if not stored:
            return
        words[load_faiss().rev_swig_ptr(lists.get_ids(0), stored)] = self._stored_words(stored)
        for slots in blocks(live):
            yield slots, (words[slots].astype(np.int64), self._fine_of(slots))

    def _place(self, content: Any, first: int) -> None:
        words, finer = content
        codes = pack(words, bits_per_word=self.bits_per_word)
        self._add_words(words, codes, first)
        self._place_fine(finer)

    def _stored_words(self, n: int) -> UInt8Array:
        raw = load_faiss().rev_swig_ptr(self._ivf.invlists.get_codes(0), n * self._coarse.n_words)
        return np.asarray(raw.reshape(n, -1))

    def _fine_codes(self, rows: Float32Array) -> UInt8Array:
        if self.rerank == "float":
            return super()._fine_codes(rows)
        return (self._finer or self._coarse).encode(rows)

    def _parts(self) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        arrays = _stored("coarse", self._coarse)
        if self._finer is not None:
            arrays |= _stored("finer", self._finer)
        return arrays, {"index": self.faiss_index}

    def _take(self, arrays: dict[str, AnyArray], indexes: dict[str, Any]) -> None:
        super()._take(arrays, indexes)
        self._coarse = _restored("coarse", arrays)
        if "finer_D" in arrays:
            self._finer = _restored("finer", arrays)


class FastCodesIndex(CodesIndex):
    """Codes of a `Quantizer` with 4-bit words, by the fast scan: ten times the pace.

    Args: those of `CodesIndex`.
    """

    kind = "codes4"
    bits_per_word = 4

    def _make(self) -> None:
        super()._make()
        self._ivf.qbs2 = _TOGETHER

    def _take(self, arrays: dict[str, AnyArray], indexes: dict[str, Any]) -> None:
        super()._take(arrays, indexes)
        self._ivf.qbs2 = _TOGETHER  # of a file that was written before there was a number

    def _add_words(self, words: AnyArray, codes: UInt8Array, first: int) -> None:
        """Into the blocks themselves: FAISS would take vectors only, and look for their words.

        (Its ``add_entries`` writes beyond its memory, and its ``add`` after a removal mixes codes:
        both seen with 1.15.1.)
        """
        lists, stored = self._ivf.invlists, self._ivf.invlists.list_size(0)
        last = self._block_words(stored // _FAST_BLOCK, stored)
        packed = _packed(np.concatenate([last, words]).astype(np.uint8)).ravel()
        total = stored + len(words)
        lists.resize(0, total)
        size = packed.size // -(-(len(last) + len(words)) // _FAST_BLOCK)
        n_bytes = size * -(-total // _FAST_BLOCK)
        rev_swig_ptr = load_faiss().rev_swig_ptr
        rev_swig_ptr(lists.get_codes(0), n_bytes)[size * (stored // _FAST_BLOCK) :] = packed
        rev_swig_ptr(lists.get_ids(0), total)[stored:] = np.arange(first, first + len(words))
        self._ivf.ntotal += len(words)

    def _stored_words(self, n: int) -> UInt8Array:
        return self._block_words(0, n)

    def _block_words(self, first: int, n: int) -> UInt8Array:
        """Words of the n codes, from a block of 32 on: of each word 16 bytes, two codes a byte."""
        n_words, n_blocks = self._coarse.n_words, -(-n // _FAST_BLOCK)
        if first == n_blocks:
            return np.empty((0, n_words), np.uint8)
        raw = load_faiss().rev_swig_ptr(self._ivf.invlists.get_codes(0), 16 * n_words * n_blocks)
        paired = raw.reshape(n_blocks, n_words, _FAST_BLOCK // 2)[first:, :, _FAST_ORDER]
        words = np.concatenate([paired & 15, paired >> 4], axis=2).transpose(0, 2, 1)
        return np.asarray(words.reshape(-1, n_words)[: n - first * _FAST_BLOCK])


def _additive(codebooks: Float32Array) -> Any:
    """FAISS's own additive codes with our codebooks: exact products, without a norm."""
    faiss = load_faiss()
    n_words, entries, dim = codebooks.shape
    index = faiss.IndexLocalSearchQuantizer(
        dim,
        n_words,
        entries.bit_length() - 1,
        faiss.METRIC_INNER_PRODUCT,
        faiss.AdditiveQuantizer.ST_LUT_nonorm,
    )
    flat = np.ascontiguousarray(codebooks, np.float32).ravel()
    faiss.copy_array_to_vector(flat, index.lsq.codebooks)
    index.lsq.is_trained = index.is_trained = True
    return index


def _packed(words: UInt8Array) -> UInt8Array:
    """Blocks of 32 codes: of each word 16 bytes, two codes a byte, the last block filled up."""
    n_blocks, n_words = -(-len(words) // _FAST_BLOCK), words.shape[1]
    full = np.zeros((n_blocks * _FAST_BLOCK, n_words), np.uint8)
    full[: len(words)] = words
    by_word = full.reshape(n_blocks, _FAST_BLOCK, n_words).transpose(0, 2, 1)
    packed = np.empty((n_blocks, n_words, _FAST_BLOCK // 2), np.uint8)
    packed[:, :, _FAST_ORDER] = by_word[:, :, :16] | (by_word[:, :, 16:] << 4)
    return packed


def _stored(name: str, quantizer: Quantizer) -> dict[str, AnyArray]:
    arrays = {f"{name}_{key}": np.asarray(value) for key, value in quantizer.state().items()}
    return {**arrays, f"{name}_beam": np.array([quantizer.beam])}


def _restored(name: str, arrays: dict[str, AnyArray]) -> Quantizer:
    state = {key: arrays[f"{name}_{key}"] for key in _STATE if f"{name}_{key}" in arrays}
    n_words, entries, _ = state["D"].shape
    bits = entries.bit_length() - 1
    beam = int(arrays[f"{name}_beam"][0])
    return Quantizer(n_words * bits, bits, beam=beam).restore(state)
