"""A synthetic data set for tests and examples: classes seen through random nonlinear maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from zlib import crc32

import numpy as np

from commonspace.checks import check_one_of, check_range
from commonspace.data.dataset import Dataset
from commonspace.data.folder import Splits
from commonspace.errors import InputError
from commonspace.types import AnyArray, Float32Array

_LATENT = 16  # dimensions in which classes are Gaussian, before a modality's own map
_HIDDEN = 32


def make_dataset(
    *,
    n_items: int = 300,
    n_classes: int = 5,
    dims: Mapping[str, int] | None = None,
    label_kind: Literal["single", "multi"] = "single",
    paired: bool = True,
    noise: float = 0.5,
    test_fraction: float = 0.3,
    seed: int = 0,
) -> Splits:
    """Draw a labelled data set that any method can learn, in milliseconds.

    An item is a point in a latent space: the mean of its classes' centres plus Gaussian noise. A
    modality shows it as tanh(z A) B plus a little noise of its own, A and B random. Modality maps
    depend on the seed and the modality's name alone: one more modality leaves the others as they
    were.

    Args:
        n_items: Items of each modality, at least two a class.
        n_classes: At least 2.
        dims: Features of each modality; None: {"image": 32, "text": 16}.
        label_kind: "single": one class an item; "multi": one to three.
        paired: Whether the modalities show the same items; if not, each draws its own.
        noise: Standard deviation within a class; class centres are about 5 apart.
        test_fraction: Share of the items in "test", stratified; the rest is "train".
        seed: Of everything that is random.

    Returns:
        Splits "train" and "test".

    Raises:
        InputError: A number is out of range.

    Example:
        >>> data = make_dataset(n_items=40, n_classes=4)
        >>> data["train"].x("image").shape, data["test"].x("text").shape
        ((28, 32), (12, 16))
    """
    widths = dict(dims) if dims is not None else {"image": 32, "text": 16}
    _check(n_items, n_classes, widths, label_kind, noise, test_fraction, seed)
    rng = np.random.default_rng([seed, 1])
    centres = rng.normal(size=(n_classes, _LATENT)).astype(np.float32)
    x, labels, items = {}, {}, {}
    for name, width in widths.items():
        own = _named_rng(name, seed)
        drawn = np.random.default_rng([seed, 2]) if paired else own
        multi_hot = _draw_labels(n_items, n_classes, label_kind, drawn)
        latent = multi_hot @ centres / multi_hot.sum(axis=1, keepdims=True)
        latent = latent + noise * drawn.normal(size=latent.shape)
        x[name] = _show(latent, width, _named_rng(name, seed + 1))
        labels[name] = multi_hot
        items[name] = [f"{'' if paired else name + '-'}{row}" for row in range(n_items)]
    classes = [f"class-{k}" for k in range(n_classes)]
    data = Dataset.from_arrays(x, labels, classes=classes, items=items)
    train, test = data.split(test_fraction, seed=seed)
    return Splits({"train": train, "test": test}, "synthetic", {"made_by": "make_dataset"})


def _check(
    n_items: int,
    n_classes: int,
    widths: Mapping[str, int],
    label_kind: str,
    noise: float,
    test_fraction: float,
    seed: int,
) -> None:
    check_range("seed", seed, low=0, integer=True)
    check_range("n_classes", n_classes, low=2, integer=True)
    check_range("n_items", n_items, low=2 * n_classes, integer=True)
    check_one_of("label_kind", label_kind, ("single", "multi"))
    check_range("noise", noise, low=0.0)
    check_range("test_fraction", test_fraction, low=0.0, high=1.0)
    if not widths:
        raise InputError("dims: expected at least one modality, got none.")
    for name, width in widths.items():
        check_range(f"dims[{name!r}]", width, low=1, integer=True)


def _named_rng(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 3, crc32(name.encode())])


def _draw_labels(n_items: int, n_classes: int, kind: str, rng: np.random.Generator) -> Float32Array:
    multi_hot = np.zeros((n_items, n_classes), np.float32)
    multi_hot[np.arange(n_items), rng.permutation(np.arange(n_items) % n_classes)] = 1
    if kind == "multi":
        for _ in range(2):
            more = rng.integers(n_classes, size=n_items)
            rows = np.flatnonzero(rng.random(n_items) < 0.5)
            multi_hot[rows, more[rows]] = 1
    return multi_hot


def _show(latent: AnyArray, width: int, rng: np.random.Generator) -> Float32Array:
    into = rng.normal(size=(_LATENT, _HIDDEN)) / np.sqrt(_LATENT)
    out = rng.normal(size=(_HIDDEN, width)) / np.sqrt(_HIDDEN)
    seen = np.tanh(latent @ into) @ out
    x: Float32Array = (seen + 0.05 * rng.normal(size=seen.shape)).astype(np.float32)
    return x
