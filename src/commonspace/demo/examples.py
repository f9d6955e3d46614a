"""Retrieval examples of any model on any data set, as one page: queries and what they find.

After figures 7 and 8 of the MS-DMML paper: for each direction some queries, the first results in
order, and whether each shares a class with the query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import as_features, check_range
from commonspace.data import Dataset, Modality
from commonspace.demo.gallery import GalleryRow, Item, Result, Section, write_gallery
from commonspace.errors import InputError
from commonspace.store.pipelines import model_inputs
from commonspace.training import derive_seed
from commonspace.types import BoolArray, Float32Array, IntArray

_LONGEST = 90  # characters of a text that are shown
_MOST_CLASSES = 6  # names of classes that are shown of an item


def write_examples(
    path: str | Path,
    model: Any,
    data: Dataset,
    *,
    shown: Dataset | None = None,
    modalities: Sequence[str] | None = None,
    queries: int = 6,
    k: int = 10,
    seed: int = 0,
    title: str = "Retrieval examples",
) -> Path:
    """Write a page of examples for every ordered pair of modalities, within each of them too.

    Queries are drawn by a seed, one a class in turn, and the same items in every direction as far
    as they are there. The query itself is never among its results.

    Args:
        path: The HTML file; replaced when the new one is whole.
        model: A fitted method.
        data: Features or raw items, with labels; rows of unknown labels are left out.
        shown: What to show of the items, where ``data`` holds features: raw items with the same
            names of modalities and the same item ids. An item without a raw one shows its id.
        modalities: Which; None takes those that data and model share.
        queries: A direction.
        k: Results a query.
        seed: Of the queries.
        title: Of the page.

    Returns:
        The path.

    Raises:
        InputError: Nothing in common, or a modality without known labels.
        NotFoundError: No modality of a name that is asked for.
    """
    check_range("queries", queries, low=1, integer=True)
    check_range("k", k, low=1, integer=True)
    inputs = model_inputs(model, data if modalities is None else data.select(list(modalities)))
    sides = {name: _Side(name, model, part, shown or data) for name, part in inputs.items()}
    chosen = {name: side.draw(queries, seed) for name, side in sides.items()}
    sections = [
        Section(f"{a} → {b}", list(_rows(sides[a], sides[b], chosen[a], k)))
        for a in sides
        for b in sides
    ]
    lead = (
        f"{type(model).__name__}: queries drawn by seed {seed}, the first {k} results by cosine. "
        "A result is right if it shares a class with the query, which is never among its results."
    )
    return write_gallery(path, sections, title=title, lead=lead)


class _Side:
    """One modality: unit vectors, classes, and what to show of each row."""

    def __init__(self, name: str, model: Any, part: Modality, shown: Dataset) -> None:
        known = part.labels.known
        if not known.any():
            raise InputError(f"modality {name!r}: expected known labels to tell right from wrong.")
        if not known.all():  # a result of unknown classes is neither right nor wrong
            part = part.take(np.flatnonzero(known))
        self.name, self.part = name, part
        vectors = as_features(model.transform(name, part.x), where=f"vectors of {name!r}")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.unit: Float32Array = vectors / np.maximum(lengths, 1e-12)
        self.weights = part.labels.dense() > 0
        self.classes = part.labels.classes
        self.raw, self.row_of = _raw_rows(name, shown)

    def draw(self, count: int, seed: int) -> IntArray:
        """Rows of queries: items in a seeded order, one a class in turn."""
        draws = [derive_seed(seed, str(item)) for item in self.part.items]
        order = np.argsort(draws, kind="stable")
        order = order[self.weights[order].any(axis=1)]
        first = self.weights[order].argmax(axis=1)
        by_class = np.argsort(first, kind="stable")
        ahead = np.searchsorted(first[by_class], first[by_class])
        turn = np.empty(len(first), np.int64)
        turn[by_class] = np.arange(len(first)) - ahead
        return np.asarray(order[np.argsort(turn, kind="stable")[:count]], dtype=np.int64)

    def item(self, row: int) -> Item:
        """What the page shows of a row."""
        known = [self.classes[k] for k in np.flatnonzero(self.weights[row])]
        more = ["…"] if len(known) > _MOST_CLASSES else []
        names = ", ".join(known[:_MOST_CLASSES] + more)
        name = str(self.part.items[row])
        at = self.row_of.get(name)
        if self.raw is None or at is None:
            return Item(name, names)
        raw = self.raw[at]
        if self.raw.ndim == 1:
            text = str(raw)
            if Path(text).suffix.lower() in (".jpg", ".jpeg", ".png") and Path(text).is_file():
                return Item(name, names, image=Path(text))
            return Item(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", names)
        return Item(name, names, image=raw)


def _rows(queries: _Side, gallery: _Side, rows: IntArray, k: int) -> Iterator[GalleryRow]:
    scores = queries.unit[rows] @ gallery.unit.T
    if queries is gallery:
        scores[np.arange(len(rows)), rows] = -np.inf
    most = len(gallery.part) - int(queries is gallery)
    best = np.argsort(-scores, axis=1, kind="stable")[:, : min(k, most)]
    for at, row in enumerate(rows):
        relevant: BoolArray = (gallery.weights[best[at]] & queries.weights[row]).any(axis=1)
        found = zip(best[at], relevant, strict=True)
        results = [Result(gallery.item(i), float(scores[at, i]), bool(hit)) for i, hit in found]
        yield GalleryRow(queries.item(int(row)), results)


def _raw_rows(name: str, shown: Dataset) -> tuple[Any, dict[str, int]]:
    """Raw items of a modality, and the row of each item id; None where it holds features."""
    if name not in shown:
        return None, {}
    part = shown[name]
    pictures = part.x.ndim == 4 and part.x.dtype == np.uint8
    if not pictures and part.x.dtype.kind != "U":
        return None, {}
    return part.x, {str(item): row for row, item in enumerate(part.items)}
