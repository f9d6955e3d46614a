"""The label columns of an items table: classes by name, or weights by class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from commonspace.checks import not_found
from commonspace.data.assemble import class_order
from commonspace.data.formats.tables import Batch, Place
from commonspace.data.labels import Labels
from commonspace.errors import InputError


@dataclass
class LabelColumns:
    """Collects the label columns of a table, batch by batch.

    Attributes:
        place: The table.
        label: Name of the column of classes, and prefix of the graded ones; None reads none.
    """

    place: Place
    label: str | None
    _rows: list[int] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _weights: list[float] = field(default_factory=list)
    _known: set[int] = field(default_factory=set)
    _graded: dict[str, None] = field(default_factory=dict)
    _plain: bool = False

    def graded_class(self, column: str) -> str | None:
        """Return the class whose weights a column holds; None if it holds none."""
        if self.label is None or not column.startswith(f"{self.label}:"):
            return None
        return column.removeprefix(f"{self.label}:")

    def add(self, start: int, batch: Batch) -> None:
        """Read the labels of a batch whose first row is row ``start`` of the table."""
        if self.label is None:
            return
        if self.label in batch.columns:
            self._plain = True
            self._add_classes(start, batch.numbers, batch.columns[self.label])
        for column, cells in batch.columns.items():
            name = self.graded_class(column)
            if name is not None:
                self._graded[name] = None
                self._add_weights(start, batch.numbers, column, cells)
        if self._plain and self._graded:
            raise InputError(
                f"{self.place.path}: expected classes in column {self.label!r} or weights in "
                f"columns '{self.label}:CLASS', got both. Remove one of the two."
            )

    def finish(self, n_rows: int, classes: Sequence[str] | None) -> Labels:
        """Return the labels of all rows of the table."""
        found = list(self._graded) if self._graded else class_order(set(self._names))
        names = tuple(classes) if classes is not None else tuple(found)
        column = {name: k for k, name in enumerate(names)}
        for name in dict.fromkeys([*self._names, *self._graded]):
            if name not in column:
                raise not_found("class", name, names, hint=f"It stands in {self.place.path}.")
        weights = sparse.csr_array(
            (self._weights, (self._rows, [column[name] for name in self._names])),
            shape=(n_rows, len(names)),
            dtype=np.float32,
        )
        weights.eliminate_zeros()
        known = np.zeros(n_rows, bool)
        known[list(self._known)] = True
        return Labels.from_any(Labels(weights, known, names), classes=names)

    def _add_classes(self, start: int, numbers: list[int], cells: list[Any]) -> None:
        where = Place(self.place.path, self.place.unit, str(self.label))
        for row, (number, cell) in enumerate(zip(numbers, cells, strict=True), start=start):
            if cell is None:
                continue
            self._known.add(row)
            for name in dict.fromkeys(_class_names(cell, number, where)):
                self._rows.append(row)
                self._names.append(name)
                self._weights.append(1.0)

    def _add_weights(self, start: int, numbers: list[int], column: str, cells: list[Any]) -> None:
        where = Place(self.place.path, self.place.unit, column)
        for row, (number, cell) in enumerate(zip(numbers, cells, strict=True), start=start):
            if cell is None:
                continue
            self._known.add(row)
            self._rows.append(row)
            self._names.append(column.removeprefix(f"{self.label}:"))
            self._weights.append(_weight(cell, number, where))


def _class_names(cell: Any, number: int, where: Place) -> list[str]:
    """Return the classes that a label cell names."""
    values: Any = cell
    if isinstance(cell, str):
        text = cell.strip()
        values = text.split(";")
        if text.startswith("["):
            try:
                values = json.loads(text)
            except ValueError:
                values = None
    elif not isinstance(cell, list):
        values = cell.tolist() if isinstance(cell, np.ndarray) else [cell]
    names = [_class_name(value) for value in values] if isinstance(values, list) else [None]
    if None in names:
        raise where.error(
            number,
            "a class, several separated by ';', or a JSON list of them",
            repr(cell),
            "Leave the cell empty where the class is unknown.",
        )
    return [name for name in names if name is not None]


def _class_name(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():  # a column of numbers with gaps
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value).strip() or None


def _weight(cell: Any, number: int, where: Place) -> float:
    try:
        weight = float(cell)
    except (TypeError, ValueError):
        weight = -1.0
    if not 0 <= weight <= 1:
        raise where.error(
            number,
            "a weight from 0 to 1",
            repr(cell),
            "Scale the weights; leave the cells of a row empty where its classes are unknown.",
        )
    return weight
