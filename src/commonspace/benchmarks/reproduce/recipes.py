"""Recipes: a table of a paper, or a study of the same shape, as a TOML file.

A recipe says which data, protocol and methods make a table, which numbers were published, and why
ours may differ. A study has data of ours and therefore no published column. ``recipes/*.toml`` are
those that come with the library; anybody's own file is read in the same way.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from commonspace import methods
from commonspace.benchmarks.contestants import (
    GROUPS,
    METHODS,
    by_group,
    group_of,
    label_of,
    method_of,
)
from commonspace.benchmarks.reproduce import schema
from commonspace.benchmarks.reproduce.schema import checked
from commonspace.checks import not_found
from commonspace.disk import read_json
from commonspace.errors import InputError
from commonspace.evaluation import Protocol
from commonspace.evaluation.protocol import Metric
from commonspace.store.settings import FORMAT_VERSION, KIND
from commonspace.types import JsonDict

FOLDER = Path(__file__).parents[1] / "recipes"
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
EVERY = "*"
FLOOR = ("chance", "SM")  # in every table
UNITS = {"fraction": 1.0, "percent": 0.01}

_TOP: dict[str, schema.Field] = {
    "format": ("1", lambda value: value == 1),
    "title": schema.TEXT,
    "paper": schema.one_of(*PAPERS),
    "table": schema.TEXT,
    "kind": schema.one_of(*KINDS),
    "study": schema.FLAG,
    "data": schema.NAMES,
    "modalities": schema.TEXTS,
    "protocol": schema.TABLE,
    "queries": schema.TEXT,
    "gallery": schema.TEXT,
    "columns": schema.TEXTS,
    "tolerance": schema.NUMBER,
    "differs": schema.TEXTS,
    "note": schema.TEXT,
    "curves": schema.FLAG,
    "scopes": schema.COUNTS,
    "cutoffs": schema.COUNTS,
    "methods": schema.TABLES,
    "tuned": schema.TABLE,
    "options": schema.TABLE,
    "published": schema.TABLE,
}
_METHOD: dict[str, schema.Field] = {
    "name": schema.TEXT,
    "label": schema.TEXT,
    "settings": schema.TABLE,
    "sweep": schema.TABLE,
    "metric": schema.one_of("cosine", "inner", "euclidean"),
    "codes": schema.FLAG,
    "published": schema.TEXT,
    "differs": schema.TEXT,
    "groups": schema.TEXTS,
}
_DISTANCES: dict[str, Metric] = {
    "(IP)": "inner",
    "(ED)": "euclidean",
    "(cos)": "cosine",
}  # as MS-DMML names them
REDUCED = {"CBT": "CBTLite", "CCL": "CCLLite"}  # what the library has of them has another name
_PUBLISHED: dict[str, schema.Field] = {
    "source": schema.TEXT,
    "unit": schema.one_of(*UNITS),
    "columns": schema.TEXTS,
    "rows": schema.TABLE,
    "doubtful": schema.TEXT_TABLE,
}


@dataclass(frozen=True)
class Entry:
    """A row of a table before it has run.

    Attributes:
        name: Among `contestants.METHODS`.
        label: What the table calls it.
        settings: Arguments that differ from the method's or preset's.
        metric: What ranks, where it is not the protocol's.
        codes: Score float queries against decoded codes.
        published: Row of the published numbers.
        differs: Why this row alone may differ.
        at: Argument and value, where the row is one of a sweep.
    """

    name: str
    label: str
    settings: JsonDict = field(default_factory=dict)
    metric: Metric | None = None
    codes: bool = False
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
    tuned: Mapping[str, Mapping[str, JsonDict]]
    options: JsonDict
    published: Published | None

    def narrowed(self, sets: Sequence[str], names: Sequence[str]) -> Recipe:
        """The same recipe with some of its sets, or others in a study, and some of its rows.

        Raises:
            InputError: A paper's table was asked for on other data.
            NotFoundError: No row has such a method or label.
        """
        known = {key: entry for entry in self.entries for key in (entry.name, entry.label)}
        for name in names:
            if name not in known and name not in FLOOR:
                raise not_found(f"method of {self.name}", name, known)
        for name in sets:
            if name not in self.sets and not self.study:
                raise InputError(
                    f"{self.name} is a table of {', '.join(self.sets)}, got --set {name}. The "
                    "studies (`reproduce list`) take any data."
                )
        kept = [e for e in self.entries if not names or e.name in names or e.label in names]
        return replace(self, sets=tuple(sets) or self.sets, entries=tuple(kept))

    def with_tuned(self, tuned: Mapping[str, Mapping[str, JsonDict]]) -> Recipe:
        """The same recipe with settings by set and method, before its own."""
        names = {**self.tuned, **tuned}
        both = {name: {**self.tuned.get(name, {}), **tuned.get(name, {})} for name in names}
        return replace(self, tuned=both)

    def is_tuned(self, name: str, entry: Entry) -> bool:
        """Whether the settings of a row on a data set were searched for."""
        return not entry.settings and bool(self.tuned.get(name, {}).get(entry.name))

    def settings_on(self, name: str, entry: Entry) -> JsonDict:
        """Arguments of a row on a data set."""
        return dict(self.tuned[name][entry.name] if self.is_tuned(name, entry) else entry.settings)


def read_tuned(folder: str | Path) -> dict[str, dict[str, JsonDict]]:
    """Settings by data set and method, from the files that `commonspace tune --out` wrote.

    Raises:
        InputError: The folder holds none, or one that does not say its data set.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise InputError(f"{folder}: expected settings files of commonspace tune, got none.")
    tuned: dict[str, dict[str, JsonDict]] = {}
    for path in paths:
        content = read_json(path, kind=KIND, max_version=FORMAT_VERSION)
        data = content.get("found", {}).get("data")
        if not isinstance(data, str):
            raise InputError(f"{path}, key 'found': expected the 'data' it is for, got {data!r}.")
        tuned.setdefault(data, {})[content["method"]] = content["settings"]
    return tuned


