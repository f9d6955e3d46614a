"""Ways to keep a vector in a few bytes, behind one face: what the benchmark of codes compares.

All but ours are FAISS's with its own defaults; binary codes are read asymmetrically as all others
are, a float query against ±1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from commonspace.errors import InputError
from commonspace.quantization import Quantizer
from commonspace.types import AnyArray, Float32Array, UInt8Array

OPQ_DIM = 64
CENTRES = 256  # of FAISS's k-means, which wants as many rows

OWN = "own codes"  # those a space learns together with its vectors, as SPDQ does


Valid = Mapping[str, tuple[Float32Array, Float32Array]]


class UnfitError(InputError):
    """A coder that cannot be compared on these vectors: its cell stays empty."""


class Coder(Protocol):
    """Learns from vectors of all modalities, then codes items and reads codes."""

    def fit(self, x_NE: Float32Array, y_NC: Float32Array, valid: Valid | None = None) -> None:
        """Learn; most have no use for the labels, nor for vectors and labels of other rows."""
        ...

    def encode(self, x_NE: Float32Array) -> UInt8Array:
        """Codes, shape (n, n_bytes)."""
        ...

    def decode(self, codes: UInt8Array) -> Float32Array:
        """The vectors that queries are compared with."""
        ...

    def queries(self, x_QE: Float32Array) -> Float32Array:
        """Float queries in the space of decoded vectors."""
        ...


class Ours:
    """`Quantizer`, with or without labels."""

    def __init__(
        self, bits: int, seed: int, *, labels: bool = True, bits_per_word: int = 8
    ) -> None:
        self.quantizer = Quantizer(bits, bits_per_word, random_state=seed)
        self.labels = labels

    def fit(self, x_NE: Float32Array, y_NC: Float32Array, valid: Valid | None = None) -> None:
        """With the labels, or without."""
        if self.labels:
            self.quantizer.fit(x_NE, y_NC, valid=valid)
        else:
            self.quantizer.fit(x_NE)

    def encode(self, x_NE: Float32Array) -> UInt8Array:
        """By beam search and ICM."""
        return self.quantizer.encode(x_NE)

    def decode(self, codes: UInt8Array) -> Float32Array:
        """Sums of codewords."""
        return self.quantizer.decode(codes)

    def queries(self, x_QE: Float32Array) -> Float32Array:
        """As they are."""
        return x_QE


class Faiss:
    """A codec of FAISS's factory."""

    def __init__(self, description: Callable[[int], str], bits: int, seed: int) -> None:
        self.description, self.bits, self.seed = description, bits, seed
        self.index: Any = None

    def fit(self, x_NE: Float32Array, y_NC: Float32Array, valid: Valid | None = None) -> None:
        """Train on the vectors, padded by zeros to a multiple of the number of words."""
        import faiss

        n_words = self.bits // 8
        description = self.description(n_words)
        if "LSQ" not in description and len(x_NE) < CENTRES:
            raise UnfitError(
                f"{description}: expected at least {CENTRES} training vectors, one a codeword, got "
                f"{len(x_NE)}. Take a larger set, or another method."
            )
        self.dim, self.pad = x_NE.shape[1], -x_NE.shape[1] % n_words
        self.index = faiss.index_factory(self.dim + self.pad, description)
        _seed(self.index, self.seed)
        self.index.train(self._padded(x_NE))

    def encode(self, x_NE: Float32Array) -> UInt8Array:
        """FAISS's own codes."""
        return np.asarray(self.index.sa_encode(self._padded(x_NE)))

    def decode(self, codes: UInt8Array) -> Float32Array:
        """FAISS's own reconstruction."""
        return np.asarray(self.index.sa_decode(codes)[:, : self.dim])

    def queries(self, x_QE: Float32Array) -> Float32Array:
        """As they are."""
        return x_QE

    def _padded(self, x_NE: Float32Array) -> Float32Array:
        return np.ascontiguousarray(np.pad(x_NE, ((0, 0), (0, self.pad))), np.float32)


class Binary:
    """Signs of a linear map: ITQ's, or a random one."""

    def __init__(self, bits: int, seed: int, *, learned: bool) -> None:
        self.bits, self.seed, self.learned = bits, seed, learned

    def fit(self, x_NE: Float32Array, y_NC: Float32Array, valid: Valid | None = None) -> None:
        """Learn ITQ, or draw Gaussian directions."""
        import faiss

        dim = x_NE.shape[1]
        if not self.learned:
            drawn = np.random.default_rng(self.seed).standard_normal((dim, self.bits))
            self.matrix: AnyArray = drawn.astype(np.float32)
            return
        if self.bits > dim:
            raise UnfitError(
                f"ITQ: expected at most one bit a dimension, {dim} here, got {self.bits}: its "
                "codes would be shorter than the others. Take fewer bits."
            )
        self.itq = faiss.ITQTransform(dim, self.bits, self.bits < dim)
        self.itq.train(np.ascontiguousarray(x_NE))

    def encode(self, x_NE: Float32Array) -> UInt8Array:
        """One bit a dimension."""
        return np.packbits(self.queries(x_NE) > 0, axis=1)

    def decode(self, codes: UInt8Array) -> Float32Array:
        """±1."""
        return np.unpackbits(codes, axis=1)[:, : self.width].astype(np.float32) * 2 - 1

    def queries(self, x_QE: Float32Array) -> Float32Array:
        """The query before its signs are taken."""
        x = np.ascontiguousarray(x_QE)
        out = self.itq.apply(x) if self.learned else x @ self.matrix
        self.width = out.shape[1]
        return np.asarray(out, np.float32)


CODERS: dict[str, Callable[[int, int], Coder]] = {
    "Quantizer": Ours,
    "Quantizer 4-bit": lambda bits, seed: Ours(bits, seed, bits_per_word=4),
    "Quantizer no labels": lambda bits, seed: Ours(bits, seed, labels=False),
    "PQ": lambda bits, seed: Faiss(lambda m: f"PQ{m}x8", bits, seed),
    "OPQ": lambda bits, seed: Faiss(
        lambda m: f"OPQ{m}_{OPQ_DIM - OPQ_DIM % m},PQ{m}x8", bits, seed
    ),
    "RQ": lambda bits, seed: Faiss(lambda m: f"RQ{m}x8", bits, seed),
    "LSQ": lambda bits, seed: Faiss(lambda m: f"LSQ{m}x8", bits, seed),
    "ITQ": lambda bits, seed: Binary(bits, seed, learned=True),
    "sign": lambda bits, seed: Binary(bits, seed, learned=False),
}
OURS = ("Quantizer", "Quantizer 4-bit", "Quantizer no labels", OWN)


def _seed(index: Any, seed: int) -> None:
    """Give the k-means inside a codec another seed (FAISS starts them all from 1234)."""
    import faiss

    inner = faiss.downcast_index(index.index) if hasattr(index, "index") else index
    for name in ("pq", "rq"):
        if hasattr(inner, name):
            getattr(inner, name).cp.seed = 1234 + seed
    if hasattr(inner, "lsq"):
        inner.lsq.random_seed = 1234 + seed
