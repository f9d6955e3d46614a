"""Run recipes: data at hand, one table a data set, kept as JSON; what is absent is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from commonspace.benchmarks.cells import Cells
from commonspace.benchmarks.reproduce.formats import write_table
from commonspace.benchmarks.reproduce.recipe import PAPERS, Recipe
from commonspace.benchmarks.reproduce.studies import convergence_table, growth_table, orders_table
from commonspace.benchmarks.reproduce.tables import Bench, methods_table
from commonspace.benchmarks.scoring import Parts
from commonspace.data import Splits, list_datasets, load_dataset
from commonspace.errors import InputError, NotFoundError
from commonspace.machine import describe_machine
from commonspace.types import JsonDict

FORMAT = 1
CELLS = Path("build") / "reproduce"


def reproduce(
    recipes: Sequence[Recipe],
    *,
    seeds: int = 3,
    root: str | Path | None = None,
    cells: str | Path = CELLS,
    out: str | Path | None = None,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[JsonDict]:
    """Make the tables of recipes, one a data set, as they are finished.

    Args:
        recipes: See `load_recipe` and `list_recipes`.
        seeds: How many random states, from 0.
        root: Where the data sets are.
        cells: Folder of finished `Cells`, so that a run that was stopped goes on.
        out: Write each table there, as JSON, Markdown and CSV; None writes none.
        jobs: Trainings at once.
        say: Called with a line after each cell.

    Yields:
        Tables as JSON: "recipe", "set", "columns", "rows", how they were made, and "skipped": why
        there are no rows, or None.
    """
    kept = Cells(cells, say)
    for recipe in recipes:
        for name in recipe.sets:
            start = time.perf_counter()
            table = _head(recipe, name, seeds)
            try:
                parts = _parts(recipe, name, root)
            except (NotFoundError, InputError) as error:
                table["skipped"] = _why_absent(name, root) or str(error)
            else:
                table |= _made(recipe, name, parts, kept, seeds, jobs, root)
                table["wall_seconds"] = round(time.perf_counter() - start, 1)
            if out is not None:
                write_table(table, Path(out))
            yield table


def absent(recipes: Sequence[Recipe], root: str | Path | None = None) -> dict[str, str]:
    """Return the data sets of recipes that are not here, and what each of them needs.

    Args:
        recipes: See `load_recipe` and `list_recipes`.
        root: Where the data sets are.
    """
    names = dict.fromkeys(name for recipe in recipes for name in recipe.sets)
    found = {name: _why_absent(name, root) for name in names}
    return {name: why for name, why in found.items() if why is not None}


def _head(recipe: Recipe, name: str, seeds: int) -> JsonDict:
    published = recipe.published
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "set": name,
        "title": recipe.title,
        "paper": PAPERS[recipe.paper],
        "table": recipe.table,
        "kind": recipe.kind,
        "study": recipe.study,
        "seeds": seeds,
        "tolerance": recipe.tolerance if published is not None else None,
        "source": published.source if published is not None else None,
        "differs": list(recipe.differs),
        "note": recipe.note,
        "protocol": None,
        "machine": describe_machine(),
        "skipped": None,
        "columns": [],
        "rows": [],
    }


def _parts(recipe: Recipe, name: str, root: str | Path | None) -> Parts:
    data = load_dataset(name, root=root)
    if recipe.modalities is not None:
        data = data.select(recipe.modalities)
    _check_features(name, data)
    # Rows that are scored select no model.
    valid = data.get("valid") if recipe.queries != "valid" else None
    gallery = None if recipe.gallery is None else data[recipe.gallery]
    return Parts(data["train"], valid, data[recipe.queries], gallery)


def _why_absent(name: str, root: str | Path | None) -> str | None:
    """What a known data set needs, without a word of this machine's folders; None if it is here."""
    for entry in list_datasets(root=root):
        if entry.name == name and not entry.available:
            needs = ", or ".join(" + ".join(layout.files) for layout in entry.layouts)
            return (
                f"data set {name!r} is not here: it needs {needs}. {entry.how_to_get} Name the "
                "folder with --root, or in the environment variable COMMONSPACE_DATA."
            )
    return None


def _check_features(name: str, data: Splits) -> None:
    for modality, part in data["train"].items():
        if part.x.dtype.kind not in "fiub" or part.x.ndim != 2:
            raise InputError(
                f"data set {name!r}: {modality} holds raw items, and tables are made of features. "
                "Put image_features.npy beside the release, or encode the items first."
            )


def _made(
    recipe: Recipe,
    name: str,
    parts: Parts,
    kept: Cells,
    seeds: int,
    jobs: int | None,
    root: str | Path | None,
) -> JsonDict:
    several = recipe.graded and parts.train.label_kind != "single"
    protocol = replace(recipe.protocol, gain="overlap" if several else None)
    bench = Bench(recipe, name, parts, protocol, kept, seeds, jobs)
    makers: dict[str, Callable[[], JsonDict]] = {
        "methods": lambda: methods_table(bench),
        "convergence": lambda: convergence_table(bench),
        "growth": lambda: growth_table(bench),
        "orders": lambda: orders_table(bench, root, kept.folder),
    }
    rows: dict[str, Any] = {
        split: {modality: len(part) for modality, part in data.items()}
        for split, data in (("train", parts.train), ("queries", parts.queries))
    }
    described = protocol.to_dict() if recipe.kind == "methods" else None
    return {"protocol": described, "rows_of": rows, **makers[recipe.kind]()}
