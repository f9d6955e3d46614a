"""Data sets in files of named arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from commonspace.checks import as_features, as_ids, not_found
from commonspace.data.assemble import Rows, class_order, make_splits, split_name
from commonspace.data.folder import Splits
from commonspace.data.formats.containers import ArrayFile, open_arrays
from commonspace.data.labels import Labels
from commonspace.errors import InputError
from commonspace.types import AnyArray, StrArray

Keys = str | Mapping[str, str]
_SPLIT_SUFFIXES = {"_train": "train", "_valid": "valid", "_val": "valid", "_test": "test"}
_LABEL_NAMES = ("label", "labels")
_CLASS_NAMES = ("classes", "class_names")
_ROLES = ("x", "label", "labels", "is_train", "split", "items")


def import_arrays(
    path: str | Path,
    *,
    modalities: Sequence[str] | Mapping[str, Keys] | None = None,
    labels: Keys | Mapping[str, Keys] | None = None,
    split: str | Mapping[str, str] | None = None,
    items: str | Mapping[str, str] | None = None,
    classes: str | Sequence[str] | None = None,
    label_base: int | None = None,
    name: str | None = None,
) -> Splits:
    """Read a data set from a file of named arrays, by conventions or by an explicit mapping.

    Conventions for a modality NAME (the first key that is there):

    ============ =====================================================================
    what         keys
    ============ =====================================================================
    features     ``NAME``, ``NAME_x``, or one a split: ``NAME_train NAME_valid NAME_test``
    labels       ``NAME_label``, ``label`` (or plural), with ``_train ...`` where features are
    split        ``NAME_is_train``, ``is_train`` (bool), ``NAME_split``, ``split`` (names)
    item ids     ``NAME_items``, ``items``, with ``_train ...`` where features are
    class names  ``classes``, ``class_names``
    ============ =====================================================================

    Labels in one array for all modalities pair equal rows; labels of their own do not, unless
    item ids do. Without a split all is "train". MATLAB v7.3 arrays are turned back to rows by
    features. Two-dimensional numbers become float32 features; other arrays stay raw items.

    Args:
        path: A file ending in .npz, .mat, .h5, .hdf5 or .h5py.
        modalities: Names, or a mapping from name to key, or to ``{"train": key, "test": key}``.
            None takes every numeric key of two or more dimensions that has no other role.
        labels: A key, keys by split, or either of these by modality. See `Labels.from_any` for
            the forms; class numbers are counted from ``label_base``.
        split: A key, or keys by modality.
        items: A key, or keys by modality.
        classes: Names of the classes, or the key that holds them.
        label_base: The number of the first class, 0 or 1. None: 1 in a .mat file whose labels
            hold no 0, or where the numbers run from 1 to the number of class names; else 0.
        name: What to call the data set; None takes the file's name.

    Raises:
        NotFoundError: No such file or key; the message lists the keys with shapes and types.
        InputError: Damaged, pickled, counts differ, or not numbers where numbers are needed.
    """
    file = open_arrays(path)
    reader = _Reader(file, labels, split, items)
    wanted = reader.wanted(modalities)
    for what, given in (("labels", labels), ("split", split), ("items", items)):
        _check_names(what, given, wanted)
    raw = {modality: reader.rows(modality, keys) for modality, keys in wanted.items()}
    tables = _all_labels(raw, reader.class_names(classes), label_base, file.path)
    rows = {
        modality: Rows(part.x, tables[modality], part.items, part.splits)
        for modality, part in _with_items(raw).items()
    }
    return make_splits(
        rows,
        name=name or file.path.stem,
        provenance={"imported_from": file.path.name},
        where=str(file.path),
    )


def _check_names(what: str, given: Any, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a mapping that speaks of what is neither a modality nor a split of the features."""
    splits = {split for keys in wanted.values() for split in keys if split}
    for key in given if isinstance(given, Mapping) else ():
        if key not in wanted and split_name(str(key)) not in splits:
            raise not_found(
                "modality or split", key, [*wanted, *sorted(splits)], hint=f"It stands in {what}."
            )


@dataclass(frozen=True, eq=False)
class _Raw:
    """Arrays of one modality as the file holds them."""

    x: AnyArray
    labels: Any
    own_labels: bool
    items: Any
    splits: StrArray


@dataclass(frozen=True, eq=False)
class _Dealt:
    x: AnyArray
    items: StrArray
    splits: StrArray


