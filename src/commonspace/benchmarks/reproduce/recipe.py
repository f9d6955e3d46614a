"""What a recipe holds: a table to be made, its rows before they run, its published numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from commonspace.benchmarks.contestants import known_name
from commonspace.benchmarks.tuned import Tuned, TunedFile
from commonspace.checks import not_found
from commonspace.errors import InputError, NotFoundError
from commonspace.evaluation import Protocol
from commonspace.evaluation.protocol import Metric
from commonspace.types import JsonDict

PAPERS = {
    "sdml": "Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal Retrieval. "
    "SIGIR 2019. doi:10.1145/3331184.3331213",
    "msdmml": "Hua, Yang, Du. Deep Multi-Modal Metric Learning with Multi-Scale Correlation for "
    "Image-Text Retrieval. Electronics 2020, 9(3), 466. doi:10.3390/electronics9030466",
    "spdq": "Yang, Deng, Li, Liu, Li, Tao. Shared Predictive Cross-Modal Deep Quantization. IEEE "
    "TNNLS 2018. arXiv:1904.07488",
    "sequential": "Song, Tan. Sequential Learning for Cross-modal Retrieval. ICCV Workshops 2019",
    "none": "",
}
KINDS = ("methods", "convergence", "growth", "orders")
FLOOR = ("chance", "SM")  # in every table of methods


@dataclass(frozen=True)
class Entry:
    """A row of a table before it has run.

    Attributes:
        name: Among `contestants.METHODS`.
        label: What the table calls it.
        settings: Arguments that differ from the method's or preset's.
        metric: What ranks, where it is not the protocol's.
        codes: Score float queries against decoded codes.
        fits: How many fits of other random states are one row, see `fits.SideBySide`.
        published: Row of the published numbers.
        differs: Why this row alone may differ.
        at: Argument and value, where the row is one of a sweep.
    """

    name: str
    label: str
    settings: JsonDict = field(default_factory=dict)
    metric: Metric | None = None
    codes: bool = False
    fits: int = 1
    published: str = ""
    differs: str | None = None
    at: tuple[str, Any] | None = None


@dataclass(frozen=True)
class Published:
    """Numbers of a paper.

    Attributes:
        source: Where they stand.
        columns: Names of the columns.
        rows: Numbers by row, as fractions of 1 where they are scores; NaN where there is none.
        doubtful: Why the numbers of a row are no target, by row.
    """

    source: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    doubtful: Mapping[str, str]

    def value(self, row: str, column: str) -> float | None:
        """A number, None if there is none."""
        if row not in self.rows or column not in self.columns:
            return None
        value = self.rows[row][self.columns.index(column)]
        return None if math.isnan(value) else value


@dataclass(frozen=True)
class Recipe:
    """A table to be made, see the module; `load_recipe` reads one.

    Attributes:
        name: Stem of the file.
        title: Of the table.
        paper: Key of `PAPERS`.
        table: Which table or figure it is, or whose shape it has.
        kind: Among `KINDS`.
        study: Whether the data are not the paper's.
        sets: Data sets; each makes a table of its own.
        modalities: Which modalities; None takes all.
        protocol: How numbers are made.
        graded: Measure nDCG too where rows have several labels.
        queries: Split of the queries.
        gallery: Split of the gallery, None: that of the queries.
        columns: Which columns people are shown; None: all where they are few.
        tolerance: Largest deviation that is taken for the same number.
        differs: Why numbers may differ, for the whole table.
        note: For the reader.
        curves: Keep precision-recall and precision-scope curves.
        scopes: Of the precision-scope curve.
        cutoffs: Of the curve of mean average precision at R.
        entries: The rows.
        tuned: Settings by set and method, for rows without settings of their own.
        options: Of other kinds than "methods".
        published: Numbers of the paper.
        not_run: Published rows that were left out when the recipe was narrowed.
    """

    name: str
    title: str
    paper: str
    table: str
    kind: str
    study: bool
    sets: tuple[str, ...]
    modalities: tuple[str, ...] | None
    protocol: Protocol
    graded: bool
    queries: str
    gallery: str | None
    columns: tuple[str, ...] | None
    tolerance: float
    differs: tuple[str, ...]
    note: str
    curves: bool
    scopes: tuple[int, ...] | None
    cutoffs: tuple[int, ...]
    entries: tuple[Entry, ...]
    tuned: Mapping[str, Mapping[str, Tuned]]
    options: JsonDict
    published: Published | None
    not_run: tuple[str, ...] = ()

    def narrowed(self, sets: Sequence[str], names: Sequence[str]) -> Recipe:
        """The same recipe with some of its sets, or others in a study, and some of its rows.

        Raises:
            InputError: A paper's table was asked for on other data.
            NotFoundError: No row has such a method or label.
        """
        rows = [known_name(name, self.rows, f"method of {self.name}") for name in names]
        for name in sets:
            if name not in self.sets and not self.study:
                raise InputError(
                    f"{self.name} is a table of {', '.join(self.sets)}, got --set {name}. The "
                    "studies (`reproduce list`) take any data."
                )
        kept = [e for e in self.entries if not rows or e.name in rows or e.label in rows]
        left = () if self.published is None else self.published.rows
        gone = [e.published for e in self.entries if e not in kept and e.published in left]
        return replace(
            self, sets=tuple(sets) or self.sets, entries=tuple(kept), not_run=tuple(gone)
        )

    @property
    def rows(self) -> list[str]:
        """Methods and labels by which rows are asked for."""
        floor = FLOOR if self.kind == "methods" else ()
        return [*dict.fromkeys([k for e in self.entries for k in (e.name, e.label)] + [*floor])]

    def with_tuned(self, files: Iterable[TunedFile]) -> Recipe:
        """The same recipe with the settings of those files that it takes, before its own."""
        tuned = {name: dict(rows) for name, rows in self.tuned.items()}
        for file in files:
            if self.takes(file):
                tuned.setdefault(file.data, {})[file.row] = file.tuned
        return replace(self, tuned=tuned)

    def takes(self, file: TunedFile) -> bool:
        """Whether settings in a file are for a row of this recipe, on one of its sets."""
        here = file.data in self.sets and file.row in self.tunable
        return here and file.fits(self.modalities)

    @property
    def tunable(self) -> list[str]:
        """Methods and presets of the rows that have no settings of their own."""
        floor = ["SM"] if self.kind == "methods" else []
        return list(dict.fromkeys([*floor, *(e.name for e in self.entries if not e.settings)]))

    def tuned_on(self, name: str, entry: Entry) -> Tuned | None:
        """What a search found for a row on a data set; None where there was none."""
        return None if entry.settings else self.tuned.get(name, {}).get(entry.name)

    def settings_on(self, name: str, entry: Entry) -> JsonDict:
        """Arguments of a row on a data set."""
        tuned = self.tuned_on(name, entry)
        return dict(entry.settings if tuned is None else tuned.settings)


def narrowed(recipes: Sequence[Recipe], sets: Sequence[str], names: Sequence[str]) -> list[Recipe]:
    """Of several recipes those that have the sets and rows, with nothing else in them.

    Raises:
        NotFoundError: No recipe has such a set or row, or none has both.
    """
    every_set = _of_all(recipe.sets for recipe in recipes)
    every_row = _of_all(recipe.rows for recipe in recipes)
    there = [known_name(name, every_set, "data set of the recipes") for name in sets]
    asked = [known_name(name, every_row, "method of the recipes") for name in names]
    found = []
    for recipe in recipes:
        here = [name for name in there if name in recipe.sets]
        rows = [name for name in asked if name in recipe.rows]
        if (here or not there) and (rows or not asked):
            found.append(recipe.narrowed(here, rows))
    if not found:
        raise NotFoundError(
            f"no recipe has {' or '.join(asked)} on {' or '.join(there)}. `reproduce list` tells "
            "which recipe has which data."
        )
    return found


def _of_all(names: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for some in names for name in some))


def check_taken(files: Iterable[TunedFile], recipes: Sequence[Recipe]) -> None:
    """Raise `InputError` for a file of settings that none of the recipes has a row for."""
    for file in files:
        if any(recipe.takes(file) for recipe in recipes):
            continue
        _check_row(file.data, file.row, recipes, where=str(file.path))
        names = ", ".join(sorted(file.modalities or ()))
        raise InputError(
            f"{file.path}: expected settings tuned on the modalities of a table of {file.data}, "
            f"got {file.row} tuned on {names}. Tune with the table's --modalities."
        )


def check_own_settings(recipe: Recipe, where: str) -> None:
    """Raise `InputError` for a table ``[tuned.SET.ROW]`` of a recipe that it has no row for."""
    for name, rows in recipe.tuned.items():
        for row in rows or (None,):
            at = ".".join(["tuned", name, *([row] if row else [])])
            _check_row(name, row, [recipe], where=f"{where}, [{at}]")


def _check_row(data: str, row: str | None, recipes: Sequence[Recipe], where: str) -> None:
    """Raise unless a recipe has the data set, and there the row, if one is named."""
    sets = dict.fromkeys(name for recipe in recipes for name in recipe.sets)
    if data not in sets:
        raise InputError(f"{where}: {not_found('data set of the table', data, sets)}")
    there = [recipe for recipe in recipes if data in recipe.sets]
    rows = dict.fromkeys(name for recipe in there for name in recipe.tunable)
    if row is not None and row not in rows:
        what = f"row of {data} without settings of its own"
        raise InputError(f"{where}: {not_found(what, row, rows)}")
