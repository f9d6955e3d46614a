"""The items table: one row an item, one column a modality."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import check_one_of, not_found
from commonspace.data.assemble import Rows, make_splits, split_name
from commonspace.data.folder import Splits
from commonspace.data.formats.cells import CELL_KINDS, CellKind, ModalityColumn, merge_wide
from commonspace.data.formats.containers import ArrayInfo
from commonspace.data.formats.label_columns import LabelColumns
from commonspace.data.formats.tables import Batch, Place, read_batches, row_unit
from commonspace.errors import InputError, NotFoundError
from commonspace.types import StrArray

_WIDE = re.compile(r"(.+)\[(\d+)\]")


def import_table(
    path: str | Path,
    *,
    modalities: Sequence[str] | Mapping[str, str] | None = None,
    kinds: Mapping[str, CellKind] | None = None,
    label: str | None = "label",
    split: str | None = "split",
    item: str | None = "item",
    classes: Sequence[str] | None = None,
    name: str | None = None,
) -> Splits:
    """Read an items table: one row an item, one column a modality.

    Columns and their cells (an empty cell, or a missing key of JSON, is a missing value):

    ============= ==================================================================
    column        cells
    ============= ==================================================================
    ``item``      the item's id, unique in the table (or ``id``, where no column is called
                  ``item``); without it, rows are numbered
    ``split``     "train", "valid", "test", ...; without the column all is "train"
    ``label``     one class, several as ``a;b`` or a JSON list; empty: unknown; ``[]``: none
    ``label:CAT`` the weight in [0, 1] of class CAT; all empty: unknown, some empty: zero
    ``NAME[0]``.. one number of the vector of modality NAME, from 0 without a gap
    any other     a modality: a vector, a ``.npy`` file, a path, or a text
    ============= ==================================================================

    A vector is written ``0.1 0.2 ...`` or as a JSON list (in Parquet and JSON Lines a list); a
    column of nothing but single numbers is a modality of one feature, unless ``kinds`` says that
    they are texts. A ``.npy`` file holds one vector. A path of a picture, sound, video or 3D model
    is kept, made absolute, for an encoder to read. Relative paths start in the table's folder and
    stay in it.

    Args:
        path: A file ending in .csv, .tsv, .jsonl, .ndjson or .parquet.
        modalities: The modalities to read: names of columns, or a mapping from a modality's name
            to its column. None reads every column without another role.
        kinds: What the cells of a column are, by column: "vector", "npy", "path" or "text". A
            column that is not named is judged by its first 100 filled cells.
        label: Name of the label column, and prefix of the graded ones; None reads no labels.
        split: Name of the split column; None reads none.
        item: Name of the id column ("item" also finds one called "id"); None reads none.
        classes: Names of the classes in order; None sorts those found (whole numbers by value).
        name: What to call the data set; None takes the file's name.

    Returns:
        The splits. Rows of one item in several modalities are a pair.

    Raises:
        NotFoundError: No such file, column or class.
        InputError: A cell is not what is needed; the message names file, line and column.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    table = _Table(path, _wanted(modalities), dict(kinds or {}), label, split, item)
    for kind in table.kinds.values():
        check_one_of("kinds", kind, CELL_KINDS)
    return table.read().finish(classes, name or path.stem)


def describe_table(path: str | Path) -> list[ArrayInfo]:
    """Return what each column of an items table is taken for, with its filled cells.

    Raises:
        NotFoundError: No such file.
        InputError: As `import_table`.
    """
    table = _Table(Path(path), None, {}, "label", "split", "item").read()
    infos = []
    for column in table.seen:
        part = table.columns.get(column)
        values = part.finish() if part is not None else None
        if part is not None and values is not None:
            infos.append(ArrayInfo(column, values[0].shape, str(part.kind)))
        elif part is not None:
            infos.append(ArrayInfo(column, (0,), "empty"))
        else:
            infos.append(ArrayInfo(column, (table.n_rows,), column.partition(":")[0]))
    return infos


