"""What is wrong with the folder of a data set: damaged files, content that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from commonspace.checks import as_ids, check_finite
from commonspace.data.dataset import Modality
from commonspace.data.folder import FORMAT_VERSION, KIND, read_folder
from commonspace.disk import check_file, read_json
from commonspace.errors import InputError, StorageError
from commonspace.types import JsonDict

_RAW_DATA = "Import the data set again."


def check_dataset(folder: str | Path) -> list[str]:
    """Look for everything that can be wrong with a data set folder.

    Compares every file with its SHA-256, and checks shapes, labels, ids, and that numbers are
    finite.

    Returns:
        One sentence a problem; none if all is well.

    Raises:
        NotFoundError: The folder is not a data set.
    """
    folder = Path(folder)
    problems: list[str] = []
    try:
        manifest = read_json(folder / "dataset.json", kind=KIND, max_version=FORMAT_VERSION)
        problems += _damaged_files(folder, manifest)
        splits = read_folder(folder)
    except StorageError as error:
        return list(dict.fromkeys([*problems, str(error)]))
    for split, data in splits.items():
        for name, part in data.items():
            problems += _wrong_content(f"{split}/{name}", part)
    return problems


def _damaged_files(folder: Path, manifest: JsonDict) -> Iterator[str]:
    try:
        modalities = [entry for split in manifest["splits"].values() for entry in split.values()]
        files = [file for entry in modalities for file in entry["files"].values()]
        named = [(folder / file["path"], str(file["sha256"])) for file in files]
    except (KeyError, TypeError, AttributeError):
        return  # reading the folder says what its manifest lacks
    for path, digest in named:
        try:
            check_file(path, digest, restore=_RAW_DATA)
        except StorageError as error:
            yield str(error)


def _wrong_content(where: str, part: Modality) -> Iterator[str]:
    checks: list[Callable[[], Any]] = [lambda: as_ids(part.items, where=f"items of {where}")]
    if part.x.ndim == 2 and part.x.dtype.kind == "f":
        checks.append(lambda: check_finite(part.x, where=where))
    for check in checks:
        try:
            check()
        except InputError as error:
            yield str(error)
