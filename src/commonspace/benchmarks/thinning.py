"""Training data with less to learn from: fewer pairs, fewer labels, wrong labels.

Which rows are touched depends on the seed and the item ids alone. So rows that show one item, with
labels that belong to the item, fare alike in every modality; and what a small share leaves is among
what a larger one leaves: curves over shares follow the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import sparse

from commonspace.checks import check_range
from commonspace.data import Dataset, Labels, Modality
from commonspace.training import derive_seed
from commonspace.types import BoolArray, FloatArray, IntArray, StrArray

Thinning = Callable[[Dataset, float, int], Dataset]


def unpair(data: Dataset, share: float, seed: int) -> Dataset:
    """Keep a share of the pairs; all rows stay, with an id of their own where a pair is dissolved.

    Args:
        data: Never changed.
        share: Of the items that several modalities show, to the nearest whole number.
        seed: Which.
    """
    parted = _parted(data, share, seed)
    taken = {str(item) for part in data.values() for item in part.items}
    return Dataset(
        {
            name: replace(part, items=_renamed(name, part.items, parted[name], taken))
            for name, part in data.items()
        },
        data.classes,
    )


def drop_unpaired(data: Dataset, share: float, seed: int) -> Dataset:
    """Keep a share of the pairs, those that `unpair` keeps, and leave the rows of others out."""
    parted = _parted(data, share, seed)
    return data.take({name: np.flatnonzero(~mask) for name, mask in parted.items()})


def unlabel(data: Dataset, share: float, seed: int) -> Dataset:
    """Keep the labels of a share of the rows; those of the others become unknown.

    Args:
        data: Never changed.
        share: Of the rows of each modality whose labels are known, to the nearest whole number.
        seed: Which.
    """
    check_range("share", share, low=0, high=1)

    def thinned(part: Modality) -> Labels:
        kept = np.zeros(len(part), bool)
        kept[_first(part, np.flatnonzero(part.labels.known), share, seed, "labels")] = True
        weights = sparse.csr_array(part.labels.weights * kept[:, None])
        weights.eliminate_zeros()
        return Labels(weights, kept, part.labels.classes)

    return _with_labels(data, thinned)


def mislabel(data: Dataset, share: float, seed: int) -> Dataset:
    """Move one label of a share of the rows to a class that the row does not have, evenly drawn.

    Args:
        data: Never changed.
        share: Of the rows of each modality that have a label, to the nearest whole number; a row
            that has all classes is never among them.
        seed: Which rows, which of their labels, and to which class.
    """
    check_range("share", share, low=0, high=1)

    def moved(part: Modality) -> Labels:
        labels = part.labels
        count = np.diff(labels.weights.indptr)
        movable = np.flatnonzero((count > 0) & (count < labels.n_classes))
        rows = _first(part, movable, share, seed, "noise", of=int((count > 0).sum()))
        weights = _moved(part, rows, seed)
        return Labels(weights, labels.known, labels.classes)

    return _with_labels(data, moved)


def _moved(part: Modality, rows: IntArray, seed: int) -> sparse.csr_array:
    weights = part.labels.weights
    stay = np.ones(len(part), np.float32)
    stay[rows] = 0
    y_NC = weights[rows].toarray()
    items, at = part.items[rows], np.arange(len(rows))
    source = _nth(y_NC > 0, _draws(items, seed, "which label"))
    target = _nth(y_NC == 0, _draws(items, seed, "which class"))
    y_NC[at, target] = y_NC[at, source]
    y_NC[at, source] = 0
    row, column = np.nonzero(y_NC)
    changed = sparse.csr_array((y_NC[row, column], (rows[row], column)), shape=weights.shape)
    found = sparse.csr_array(weights * stay[:, None] + changed)
    found.eliminate_zeros()
    return found


def _nth(allowed: BoolArray, draw: FloatArray) -> IntArray:
    """Column of each row drawn evenly from those allowed, by a number in [0, 1)."""
    nth = np.floor(draw * allowed.sum(axis=1)).astype(np.int64) + 1
    found: IntArray = np.argmax((allowed.cumsum(axis=1) == nth[:, None]) & allowed, axis=1)
    return found


def _parted(data: Dataset, share: float, seed: int) -> dict[str, BoolArray]:
    """Rows of each modality whose item is to lose its pairs."""
    check_range("share", share, low=0, high=1)
    ids, counts = np.unique(
        np.concatenate([part.items for part in data.values()]), return_counts=True
    )
    pairs = ids[counts > 1]
    order = np.argsort(_draws(pairs, seed, "pairs"), kind="stable")
    lost = pairs[order[round(share * len(pairs)) :]]
    return {name: np.isin(part.items, lost) for name, part in data.items()}


def _renamed(name: str, items: StrArray, parted: BoolArray, taken: set[str]) -> StrArray:
    """Give rows an id that nobody has; ``taken`` grows by them."""
    ids = [str(item) for item in items]
    for row in np.flatnonzero(parted):
        new = f"{ids[row]} of {name}"
        while new in taken:
            new += "'"
        taken.add(new)
        ids[row] = new
    return np.array(ids, dtype=np.str_) if ids else items


def _first(
    part: Modality, rows: IntArray, share: float, seed: int, what: str, *, of: int | None = None
) -> IntArray:
    """The rows of the smallest draws: a share of them, or of a larger count."""
    order = np.argsort(_draws(part.items[rows], seed, what), kind="stable")
    return np.sort(rows[order[: round(share * (len(rows) if of is None else of))]])


def _draws(items: StrArray, seed: int, what: str) -> FloatArray:
    """A number in [0, 1) for each item, that depends on nothing else but the seed."""
    return np.array([derive_seed(seed, what, item) / 2.0**63 for item in items], dtype=np.float64)


def _with_labels(data: Dataset, change: Callable[[Modality], Labels]) -> Dataset:
    parts = {name: replace(part, labels=change(part)) for name, part in data.items()}
    return Dataset(parts, data.classes)
