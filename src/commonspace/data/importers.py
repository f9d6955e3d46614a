"""One door for every file that a data set can be read from."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from commonspace.data.folder import Splits
from commonspace.data.formats.arrays import import_arrays
from commonspace.data.formats.containers import CONTAINER_SUFFIXES, ArrayInfo, open_arrays
from commonspace.data.formats.items import describe_table, import_table
from commonspace.data.formats.media_folder import import_folder
from commonspace.data.formats.tables import TABLE_SUFFIXES
from commonspace.errors import InputError

__all__ = [
    "ArrayInfo",
    "describe_file",
    "import_arrays",
    "import_file",
    "import_folder",
    "import_table",
]


def import_file(path: str | Path, **options: Any) -> Splits:
    r"""Read a data set from one file, by its suffix, or from a folder of files.

    Args:
        path: An items table (.csv, .tsv, .jsonl, .ndjson, .parquet: see `import_table`), a file
            of arrays (.npz, .mat, .h5, .hdf5, .h5py: see `import_arrays`), or a folder (see
            `import_folder`).
        **options: As the function for that kind of file takes them.

    Raises:
        NotFoundError: No such file, or it lacks a column, key or class.
        InputError: Another suffix, an option of the other kind, or content that is not needed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> text = "image,text,label,split\n1 2,a cat,cat,train\n3 4,,dog,test\n"
        >>> _ = (folder / "pets.csv").write_text(text)
        >>> import_file(folder / "pets.csv")["train"].modalities
        ('image', 'text')
    """
    path = Path(path)
    reader: Callable[..., Splits] = import_folder
    if not path.is_dir():
        reader = import_table if _is_table(path) else import_arrays
    allowed = list(signature(reader).parameters)[1:]
    for option in options:
        if option not in allowed:
            raise InputError(
                f"{path}: expected options for {path.suffix or 'folders of'} files "
                f"({', '.join(allowed)}), got {option!r}."
            )
    return reader(path, **options)


def describe_file(path: str | Path) -> list[ArrayInfo]:
    """Return what a file holds: each array with its shape, or each column and what it is.

    Raises:
        NotFoundError: No such file.
        InputError: Another suffix, or the file cannot be read.
    """
    path = Path(path)
    return describe_table(path) if _is_table(path) else list(open_arrays(path).infos.values())


def _is_table(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES + CONTAINER_SUFFIXES:
        known = ", ".join(TABLE_SUFFIXES + CONTAINER_SUFFIXES)
        raise InputError(f"{path}: expected a file ending in {known}, got suffix {suffix!r}.")
    return suffix in TABLE_SUFFIXES
