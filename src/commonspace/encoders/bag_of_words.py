"""Texts to counts of the words of a vocabulary that was learned once and is plain JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any, ClassVar, Literal, Self

import numpy as np

from commonspace.checks import check_one_of, check_range
from commonspace.disk import sha256_bytes
from commonspace.encoders.text import as_texts, words_of
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import Float32Array, JsonDict


@dataclass(frozen=True)
class BagOfWordsEncoder:
    """Encode texts by which words of a vocabulary they hold, and how often.

    Words are those of `HashTextEncoder`: normalised, case folded, split at white space.

    Attributes:
        words: The vocabulary, one column a word.
        weights: What each word weighs: a word that occurs c times counts (1 + ln c) times its
            weight, and the vector is scaled to unit length. Empty: plain counts.

    Example:
        >>> encoder = BagOfWordsEncoder.fit(["a red cat", "a dog", "a red red dog"], size=3)
        >>> encoder.words, encoder.encode(["red red moon"]).tolist()
        (('a', 'dog', 'red'), [[0.0, 0.0, 2.0]])
    """

    kind: ClassVar[str] = "text-bag-of-words"
    version: ClassVar[int] = 1
    modality_kind: ClassVar[MediaKind] = "text"

    words: Sequence[str]
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(str(word) for word in self.words))
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        if not self.words or len(set(self.words)) != len(self.words):
            raise InputError("words: expected a vocabulary of at least one word, none twice.")
        if self.weights and len(self.weights) != len(self.words):
            raise InputError(
                f"weights: expected one for each of {len(self.words)} words, got "
                f"{len(self.weights)}."
            )

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        size: int = 1000,
        weighting: Literal["counts", "rare"] = "counts",
    ) -> Self:
        """Learn a vocabulary: the words that the most texts hold, ties by alphabet.

        Args:
            texts: Of the training items.
            size: How many words at most.
            weighting: "counts" weighs all words alike; "rare" by 1 + ln((1 + n) / (1 + d)), where
                d of n texts hold the word.

        Raises:
            InputError: There is no word in any text.
        """
        check_range("size", size, low=1, integer=True)
        check_one_of("weighting", weighting, ("counts", "rare"))
        read = as_texts(texts)
        found = Counter(word for text in read for word in set(words_of(text)))
        if not found:
            raise InputError("texts: expected words to learn a vocabulary from, got none.")
        words = sorted(sorted(found), key=lambda word: -found[word])[:size]
        words.sort()
        if weighting == "counts":
            return cls(words)
        return cls(words, [1 + log((1 + len(read)) / (1 + found[word])) for word in words])

    @property
    def dim(self) -> int:
        """Words of the vocabulary."""
        return len(self.words)

    @property
    def id(self) -> str:
        """Name with version and a digest of vocabulary and weights."""
        digest = sha256_bytes(repr((self.words, self.weights)).encode())[:8]
        return f"{self.kind}:v{self.version}:dim={self.dim}:words={digest}"

    def spec(self) -> JsonDict:
        """Plain JSON from which `encoder_from_spec` makes this encoder again."""
        out: JsonDict = {"kind": self.kind, "version": self.version, "words": list(self.words)}
        return {**out, "weights": list(self.weights)} if self.weights else out

    def encode(self, items: Sequence[Any]) -> Float32Array:
        """Encode texts; a text without any word of the vocabulary gives zeros.

        Args:
            items: Texts. A list of one for one text.

        Returns:
            Shape (n, dim), float32.

        Raises:
            InputError: A bare string instead of a list, or an item that is not a string.
        """
        texts = as_texts(items)
        x_ND = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in words_of(text):
                column = self._columns.get(word)
                if column is not None:
                    x_ND[row, column] += 1
        if not self.weights:
            return x_ND
        held = x_ND > 0
        x_ND[held] = 1 + np.log(x_ND[held])
        x_ND *= np.array(self.weights, np.float32)
        lengths = np.linalg.norm(x_ND, axis=1, keepdims=True)
        np.divide(x_ND, lengths, out=x_ND, where=lengths > 0)
        return x_ND

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: column for column, word in enumerate(self.words)}
