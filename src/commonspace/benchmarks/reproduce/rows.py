"""Rows of a recipe: those it lists, sweeps, every method, and those that its paper names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from commonspace import methods
from commonspace.benchmarks.contestants import (
    GROUPS,
    METHODS,
    by_group,
    check_settings,
    group_of,
    known_name,
    label_of,
    method_of,
)
from commonspace.benchmarks.reproduce import schema
from commonspace.benchmarks.reproduce.recipe import Entry, Published
from commonspace.benchmarks.reproduce.schema import checked
from commonspace.errors import CommonspaceError, InputError, NotFoundError
from commonspace.evaluation.protocol import Metric
from commonspace.types import JsonDict

EVERY = "*"
_METHOD: dict[str, schema.Field] = {
    "name": schema.TEXT,
    "label": schema.TEXT,
    "settings": schema.TABLE,
    "sweep": schema.TABLE,
    "metric": schema.one_of("cosine", "inner", "euclidean"),
    "codes": schema.FLAG,
    "fits": schema.COUNT,
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


def entries(
    tables: Sequence[Mapping[str, Any]], published: Published | None, where: str
) -> tuple[Entry, ...]:
    """Rows as listed, then those of the paper that the library has a method for.

    Args:
        tables: What stands under ``[[methods]]``.
        published: Numbers of the paper.
        where: The file, that messages begin with.

    Raises:
        InputError: A table is no row; the message names file, key, expected and got.
    """
    names = [table.get("name") for table in tables]
    listed = {method_of(name).lower() for name in names if isinstance(name, str)}
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
    shape = values.get("label", _plain_label("{label}", values))
    for name in by_group(name for name in methods.__all__ if name.lower() not in listed):
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
    name = _known(values["name"], where)
    label = str(values.get("label", _plain_label(label_of(name), values)))
    plain = Entry(
        name=name,
        label=label,
        settings=values.get("settings", {}),
        metric=values.get("metric"),
        codes=values.get("codes", False),
        fits=values.get("fits", 1),
        published=str(values.get("published", label)),
        differs=values.get("differs"),
    )
    if plain.codes and plain.fits > 1:
        raise InputError(
            f"{where}, key 'fits': expected 1 with codes, for the codes of several fits are not "
            f"one code, got {plain.fits}."
        )
    if "sweep" not in values:
        _check_settings(plain, where)
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
        entry = replace(
            plain,
            label=here,
            settings={**plain.settings, argument: value},
            published=f"{shown}, {argument}={value}",
            at=(argument, value),
        )
        _check_settings(entry, where)
        yield entry


def _plain_label(label: str, values: JsonDict) -> str:
    """What a row is called that is given no label."""
    return f"{label}, {values['fits']} fits" if values.get("fits", 1) > 1 else label


def _check_settings(entry: Entry, where: str) -> None:
    try:
        check_settings(entry.name, entry.settings)
    except CommonspaceError as error:
        raise InputError(f"{where}, settings of {entry.label}: {error}") from error


def _known(name: str, where: str) -> str:
    try:
        return known_name(name, METHODS)
    except NotFoundError as error:
        raise InputError(f"{where}, key 'name': {error}") from error
