"""Recipes: a table of a paper, or a study of the same shape, as a TOML file.

A recipe says which data, protocol and methods make a table, which numbers were published, and why
ours may differ. A study has data of ours and therefore no published column. ``recipes/*.toml`` are
those that come with the library; anybody's own file is read in the same way.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from commonspace.benchmarks.contestants import METHODS, check_settings
from commonspace.benchmarks.reproduce import schema
from commonspace.benchmarks.reproduce.recipe import (
    KINDS,
    PAPERS,
    Published,
    Recipe,
    check_own_settings,
)
from commonspace.benchmarks.reproduce.rows import entries
from commonspace.benchmarks.reproduce.schema import checked
from commonspace.benchmarks.tuned import Tuned
from commonspace.checks import not_found
from commonspace.errors import CommonspaceError, InputError
from commonspace.evaluation import Protocol

FOLDER = Path(__file__).parents[1] / "recipes"
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
_PUBLISHED: dict[str, schema.Field] = {
    "source": schema.TEXT,
    "unit": schema.one_of(*UNITS),
    "columns": schema.TEXTS,
    "rows": schema.TABLE,
    "doubtful": schema.TEXT_TABLE,
}


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
    recipe = Recipe(
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
        entries=entries(top.get("methods", []), published, where),
        tuned=_tuned(top.get("tuned", {}), where),
        options=top.get("options", {}),
        published=published,
    )
    check_own_settings(recipe, where)
    _check_fits(recipe, where)
    return recipe


def _check_fits(recipe: Recipe, where: str) -> None:
    several = [entry.label for entry in recipe.entries if entry.fits > 1]
    if several and recipe.kind != "methods":
        raise InputError(
            f"{where}, key 'fits' of {several[0]}: expected 1 in a table of kind "
            f"{recipe.kind!r}, got more. Only tables of methods average fits."
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


def _tuned(values: Mapping[str, Any], where: str) -> dict[str, dict[str, Tuned]]:
    for name, table in values.items():
        fields = dict.fromkeys(METHODS, schema.TABLE)
        checked(table, fields, where=f"{where}, [tuned.{name}]")
        for row, settings in table.items():
            try:
                check_settings(row, settings)
            except CommonspaceError as error:
                raise InputError(f"{where}, [tuned.{name}.{row}]: {error}") from error
    return {
        name: {row: Tuned(settings) for row, settings in table.items()}
        for name, table in values.items()
    }


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
