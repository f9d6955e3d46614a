"""Who is relevant to whom: labels packed so that a block of query rows costs one pass of integers.

One class a row becomes one integer, compared for equality. Several become bits of machine words,
intersected. Neither needs a matrix of queries by gallery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.errors import InputError
from commonspace.types import AnyArray, BoolArray, IntArray

_NO_CLASS_QUERY = -1
_NO_CLASS_GALLERY = -2  # differs, so that rows without a class never match one another


@dataclass(frozen=True)
class Relevance:
    """Packed labels of queries and gallery.

    Attributes:
        query: Shape (n_queries,) of class numbers, or (n_words, n_queries) of label bits.
        gallery: Shape (n_gallery,) or (n_words, n_gallery), likewise.
        exclude_self: Row i of the queries is row i of the gallery and not relevant to itself.
    """

    query: AnyArray
    gallery: AnyArray
    exclude_self: bool = False

    @classmethod
    def of(cls, query_labels: Any, gallery_labels: Any, *, exclude_self: bool) -> Relevance:
        """Pack labels given as class numbers, shape (n,), or weights, shape (n, n_classes).

        Args:
            query_labels: Of the queries.
            gallery_labels: Of the gallery.
            exclude_self: Whether row i of both is one item, not relevant to itself.

        Raises:
            InputError: Neither numbers nor weights, or not over the same classes.
        """
        query, gallery = (
            _labels("query_labels", query_labels),
            _labels("gallery_labels", gallery_labels),
        )
        if query.ndim != gallery.ndim or query.shape[1:] != gallery.shape[1:]:
            raise InputError(
                "labels: expected queries and gallery over the same classes, got shapes "
                f"{query.shape} and {gallery.shape}."
            )
        if query.ndim == 2:
            query, gallery = _pack(query > 0, gallery > 0)
        return cls(query, gallery, exclude_self)

    @property
    def n_queries(self) -> int:
        """How many queries there are."""
        return int(self.query.shape[-1])

    @property
    def n_gallery(self) -> int:
        """How many items the gallery holds."""
        return int(self.gallery.shape[-1])

    def block(self, start: int, stop: int) -> BoolArray:
        """Return which items are relevant to queries start..stop, shape (stop - start, G)."""
        if self.query.ndim == 1:
            relevant = np.equal(self.query[start:stop, None], self.gallery)
        else:
            relevant = self._intersect(start, stop)
        if self.exclude_self:
            relevant[np.arange(stop - start), np.arange(start, stop)] = False
        return relevant

    def counts(self) -> IntArray:
        """Return how many items are relevant to each query, a row at a time."""
        rows = range(self.n_queries)
        return np.array([np.count_nonzero(self.block(row, row + 1)) for row in rows])

    def _intersect(self, start: int, stop: int) -> BoolArray:
        relevant = np.zeros((stop - start, self.n_gallery), dtype=np.bool_)
        shared = np.empty(self.n_gallery, dtype=self.gallery.dtype)
        for row in range(start, stop):
            for word in np.flatnonzero(self.query[:, row]):
                np.bitwise_and(self.gallery[word], self.query[word, row], out=shared)
                relevant[row - start] |= shared != 0
        return relevant


def _labels(where: str, labels: Any) -> AnyArray:
    array = np.asarray(labels)
    fits = array.dtype.kind in "iu" if array.ndim == 1 else array.dtype.kind in "fiub"
    if array.ndim not in (1, 2) or not fits:
        raise InputError(
            f"{where}: expected class numbers of shape (n,) or weights of shape (n, classes), got "
            f"shape {array.shape} of dtype {array.dtype}."
        )
    if array.ndim == 1 and len(array) and array.min() < 0:
        row = int(np.flatnonzero(array < 0)[0])
        raise InputError(
            f"{where}: expected class numbers from 0, got {array[row]} at row {row}. Leave rows "
            "of unknown class out."
        )
    if array.ndim == 2 and not np.isfinite(array).all():
        raise InputError(f"{where}: expected finite weights. Leave rows of unknown class out.")
    return array


def _pack(query: BoolArray, gallery: BoolArray) -> tuple[AnyArray, AnyArray]:
    if all((part.sum(axis=1) <= 1).all() for part in (query, gallery)):
        return _numbers(query, _NO_CLASS_QUERY), _numbers(gallery, _NO_CLASS_GALLERY)
    return _words(query), _words(gallery)


def _numbers(labels: BoolArray, missing: int) -> AnyArray:
    if not labels.shape[1]:
        return np.full(len(labels), missing, dtype=np.int16)
    dtype = np.int16 if labels.shape[1] < 2**15 else np.int32
    return np.where(labels.any(axis=1), labels.argmax(axis=1), missing).astype(dtype)


def _words(labels: BoolArray) -> AnyArray:
    """Pack label bits, shape (n_words, n), in the narrowest words that hold them."""
    octets = np.packbits(labels, axis=1)
    width = next((w for w in (1, 2, 4, 8) if octets.shape[1] <= w), 8)
    padded = np.pad(octets, ((0, 0), (0, -octets.shape[1] % width)))
    return np.ascontiguousarray(padded.view(f"u{width}").T)
