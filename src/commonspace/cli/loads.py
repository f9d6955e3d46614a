"""``bench serve``: a service under load, and broken on purpose."""

from __future__ import annotations

from typing import Annotated

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import print_benchmark


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace bench serve --items 100000 --seconds 20")(serve)


def serve(
    items: Annotated[int, typer.Option(min=1, help="Of the collection.")] = 100_000,
    dim: Annotated[int, typer.Option(min=1, help="Of its vectors.")] = 64,
    clients: Annotated[int, typer.Option(min=1, help="That ask at once.")] = 64,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each phase.")] = 20.0,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits of each query.")] = 10,
    index: Annotated[
        str, typer.Option(metavar="KIND", help="Such as exact, ivf, or auto, which chooses.")
    ] = "auto",
    faults: Annotated[
        bool, typer.Option("--faults", help="Instead: malformed uploads, and kills while writing.")
    ] = False,
    uploads: Annotated[int, typer.Option(min=0, help="Of --faults.")] = 1000,
    kills: Annotated[int, typer.Option(min=0, help="Of --faults.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of vectors and faults.")] = 0,
    json: Json = False,
) -> None:
    """Time a service under load beside search in process; or break it on purpose."""
    if faults:
        from commonspace.benchmarks.serve_faults import bench_faults

        return print_benchmark(bench_faults(uploads=uploads, kills=kills, seed=seed), json)
    from commonspace.benchmarks.serve import bench_serve

    result = bench_serve(
        items=items, dim=dim, clients=clients, seconds=seconds, k=k, index=index, seed=seed
    )
    return print_benchmark(result, json)
