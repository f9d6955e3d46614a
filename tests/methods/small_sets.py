"""Small data sets with something amiss that several methods have to bear."""

from __future__ import annotations

import numpy as np

from commonspace.data import Dataset, make_dataset


def partly_labelled(*, n_items: int, every: int, short: int, noise: float) -> Dataset:
    """Of three classes: each so many-th item has no label, the last few are images alone."""
    dims = {"image": 4, "text": 3}
    made = make_dataset(n_items=n_items, n_classes=3, dims=dims, noise=noise, seed=2)["train"]
    codes = made.labels("image").codes.copy()
    codes[::every] = -1
    x = {"image": made.x("image"), "text": made.x("text")[:-short]}
    labels = {"image": codes, "text": codes[:-short]}
    items = {name: made["image"].items[: len(x[name])] for name in x}
    return Dataset.from_arrays(x, labels, classes=made.classes, items=items)


def with_and_without_unlabelled_rows() -> tuple[Dataset, Dataset]:
    """Data of which every second row has no label, and the other rows alone."""
    data = make_dataset(n_items=60, n_classes=3)["train"]
    codes = data.labels("image").codes.copy()
    codes[::2] = -1
    x = {name: part.x for name, part in data.items()}
    some = Dataset.from_arrays(x, codes, classes=data.classes)
    labelled = {name: value[1::2] for name, value in x.items()}
    return some, Dataset.from_arrays(labelled, codes[1::2], classes=data.classes)


def of_few_classes(n_classes: int) -> Dataset:
    """Twelve items of one or two classes, a constant feature, and an image that is all zeros."""
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    x[:, 0] = 1
    x[0] = 0
    y = np.arange(12) % n_classes
    return Dataset.from_arrays({"image": x, "text": -x}, y, classes=["a", "b"][:n_classes])


def joined_by_loops(z: np.ndarray, neighbours: int) -> np.ndarray:
    """Which rows are joined, by loops: 1 where either is among the other's nearest."""
    joined = np.zeros((len(z), len(z)))
    for row in range(len(z)):
        distance = np.linalg.norm(z - z[row], axis=1)
        distance[row] = np.inf
        joined[row, np.argsort(distance)[:neighbours]] = 1
    return np.maximum(joined, joined.T)
