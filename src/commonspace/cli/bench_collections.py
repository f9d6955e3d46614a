"""``bench torture | versions | mixed | filters | milvus``: what collections promise, tested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import DataRoot, Json
from commonspace.cli.bench import Sets
from commonspace.cli.bench_search import Dim, Kinds, Seed, SetName
from commonspace.cli.output import print_benchmark, print_json, print_line, say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace bench torture --kills 200")(torture)
    app.command(epilog="Example: commonspace bench versions --set wikipedia")(versions)
    app.command(epilog="Example: commonspace bench mixed --set emoji")(mixed)
    app.command(epilog="Example: commonspace bench filters --items 100000")(filters)
    app.command(epilog="Example: commonspace bench milvus --items 2000")(milvus)


def torture(
    kills: Annotated[int, typer.Option(min=1, help="Writers to kill.")] = 200,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="NAME", help="Of index; repeatable.")
    ] = None,
    damages: Annotated[int, typer.Option(min=1, help="Bits to flip and files to cut.")] = 100,
    seed: Seed = 0,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="On the disk to test.")] = None,
    json: Json = False,
) -> None:
    """Kill the writer of a collection again and again; exit with 1 if anything is lost."""
    from commonspace.benchmarks.torture import KINDS, bench_torture

    result = bench_torture(
        kills=kills,
        kinds=kinds or tuple(KINDS),
        damages=damages,
        seed=seed,
        folder=folder,
        say=say,
    )
    if json:
        print_json(result)
    else:
        print_benchmark(result, False)
        print_line(f"damage: {result['damage']}")
        print_line(f"full disk: {result['full']}")
        for problem in result["problems"]:
            print_line(problem)
    if any(result["ratios"].values()):
        raise typer.Exit(1)


def versions(
    sets: Sets = None,
    dim: Dim = 128,
    seed: Seed = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Let a retrained encoder search what its predecessor encoded."""
    from commonspace.benchmarks.versions import SETS, bench_versions

    result = bench_versions(sets=sets or SETS, dim=dim, seed=seed, root=data_root, say=say)
    print_benchmark(result, json)


def mixed(
    sets: Sets = None,
    dim: Dim = 128,
    seed: Seed = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Measure how fair lists of all modalities are, by cosine and by match probability."""
    from commonspace.benchmarks.mixed import SETS, bench_mixed

    result = bench_mixed(sets=sets or SETS, dim=dim, seed=seed, root=data_root, say=say)
    print_benchmark(result, json)


def filters(
    set_: SetName = "mfeat",
    items: Annotated[int, typer.Option(min=1000, help="Items, resampled with noise.")] = 50_000,
    dim: Dim = 128,
    kinds: Kinds = None,
    queries: Annotated[int, typer.Option(min=1, help="Queries.")] = 100,
    seed: Seed = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Measure recall and latency where a filter leaves 1 %, 10 % or 50 % of the items."""
    from commonspace.benchmarks.filters import KINDS, bench_filters

    result = bench_filters(
        name=set_,
        n_items=items,
        dim=dim,
        kinds=kinds or tuple(KINDS),
        n_queries=queries,
        seed=seed,
        root=data_root,
        say=say,
    )
    print_benchmark(result, json)


def milvus(
    set_: SetName = "mfeat",
    items: Annotated[
        list[int] | None,
        typer.Option(min=100, help="Items; may be repeated [default: 5000 and 20000]."),
    ] = None,
    dim: Dim = 128,
    queries: Annotated[int, typer.Option(min=1, help="Queries.")] = 20,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="milvus://HOST:PORT/PREFIX",
            help="A server to fill, which keeps what is filled [default: Milvus Lite].",
        ),
    ] = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Fill and ask the same collection in a folder and in Milvus."""
    from commonspace.benchmarks.milvus import SIZES, bench_milvus

    result = bench_milvus(
        name=set_,
        sizes=items or SIZES,
        dim=dim,
        n_queries=queries,
        address=address,
        seed=seed,
        root=data_root,
        say=say,
    )
    print_benchmark(result, json)
