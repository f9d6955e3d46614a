"""The labels of a modality that joins a fitted model, in the classes of its space."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from commonspace.data import Labels
from commonspace.space import Space


def labels_in_space(
    space: Space, labels: Any, n: int, *, can_add_classes: bool
) -> tuple[Space, Labels]:
    """Read the labels of ``n`` rows; names that are new extend the space, where they may.

    Raises:
        InputError: Not labels, or a class that the space does not have and may not get.
    """
    if labels is None:
        return space, Labels.unknown(n, space.classes)
    if not isinstance(labels, np.ndarray | Labels) and not issparse(labels):
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
