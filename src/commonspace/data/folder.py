"""Data sets on disk: a manifest and one ``.npy`` an array, opened as memory maps.

Layout of a folder::

    dataset.json                 format version, splits, modalities, classes, provenance, SHA-256
    train/image/x.npy            features, or raw items
    train/image/items.npy        item ids
    train/image/label_*.npy      labels in sparse form, and which are known
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from commonspace.checks import check_names, not_found
from commonspace.data.dataset import Dataset, Modality
from commonspace.data.labels import Labels
from commonspace.disk import (
    check_file,
    check_target,
    read_array,
    read_json,
    write_array,
    write_json,
)
from commonspace.errors import InputError, StorageError
from commonspace.types import AnyArray, JsonDict

KIND = "commonspace-dataset"
FORMAT_VERSION = 1
_LABEL_FILES = ("label_indptr", "label_indices", "label_weights", "label_known")


@dataclass(frozen=True, eq=False)
class Splits(Mapping[str, Dataset]):
    """The named splits of one data set: a mapping such as {"train": ..., "test": ...}.

    Attributes:
        parts: The splits.
        name: What the data set is called.
        provenance: Where it came from, for people: source, licence, who made which features.
    """

    parts: dict[str, Dataset]
    name: str = "data"
    provenance: JsonDict = field(default_factory=dict)

    def __getitem__(self, split: str) -> Dataset:
        try:
            return self.parts[split]
        except (KeyError, TypeError):
            first = next(iter(self.parts), "")
            is_modality = split in self.modalities
            hint = f"Choose a split first, as data[{first!r}][{split!r}]." if is_modality else ""
            raise not_found("split", split, self.parts, hint=hint) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __repr__(self) -> str:
        return f"Splits({self.name!r}: " + ", ".join(f"{k}={v!r}" for k, v in self.items()) + ")"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the same in every split."""
        return next(iter(self.parts.values())).classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that some split has, in order."""
        return tuple(dict.fromkeys(name for part in self.parts.values() for name in part))

    def select(self, modalities: list[str] | tuple[str, ...]) -> Splits:
        """Return only the named modalities of every split.

        Raises:
            InputError: Not a list of names.
            NotFoundError: No split has a modality of that name.
        """
        check_names("modalities", modalities)
        if not modalities:
            raise InputError(
                f"modalities: expected some of {', '.join(self.modalities)}, got none."
            )
        for name in modalities:
            if name not in self.modalities:
                raise not_found("modality", name, self.modalities)
        parts = {
            split: data.select([name for name in modalities if name in data])
            for split, data in self.parts.items()
        }
        return Splits(parts, self.name, self.provenance)

    def save(self, folder: str | Path) -> None:
        """Write the data set as a folder that `read_folder` opens as memory maps.

        The manifest is written last, so a folder without one was never finished.

        Raises:
            InputError: The folder holds something already, or is a file; splits differ in their
                classes.
            StorageError: The disk refuses.
        """
        folder = Path(folder)
        check_target(folder, what="the data set")
        if len({part.classes for part in self.parts.values()}) != 1:
            raise InputError("splits: expected one list of classes, got different ones.")
        splits = {
            split: {name: _write_modality(folder, split, name, data[name]) for name in data}
            for split, data in self.parts.items()
        }
        write_json(
            folder / "dataset.json",
            {
                "kind": KIND,
                "format_version": FORMAT_VERSION,
                "name": self.name,
                "provenance": self.provenance,
                "classes": list(self.classes),
                "splits": splits,
            },
        )


def read_folder(folder: str | Path, *, verify: bool = False) -> Splits:
    """Open a data set folder; arrays are read-only memory maps.

    Args:
        folder: As written by `Splits.save`.
        verify: Also compare every file with its SHA-256 in the manifest.

    Raises:
        NotFoundError: No such data set.
        StorageError: A file is missing, damaged or of a newer format; the message names it.
    """
    folder = Path(folder)
    manifest = read_json(folder / "dataset.json", kind=KIND, max_version=FORMAT_VERSION)
    try:
        classes = tuple(manifest["classes"])
        parts = {}
        for split, modalities in manifest["splits"].items():
            read = {
                name: _read_modality(folder, entry, classes, verify)
                for name, entry in modalities.items()
            }
            parts[split] = Dataset(read, classes)
        return Splits(parts, manifest["name"], manifest["provenance"])
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{folder / 'dataset.json'} is damaged: it lacks {error}. Import the data set again."
        ) from error


def _write_modality(folder: Path, split: str, name: str, part: Modality) -> JsonDict:
    place = _place(split, name)
    arrays: dict[str, AnyArray] = {"x": part.x, "items": part.items, **part.labels.arrays()}
    files = {
        key: {
            "path": f"{place}/{key}.npy",
            "sha256": write_array(folder / place / f"{key}.npy", np.asarray(array)),
        }
        for key, array in arrays.items()
    }
    shape = [int(size) for size in part.x.shape]
    return {"shape": shape, "dtype": str(part.x.dtype), "encoder": part.encoder, "files": files}


def _place(split: str, name: str) -> str:
    for value in (split, name):
        if not value or value.startswith(".") or any(c in value for c in "/\\\0"):
            raise InputError(
                f"{value!r} cannot be a folder's name: splits and modalities may not be empty, "
                "start with a dot or hold a slash."
            )
    return f"{split}/{name}"


def _read_modality(
    folder: Path, entry: JsonDict, classes: tuple[str, ...], verify: bool
) -> Modality:
    arrays = {}
    for key, file in entry["files"].items():
        path = (folder / file["path"]).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise StorageError(f"{folder / 'dataset.json'} names {file['path']!r}, outside of it.")
        if verify:
            check_file(path, file["sha256"], restore="Import the data set again.")
        arrays[key] = read_array(path, mmap=key == "x")
    x, items = arrays["x"], arrays["items"]
    labels = _checked_labels(folder, entry, arrays, classes)
    if list(x.shape) != entry["shape"] or not len(x) == len(items) == len(labels):
        raise StorageError(
            f"{folder / entry['files']['x']['path']}: expected shape {entry['shape']} with as many "
            f"ids and labels, got {list(x.shape)}, {len(items)} ids and {len(labels)} labels."
        )
    return Modality(x, labels, items, entry.get("encoder"))


def _checked_labels(
    folder: Path, entry: JsonDict, arrays: dict[str, AnyArray], classes: tuple[str, ...]
) -> Labels:
    """Build the labels, having checked that no index points outside of them."""
    try:
        if any(arrays[key].dtype.kind != "i" for key in ("label_indptr", "label_indices")):
            raise ValueError("indices must be whole numbers")
        labels = Labels.from_arrays({key: arrays[key] for key in _LABEL_FILES}, classes)
        labels.weights.check_format(full_check=True)
    except ValueError as error:
        place = folder / entry["files"]["label_indices"]["path"]
        raise StorageError(
            f"{place.parent / 'label_*.npy'} are damaged: {error}. Import the data set again."
        ) from error
    return labels