def list_recipes() -> list[Recipe]:
    """All recipes that come with the library: papers' tables first, then studies."""
    found = [load_recipe(path) for path in sorted(FOLDER.glob("*.toml"))]
    return sorted(found, key=lambda recipe: recipe.study)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by name, or from a file of one's own.

    Raises:
        NotFoundError: No such recipe or file.
        InputError: The file is no recipe; the message names file, key, expected and got.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = [each.stem for each in FOLDER.glob("*.toml")]
        hint = "A recipe of your own: name the .toml file. `reproduce list` lists ours."
        raise not_found("recipe", str(name_or_path), known, hint=hint)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected TOML, got something else: {error}.") from error
    return _recipe(values, path)


def _recipe(values: Mapping[str, Any], path: Path) -> Recipe:
    where = str(path)
    required = ("format", "title", "paper", "table", "data")
    top = checked(values, _TOP, required=required, where=where)
    protocol, graded = _protocol(top.get("protocol", {}), where)
    study = bool(top.get("study", False))
    if study and "published" in top:
        raise InputError(
            f"{where}, key 'published': expected none in a study, whose data are not the paper's."
        )
    published = _published(top["published"], where) if "published" in top else None
    sets = top["data"] if isinstance(top["data"], list) else [top["data"]]
    return Recipe(
        name=path.stem,
        title=top["title"],
        paper=top["paper"],
        table=top["table"],
        kind=top.get("kind", "methods"),
        study=study,
        sets=tuple(sets),
        modalities=_tuple(top.get("modalities")),
        protocol=protocol,
        graded=graded,
        queries=top.get("queries", "test"),
        gallery=top.get("gallery"),
        columns=_tuple(top.get("columns")),
        tolerance=float(top.get("tolerance", 0.02)),
        differs=tuple(top.get("differs", ())),
        note=" ".join(top.get("note", "").split()),
        curves=bool(top.get("curves", False)),
        scopes=_tuple(top.get("scopes")),
        cutoffs=tuple(top.get("cutoffs", ())),
        entries=_entries(top.get("methods", []), published, where),
        tuned=_tuned(top.get("tuned", {}), where),
        options=top.get("options", {}),
        published=published,
    )


def _protocol(values: Mapping[str, Any], where: str) -> tuple[Protocol, bool]:
    presets: dict[str, Callable[[], Protocol]] = {
        "default": Protocol,
        "sdml": Protocol.sdml,
        "msdmml": Protocol.msdmml,
        "spdq": Protocol.spdq,
    }
    fields: dict[str, schema.Field] = {
        "preset": schema.one_of(*presets),
        "k": schema.COUNT,
        "divide_by": schema.TEXT,
        "empty": schema.TEXT,
        "ties": schema.TEXT,
        "metric": schema.TEXT,
        "within": schema.FLAG,
        "keep_self": schema.FLAG,
        "graded": schema.FLAG,
    }
    found = checked(values, fields, where=f"{where}, [protocol]")
    graded = bool(found.pop("graded", False))
    protocol = presets[found.pop("preset", "default")]()
    try:
        return replace(protocol, **found), graded
    except InputError as error:
        raise InputError(f"{where}, [protocol]: {error}") from error


