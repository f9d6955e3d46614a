"""`Quantizer`: compact codes of the vectors of any space, learned after the space is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from commonspace.checks import as_features, check_bits, check_one_of, check_range
from commonspace.errors import InputError, NotFittedError
from commonspace.quantization import distance
from commonspace.quantization.alignment import Alignment
from commonspace.quantization.codebooks import RIDGE, decode_words, learn_codebooks
from commonspace.quantization.icm import Assigner
from commonspace.quantization.packing import as_codes, pack, unpack
from commonspace.quantization.selection import (
    CLEARLY,
    FEWEST,
    FEWEST_UNSEEN,
    MOST_HELD,
    MOST_LEARNED,
    UNSEEN_WEIGHTS,
    WEIGHTS,
    Coder,
    Held,
    best_weight,
    held_out,
    some_rows,
)
from commonspace.quantization.weights import as_weights, as_weights_of
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray, UInt8Array

BLOCK = 1 << 14


class Quantizer:
    """Additive codes: a vector is kept as M words, and read as the sum of M codewords.

    Fit it to the vectors of all modalities together, and codes of one modality answer float queries
    of any other. With labels the error counts where queries can see it, see `Alignment`; without,
    it is the Euclidean error.

    Args:
        bits: A code's, 8 to 128; a multiple of 8.
        bits_per_word: 8, or 4 for FAISS's fast scan.
        weight: w of `Alignment` in [0, 1]; None chooses it on validation rows, else on rows held
            out. Of no consequence without labels.
        iterations: Of closed-form codebooks and assignment.
        beam: Partial codes kept a row while words are chosen.
        ridge: Of the codebooks, in rows.
        random_state: Seed of k-means and of the rows held out.

    Attributes:
        D_: Codebooks, shape (M, Q, dim).
        alignment_: The norm in which errors count; None is the Euclidean one.
        weight_: The weight that was chosen.

    Example:
        >>> vectors = np.random.default_rng(0).standard_normal((500, 8))
        >>> quantizer = Quantizer(bits=16).fit(vectors)
        >>> quantizer.encode(vectors).shape
        (500, 2)
    """

    D_: Float32Array
    alignment_: Alignment | None
    weight_: float

    def __init__(
        self,
        bits: int = 32,
        bits_per_word: int = 8,
        *,
        weight: float | None = None,
        iterations: int = 5,
        beam: int = 4,
        ridge: float = RIDGE,
        random_state: int = 0,
    ) -> None:
        self.bits = bits
        self.bits_per_word = bits_per_word
        self.weight = weight
        self.iterations = iterations
        self.beam = beam
        self.ridge = ridge
        self.random_state = random_state

    @property
    def n_bytes(self) -> int:
        """Bytes of a code, of the codebooks there are once fitted."""
        return self.n_words * self._word_bits() // 8

    @property
    def n_words(self) -> int:
        """M, of the codebooks there are once fitted."""
        return len(self.D_) if hasattr(self, "D_") else self.bits // self.bits_per_word

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return int(self._codebooks().shape[2])

    def fit(
        self,
        vectors: Any,
        labels: Any = None,
        *,
        valid: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> Self:
        """Learn the codebooks.

        Args:
            vectors: Shape (n, dim), of every modality that will be encoded.
            labels: Class numbers, shape (n,), -1 for unknown; or weights, shape (n, n_classes),
                dense or sparse; or anything with ``dense()``, as `Labels`. None, or labels that are
                all unknown, take the Euclidean error.
            valid: Vectors and labels of other rows by modality, to choose the weight on: the one
                with which modalities find each other best. They should be rows that no
                network of the space learned from: vectors of those are surer of their class than
                others, and say that labels pay where they do not. Rows on which its epochs and
                temperatures were chosen are nearly as good as new ones. None, or fewer than 100
                labelled rows in all, holds a fifth of the given rows out.

        Raises:
            InputError: An argument is out of range, shapes do not fit, vectors are so long that
                their squares leave float32, or ``valid`` comes without ``labels``.
        """
        self._check_arguments()
        x_NE = _as_vectors(vectors)
        if not len(x_NE):
            raise InputError("vectors: expected at least one row, got none.")
        y_NC = None if labels is None else as_weights(labels, n=len(x_NE))
        held = _as_valid(valid, labels, dim=x_NE.shape[1], seed=self.random_state)
        if y_NC is not None and not y_NC.any():
            y_NC = None
        self.weight_ = self._choose(x_NE, y_NC, held)
        alignment = None if y_NC is None else _aligned(x_NE, y_NC, self.weight_)
        self._take(self._learn(x_NE, alignment, self.iterations), alignment)
        return self

    def encode(self, vectors: Any) -> UInt8Array:
        """Return codes, shape (n, bits / 8), uint8."""
        D = self._codebooks()
        x_NE = _as_vectors(vectors, dim=D.shape[2])
        out = np.empty((len(x_NE), self.n_bytes), np.uint8)
        for at in range(0, len(x_NE), BLOCK):
            words = self._assigner.assign(x_NE[at : at + BLOCK], beam=self.beam)
            out[at : at + BLOCK] = pack(words, bits_per_word=self._word_bits())
        return out

    def decode(self, codes: Any) -> Float32Array:
        """Return the vectors that codes stand for, shape (n, dim)."""
        return decode_words(self._codebooks(), self.words(codes))

    def words(self, codes: Any) -> IntArray:
        """Return the words of codes, shape (n, M)."""
        self._codebooks()
        return unpack(as_codes(codes, n_bytes=self.n_bytes), bits_per_word=self._word_bits())

    def inner_products(self, queries: Any, codes: Any) -> Float32Array:
        """``⟨q, x̂⟩`` of float queries and codes by table, shape (n_queries, n)."""
        tables = distance.lookup_tables(self._codebooks(), self._queries(queries))
        return distance.inner_products(tables, self.words(codes))

    def squared_distances(
        self, queries: Any, codes: Any, norms: FloatArray | None = None
    ) -> Float32Array:
        """``‖q − x̂‖²`` by table, shape (n_queries, n).

        Args:
            queries: Shape (n_queries, dim).
            codes: Shape (n, bits / 8), uint8.
            norms: What `squared_norms` returned for these codes, stored before; None makes them.

        Raises:
            InputError: Shapes do not fit.
        """
        q_QE, words = self._queries(queries), self.words(codes)
        found = distance.squared_norms(self.D_, words) if norms is None else np.asarray(norms)
        if found.shape != (len(words),):
            raise InputError(
                f"norms: expected one a code, {len(words)}, got shape {found.shape}. Pass what "
                "squared_norms returned for these codes."
            )
        tables = distance.lookup_tables(self.D_, q_QE)
        return distance.squared_distances(tables, words, q_QE, found.astype(np.float32))

    def squared_norms(self, codes: Any) -> FloatArray:
        """``‖x̂‖²`` of codes, shape (n,)."""
        return distance.squared_norms(self._codebooks(), self.words(codes))

    def state(self) -> dict[str, AnyArray]:
        """What was learned, as plain arrays."""
        arrays = {"D": self._codebooks(), "weight": np.array([self.weight_])}
        if self.alignment_ is not None:
            rest = np.array([self.alignment_.rest])
            arrays |= {"V": self.alignment_.V_CE, "rest": rest}
        return arrays

    def restore(self, state: dict[str, AnyArray]) -> Self:
        """Take over what `state` returned: the same codes, to the bit.

        Raises:
            InputError: Arrays are missing, or of a Quantizer with other ``bits``.
        """
        self._check_state(state)
        alignment = Alignment(state["V"], float(state["rest"][0])) if "V" in state else None
        self.weight_ = float(state["weight"][0])
        self._take(state["D"], alignment)
        return self

    def _check_state(self, state: dict[str, AnyArray]) -> None:
        missing = [name for name in ("D", "weight") if name not in state]
        missing += [name for name in ("rest",) if "V" in state and name not in state]
        if missing:
            raise InputError(
                f"state: expected an array {missing[0]!r}, got {', '.join(sorted(state)) or 'none'}"
                ". Pass what Quantizer.state returned, whole."
            )
        expected = (self.bits // self.bits_per_word, 2**self.bits_per_word)
        shape = np.shape(state["D"])
        if len(shape) != 3 or shape[:2] != expected:
            raise InputError(
                f"state: expected codebooks of shape {(*expected, 'dim')} for bits={self.bits} and "
                f"bits_per_word={self.bits_per_word}, got {shape}. Restore it with the bits and "
                "bits_per_word it was fitted with."
            )

    def _word_bits(self) -> int:
        return self.D_.shape[1].bit_length() - 1 if hasattr(self, "D_") else self.bits_per_word

    def _take(self, D: Float32Array, alignment: Alignment | None) -> None:
        self.D_, self.alignment_ = D, alignment
        self._assigner = Assigner(D, alignment)

    def _learn(
        self, x_NE: Float32Array, alignment: Alignment | None, iterations: int
    ) -> Float32Array:
        D, _ = learn_codebooks(
            x_NE,
            n_words=self.bits // self.bits_per_word,
            n_entries=2**self.bits_per_word,
            alignment=alignment,
            iterations=iterations,
            beam=self.beam,
            ridge=self.ridge,
            seed=self.random_state,
        )
        return D

    def _choose(
        self, x_NE: Float32Array, y_NC: Float32Array | None, valid: Sequence[Held]
    ) -> float:
        if y_NC is None:
            return 0.0
        if self.weight is not None:
            return float(self.weight)
        candidates: Sequence[float]
        if sum(len(x) for x, _ in valid) >= FEWEST_UNSEEN:
            rows = some_rows(np.arange(len(x_NE)), MOST_LEARNED, seed=self.random_state)
            held, candidates, margin = valid, UNSEEN_WEIGHTS, 0.0
        else:
            rows, others = held_out(y_NC, seed=self.random_state)
            held, candidates, margin = [(x_NE[others], y_NC[others])], WEIGHTS, CLEARLY
            if len(others) < FEWEST:
                return WEIGHTS[0]

        def learn(weight: float) -> Coder:
            alignment = _aligned(x_NE[rows], y_NC[rows], weight)
            D = self._learn(x_NE[rows], alignment, min(self.iterations, 2))
            assigner = Assigner(D, alignment)
            return lambda x_HE: decode_words(D, assigner.assign(x_HE, beam=self.beam))

        return best_weight(held, learn, candidates=candidates, margin=margin)

    def _queries(self, queries: Any) -> Float32Array:
        return as_features(queries, where="queries", n_features=self.dim)

    def _codebooks(self) -> Float32Array:
        if not hasattr(self, "D_"):
            raise NotFittedError("this Quantizer is not fitted yet: call fit first.")
        return self.D_

    def _check_arguments(self) -> None:
        check_range("bits_per_word", self.bits_per_word, integer=True)
        check_one_of("bits_per_word", self.bits_per_word, (8, 4))
        check_bits("bits", self.bits, high=128)
        if self.weight is not None:
            check_range("weight", self.weight, low=0, high=1)
        check_range("iterations", self.iterations, low=0, integer=True)
        check_range("beam", self.beam, low=1, high=256, integer=True)
        check_range("ridge", self.ridge, low=1e-6, high=1e6)
        check_range("random_state", self.random_state, low=0, integer=True)


def _as_vectors(vectors: Any, *, dim: int | None = None, where: str = "vectors") -> Float32Array:
    """Vectors whose squared distances stay within float32: beyond, FAISS ends the process."""
    x_NE = as_features(vectors, where=where, n_features=dim)
    limit = float(np.sqrt(np.finfo(np.float32).max / (16 * x_NE.shape[1])))
    largest = max(float(x_NE.max(initial=0)), -float(x_NE.min(initial=0)))
    if largest > limit:
        raise InputError(
            f"{where}: expected numbers up to {limit:.1e} in size for {x_NE.shape[1]} dimensions, "
            f"got {largest:.1e}: squared distances would not fit float32. Scale the vectors."
        )
    return x_NE


def _aligned(x_NE: Float32Array, y_NC: Float32Array, weight: float) -> Alignment | None:
    return Alignment.of(x_NE, y_NC, weight=weight) if weight > 0 else None


def _is_pair(part: Any) -> bool:
    return isinstance(part, Sequence) and not isinstance(part, str) and len(part) == 2


def _as_valid(valid: Any, labels: Any, *, dim: int, seed: int) -> list[Held]:
    """At most so many labelled rows of each modality that has any."""
    if valid is None:
        return []
    if labels is None:
        raise InputError(
            "valid: the weight of the labels is chosen on these rows, and there are no labels. "
            "Pass labels of the vectors too, or leave valid out."
        )
    if not isinstance(valid, Mapping) or not valid or not all(map(_is_pair, valid.values())):
        raise InputError(
            "valid: expected vectors and labels of each modality, as "
            'valid={"image": (vectors, labels)}.'
        )
    vectors = [
        _as_vectors(part[0], dim=dim, where=f"valid vectors of {name!r}")
        for name, part in valid.items()
    ]
    known = as_weights_of(
        [(part[1], len(x)) for part, x in zip(valid.values(), vectors, strict=True)]
    )
    held = []
    for x_HE, y_HC in zip(vectors, known, strict=True):
        rows = some_rows(np.flatnonzero(y_HC.any(axis=1)), MOST_HELD, seed=seed)
        held.append((x_HE[rows], y_HC[rows]))
    return [(x_HE, y_HC) for x_HE, y_HC in held if len(x_HE)]
