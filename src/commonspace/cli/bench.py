"""``bench``: speed as ratios of two things timed in turn in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import DataRoot, Json, parse_pairs
from commonspace.cli.output import print_benchmark, say
from commonspace.errors import InputError

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME", help="A known data set; may be repeated."),
]
Seeds = Annotated[int, typer.Option(min=1, help="Random states, from 0.")]
CellFolder = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Finished pieces; those that nothing changed for are kept."),
]

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
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench train --features image=4096 --features text=300")
def train(
    rows: Annotated[int, typer.Option(min=100, help="Training rows of each modality.")] = 2173,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="Features of a modality; may be repeated [default: image=128 text=10].",
        ),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes.")] = 10,
    dim: Annotated[int, typer.Option(min=1, help="Dimensions of the common space.")] = 512,
    width: Annotated[int, typer.Option(min=1, help="Of the published hidden layers.")] = 1024,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs; the first is not counted.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the fastest counts.")] = 1,
    effort: Annotated[float, typer.Option(help="Of the default's fit; 1: the default.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of features, weights and batches.")] = 0,
    json: Json = False,
) -> None:
    """Time training against the loop released with the SDML paper."""
    from commonspace.benchmarks.train import bench_train

    result = bench_train(
        n_rows=rows,
        dims=_widths(features) if features else None,
        n_classes=classes,
        dim=dim,
        hidden=(width, width),
        epochs=epochs,
        repeats=repeats,
        effort=effort,
        seed=seed,
    )
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench recipe --set wikipedia --method SDML --seeds 1")
def recipe(
    sets: Sets = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="Such as SM or SDML.paper; may be repeated."),
    ] = None,
    seeds: Seeds = 3,
    data_root: DataRoot = None,
    cells: CellFolder = Path("build/bench/recipe"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings at once [default: one a core].")
    ] = None,
    json: Json = False,
) -> None:
    """Score methods on data sets, over several seeds and with paired tests."""
    from commonspace.benchmarks.recipe import COMPARED, SETS, bench_recipe

    result = bench_recipe(
        sets=sets or SETS,
        methods=methods or COMPARED,
        seeds=seeds,
        root=data_root,
        cells=cells,
        jobs=jobs,
        say=say,
    )
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench ablation --set wikipedia --without dropout")
def ablation(
    sets: Sets = None,
    factors: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PART", help="Part to take out; may be repeated."),
    ] = None,
    preset: Annotated[str, typer.Option(help="SDML or SDML.fast.")] = "SDML.fast",
    seeds: Seeds = 1,
    data_root: DataRoot = None,
    cells: CellFolder = Path("build/bench/ablation"),
    json: Json = False,
) -> None:
    """Take parts out of SDML's recipe, one at a time, on a share of the training rows."""
    from commonspace.benchmarks.ablation import FACTORS, bench_ablation
    from commonspace.benchmarks.recipe import SETS

    result = bench_ablation(
        sets=sets or SETS,
        factors=factors or tuple(FACTORS),
        preset=preset,
        seeds=seeds,
        root=data_root,
        cells=cells,
        say=say,
    )
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench codes --set wikipedia --bits 32 --seeds 1")
def codes(
    sets: Sets = None,
    spaces: Annotated[
        list[str] | None,
        typer.Option("--space", metavar="NAME", help="Such as SDML or SPDQ; may be repeated."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="Such as Quantizer or PQ; may be repeated."),
    ] = None,
    bits: Annotated[
        list[int] | None,
        typer.Option(
            min=8, max=128, metavar="N", help="Of a code; may be repeated [default: 8 to 128]."
        ),
    ] = None,
    seeds: Seeds = 3,
    sizes: Annotated[bool, typer.Option(help="Learn from fewer rows too.")] = False,
    data_root: DataRoot = None,
    cells: CellFolder = Path("build/bench/codes"),
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw pictures into this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Score compact codes, ours and FAISS's, at equal bytes on the same vectors."""
    from commonspace.benchmarks.codes import BITS, METHODS, SETS, bench_codes

    result = bench_codes(
        sets=sets or SETS,
        spaces=spaces or ("SDML",),
        methods=methods or METHODS,
        bits=bits or BITS,
        seeds=seeds,
        sizes=sizes,
        root=data_root,
        cells=cells,
        plots=plots,
        say=say,
    )
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench inspect --set wikipedia --model SM --seeds 1")
def inspect(
    sets: Sets = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="SM or SDML.fast; may be repeated."),
    ] = None,
    seeds: Seeds = 3,
    train: Annotated[bool, typer.Option(help="Train on wrong labels too.")] = True,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Plant faults in spaces and count which of them inspect finds."""
    from commonspace.benchmarks.inspect import MODELS, SETS, bench_inspect

    result = bench_inspect(
        sets=sets or SETS,
        models=models or tuple(MODELS),
        seeds=seeds,
        train=train,
        root=data_root,
        say=say,
    )
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench pixels --set coco_raw --epochs 5")
def pixels(
    set_: Annotated[
        str, typer.Option("--set", metavar="NAME", help="emoji_raw or coco_raw.")
    ] = "emoji_raw",
    side: Annotated[int, typer.Option(min=8, help="Pixels to scale pictures to.")] = 72,
    crop: Annotated[int, typer.Option(min=32, help="Pixels that are seen of them.")] = 64,
    freeze: Annotated[int, typer.Option(min=0, help="Stages, of 18, that stay as they are.")] = 8,
    rate: Annotated[float, typer.Option(help="Learning rate of the other stages.")] = 4e-4,
    words: Annotated[int, typer.Option(min=1, help="Size of the vocabulary.")] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Of both.")] = 10,
    seeds: Seeds = 2,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Compare fine-tuning a backbone on pictures and words with its features as they are."""
    from commonspace.benchmarks.pixels import bench_pixels

    result = bench_pixels(
        name=set_,
        side=side,
        crop=crop,
        freeze=freeze,
        rate=rate,
        words=words,
        epochs=epochs,
        seeds=seeds,
        root=data_root,
        say=say,
    )
    print_benchmark(result, json)


