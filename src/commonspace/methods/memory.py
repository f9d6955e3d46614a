"""A small memory of items seen, balanced over classes and modalities.

A cell is a pair (modality, class). A class-balanced reservoir [1] that is offered the rows of a
stage one by one ends with cells as equal as the rows allow, each a uniform sample of what it was
offered. Here a whole stage is offered at once, so the sizes of the cells are computed and the
samples drawn directly: the same law, without a loop over rows.

References:
    [1] Chrysakis, Moens. Online Continual Learning from Imbalanced Data. ICML 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from commonspace.types import AnyArray, BoolArray, Float32Array, IntArray

NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class Memory:
    """Rows kept of modalities learned earlier; within a cell, in random order.

    Attributes:
        x: Adapted inputs, shape (n, width).
        y: Label weights, shape (n, n_classes).
        logits: The network's answer when the row was stored, shape (n, n_classes); NaN for a
            class that came later.
        modality: Number of each row's modality, in order of learning, shape (n,).
        cell: The class by which each row is counted, shape (n,).
    """

    x: Float32Array
    y: Float32Array
    logits: Float32Array
    modality: IntArray
    cell: IntArray

    @classmethod
    def empty(cls, width: int, n_classes: int) -> Memory:
        """One without rows."""
        none = np.empty((0, n_classes), np.float32)
        number = np.empty(0, np.int64)
        return cls(np.empty((0, width), np.float32), none, none, number, number)

    @classmethod
    def of(
        cls,
        modality: int,
        x_NA: Float32Array,
        y_NC: Float32Array,
        logits_NC: Float32Array,
        *,
        seed: int,
    ) -> Memory:
        """All rows of one modality, shuffled.

        A row of several classes is counted by that of them which has fewest rows.
        """
        order = np.random.default_rng(seed).permutation(len(x_NA))
        modalities = np.full(len(order), modality, np.int64)
        return cls(x_NA[order], y_NC[order], logits_NC[order], modalities, _cells(y_NC)[order])

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_bytes(self) -> int:
        """Bytes of everything stored."""
        return sum(array.nbytes for array in self.arrays().values())

    def joined(self, other: Memory) -> Memory:
        """Both; rows of ``other`` last."""
        theirs = other.arrays()
        return Memory(**{k: np.concatenate([v, theirs[k]]) for k, v in self.arrays().items()})

    def cut(self, capacity: int) -> Memory:
        """At most ``capacity`` rows, cells as equal as they can be."""
        pairs = np.stack([self.modality, self.cell], axis=1)
        _, cell, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(cell.ravel(), kind="stable")
        starts = np.cumsum(counts) - counts
        place = np.empty(len(self), np.int64)  # of each row within its cell
        place[order] = np.arange(len(self)) - np.repeat(starts, counts)
        return self._take(place < shares(counts, capacity)[cell.ravel()])

    def with_classes(self, n_classes: int) -> Memory:
        """The same rows over more classes: to none of the new ones does any belong."""
        more = np.zeros((len(self), n_classes - self.y.shape[1]), np.float32)
        y, logits = np.hstack([self.y, more]), np.hstack([self.logits, np.full_like(more, np.nan)])
        return Memory(self.x, y, logits, self.modality, self.cell)

    def arrays(self) -> dict[str, AnyArray]:
        """Everything by name, to store."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Memory:
        """Rebuild one from `arrays`."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    def _take(self, keep: BoolArray) -> Memory:
        return Memory(**{key: value[keep] for key, value in self.arrays().items()})


def shares(available: IntArray, capacity: int) -> IntArray:
    """Divide ``capacity`` places among cells as equally as what is available allows.

    Example:
        >>> shares(np.array([10, 2, 10]), 9)
        array([4, 2, 3])
    """
    if available.sum() <= capacity:
        return available
    at_least = (available[:, None] > np.arange(available.max())).sum(axis=0)
    level = int(np.searchsorted(np.cumsum(at_least), capacity, side="right"))
    out = np.minimum(available, level)
    larger = np.flatnonzero(available > level)[: capacity - int(out.sum())]
    out[larger] += 1
    return out


def _cells(y_NC: Float32Array) -> IntArray:
    has = y_NC > 0
    counts = np.where(has, has.sum(axis=0), len(y_NC) + 1)
    rarest = counts.argmin(axis=1) if y_NC.shape[1] else np.zeros(len(y_NC), np.int64)
    return np.where(has.any(axis=1), rarest, NO_CLASS).astype(np.int64)
