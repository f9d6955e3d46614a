"""Rows of CSV, JSON Lines and Parquet files, in batches of columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from commonspace.checks import require
from commonspace.errors import InputError

BATCH_ROWS = 4096
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_MAX_CELL_CHARS = 2**31 - 1  # csv's own limit of 131072 is less than a long vector


@dataclass(frozen=True)
class Place:
    """One column of a table, so that a message can say where a cell stands.

    Attributes:
        path: The table.
        unit: What its rows are counted in: "line" (CSV, JSON Lines) or "row" (Parquet), from 1.
        column: Name of the column; "" speaks of the whole row.
    """

    path: Path
    unit: str
    column: str = ""

    def error(self, number: int, expected: str, got: str, fix: str) -> InputError:
        """Return the error for the cell at a line or row."""
        column = f", column {self.column!r}" if self.column else ""
        return InputError(
            f"{self.path}, {self.unit} {number}{column}: expected {expected}, got {got}. {fix}"
        )


@dataclass(frozen=True)
class Batch:
    """Some rows of a table by columns.

    Attributes:
        numbers: Line or row number of each row, from 1.
        columns: The cells of each column; None is an empty cell.
    """

    numbers: list[int]
    columns: dict[str, list[Any]]


def row_unit(path: Path) -> str:
    """Return what the rows of a table file are counted in."""
    return "row" if path.suffix.lower() == ".parquet" else "line"


def read_batches(path: Path, *, rows: int = BATCH_ROWS) -> Iterator[Batch]:
    """Read a table in batches of rows.

    Args:
        path: A file ending in .csv, .tsv, .jsonl, .ndjson or .parquet.
        rows: Most rows in a batch.

    Raises:
        InputError: Another suffix, or a line that cannot be read; the message names it.
        MissingExtraError: Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    readers: dict[str, Callable[[Path, int], Iterator[Batch]]] = {
        ".csv": lambda path, rows: _read_csv(path, rows, ","),
        ".tsv": lambda path, rows: _read_csv(path, rows, "\t"),
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if suffix not in readers:
        raise InputError(
            f"{path}: expected a table ({', '.join(TABLE_SUFFIXES)}), got suffix {suffix!r}."
        )
    yield from readers[suffix](path, rows)


def _read_csv(path: Path, rows: int, delimiter: str) -> Iterator[Batch]:
    place = Place(path, "line")
    with _text_of(path) as file, _long_cells():
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        numbered = _numbered(reader, place)
        _, cells_of_header = next(numbered, (0, []))
        header = [name.strip() for name in cells_of_header]
        _check_header(header, place)
        while block := list(islice(numbered, rows)):
            for number, row in block:
                if len(row) != len(header):
                    raise place.error(
                        number,
                        f"{len(header)} cells (one a column of the header)",
                        str(len(row)),
                        "Quote cells that hold the separator, or add the missing cells.",
                    )
            columns = zip(*(row for _, row in block), strict=True)
            cells = [[c if c and not c.isspace() else None for c in col] for col in columns]
            yield Batch([number for number, _ in block], dict(zip(header, cells, strict=True)))


def _numbered(reader: Any, place: Place) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the number of its first line."""
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise place.error(
                first, "a row of CSV", f"{error}", "Check the quotes on this line."
            ) from error
        if row:
            yield first, row


def _check_header(header: list[str], place: Place) -> None:
    if not header:
        raise InputError(f"{place.path}: expected a header line with column names, got none.")
    for index, name in enumerate(header):
        if not name:
            raise place.error(
                1,
                "a name for every column",
                f"none for column {index + 1}",
                "Name it, or write the table without its index column.",
            )
        if name in header[:index]:
            raise place.error(1, "different column names", f"{name!r} twice", "Rename one.")


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_MAX_CELL_CHARS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def _text_of(path: Path) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected text in UTF-8, got the byte {error.object[error.start]:#04x} that "
            "is not. Save the table as UTF-8."
        ) from error


def _read_jsonl(path: Path, rows: int) -> Iterator[Batch]:
    place = Place(path, "line")
    with _text_of(path) as file:
        lines = ((n, line) for n, line in enumerate(file, start=1) if not line.isspace())
        while block := list(islice(lines, rows)):
            objects = [_json_object(line, number, place) for number, line in block]
            names = dict.fromkeys(name for entry in objects for name in entry)
            columns = {name: [_filled(entry.get(name)) for entry in objects] for name in names}
            yield Batch([number for number, _ in block], columns)


def _json_object(line: str, number: int, place: Place) -> dict[str, Any]:
    fix = "Write one JSON object a line."
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise place.error(
            number, "a JSON object", f"text that is not JSON ({error})", fix
        ) from None
    if not isinstance(entry, dict):
        raise place.error(number, "a JSON object", type(entry).__name__, fix)
    return entry


def _filled(cell: Any) -> Any:
    return None if isinstance(cell, str) and (not cell or cell.isspace()) else cell


def _read_parquet(path: Path, rows: int) -> Iterator[Batch]:
    parquet = require("pyarrow.parquet", extra="parquet", what="Reading Parquet")
    arrow = require("pyarrow", extra="parquet", what="Reading Parquet")
    try:
        with parquet.ParquetFile(path) as file:
            start = 1
            for batch in file.iter_batches(batch_size=rows):
                numbers = list(range(start, start + batch.num_rows))
                start += batch.num_rows
                yield Batch(
                    numbers, {f.name: _arrow_cells(batch[f.name], arrow) for f in batch.schema}
                )
    except arrow.ArrowException as error:
        raise InputError(f"{path} is not a readable Parquet file: {error}") from error


def _arrow_cells(column: Any, arrow: Any) -> list[Any]:
    kind = column.type
    listed = arrow.types.is_list(kind) or arrow.types.is_large_list(kind)
    if listed or arrow.types.is_fixed_size_list(kind):
        if arrow.types.is_floating(kind.value_type) or arrow.types.is_integer(kind.value_type):
            return list(column.to_numpy(zero_copy_only=False))
    return [_filled(cell) for cell in column.to_pylist()]