@app.command(epilog="Example: commonspace bench sequential --set digits --orders 5 --plot out.png")
def sequential(
    sets: Sets = None,
    strategies: Annotated[
        list[str] | None,
        typer.Option("--strategy", metavar="NAME", help="Such as replay; may be repeated."),
    ] = None,
    orders: Annotated[int, typer.Option(min=1, help="Orders of the modalities.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Random states of each order, from 0.")] = 1,
    rows: Annotated[int, typer.Option(min=2, help="Training rows of each modality.")] = 300,
    test_rows: Annotated[int, typer.Option(min=2, help="Test rows of each modality.")] = 150,
    memory: Annotated[int, typer.Option(min=1, help="Rows remembered.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="Work of a stage.")] = 80,
    data_root: DataRoot = None,
    cells: CellFolder = Path("build/bench/sequential"),
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as PNG.")] = None,
    json: Json = False,
) -> None:
    """Compare ways to learn modality after modality, at equal work and memory."""
    from commonspace.benchmarks.sequential import CONTESTANTS, SETS, Scale, bench_sequential

    result = bench_sequential(
        sets=sets or tuple(SETS),
        contestants=strategies or tuple(CONTESTANTS),
        orders=orders,
        seeds=seeds,
        scale=Scale(rows=rows, test_rows=test_rows, memory=memory, steps=steps),
        root=data_root,
        cells=cells,
        plot=plot,
        say=say,
    )
    print_benchmark(result, json)


def _widths(features: Sequence[str]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for name, text in parse_pairs("--features", features).items():
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"--features: expected a whole number above 0, got {text!r}.")
        widths[name] = int(text)
    return widths
