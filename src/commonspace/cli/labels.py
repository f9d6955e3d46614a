"""``bench labels``: curves over the share of pairs, of labels, and of wrong labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import DataRoot, Json, parse_list, parse_pairs
from commonspace.cli.bench import CellFolder, Seeds, Sets
from commonspace.cli.output import print_benchmark, say
from commonspace.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: commonspace bench labels --set wikipedia --method SM --plot labels.png"
    app.command(epilog=example)(labels)


def labels(
    sets: Sets = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="Such as SM or SDML.fast; repeatable."),
    ] = None,
    factors: Annotated[
        list[str] | None,
        typer.Option("--factor", metavar="NAME", help="pairs, items, labels or noise; repeatable."),
    ] = None,
    shares: Annotated[
        list[str] | None,
        typer.Option(
            "--shares", metavar="NAME=P,P,...", help="Percentages of a factor; repeatable."
        ),
    ] = None,
    seeds: Seeds = 2,
    data_root: DataRoot = None,
    cells: CellFolder = Path("build/bench/labels"),
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as PNG.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 1,
    json: Json = False,
) -> None:
    """Compare methods as fewer rows are paired or labelled, or more are labelled wrongly."""
    from commonspace.benchmarks.labels import FACTORS, METHODS, SETS, bench_labels

    result = bench_labels(
        sets=sets or SETS,
        methods=methods or METHODS,
        factors=factors or tuple(FACTORS),
        shares=_shares(shares or []),
        seeds=seeds,
        root=data_root,
        cells=cells,
        plot=plot,
        jobs=jobs,
        say=say,
    )
    print_benchmark(result, json)


def _shares(texts: list[str]) -> dict[str, list[float]]:
    return {
        name: [_percent(text) for text in parse_list(values) or ()]
        for name, values in parse_pairs("--shares", texts).items()
    }


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise InputError(f"--shares: expected percentages from 0 to 100, got {text!r}.")
    return value / 100
