"""What every public door checks about its inputs, written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from commonspace.errors import InputError, MissingExtraError, NotFoundError
from commonspace.types import AnyArray, Float32Array


def as_features(x: Any, *, where: str, n_features: int | None = None) -> Float32Array:
    """Return ``x`` as a C-ordered float32 matrix, or say which row and column is wrong.

    Args:
        x: Anything numpy can read as a two-dimensional numeric array. Never changed.
        where: What the message calls it, such as ``"modality 'text'"``.
        n_features: The number of columns it must have; None accepts any.

    Returns:
        Shape (n, n_features), float32; a view of ``x`` where that needs no copy.

    Raises:
        InputError: Not numeric, not two-dimensional, another number of columns, NaN, infinite,
            or finite but beyond the range of float32.
    """
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{where}: expected a matrix, got rows of unequal length.") from error
    except (RuntimeError, TypeError) as error:  # a tensor of another device, or with a gradient
        raise InputError(
            f"{where}: expected an array, got {type(x).__name__} that numpy cannot read: {error}"
        ) from error
    if array.ndim == 0:
        hint = " Pass x.toarray()." if hasattr(x, "toarray") else ""
        raise InputError(
            f"{where}: expected a matrix (items, features), got {type(x).__name__}.{hint}"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{where}: expected numbers, got an array of dtype {array.dtype} and shape "
            f"{array.shape}. Encode raw items to feature vectors first."
        )
    if array.ndim != 2:
        hint = " For one item pass x[None, :]." if array.ndim == 1 else ""
        raise InputError(
            f"{where}: expected a matrix (items, features), got shape {array.shape}.{hint}"
        )
    if n_features is not None and array.shape[1] != n_features:
        raise InputError(
            f"{where}: expected {n_features} features (as in fit), got {array.shape[1]} in an "
            f"array of shape {array.shape}. Encode these items with the encoder used for training."
        )
    if array.shape[1] == 0:
        raise InputError(f"{where}: expected at least one feature, got shape {array.shape}.")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        out: Float32Array = array
    else:
        with np.errstate(over="ignore"):
            out = np.ascontiguousarray(array, dtype=np.float32)
    check_finite(out, where=where)
    return out


def check_finite(x: AnyArray, *, where: str, block: int = 1 << 22) -> None:
    """Raise `InputError` naming the first row and column of ``x`` that is NaN or infinite.

    Args:
        x: A matrix of numbers.
        where: What the message calls it.
        block: Numbers to look at together.
    """
    rows = max(1, block // max(1, x.shape[1]))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        # A sum is finite unless something in it is not (or it overflows, which isfinite settles).
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(part.sum(dtype=np.float64)):
                continue
        bad = np.argwhere(~np.isfinite(part))
        if len(bad):
            row, column = bad[0]
            raise InputError(
                f"{where}: expected finite numbers, got {part[row, column]} at row "
                f"{start + row}, column {column} (the first of {len(bad)}). Drop or impute "
                "these rows, or leave the item out of this modality."
            )


def as_ids(ids: Iterable[Any], *, where: str, n: int | None = None) -> np.ndarray[Any, Any]:
    """Return item ids as a numpy array of strings, or raise if they repeat or do not fit.

    Args:
        ids: Strings or integers.
        where: What the message calls them.
        n: How many there must be; None accepts any number.

    Raises:
        InputError: Not a list, another number, an id that is empty or stands twice.
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InputError(f"{where}: expected one id a row, got {ids!r}.")
    values = [str(value) for value in ids]
    if n is not None and len(values) != n:
        raise InputError(f"{where}: expected {n} ids, got {len(values)}.")
    seen: set[str] = set()
    for row, value in enumerate(values):
        if not value or "\0" in value:
            raise InputError(f"{where}: the id at row {row} is empty or holds a NUL character.")
        if value in seen:
            raise InputError(
                f"{where}: id {value!r} stands at more than one row (again at row {row}). "
                "Ids must be unique within a modality."
            )
        seen.add(value)
    return np.array(values, dtype=np.str_) if values else np.empty(0, dtype="<U1")


