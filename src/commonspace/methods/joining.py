"""What a modality brings that joins a fitted model: rows, and labels in classes of the space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np
from scipy.sparse import issparse

from commonspace.data import Labels
from commonspace.errors import InputError
from commonspace.space import Space


def check_rows(modality: str, x: Any, valid: Any) -> None:
    """Raise `InputError` unless ``x`` has rows, and ``valid`` is a pair or None."""
    if np.ndim(x) == 0 if isinstance(x, np.ndarray) else not isinstance(x, Sized):
        raise InputError(f"modality {modality!r}: expected rows of features, got {x!r}.")
    if valid is not None and not (isinstance(valid, Sequence) and len(valid) == 2):
        raise InputError(
            f"valid: expected a pair (features, labels), got {type(valid).__name__}. For one of "
            "them alone, leave it out."
        )


def labels_in_space(
    space: Space, labels: Any, n: int, *, can_add_classes: bool
) -> tuple[Space, Labels]:
    """Read labels; names that are new extend the space, where they may.

    Args:
        space: The model's.
        labels: As in `Dataset.from_arrays`; None: all unknown.
        n: How many rows there are.
        can_add_classes: Whether the space may get classes that it does not have.

    Returns:
        The space, extended or the same, and the labels over its classes.

    Raises:
        InputError: Not labels, or a class that the space does not have and may not get.
    """
    if labels is None:
        return space, Labels.unknown(n, space.classes)
    plain = isinstance(labels, np.ndarray | Labels) or issparse(labels)
    if not plain and isinstance(labels, Iterable):
        labels = list(labels)
    if can_add_classes and _has_names(labels):
        table = labels if isinstance(labels, Labels) else Labels.from_any(labels)
        space = space.with_classes(table.classes)
        return space, table.with_classes(space.classes)
    return space, Labels.from_any(labels, classes=space.classes)


def _has_names(labels: Any) -> bool:
    if isinstance(labels, np.ndarray):
        return labels.dtype.kind in "UO"
    return isinstance(labels, Labels) or (
        isinstance(labels, list) and any(isinstance(value, str) for value in labels)
    )
