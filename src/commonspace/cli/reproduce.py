"""``reproduce``: the papers' tables, and studies of their shape on data at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import plain, print_json, print_line, print_table
from commonspace.errors import NotFoundError

if TYPE_CHECKING:
    from commonspace.benchmarks.reproduce import Recipe
    from commonspace.types import JsonDict

Format = Literal["table", "markdown", "csv", "json"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace reproduce all --out results")(reproduce)


def reproduce(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A name, a .toml file of your own, all, list, or site (pages from --out).",
        ),
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME", help="Only this data set; may be repeated."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="Only this row; may be repeated."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Random states, from 0.")] = 3,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings at once [default: one a core].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write JSON, Markdown and CSV there.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = "table",
    tuned: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Settings by set and method, as tune --out writes them."),
    ] = None,
    cells: Annotated[
        Path, typer.Option(metavar="DIR", help="Finished pieces, taken up again.")
    ] = Path("build/reproduce"),
    docs: Annotated[
        Path, typer.Option(metavar="DIR", help="Where `site` writes its pages.")
    ] = Path("docs/results"),
    data_root: Annotated[
        Path | None,
        typer.Option(
            "--data-root",
            "--root",
            metavar="DIR",
            help="Where the files of known data sets lie [default: $COMMONSPACE_DATA].",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a paper's table: published, ours, interval, deviation; or a study on other data."""
    from commonspace.benchmarks.reproduce import (
        absent,
        check_taken,
        list_recipes,
        load_recipe,
        narrowed,
    )
    from commonspace.benchmarks.reproduce import reproduce as run
    from commonspace.benchmarks.tuned import read_tuned

    if recipe == "site":
        return _site(out or Path("results"), docs, json)
    if recipe == "list":
        every = list_recipes()
        return _list(every, absent(every, data_root), json)
    whole = list_recipes() if recipe == "all" else [load_recipe(recipe)]
    chosen = (
        narrowed(whole, sets or (), methods or ())
        if recipe == "all"
        else [whole[0].narrowed(sets or (), methods or ())]
    )
    if tuned is not None:
        found = read_tuned(tuned)
        check_taken(found, [*whole, *chosen])
        chosen = [each.with_tuned(found) for each in chosen]
    shown: Format = "json" if json else format_
    tables = []
    for table in run(
        chosen, seeds=seeds, root=data_root, cells=cells, out=out, jobs=jobs, say=_say
    ):
        tables.append(table)
        if shown != "json":
            _show(table, shown)
    if recipe != "all" and all(table["skipped"] for table in tables):
        raise NotFoundError(str(tables[0]["skipped"]))
    if shown == "json":
        print_json({"tables": tables})
    elif recipe == "all":
        _summary(tables)
    if any(row["status"] == "failed" for table in tables for row in table["rows"]):
        raise typer.Exit(1)
    return None


def _list(recipes: Sequence[Recipe], missing: Mapping[str, str], as_json: bool) -> None:
    """Recipes, on which data each would run here, and what the others need."""
    if as_json:
        rows = [
            {
                "recipe": r.name,
                "title": r.title,
                "study": r.study,
                "sets": list(r.sets),
                "missing": [name for name in r.sets if name in missing],
            }
            for r in recipes
        ]
        return print_json({"recipes": rows, "missing": dict(missing)})
    print_table(
        ["recipe", "", "title", "data here", "missing"],
        [
            [
                r.name,
                "study" if r.study else "paper",
                r.title,
                ", ".join(name for name in r.sets if name not in missing),
                ", ".join(name for name in r.sets if name in missing),
            ]
            for r in recipes
        ],
    )
    for why in missing.values():
        print_line(why)
    return None


def _site(results: Path, docs: Path, as_json: bool) -> None:
    from commonspace.benchmarks.reproduce.site import write_pages

    pages = write_pages(results, docs)
    if as_json:
        return print_json({"pages": [str(page) for page in pages]})
    print_line(f"wrote {len(pages)} pages to {docs}; build them with: make site")
    return None


def _show(table: JsonDict, shown: Format) -> None:
    from commonspace.benchmarks.reproduce import formats

    if shown == "csv":
        return typer.echo(formats.to_csv(table), nl=False)
    if shown == "markdown":
        return typer.echo(formats.to_markdown(table))
    print_line(f"{table['title']}: {table['set']}")
    for line in formats.headline(table):
        print_line(line)
    if table["skipped"]:
        return print_line(f"skipped: {table['skipped']}\n")
    print_table(*formats.grid(table, notes=False))
    for line in [*formats.row_notes(table), *formats.footnotes(table)]:
        print_line(line)
    return print_line()


def _summary(tables: Sequence[JsonDict]) -> None:
    from commonspace.benchmarks.reproduce.formats import summary, totals

    print_table(*summary(tables))
    print_line(totals(tables))


def _say(line: str) -> None:
    typer.echo(plain(line), err=True)
