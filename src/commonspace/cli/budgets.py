"""``bench tune``: every method under one budget of tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import DataRoot, Json
from commonspace.cli.bench import CellFolder
from commonspace.cli.output import print_benchmark, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: commonspace bench tune --set wikipedia --method SM --method Ridge"
    app.command(epilog=example)(tune)


def tune(
    sets: Annotated[
        list[str], typer.Option("--set", metavar="NAME", help="A data set; may be repeated.")
    ],
    methods: Annotated[
        list[str],
        typer.Option("--method", metavar="NAME", help="Such as SM or SDML.fast; repeatable."),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of each, with the defaults [default: 20].")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Of each; the last one ends, and --check comes on top."),
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="Draws of rows to hold back.")] = 1,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Score best and defaults on another draw.")
    ] = True,
    test: Annotated[bool, typer.Option("--test", help="Score the test split once, too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    data_root: DataRoot = None,
    cells: CellFolder = Path("build/bench/tune"),
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write SET-METHOD.json settings there.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 1,
    json: Json = False,
) -> None:
    """Search settings of several methods on several sets, all under one budget."""
    from commonspace.benchmarks.budgets import Budget, bench_tune

    result = bench_tune(
        sets=sets,
        methods=methods,
        budget=Budget(trials, seconds, folds, seed, check),
        test=test,
        root=data_root,
        cells=cells,
        out=out,
        jobs=jobs,
        say=say,
    )
    print_benchmark(result, json)