@dataclass(frozen=True, eq=False)
class _Reader:
    """Finds the keys of a file by mapping and convention."""

    file: ArrayFile
    labels: Any
    split: Any
    items: Any

    def wanted(self, modalities: Any) -> dict[str, dict[str, str]]:
        """Return the key of each modality by split ("" where one array holds all)."""
        if isinstance(modalities, str):
            raise InputError(f"modalities: expected a list of names, got the text {modalities!r}.")
        if isinstance(modalities, Mapping):
            return {str(m): self._by_split(keys) for m, keys in modalities.items()}
        names = list(modalities) if modalities is not None else self._guess_modalities()
        if not names:
            raise InputError(
                f"{self.file.path}: expected at least one array of two dimensions, got "
                f"{self.file.listing()}. Name the arrays with modalities={{name: key}}."
            )
        return {name: self._feature_keys(name) for name in names}

    def rows(self, modality: str, keys: dict[str, str]) -> _Raw:
        """Read one modality with its labels, splits and ids."""
        parts = {split: self._features(key) for split, key in keys.items()}
        x = np.concatenate(list(parts.values())) if len(parts) > 1 else next(iter(parts.values()))
        found, own = self._label_keys(modality, list(keys))
        labels = None if found is None else _stack([self.file[key] for key in found], len(x))
        ids = self._item_keys(modality, list(keys))
        items = None if ids is None else _stack([self.file[key] for key in ids], len(x))
        splits = self._splits(modality, {split: len(part) for split, part in parts.items()})
        if len(splits) != len(x):
            raise InputError(
                f"{self.file.path}: expected {len(x)} split entries for modality {modality!r}, "
                f"got {len(splits)}."
            )
        return _Raw(x, labels, own, items, splits)

    def class_names(self, classes: str | Sequence[str] | None) -> tuple[str, ...] | None:
        """Return the names of the classes, if the file or the caller gives them."""
        if classes is not None and not isinstance(classes, str):
            return tuple(str(value) for value in classes)
        key = classes if classes is not None else self._first(_CLASS_NAMES)
        return None if key is None else tuple(str(v) for v in np.ravel(self.file[key]))

    def _by_split(self, keys: Any) -> dict[str, str]:
        if isinstance(keys, Mapping):
            return {split_name(str(split)): str(key) for split, key in keys.items()}
        return {"": str(keys)}

    def _first(self, names: Sequence[str]) -> str | None:
        return next((name for name in names if name in self.file), None)

    def _guess_modalities(self) -> list[str]:
        names = []
        for key, info in self.file.infos.items():
            base = key
            for suffix in _SPLIT_SUFFIXES:
                base = base.removesuffix(suffix)
            role = base in (*_ROLES, *_CLASS_NAMES) or base.startswith("label")
            role = role or any(base.endswith(f"_{kind}") for kind in _ROLES[1:])
            numeric = info.dtype not in ("object", "char", "cell", "struct", "logical")
            if not role and numeric and not info.dtype.startswith(("<U", "|S", "bool")):
                matlab = self.file.path.suffix.lower() == ".mat"  # where a list is a matrix too
                if len([n for n in info.shape if n != 1 or not matlab]) >= 2:
                    names.append(base.removesuffix("_x"))
        return list(dict.fromkeys(names))

    def _feature_keys(self, name: str) -> dict[str, str]:
        key = self._first((name, f"{name}_x"))
        if key is not None:
            return {"": key}
        keys = {split: f"{name}{end}" for end, split in _SPLIT_SUFFIXES.items()}
        found = {split: key for split, key in keys.items() if key in self.file}
        if not found:
            raise not_found(
                "modality", name, self.file, hint=f"{self.file.path} holds: {self.file.listing()}."
            )
        return found

    def _features(self, key: str) -> AnyArray:
        values = self.file[key]
        where = f"{self.file.path}, key {key!r}"
        if sparse.issparse(values):
            values = values.toarray()
        if values.ndim == 2 and values.dtype.kind in "fiub":
            return as_features(values, where=where)
        if values.ndim == 0 or values.dtype.kind not in "fiubU":
            raise InputError(
                f"{where}: expected real numbers or text with one row an item, got shape "
                f"{values.shape} of {values.dtype}."
            )
        return np.asarray(values)

    def _label_keys(self, modality: str, splits: list[str]) -> tuple[list[str] | None, bool]:
        """Return the labels' keys in the order of the splits, and whether they are its own."""
        given = self.labels
        if given is not None:
            own = isinstance(given, Mapping) and (modality in given)
            if (
                isinstance(given, Mapping)
                and not own
                and not set(map(split_name, given)) & {*splits}
            ):
                return None, True
            return self._in_order(given[modality] if own else given, splits, "labels"), own
        for base, own in ((f"{modality}_", True), ("", False)):
            for kind in _LABEL_NAMES:
                found = self._convention(f"{base}{kind}", splits)
                if found is not None:
                    return found, own
        return None, False

    def _item_keys(self, modality: str, splits: list[str]) -> list[str] | None:
        given = self.items
        if given is not None:
            given = given.get(modality) if isinstance(given, Mapping) else given
            return None if given is None else self._in_order(given, splits, "items")
        found = self._convention(f"{modality}_items", splits)
        return found if found is not None else self._convention("items", splits)

    def _in_order(self, keys: Any, splits: list[str], what: str) -> list[str]:
        named = self._by_split(keys)
        if set(named) != set(splits):
            shown = ", ".join(repr(split) for split in splits if split) or "one key"
            raise InputError(
                f"{what}: expected keys as the features have them ({shown}), got {keys!r}."
            )
        return [named[split] for split in splits]

    def _convention(self, base: str, splits: list[str]) -> list[str] | None:
        if splits == [""]:
            return [base] if base in self.file else None
        ends = {split: end for end, split in _SPLIT_SUFFIXES.items() if f"{base}{end}" in self.file}
        return [f"{base}{ends[split]}" for split in splits] if set(splits) <= set(ends) else None

    def _splits(self, modality: str, sizes: dict[str, int]) -> StrArray:
        if "" not in sizes:
            return np.repeat(np.array(list(sizes), dtype=np.str_), list(sizes.values()))
        given = self.split.get(modality) if isinstance(self.split, Mapping) else self.split
        names = [f"{modality}_is_train", f"{modality}_split", "is_train", "split"]
        key = given if given is not None else self._first(names)
        if key is None:
            return np.full(sizes[""], "train")
        return _split_names(np.ravel(self.file[key]), f"{self.file.path}, key {key!r}")


