"""``bench search | choice | ingest | open``: collections and their indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import DataRoot, Json
from commonspace.cli.output import print_benchmark, say

SetName = Annotated[str, typer.Option("--set", metavar="NAME", help="A known data set.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="NAME", help="Such as ivf or 'codes 8x4'; may be repeated."),
]
Items = Annotated[int, typer.Option(min=1000, help="Items, resampled with noise from real ones.")]
Dim = Annotated[int, typer.Option(min=8, help="Dimensions of the space.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the space and the items.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace bench search --items 1000000 --kind ivf")(search)
    app.command(epilog="Example: commonspace bench ingest --items 20000 --kind exact")(ingest)
    app.command(epilog="Example: commonspace bench choice --size 10000 --size 100000")(choice)
    app.command("open", epilog="Example: commonspace bench open photos")(open_)


def search(
    set_: SetName = "mfeat",
    items: Items = 100_000,
    dim: Dim = 128,
    noise: Annotated[float, typer.Option(min=0, help="Length of it, of a vector's.")] = 0.3,
    kinds: Kinds = None,
    queries: Annotated[int, typer.Option(min=1, help="For recall and mAP.")] = 200,
    recall: Annotated[
        float, typer.Option(min=0, max=1, help="To tune graphs and lists to.")
    ] = 0.95,
    seconds: Annotated[float, typer.Option(min=0.01, help="CPU seconds of a timing.")] = 0.5,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the fastest counts.")] = 3,
    graph_items: Annotated[
        int, typer.Option(min=1000, help="Items that a graph is built of at most.")
    ] = 200_000,
    memory_items: Annotated[
        int, typer.Option(min=0, help="Codes to search in a process whose memory is measured.")
    ] = 0,
    seed: Seed = 0,
    data_root: DataRoot = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw pictures into this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Time every kind of index beside FAISS alone, with recall, mAP and bytes."""
    from commonspace.benchmarks.search import KINDS, bench_search

    result = bench_search(
        name=set_,
        n_items=items,
        dim=dim,
        noise=noise,
        kinds=kinds or tuple(KINDS),
        n_queries=queries,
        recall=recall,
        seconds=seconds,
        repeats=repeats,
        most_graph_items=graph_items,
        memory_items=memory_items,
        seed=seed,
        root=data_root,
        plots=plots,
        say=say,
    )
    print_benchmark(result, json)


def ingest(
    set_: SetName = "mfeat",
    items: Items = 50_000,
    dim: Dim = 128,
    batch: Annotated[int, typer.Option(min=1, help="Items a transaction.")] = 1024,
    kinds: Kinds = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="On the disk to measure.")
    ] = None,
    json: Json = False,
) -> None:
    """Time encoding, storing and indexing items, and opening the collection again."""
    from commonspace.benchmarks.ingest import bench_ingest

    result = bench_ingest(
        name=set_,
        n_items=items,
        dim=dim,
        batch=batch,
        kinds=kinds or ("exact", "ivf", "codes 8x4"),
        seed=seed,
        root=data_root,
        folder=folder,
        say=say,
    )
    print_benchmark(result, json)


def open_(
    collection: Annotated[Path, typer.Argument(help="Its folder; nothing is written to it.")],
    json: Json = False,
) -> None:
    """Time opening a collection up to its first answer, with its index and as if without."""
    from commonspace.benchmarks.opening import bench_open

    print_benchmark(bench_open(collection), json)


def choice(
    set_: SetName = "mfeat",
    sizes: Annotated[
        list[int] | None, typer.Option("--size", min=1000, help="Items; may be repeated.")
    ] = None,
    dim: Dim = 128,
    noise: Annotated[float, typer.Option(min=0, help="Length of it, of a vector's.")] = 0.3,
    seed: Seed = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Time exact search beside lists, one query at a time and in batches."""
    from commonspace.benchmarks.choosing import bench_choice

    result = bench_choice(
        name=set_,
        sizes=sizes or (10_000, 30_000, 100_000, 300_000),
        dim=dim,
        noise=noise,
        seed=seed,
        root=data_root,
        say=say,
    )
    print_benchmark(result, json)
