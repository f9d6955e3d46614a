"""``bench``: speed as ratios of two things timed in turn in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from commonspace.types import JsonDict

app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)


@app.callback(epilog="Example: commonspace bench evaluate --json")
def bench() -> None:
    """Measure speed and memory on this machine."""


@app.command(epilog="Example: commonspace bench evaluate --queries 1000 --gallery 10000")
def evaluate(
    queries: Annotated[int, typer.Option(min=1, help="Queries.")] = 1000,
    gallery: Annotated[int, typer.Option(min=1, help="Items of the gallery.")] = 10_000,
    dim: Annotated[int, typer.Option(min=1, help="Dimensions of the vectors.")] = 64,
    classes: Annotated[int, typer.Option(min=1, help="Classes.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the fastest counts.")] = 3,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the vectors.")] = 0,
    json: Json = False,
) -> None:
    """Time evaluation against the loops that people write."""
    from commonspace.benchmarks.evaluate import bench_evaluate

    result = bench_evaluate(
        n_queries=queries,
        n_gallery=gallery,
        dim=dim,
        n_classes=classes,
        repeats=repeats,
        memory=memory,
        seed=seed,
    )
    _show(result, json)


def _show(result: JsonDict, as_json: bool) -> None:
    if as_json:
        return print_json(result)
    header = list(dict.fromkeys(key for row in result["rows"] for key in row))
    print_table(header, [[row.get(key) for key in header] for row in result["rows"]])
    for name, value in result["ratios"].items():
        print_line(f"{name}: {value:.3g}")
    return None
