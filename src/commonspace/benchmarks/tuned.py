"""Settings that a search found, in files: for which row, data set and modalities they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonspace.benchmarks.contestants import check_settings, find_method, name_of
from commonspace.benchmarks.tune import Tuning
from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.store.settings import read_found, read_settings, write_settings
from commonspace.types import JsonDict


@dataclass(frozen=True)
class Tuned:
    """Settings that were searched for, none where the defaults were best.

    Attributes:
        settings: Arguments that differ from the defaults of the class.
        trials: How many chose them.
        seconds: How long those took.
    """

    settings: JsonDict
    trials: int | None = None
    seconds: float | None = None

    @property
    def note(self) -> str:
        """What a table says of them."""
        told = [] if self.trials is None else [f"{self.trials} trials"]
        told += [] if self.seconds is None else [f"{self.seconds:.0f} s"]
        what = "settings found" if self.settings else "defaults found best"
        return f"{what} on rows held back" + (f" ({', '.join(told)})" if told else "")


@dataclass(frozen=True)
class TunedFile:
    """A file of settings, and what they are for.

    Attributes:
        path: The file.
        data: Name of the data set.
        row: Method or preset.
        modalities: Those that it was tuned on; None where the file does not say.
        every: All that the data set has.
        tuned: What was found.
    """

    path: Path
    data: str
    row: str
    modalities: frozenset[str] | None
    every: frozenset[str]
    tuned: Tuned

    def fits(self, modalities: Sequence[str] | None) -> bool:
        """Whether these modalities, None for all, are those that it was tuned on."""
        asked = self.every if modalities is None else frozenset(modalities)
        return self.modalities is None or asked == self.modalities


def write_tuned(
    path: str | Path,
    found: Tuning,
    *,
    data: str,
    modalities: Sequence[str],
    every: Sequence[str],
) -> None:
    """Write what a search found, for `train --settings` and `reproduce --tuned`.

    Args:
        path: The file; replaced when the new one is whole.
        found: By the search.
        data: Name of the data set.
        modalities: Those that it was tuned on.
        every: All that the data set has.
    """
    summary = {key: getattr(found, key) for key in ("default_score", "best_score", "gain")}
    summary |= {"trials": len(found.trials), "seconds": found.seconds}
    summary |= {"other_rows": found.other_rows, "data": data, "row": found.row}
    summary |= {"modalities": list(modalities), "modalities_of_data": list(every)}
    write_settings(path, found.method, found.settings, found=summary)


def read_tuned(folder: str | Path) -> list[TunedFile]:
    """Read all files of settings in a folder.

    Raises:
        InputError: The folder holds none, one does not say its data set, or two are for one row.
        StorageError: A file is damaged.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise InputError(f"{folder}: expected settings files of commonspace tune, got none.")
    seen: dict[Any, Path] = {}
    files = [_read(path) for path in paths]
    for file in files:
        key = file.data, file.row, file.modalities
        if key in seen:
            raise InputError(
                f"{file.path} and {seen[key].name}: expected one file a data set and row, got two "
                f"for {file.row} on {file.data}. Move one of them away."
            )
        seen[key] = file.path
    return files


def _read(path: Path) -> TunedFile:
    method, settings = read_settings(path)
    found = read_found(path)
    data = found.get("data")
    if not isinstance(data, str):
        raise InputError(f"{path}, key 'found': expected the 'data' it is for, got {data!r}.")
    trials, seconds = (found.get(key) for key in ("trials", "seconds"))
    modalities, every = (found.get(key) for key in ("modalities", "modalities_of_data"))
    row = found.get("row", method)
    if not (
        isinstance(row, str)
        and isinstance(trials, int | None)
        and isinstance(seconds, int | float | None)
        and isinstance(modalities, list | None)
        and isinstance(every, list | None)
    ):
        raise StorageError(f"{path} is damaged: key 'found' does not say how they were found.")
    try:
        row = name_of(find_method(row))
        check_settings(row, settings)
    except (InputError, NotFoundError) as error:
        raise InputError(f"{path}: {error}") from error
    return TunedFile(
        path,
        data,
        row,
        None if modalities is None else frozenset(modalities),
        frozenset(every or ()),
        Tuned(settings, trials, seconds),
    )
