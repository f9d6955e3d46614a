"""Cells of a table as the rows of one modality: a vector, a text, or a path."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commonspace.data.formats.tables import Place
from commonspace.errors import InputError
from commonspace.media import MEDIA_SUFFIXES
from commonspace.types import AnyArray, Float32Array, IntArray

CellKind = Literal["vector", "npy", "path", "text"]
CELL_KINDS: tuple[CellKind, ...] = ("vector", "npy", "path", "text")
_Guess = CellKind | Literal["number"]
_LOOKED_AT = 100  # cells from which a column's kind is guessed


@dataclass
class ModalityColumn:
    """Collects the filled cells of one modality's column, batch by batch.

    Attributes:
        place: Where the column stands.
        kind: What its cells are; None: guessed from the first cells.
    """

    place: Place
    kind: CellKind | None = None
    _rows: list[IntArray] = field(default_factory=list)
    _blocks: list[AnyArray] = field(default_factory=list)

    def add(self, start: int, numbers: Sequence[int], cells: Sequence[Any]) -> None:
        """Read a batch of cells whose first is row ``start`` of the table."""
        filled = [row for row, cell in enumerate(cells) if cell is not None]
        if not filled:
            return
        chosen = [cells[row] for row in filled]
        lines = [numbers[row] for row in filled]
        if self.kind is None:
            self.kind = _guess_column(chosen[:_LOOKED_AT], lines, self.place)
        self._rows.append(np.array(filled, np.int64) + start)
        self._blocks.append(self._read(chosen, lines))

    def finish(self) -> tuple[AnyArray, IntArray] | None:
        """Return the values and their rows in the table; None if every cell was empty."""
        if not self._blocks:
            return None
        return np.concatenate(self._blocks), np.concatenate(self._rows)

    def _read(self, cells: list[Any], lines: list[int]) -> AnyArray:
        if self.kind == "text":
            return _read_texts(cells, lines, self.place)
        if self.kind == "path":
            paths = [_resolve(c, n, self.place) for c, n in zip(cells, lines, strict=True)]
            return np.array([str(path) for path in paths], dtype=np.str_)
        if self.kind == "npy":
            rows = [_load_vector(c, n, self.place) for c, n in zip(cells, lines, strict=True)]
        else:
            rows = _parse_vectors(cells, lines, self.place)
        expected = self._blocks[0].shape[1] if self._blocks else len(rows[0])
        return _stack(rows, expected, lines, self.place)


def merge_wide(columns: dict[int, list[Any]], numbers: Sequence[int], place: Place) -> list[Any]:
    """Turn columns NAME[0], NAME[1], ... of one batch into one column of vectors."""
    order = sorted(columns)
    if order != list(range(len(order))):
        gap = next(k for k in range(len(order)) if k not in columns)
        raise InputError(
            f"{place.path}: expected columns {place.column}[0] to {place.column}[{order[-1]}] "
            f"without a gap, got none named '{place.column}[{gap}]'."
        )
    merged: list[Any] = []
    for number, row in zip(numbers, zip(*(columns[k] for k in order), strict=True), strict=True):
        empty = row.count(None)
        if empty and empty < len(row):
            raise place.error(
                number,
                f"all {len(row)} cells of the vector filled, or all empty",
                f"{empty} empty, the first in '{place.column}[{row.index(None)}]'",
                "Fill them, or empty the whole vector to leave this modality out.",
            )
        merged.append(None if empty else _joined(row))
    return merged


def _joined(row: tuple[Any, ...]) -> Any:
    return " ".join(row) if all(type(cell) is str for cell in row) else list(row)


def _guess_column(cells: list[Any], lines: list[int], place: Place) -> CellKind:
    guesses = _settled([_guess(cell) for cell in cells])
    (common, count), *_ = Counter(guesses).most_common(1)
    if count < len(guesses) and common != "text":
        other = next(row for row, guess in enumerate(guesses) if guess != common)
        raise place.error(
            lines[other],
            f"a {common} as in most of the first {len(cells)} filled cells",
            _shown(cells[other]),
            f"Correct the cell, or say what the column holds with kinds={{{place.column!r}: ...}}.",
        )
    return common


def _settled(guesses: list[_Guess]) -> list[CellKind]:
    """Take lone numbers for vectors of one number; next to anything else they are words."""
    alone = set(guesses) == {"number"}
    return [("vector" if alone else "text") if g == "number" else g for g in guesses]


def _guess(cell: Any) -> _Guess:
    if not isinstance(cell, str):
        return "vector"
    text = cell.strip()
    suffix = text[-5:].lower().rpartition(".")[2]
    if suffix == "npy":
        return "npy"
    if f".{suffix}" in MEDIA_SUFFIXES and "." in text[-5:]:
        return "path"
    try:
        vector = _parse_quietly(text)
    except (ValueError, TypeError, DeprecationWarning):
        return "text"
    return "vector" if text.startswith("[") or len(vector) > 1 else "number"


def _parse_quietly(cell: Any) -> Float32Array:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return _parse_vector(cell)


def _parse_vectors(cells: list[Any], lines: list[int], place: Place) -> list[Float32Array]:
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy only warns of text that stops being numbers
        for cell, number in zip(cells, lines, strict=True):
            try:
                rows.append(_parse_vector(cell))
            except (ValueError, TypeError, DeprecationWarning):
                raise place.error(
                    number,
                    "a vector (numbers separated by blanks, or a JSON list)",
                    _shown(cell),
                    f"Correct the cell, or pass kinds={{{place.column!r}: 'text'}}.",
                ) from None
    return rows


def _parse_vector(cell: Any) -> Float32Array:
    if isinstance(cell, str):
        text = cell.strip()
        listed = text[:1] == "["
        if listed and text[-1:] != "]":
            raise ValueError("the list is not closed")
        body, separator = (text[1:-1], ",") if listed else (text, " ")
        if listed and body.rstrip()[-1:] == ",":
            raise ValueError("the list ends with a comma")
        with np.errstate(over="ignore"):
            return np.fromstring(body, dtype=np.float32, sep=separator)
    values = np.asarray(cell)
    if values.dtype.kind not in "iuf" or values.ndim > 1:
        raise TypeError("not a list of numbers")
    with np.errstate(over="ignore"):
        return np.atleast_1d(values).astype(np.float32)


def _stack(rows: list[Float32Array], expected: int, lines: list[int], place: Place) -> Float32Array:
    for row, number in zip(rows, lines, strict=True):
        if len(row) != expected or not expected:
            raise place.error(
                number,
                f"{expected or 'some'} numbers (as in the column's first filled cell)",
                str(len(row)),
                "Every vector of a modality has the same length.",
            )
    block = np.stack(rows)
    bad = np.argwhere(~np.isfinite(block))
    if len(bad):
        row, position = bad[0]
        raise place.error(
            lines[row],
            "finite numbers within the range of float32",
            f"{block[row, position]} at position {position} (from 0)",
            "Impute it, or empty the cell to leave this modality out of the item.",
        )
    return block


def _read_texts(cells: list[Any], lines: list[int], place: Place) -> AnyArray:
    for cell, number in zip(cells, lines, strict=True):
        if not isinstance(cell, (str, int, float)) or isinstance(cell, bool):
            raise place.error(number, "a text", _shown(cell), "Write the cell as text.")
        if isinstance(cell, str) and "\0" in cell:
            raise place.error(number, "a text", "one with a NUL character", "Remove it.")
    return np.array([str(cell) for cell in cells], dtype=np.str_)


def _resolve(cell: Any, number: int, place: Place) -> Path:
    """Return the file a cell names: absolute, or inside the table's folder."""
    if not isinstance(cell, str) or "\0" in cell:
        raise place.error(number, "a path", _shown(cell), "Write the path as text.")
    folder = place.path.parent.resolve()
    path = (folder / cell.strip()).resolve()
    if not Path(cell.strip()).is_absolute() and not path.is_relative_to(folder):
        raise place.error(
            number,
            "a path inside the table's folder",
            _shown(cell),
            "Write the absolute path if you mean a file elsewhere.",
        )
    if not path.is_file():
        raise place.error(
            number,
            "an existing file",
            f"{_shown(cell)}, which is not there",
            f"Paths are relative to {place.path.parent}.",
        )
    return path


def _load_vector(cell: Any, number: int, place: Place) -> Float32Array:
    path = _resolve(cell, number, place)
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise place.error(
            number, "a .npy file with one vector", f"{_shown(cell)} ({error})", "Write it again."
        ) from error
    values = values[0] if isinstance(values, np.ndarray) and values.shape[:-1] == (1,) else values
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iuf":
        shape = getattr(values, "shape", "several arrays")
        raise place.error(
            number,
            "a .npy file with one vector of numbers",
            f"{_shown(cell)} with shape {shape}",
            "For a matrix with a row an item, put it in an .npz file and import that.",
        )
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."
