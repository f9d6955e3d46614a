"""What the catalogue keeps of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commonspace.data.folder import Splits
from commonspace.types import JsonDict

Loader = Callable[[Path, JsonDict], Splits]


@dataclass(frozen=True)
class Layout:
    """One form in which a data set can lie on disk.

    Attributes:
        files: Names of its files, in ROOT or in ROOT/<name of the set>.
        load: Reads it, given the file (or, if there are several, their folder) and provenance.
    """

    files: tuple[str, ...]
    load: Loader = field(repr=False)

    def find(self, root: Path, name: str) -> Path | None:
        """Return the file or folder to load from, None if it is not whole."""
        for folder in (root / name, root):
            if all((folder / file).is_file() for file in self.files):
                return folder / self.files[0] if len(self.files) == 1 else folder
        return None


@dataclass(frozen=True)
class CatalogEntry:
    """A data set that `load_dataset` knows by name.

    Attributes:
        name: Its name.
        n_items: Rows of each modality over all splits.
        n_classes: Number of classes.
        label_kind: "single" or "multi".
        paired: Whether modalities show the same items.
        provenance: Source, licence, features and split, for people.
        how_to_get: What to do where it is not available.
        layouts: The forms in which it may lie on disk, the preferred one first.
        available: Whether its files are in the root that was looked at.
    """

    name: str
    n_items: Mapping[str, int]
    n_classes: int
    label_kind: str
    paired: bool
    provenance: JsonDict = field(repr=False)
    how_to_get: str = field(repr=False)
    layouts: tuple[Layout, ...] = field(repr=False)
    available: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.n_items)