def _entries(
    tables: Sequence[Mapping[str, Any]], published: Published | None, where: str
) -> tuple[Entry, ...]:
    """Rows as listed, then those of the paper that the library has a method for."""
    listed = {method_of(table["name"]) for table in tables if isinstance(table.get("name"), str)}
    found: dict[str, Entry] = {}
    for number, table in enumerate(tables, start=1):
        here = f"{where}, [[methods]] {number}"
        values = checked(table, _METHOD, required=("name",), where=here)
        for one in _every(values, listed, here) if values["name"] == EVERY else (values,):
            for entry in _expanded(one, here):
                if entry.label in found:
                    raise InputError(
                        f"{here}, key 'label': expected a label of its own, got "
                        f"{entry.label!r} again."
                    )
                found[entry.label] = entry
    taken = {entry.published for entry in found.values()}
    for row in published.rows if published else ():
        known = None if row in taken or row in found else _named_by_paper(row)
        if known is not None:
            found[row] = known
    return tuple(found.values())


def _every(values: JsonDict, listed: set[str], where: str) -> Iterator[JsonDict]:
    """Every method that is not listed by name, in the order of the groups."""
    for group in values.get("groups", ()):
        if group not in GROUPS:
            raise InputError(
                f"{where}, key 'groups': expected some of {', '.join(GROUPS)}, got {group!r}."
            )
    shape = values.get("label", "{label}")
    for name in by_group(name for name in methods.__all__ if name not in listed):
        if group_of(name) in values.get("groups", GROUPS):
            label = shape.replace("{label}", label_of(name))
            yield {**values, "name": name, "label": label}


def _named_by_paper(row: str) -> Entry | None:
    """The row of a method that the library has under the name that papers know.

    "CCA(ED)" says what ranks, "CDQ, bits=16" the length of codes.
    """
    if row in REDUCED and REDUCED[row] in METHODS:
        label = label_of(REDUCED[row])
        return Entry(REDUCED[row], label, published=row, differs=f"{label} is a reduced form")
    name, _, bits = row.partition(", bits=")
    suffix = next((each for each in _DISTANCES if name.endswith(each)), "")
    metric: Metric | None = "inner" if bits else _DISTANCES.get(suffix)
    settings = {"bits": int(bits)} if bits.isdecimal() else {}
    for method in methods.__all__:
        if label_of(method) == name.removesuffix(suffix):
            chosen = f"{method}.paper" if f"{method}.paper" in METHODS else method
            return Entry(chosen, row, settings, metric, codes=bool(settings), published=row)
    return None


def _expanded(values: JsonDict, where: str) -> Iterator[Entry]:
    """One entry, or one a value of its sweep."""
    name = values["name"]
    _check_method(name, where)
    label = str(values.get("label", label_of(name)))
    plain = Entry(
        name=name,
        label=label,
        settings=values.get("settings", {}),
        metric=values.get("metric"),
        codes=values.get("codes", False),
        published=str(values.get("published", label)),
        differs=values.get("differs"),
    )
    if "sweep" not in values:
        yield plain
        return
    sweep = values["sweep"]
    if len(sweep) != 1 or not all(isinstance(each, list) and each for each in sweep.values()):
        raise InputError(
            f"{where}, key 'sweep': expected one argument and its values, such as "
            f"{{ lam = [0.0, 0.5] }}, got {sweep!r}."
        )
    ((argument, found),) = sweep.items()
    for value in found:
        here = f"{label}, {argument}={value}"
        shown = values.get("published", label)
        yield replace(
            plain,
            label=here,
            settings={**plain.settings, argument: value},
            published=f"{shown}, {argument}={value}",
            at=(argument, value),
        )


def _check_method(name: str, where: str) -> None:
    if name not in METHODS:
        known = not_found("method", name, METHODS)
        raise InputError(f"{where}, key 'name': {known}")


def _tuned(values: Mapping[str, Any], where: str) -> dict[str, dict[str, JsonDict]]:
    for name, table in values.items():
        fields = dict.fromkeys(METHODS, schema.TABLE)
        checked(table, fields, where=f"{where}, [tuned.{name}]")
    return {name: dict(table) for name, table in values.items()}


def _published(values: Mapping[str, Any], where: str) -> Published:
    here = f"{where}, [published]"
    required = ("source", "columns", "rows")
    found = checked(values, _PUBLISHED, required=required, where=here)
    scale, columns = UNITS[found.get("unit", "fraction")], tuple(found["columns"])
    rows = {}
    for name, numbers in found["rows"].items():
        fits = isinstance(numbers, list) and all(schema.NUMBER[1](each) for each in numbers)
        if not fits or len(numbers) != len(columns):
            raise InputError(
                f"{here}, row {name!r}: expected {len(columns)} numbers, one a column, got "
                f"{numbers!r}."
            )
        rows[name] = tuple(_scaled(number, scale) for number in numbers)
    doubtful = found.get("doubtful", {})
    for name in doubtful:
        if name not in rows:
            raise InputError(f"{here}, key 'doubtful': expected a row, got {name!r}.")
    return Published(found["source"], columns, rows, doubtful)


def _scaled(number: float, scale: float) -> float:
    return round(number * scale, 6) if scale != 1.0 else float(number)


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)
