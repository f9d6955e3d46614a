"""Which rows of a modality an SDML training learns from, and which validate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from commonspace.data import Labels
from commonspace.methods.jobs import FORWARD_ROWS
from commonspace.types import AnyArray, Float32Array, IntArray


def labelled_rows(
    x: Float32Array | None, labels: sparse.csr_array | None, use: AnyArray | None = None
) -> tuple[Float32Array, sparse.csr_array]:
    """Validation rows that carry a label (or those to ``use``)."""
    if x is None or labels is None:
        return np.empty((0, 1), np.float32), sparse.csr_array((0, 1), dtype=np.float32)
    rows = np.flatnonzero(has_label(labels) if use is None else use)
    return x[rows], labels[rows]


def to_use(job: Mapping[str, Any]) -> AnyArray:
    """Which rows carry what is learned: a label, or of several labels perhaps none."""
    return job["known"] if job["options"]["several"] else has_label(job["labels"])


def count_to_use(labels: Labels, several: bool) -> int:
    """How many rows of a modality the default recipe learns from."""
    return int((labels.known if several else labels.labelled).sum())


def rows_to_learn(job: Mapping[str, Any]) -> list[IntArray]:
    """Of each network of the default recipe: the rows that it does not hold back."""
    use = to_use(job)
    held = job["held"]
    if held is None:
        held = np.zeros((len(job["options"]["experts"]), len(use)), bool)
    return [np.flatnonzero(use & ~mask) for mask in held]


def has_label(labels: sparse.csr_array) -> AnyArray:
    """Whether each row has any label."""
    return np.asarray(np.diff(labels.indptr) > 0)


def dense_rows(labels: sparse.csr_array, index: IntArray) -> Float32Array:
    """Some rows as an array: for a batch, faster than indexing by scipy.

    Args:
        labels: Canonical: no entry twice.
        index: The rows.
    """
    starts = labels.indptr[index]
    counts = labels.indptr[index + 1] - starts
    row_of_entry = np.repeat(np.arange(len(index)), counts)
    firsts = np.cumsum(counts) - counts
    entries = np.arange(len(row_of_entry)) + (starts - firsts)[row_of_entry]
    found = np.zeros((len(index), labels.shape[1]), np.float32)
    found[row_of_entry, labels.indices[entries]] = labels.data[entries]
    return found


def blocks(x: Float32Array) -> Iterator[slice]:
    """Of rows that pass a network at once."""
    return (slice(start, start + FORWARD_ROWS) for start in range(0, len(x), FORWARD_ROWS))