def _wanted(modalities: Sequence[str] | Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the modality that each wanted column holds; None if all are wanted."""
    if modalities is None:
        return None
    if isinstance(modalities, str):
        raise InputError(f"modalities: expected a list of names, got the text {modalities!r}.")
    if not isinstance(modalities, Mapping):
        return {name: name for name in modalities}
    return {column: name for name, column in modalities.items()}


@dataclass
class _Table:
    """Collects the rows of a table, batch by batch."""

    path: Path
    wanted: dict[str, str] | None
    kinds: dict[str, CellKind]
    label: str | None
    split: str | None
    item: str | None
    n_rows: int = 0
    columns: dict[str, ModalityColumn] = field(default_factory=dict)
    tags: LabelColumns = field(init=False)
    seen: dict[str, None] = field(default_factory=dict)
    splits: list[str] = field(default_factory=list)
    items: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tags = LabelColumns(Place(self.path, row_unit(self.path)), self.label)

    def place(self, column: str) -> Place:
        return Place(self.path, row_unit(self.path), column)

    def read(self) -> _Table:
        """Read the whole file."""
        if not self.path.is_file():
            raise NotFoundError(f"there is no file {self.path}. Check the path.")
        for batch in read_batches(self.path):
            self.add(batch)
        return self

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        if not self.seen:
            self._find_ids(batch)
        self.seen |= {c: None for c in batch.columns if not _WIDE.fullmatch(c)}
        n = len(batch.numbers)
        self._add_splits(batch)
        self._add_items(batch)
        self.tags.add(self.n_rows, batch)
        for column, cells in self._modality_cells(batch).items():
            if column not in self.columns:
                self.columns[column] = ModalityColumn(self.place(column), self.kinds.get(column))
            self.columns[column].add(self.n_rows, batch.numbers, cells)
        self.n_rows += n

    def _find_ids(self, batch: Batch) -> None:
        """Take a column "id" for the ids where none is called "item" and nobody wants it."""
        plain = self.item == "item" and "item" not in batch.columns
        if plain and "id" in batch.columns and "id" not in {*(self.wanted or ()), *self.kinds}:
            self.item = "id"

    def _modality_cells(self, batch: Batch) -> dict[str, list[Any]]:
        roles = {self.item, self.split, self.label}
        cells: dict[str, list[Any]] = {}
        wide: dict[str, dict[int, list[Any]]] = {}
        for column, values in batch.columns.items():
            if column in roles or self.tags.graded_class(column) is not None:
                continue
            match = _WIDE.fullmatch(column)
            base = match[1] if match else column
            if self.wanted is not None and base not in self.wanted:
                continue
            if match:
                wide.setdefault(base, {})[int(match[2])] = values
                cells.setdefault(base, [])
            else:
                cells[column] = values
        for base, parts in wide.items():
            if base in batch.columns:
                raise InputError(
                    f"{self.path}: expected modality {base!r} in one column or in '{base}[0]', "
                    "..., got both. Rename one of them."
                )
            cells[base] = merge_wide(parts, batch.numbers, self.place(base))
            self.seen |= {base: None}
            self.kinds.setdefault(base, "vector")
        return cells

    def _add_splits(self, batch: Batch) -> None:
        if self.split is None or self.split not in batch.columns:
            self.splits += [""] * len(batch.numbers)
            return
        for number, cell in zip(batch.numbers, batch.columns[self.split], strict=True):
            if not isinstance(cell, str):
                raise self.place(self.split).error(
                    number,
                    "the name of a split, such as 'train' or 'test'",
                    "an empty cell" if cell is None else repr(cell),
                    "Fill the cell, or remove the column to make everything 'train'.",
                )
            self.splits.append(split_name(cell))

    def _add_items(self, batch: Batch) -> None:
        if self.item is None or self.item not in batch.columns:
            return
        for number, cell in zip(batch.numbers, batch.columns[self.item], strict=True):
            where = self.place(self.item)
            if cell is None or isinstance(cell, (list, dict, float)) or "\0" in str(cell):
                got = "an empty cell" if cell is None else repr(cell)
                raise where.error(number, "an id", got, "Give every row an id, or none.")
            first = self.items.setdefault(str(cell), number)
            if first != number:
                raise where.error(
                    number,
                    "an id that stands once in the table",
                    f"{str(cell)!r}, which also stands on {where.unit} {first}",
                    "One row is one item: join the rows, or name them apart.",
                )

    def finish(self, classes: Sequence[str] | None, name: str) -> Splits:
        """Deal the rows to splits."""
        self._check_columns()
        labels = self.tags.finish(self.n_rows, classes)
        items = self._all_items()
        splits = self._all_splits()
        rows = {}
        for column, part in self.columns.items():
            values = part.finish()
            if values is not None:
                x, at = values
                modality = self.wanted[column] if self.wanted is not None else column
                rows[modality] = Rows(x, labels.take(at), items[at], splits[at])
        if not rows:
            raise InputError(
                f"{self.path}: expected at least one column with a modality and a filled cell, got "
                f"columns {', '.join(map(repr, self.seen)) or 'none'}."
            )
        if self.wanted is not None:
            rows = {m: rows[m] for m in self.wanted.values() if m in rows}
        return make_splits(
            rows, name=name, provenance={"imported_from": self.path.name}, where=str(self.path)
        )

    def _check_columns(self) -> None:
        roles = {"label": self.label, "split": self.split, "item": self.item}
        for role, column in roles.items():  # a column by its usual name may be absent
            graded = role == "label" and any(self.tags.graded_class(c) for c in self.seen)
            if column not in (None, role, *self.seen) and not graded:
                hint = f"It was to hold the {role}. The table is {self.path}."
                raise not_found("column", column, self.seen, hint=hint)
        for column in [*(self.wanted or {}), *self.kinds]:
            if column not in self.seen:
                raise not_found("column", column, self.seen, hint=f"The table is {self.path}.")

    def _all_items(self) -> StrArray:
        if self.item is not None and self.item in self.seen:
            if len(self.items) != self.n_rows:
                raise InputError(f"{self.path}: {self.n_rows - len(self.items)} rows have no id.")
            return np.array(list(self.items), dtype=np.str_)
        return np.array([str(row) for row in range(self.n_rows)], dtype=np.str_)

    def _all_splits(self) -> StrArray:
        if self.split is not None and self.split in self.seen:
            if "" in self.splits:
                raise InputError(
                    f"{self.path}: {self.splits.count('')} rows have no {self.split!r}. Fill them."
                )
            return np.array(self.splits, dtype=np.str_)
        return np.full(self.n_rows, "train")