def _split_names(values: AnyArray, where: str) -> StrArray:
    if values.dtype.kind == "U":
        return np.array([split_name(str(value)) for value in values], dtype=np.str_)
    if values.dtype.kind == "b" or (values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all()):
        return np.where(values.astype(bool), "train", "test").astype(np.str_)
    raise InputError(
        f"{where}: expected booleans (whether each row is for training) or names of splits, got "
        f"{values.dtype} with other values than 0 and 1."
    )


def _stack(arrays: list[Any], n_rows: int) -> Any:
    """Join the parts of a list by split; MATLAB's (n, 1) and (1, n) become (n,)."""
    if sparse.issparse(arrays[0]):
        return sparse.vstack(arrays)
    parts = [np.asarray(array) for array in arrays]
    total = sum(part.size for part in parts)
    if total == n_rows:
        parts = [part.ravel() for part in parts]
    return np.concatenate(parts) if all(part.ndim for part in parts) else parts[0]


def _with_items(raw: Mapping[str, _Raw]) -> dict[str, _Dealt]:
    """Give rows ids: their own, else shared numbers if one label array serves all, else others."""
    paired = not any(part.own_labels for part in raw.values())
    first = next(iter(raw.values())).splits
    same = all(np.array_equal(part.splits, first) for part in raw.values())
    shared: dict[int, StrArray] = {}
    dealt = {}
    for name, part in raw.items():
        n = len(part.x)
        if part.items is not None:
            ids = as_ids(np.ravel(part.items).tolist(), where=f"items of {name!r}", n=n)
        elif paired and same:
            ids = shared.setdefault(n, np.array([str(row) for row in range(n)], dtype=np.str_))
        else:
            ids = np.array([f"{name}-{row}" for row in range(n)], dtype=np.str_)
        dealt[name] = _Dealt(part.x, ids, part.splits)
    return dealt


def _all_labels(
    raw: Mapping[str, _Raw], classes: tuple[str, ...] | None, base: int | None, path: Path
) -> dict[str, Labels]:
    given = {name: part.labels for name, part in raw.items() if part.labels is not None}
    base = _base(given, classes, path) if base is None else base
    read = {}
    for name, values in given.items():
        where = f"{path}, labels of {name!r}"
        if values.shape[:1] != (len(raw[name].x),):
            raise InputError(
                f"{where}: expected {len(raw[name].x)} rows as the features have, got shape "
                f"{values.shape}."
            )
        read[name] = Labels.from_any(
            _numbered_from(values, base), classes=classes or _names(given, base), where=where
        )
    names = classes or class_order({n for table in read.values() for n in table.classes})
    return {
        name: read[name].with_classes(names) if name in read else Labels.unknown(len(part.x), names)
        for name, part in raw.items()
    }


def _is_numbers(values: Any) -> bool:
    return not sparse.issparse(values) and values.ndim == 1 and values.dtype.kind in "iuf"


def _base(given: Mapping[str, Any], classes: tuple[str, ...] | None, path: Path) -> int:
    numbers = [values[values > -1] for values in given.values() if _is_numbers(values)]
    found = np.concatenate(numbers) if numbers else np.zeros(0)
    if not len(found) or found.min() < 1:
        return 0
    one_based = classes is not None and found.max() == len(classes)
    return int(path.suffix.lower() == ".mat" or one_based)


def _numbered_from(values: Any, base: int) -> Any:
    if not _is_numbers(values):
        return values
    unknown = np.isnan(values) | (values == -1)
    return np.where(unknown, -1, np.where(unknown, 0, values) - base)


def _names(given: Mapping[str, Any], base: int) -> tuple[str, ...] | None:
    """Return the numbers of the classes as names; None where labels are names or matrices."""
    numbers = [values for values in given.values() if _is_numbers(values)]
    if not numbers or len(numbers) != len(given):
        return None
    top = max(int(np.nanmax(values, initial=-1)) for values in numbers)
    return tuple(str(k) for k in range(base, top + 1))
