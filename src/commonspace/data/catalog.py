"""Data sets by name: what there is, whether it is here, and how to get it."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from commonspace.checks import not_found
from commonspace.data.folder import Splits, read_folder
from commonspace.data.formats.media_folder import import_folder
from commonspace.data.importers import import_file
from commonspace.data.sets.entry import CatalogEntry, Layout
from commonspace.data.sets.known import ENTRIES
from commonspace.errors import InputError, NotFoundError

logger = logging.getLogger(__name__)

ROOT_VARIABLE = "COMMONSPACE_DATA"
CATALOG: dict[str, CatalogEntry] = {entry.name: entry for entry in ENTRIES}


def load_dataset(name_or_path: str | Path, *, root: str | Path | None = None) -> Splits:
    """Load a data set by name, or from a folder or file.

    Args:
        name_or_path: A name that `list_datasets` lists, a folder written by `Splits.save`, a folder
            of files as `import_folder` reads it, or a file that `import_file` reads. A name wins
            over a folder of the same name: write "./name" for the folder.
        root: Where the files of named data sets lie. None: the environment variable
            COMMONSPACE_DATA, else ``../shared/data`` seen from the current folder, else from the
            source checkout.

    Returns:
        A mapping from split to Dataset.

    Raises:
        NotFoundError: No such name or folder, or the files of that set are not here; the message
            says what to put where.
        InputError: The files are not those of that set, or this is neither a name nor a path.
    """
    if not isinstance(name_or_path, str | Path):
        raise InputError(f"load_dataset: expected a name or a path, got {name_or_path!r}.")
    name = str(name_or_path)
    if name in CATALOG and not isinstance(name_or_path, Path):
        if Path(name).exists():
            logger.warning(
                "%s: the data set of that name is meant; what is here is ./%s", name, name
            )
        return _load_named(CATALOG[name], root)
    path = Path(name_or_path)
    if path.is_dir():
        return read_folder(path) if _is_written(path) else import_folder(path)
    if path.is_file():
        return import_file(path)
    raise not_found(
        "data set", name, CATALOG, hint="There is no folder or file of that name either."
    )


def list_datasets(*, root: str | Path | None = None) -> list[CatalogEntry]:
    """Return all data sets known by name, and whether they are in the root.

    Args:
        root: As for `load_dataset`.
    """
    folder = find_root(root)
    return [
        replace(entry, available=folder is not None and _locate(entry, folder) is not None)
        for entry in CATALOG.values()
    ]


def find_root(root: str | Path | None = None) -> Path | None:
    """Return the folder that holds the files of named data sets, None if there is none."""
    given = root if root is not None else os.environ.get(ROOT_VARIABLE)
    if given:
        return Path(given)
    beside = Path("shared") / "data"
    places = [Path.cwd().parent / beside, Path(__file__).resolve().parents[4] / beside]
    return next((place for place in places if place.is_dir()), None)


def _is_written(folder: Path) -> bool:
    """Whether a folder was written by `Splits.save`, be it not to the end."""
    written = (folder / "dataset.json").exists()
    return written or any(folder.glob("*/*/label_indptr.npy"))


def _load_named(entry: CatalogEntry, root: str | Path | None) -> Splits:
    folder = find_root(root)
    found = _locate(entry, folder) if folder is not None else None
    if found is None:
        raise NotFoundError(_absent(entry, folder))
    layout, path = found
    return layout.load(path, dict(entry.provenance))


def _locate(entry: CatalogEntry, folder: Path) -> tuple[Layout, Path] | None:
    for layout in entry.layouts:
        path = layout.find(folder, entry.name)
        if path is not None:
            return layout, path
    return None


def _absent(entry: CatalogEntry, folder: Path | None) -> str:
    choices = ", or ".join(" + ".join(layout.files) for layout in entry.layouts)
    place = f"{folder} or {folder / entry.name}" if folder is not None else "a folder of data sets"
    return (
        f"data set {entry.name!r} is not here: expected {choices} in {place}. {entry.how_to_get} "
        f"Name the folder with root=..., or in the environment variable {ROOT_VARIABLE}."
    )
