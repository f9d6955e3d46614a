"""Which rows of several modalities a method takes as one: the same item, or the same class.

Most classical methods learn from pairs. Where no two rows show one item, some still learn from
rows of one class set beside each other [1]; which of the two was done is an argument with a name,
for it changes what is learned.

References:
    [1] Rasiwasia, Mahajan, Mahadevan, Aggarwal. Cluster Canonical Correlation Analysis.
        AISTATS 2014.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal

import numpy as np

from commonspace.checks import check_one_of
from commonspace.data import Dataset, Labels
from commonspace.errors import InputError
from commonspace.types import IntArray

Pairing = Literal["items", "classes"]


def matched_rows(train: Dataset, *, pairing: Pairing, seed: int) -> dict[str, IntArray]:
    """Return the rows of each modality that belong together.

    Args:
        train: Two modalities or more.
        pairing: "items": rows with the same item id, of the items that every modality has, in the
            order of the first one; labels are not looked at. "classes": rows with the same class,
            of the classes that every modality has: in random order, those of the modalities with
            fewer rows repeated in turn. A row of several classes counts under one of them, drawn
            in proportion to its weights; rows without labels are left out.
        seed: Of what "classes" draws.

    Returns:
        Row numbers of each modality, all of one length: row i of each belong together.

    Raises:
        InputError: One modality alone, fewer than two matches, another ``pairing``.

    Example:
        >>> images, texts = np.zeros((3, 4)), np.ones((2, 2))
        >>> data = Dataset.from_arrays({"image": images, "text": texts}, {},
        ...     items={"image": ["a", "b", "c"], "text": ["c", "a"]})
        >>> matched_rows(data, pairing="items", seed=0)
        {'image': array([0, 2]), 'text': array([1, 0])}
    """
    check_one_of("pairing", pairing, ("items", "classes"))
    if len(train) < 2:
        raise InputError(
            f"expected two modalities or more to match rows of, got {', '.join(train)} alone."
        )
    rows = _by_items(train) if pairing == "items" else _by_classes(train, seed)
    count = len(next(iter(rows.values())))
    if count < 2:
        raise InputError(_too_few(train, pairing, count))
    return rows


def _by_items(train: Dataset) -> dict[str, IntArray]:
    first, *others = train.values()
    common = reduce(np.intersect1d, [part.items for part in others], first.items)
    common = first.items[np.isin(first.items, common)]
    rows = {}
    for name, part in train.items():
        order = np.argsort(part.items, kind="stable")
        found = np.searchsorted(part.items, common, sorter=order)
        rows[name] = order[found].astype(np.int64)
    return rows


def _by_classes(train: Dataset, seed: int) -> dict[str, IntArray]:
    generator = np.random.default_rng(seed)
    by_class = {name: _rows_by_class(part.labels, generator) for name, part in train.items()}
    chosen: dict[str, list[IntArray]] = {name: [np.empty(0, np.int64)] for name in train}
    for members in zip(*by_class.values(), strict=True):
        counts = [len(rows) for rows in members]
        if min(counts):
            for name, rows in zip(train, members, strict=True):
                chosen[name].append(np.resize(rows, max(counts)))
    return {name: np.concatenate(parts) for name, parts in chosen.items()}


def _rows_by_class(labels: Labels, generator: np.random.Generator) -> list[IntArray]:
    """Rows of each class in random order, each row under one class of its own."""
    weights = labels.weights
    row = np.repeat(np.arange(len(labels)), np.diff(weights.indptr))
    # The class of the largest log weight + Gumbel noise is one drawn in proportion to the weights.
    key = np.log(weights.data.astype(np.float64)) + generator.gumbel(size=len(row))
    order = np.lexsort((key, row))
    drawn = order[np.append(row[order][1:] != row[order][:-1], True)[: len(order)]]
    drawn = drawn[generator.permutation(len(drawn))]
    code = weights.indices[drawn]
    by_class = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=labels.n_classes))
    return np.split(row[drawn[by_class]].astype(np.int64), ends[:-1])


def _too_few(train: Dataset, pairing: str, count: int) -> str:
    names = ", ".join(train)
    if pairing == "items":
        return (
            f"expected at least two items that every modality ({names}) shows, got {count}. Give "
            "rows that show one item the same id (items=...), or pair rows of one class with "
            "pairing='classes'."
        )
    return (
        f"expected at least two labelled rows of classes that every modality ({names}) has, got "
        f"{count}. Label rows of the same classes in each of them."
    )
