"""The last step of every importer: rows with a split each become `Splits`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from commonspace.data.dataset import Dataset, Modality
from commonspace.data.folder import Splits
from commonspace.data.labels import Labels
from commonspace.errors import InputError
from commonspace.types import AnyArray, JsonDict, StrArray

USUAL_SPLITS = ("train", "valid", "test")
_OTHER_NAMES = {"val": "valid", "validation": "valid", "dev": "valid"}


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of one modality, before they are dealt to splits.

    Attributes:
        x: Features or raw items, first axis the rows.
        labels: Labels of the rows.
        items: Item id of each row.
        splits: Name of the split of each row, shape (n,).
    """

    x: AnyArray
    labels: Labels
    items: StrArray
    splits: StrArray


def split_name(name: str) -> str:
    """Return the name we use for a split: "Train" is "train"; "val" and "dev" are "valid"."""
    plain = name.strip()
    lower = _OTHER_NAMES.get(plain.lower(), plain.lower())
    return lower if lower in USUAL_SPLITS else plain


def class_order(names: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Sort class names: by number where all are whole numbers, else by text."""
    unique = set(names)
    if all(name.isascii() and name.isdigit() for name in unique):
        return tuple(sorted(unique, key=lambda name: (int(name), name)))
    return tuple(sorted(unique))


def make_splits(
    rows: Mapping[str, Rows], *, name: str, provenance: JsonDict | None = None, where: str
) -> Splits:
    """Deal the rows of each modality to their splits.

    Splits come in the order train, valid, test, then as they first appear. A modality without a
    row in a split is absent from it.

    Args:
        rows: The rows of each modality, labels over one list of classes.
        name: What the data set is called.
        provenance: Where it came from.
        where: What messages call the source.

    Raises:
        InputError: There is no row at all, or an item stands in two splits.
    """
    names = list(dict.fromkeys(str(s) for part in rows.values() for s in _seen(part.splits)))
    if not names:
        raise InputError(f"{where}: expected at least one row, got none.")
    _check_one_split_an_item(rows, where)
    order = [s for s in USUAL_SPLITS if s in names]
    order += [s for s in names if s not in USUAL_SPLITS]
    classes = next(iter(rows.values())).labels.classes
    parts = {
        split: Dataset(
            {m: _part(part, split) for m, part in rows.items() if (part.splits == split).any()},
            classes,
        )
        for split in order
    }
    return Splits(parts, name, provenance or {})


def _seen(splits: StrArray) -> list[str]:
    values, first = np.unique(splits, return_index=True)
    return [str(value) for value in values[np.argsort(first)]]


def _part(part: Rows, split: str) -> Modality:
    mask = part.splits == split
    if mask.all():
        return Modality(part.x, part.labels, part.items)
    chosen = np.flatnonzero(mask)
    return Modality(part.x[chosen], part.labels.take(chosen), part.items[chosen])


def _check_one_split_an_item(rows: Mapping[str, Rows], where: str) -> None:
    split_of: dict[str, tuple[str, str]] = {}
    shared: set[tuple[int, int]] = set()
    for name, part in rows.items():
        if (id(part.items), id(part.splits)) in shared:
            continue
        shared.add((id(part.items), id(part.splits)))
        for item, split in zip(part.items.tolist(), part.splits.tolist(), strict=True):
            other, other_name = split_of.setdefault(item, (split, name))
            if other != split:
                raise InputError(
                    f"{where}: expected each item in one split, got item {item!r} in {other!r} "
                    f"(modality {other_name!r}) and in {split!r} (modality {name!r}). What is "
                    "tested on must not be trained on: move it to one of them."
                )