def check_names(what: str, names: Any) -> None:
    """Raise `InputError` unless these are several names: a text would count as its letters."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise InputError(f"{what}: expected a list of names as ['a', 'b'], got {names!r}.")


def check_mapping(name: str, value: Any, *, example: str) -> None:
    """Raise `InputError` unless ``value`` is a mapping."""
    if not isinstance(value, Mapping):
        raise InputError(
            f"{name}: expected a mapping such as {example}, got {type(value).__name__}."
        )


def check_one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raise `InputError` unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise InputError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}.")


def check_range(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    integer: bool = False,
) -> None:
    """Raise `InputError` unless ``value`` is a number within [low, high].

    Args:
        name: What the message calls it.
        value: Anything; neither a bool nor a text is a number, and NaN is within no bound.
        low: The least; None is any.
        high: The most; None is any.
        integer: Whether it has to be a whole number.
    """
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    inside = (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and (low is None or value >= low)
        and (high is None or value <= high)
    )
    if not inside:
        kind = "a whole number" if integer else "a number"
        span = f" from {low}" if low is not None else ""
        span += f" up to {high}" if high is not None else ""
        raise InputError(f"{name}: expected {kind}{span}, got {value!r}.")


def check_bits(name: str, value: Any, *, high: int) -> None:
    """Raise `InputError` unless ``value`` bits, up to ``high``, are whole bytes."""
    check_range(name, value, low=8, high=high, integer=True)
    if value % 8:
        raise InputError(f"{name}: expected a multiple of 8 from 8 to {high}, got {value}.")


def check_widths(hidden: Any) -> None:
    """Raise `InputError` unless ``hidden`` is a list of widths of layers."""
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise InputError(f"hidden: expected a list of widths as [512, 512], got {hidden!r}.")
    for width in hidden:
        check_range("hidden", width, low=1, integer=True)


def check_rates(rates: Any) -> None:
    """Raise `InputError` unless ``rates`` is a learning rate, or a mapping to some."""
    for rate in rates.values() if isinstance(rates, Mapping) else [rates]:
        check_range("learning_rate", rate, low=1e-12, high=10)


def check_betas(betas: Any) -> None:
    """Raise `InputError` unless ``betas`` are two numbers that Adam can decay by."""
    if isinstance(betas, str) or not isinstance(betas, Sequence) or len(betas) != 2:
        raise InputError(f"betas: expected two numbers as [0.9, 0.99], got {betas!r}.")
    for beta in betas:
        check_range("betas", beta, low=0, high=0.999999)


def check_flag(name: str, value: Any) -> None:
    """Raise `InputError` unless ``value`` is True or False: any text would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}: expected True or False, got {value!r}.")


def not_found(kind: str, name: object, known: Iterable[str], *, hint: str = "") -> NotFoundError:
    """Return the error for a name that is not there, with the nearest one that is.

    Args:
        kind: What was asked for, such as "modality".
        name: The name.
        known: The names there are.
        hint: A last sentence.
    """
    names = [str(value) for value in known]
    folded = {value.lower(): value for value in names}
    close = get_close_matches(str(name).lower(), folded, n=1)
    guess = f" Did you mean {folded[close[0]]!r}?" if close else ""
    shown = ", ".join(repr(value) for value in names[:20]) + (", ..." if len(names) > 20 else "")
    there = f"There {'is' if len(names) == 1 else 'are'}: {shown}." if names else "There is none."
    return NotFoundError(f"no {kind} named {name!r}. {there}{guess}{' ' + hint if hint else ''}")


def require(package: str, *, extra: str, what: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        package: The module to import.
        extra: The extra of commonspace that installs it.
        what: What needs it, for the message.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(what, package.partition(".")[0], extra) from error
