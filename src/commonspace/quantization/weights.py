"""Labels in any of their forms, as one matrix of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from commonspace.errors import InputError
from commonspace.types import AnyArray, Float32Array

HINT = "Pass class numbers (-1 unknown), a weight matrix, or Labels."


def as_weights(labels: Any, *, n: int) -> Float32Array:
    """Return label weights, shape (n, n_classes); zero rows have no label.

    Of class numbers, those that occur have a column each, in their order.

    Args:
        labels: Class numbers, shape (n,), -1 for unknown; or weights from zero up, shape
            (n, n_classes), dense or a SciPy sparse matrix, a row of NaN for unknown; or anything
            with ``dense()``, as `Labels`.
        n: How many rows there must be.

    Raises:
        InputError: Another number of rows, or neither class numbers nor weights.
    """
    if hasattr(labels, "dense"):
        return _of_matrix(_checked(np.asarray(labels.dense()), n))
    values = _checked(_as_array(labels), n)
    if values.ndim == 1:
        return _of_numbers(values)
    if values.shape[1] == 1 and (values.dtype.kind in "iu" or (values > 1).any()):
        raise InputError(
            f"labels: one column of {n} numbers may be class numbers or weights of one class. For "
            f"class numbers pass labels[:, 0]; for weights make them float, from 0 to 1. {HINT}"
        )
    return _of_matrix(values)


def as_weights_of(parts: Sequence[tuple[Any, int]]) -> list[Float32Array]:
    """Label weights of several sets of rows, with the same columns.

    Args:
        parts: Labels as `as_weights` takes them, all of one form, and how many rows each has.

    Raises:
        InputError: As `as_weights`; or they do not have the same classes.
    """
    tables = []
    for labels, n in parts:
        table = labels.dense() if hasattr(labels, "dense") else _as_array(labels)
        tables.append(_checked(np.asarray(table), n))
    shapes = {table.shape[1:] for table in tables}
    if len(shapes) > 1:
        raise InputError(
            "labels: expected the same classes in every modality, got arrays of rows of shape "
            f"{' and '.join(map(str, sorted(shapes)))}. {HINT}"
        )
    whole = as_weights(np.concatenate(tables), n=sum(map(len, tables)))
    return np.split(whole, np.cumsum([len(table) for table in tables])[:-1])


def _as_array(labels: Any) -> AnyArray:
    try:
        return np.asarray(labels.toarray() if hasattr(labels, "toarray") else labels)
    except ValueError as error:
        raise InputError(
            f"labels: expected a matrix, got rows of unequal length. {HINT}"
        ) from error


def _checked(values: AnyArray, n: int) -> AnyArray:
    if values.dtype.kind in "USO":
        raise InputError(
            "labels: expected numbers, got names or other objects. Number names first, as by "
            f"np.unique(names, return_inverse=True)[1]. {HINT}"
        )
    if values.ndim not in (1, 2) or len(values) != n or values.dtype.kind not in "fiub":
        raise InputError(
            f"labels: expected {n} class numbers, or weights of {n} rows by classes, got "
            f"{values.dtype} of shape {values.shape}. {HINT}"
        )
    return values


def _of_numbers(values: AnyArray) -> Float32Array:
    wrong = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values)) & (values >= -1)))
    if len(wrong):
        row = wrong[0]
        raise InputError(
            f"labels: expected whole class numbers from -1 up, got {values[row]} at row {row}. "
            f"{HINT}"
        )
    known = np.flatnonzero(values >= 0)
    classes, columns = np.unique(values[known], return_inverse=True)
    out = np.zeros((len(values), max(1, len(classes))), np.float32)
    out[known, columns] = 1
    return out


def _of_matrix(values: AnyArray) -> Float32Array:
    weights = values.astype(np.float32)
    weights[np.isnan(weights).all(axis=1)] = 0
    wrong = np.argwhere(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"labels: expected finite weights from 0 up (or a whole row of NaN for unknown), got "
            f"{values[row, column]} at row {row}, column {column}. {HINT}"
        )
    return weights
