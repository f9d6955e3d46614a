"""``encode``, ``index`` and ``check``: from a model to a collection that can be searched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commonspace.cli.arguments import (
    Address,
    CollectionPlace,
    Data,
    DataRoot,
    EngineName,
    Json,
    Model,
    join_engine,
)
from commonspace.cli.data import describe_splits
from commonspace.cli.encoding import (
    Cache,
    KeepFeatures,
    Strict,
    encode_run,
    left_out,
    show_left_out,
)
from commonspace.cli.output import print_json, print_line, print_table, progress_bar

if TYPE_CHECKING:
    from commonspace.data import Dataset, Splits
    from commonspace.encoders import EncodeRun
    from commonspace.methods.base import Method
    from commonspace.store.collection import Collection
    from commonspace.types import JsonDict

Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes that encode [default: one a processor core].")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace encode wiki wikipedia --out wiki-vectors")(encode)
    app.command(epilog="Example: commonspace index wiki wikipedia --out wiki-index")(index)
    app.command(epilog="Example: commonspace check wiki-index")(check)


def encode(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DATA2", help="Folder for the vectors.")],
    jobs: Jobs = None,
    engine: EngineName = "local",
    address: Address = None,
    cache: Cache = None,
    cached: KeepFeatures = True,
    strict: Strict = False,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Write a data set whose features are vectors of the common space."""
    from commonspace.data import load_dataset
    from commonspace.store.models import load
    from commonspace.store.pipelines import encode_dataset

    where = join_engine(engine, address)
    splits = load_dataset(data, root=data_root)
    with encode_run(
        cache=cache, keep=cached, strict=strict, jobs=jobs, engine=where, address=address
    ) as run:
        encoded = encode_dataset(load(model), splits, run=run)
    encoded.save(out)
    missing = left_out(splits, run)
    if json:
        return print_json({"folder": str(out), **describe_splits(encoded), "left_out": missing})
    show_left_out(missing)
    for split, part in encoded.items():
        for name in part:
            print_line(f"{out}: {split}/{name} {' x '.join(map(str, part.x(name).shape))}")
    return None


def index(
    model: Model,
    data: Data,
    out: Annotated[
        str, typer.Option(metavar="COLLECTION", help="Folder, or address as milvus://HOST/NAME.")
    ],
    split: Annotated[str, typer.Option(help="A split, or all.")] = "all",
    batch: Annotated[int, typer.Option(min=1, help="Items a transaction.")] = 1024,
    kind: Annotated[
        str | None,
        typer.Option("--index", metavar="KIND", help="Such as auto, exact, ivf, hnsw, codes4."),
    ] = None,
    codes: Annotated[
        bool, typer.Option("--codes", help="Learned codes in place of vectors: --index codes4.")
    ] = False,
    bits: Annotated[int | None, typer.Option(min=8, help="Of a code.")] = None,
    memory: Annotated[
        float | None,
        typer.Option(min=0, max=1e9, metavar="MB", help="That an automatic index may take."),
    ] = None,
    recall: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of true neighbours to find.")
    ] = None,
    jobs: Jobs = None,
    engine: EngineName = "local",
    address: Address = None,
    cache: Cache = None,
    cached: KeepFeatures = True,
    strict: Strict = False,
    restale: Annotated[
        bool, typer.Option("--restale", help="Encode again what older encoders encoded.")
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="Learn match probabilities from it, such as valid."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Look this payload field up in filters; repeatable."),
    ] = None,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Make items searchable. Run again, it continues where it was cut off."""
    from commonspace.data import load_dataset
    from commonspace.store.models import load
    from commonspace.store.pipelines import index_dataset

    where = join_engine(engine, address)
    whole = load_dataset(data, root=data_root)
    held_back = None if calibrate is None else whole[calibrate]
    splits, fitted = _chosen(whole, split), load(model)
    start, seen = time.perf_counter(), []
    with (
        encode_run(
            cache=cache,
            keep=cached,
            strict=strict,
            jobs=jobs,
            show=False,
            engine=where,
            address=address,
        ) as run,
        progress_bar("indexing") as bar,
    ):

        def progress(done: int, total: int) -> None:
            seen.append(done)
            bar(done, total)

        collection = index_dataset(
            fitted,
            splits,
            out,
            model_folder=model,
            batch=batch,
            progress=progress,
            index="codes4" if codes and kind is None else kind,
            bits=bits,
            memory=None if memory is None else int(1e6 * memory),
            recall=recall,
            run=run,
        )
    with collection:
        for name in field or ():
            collection.create_index(name)
        renewed = _renewed(collection, fitted, splits, batch) if restale else {}
        if held_back is not None:
            _calibrate(collection, fitted, held_back, run)
        collection.flush()
        result: JsonDict = {
            "collection": collection.place,
            "space": collection.space.fingerprint,
            "added": seen[-1] - seen[0] - len(run.broken),
            "already_there": seen[0],
            "items": len(collection),
            "modalities": collection.modalities,
            "index": collection.index,
            "left_out": left_out(splits, run),
            "reencoded": renewed,
            "stale": {name: len(ids) for name, ids in collection.stale(fitted).items()},
        }
    result["seconds"] = round(time.perf_counter() - start, 3)
    print_json(result) if json else _show(result)


def _calibrate(collection: Collection, model: Method, held_back: Dataset, run: EncodeRun) -> None:
    from dataclasses import replace

    from commonspace.store.matching import MatchCalibration
    from commonspace.store.pipelines import model_inputs

    apart = replace(run, broken=[], progress=None)  # what is left out here was not indexed
    held_back = model_inputs(model, held_back, run=apart)
    collection.calibrate(MatchCalibration.fit(model, held_back))


def _show(result: JsonDict) -> None:
    show_left_out(result["left_out"])
    print_table(["modality", "items"], [list(row) for row in result["modalities"].items()])
    if result["reencoded"]:
        print_line(f"encoded again: {_counts(result['reencoded'])}")
    if result["stale"]:
        print_line(f"by older encoders: {_counts(result['stale'])}; --restale encodes them again")
    print_line(
        f"{result['collection']}: {result['added']} items added, {result['already_there']} already "
        f"there, index {result['index']['kind']}, {result['seconds']} s"
    )


def _renewed(collection: Collection, model: Method, splits: Splits, batch: int) -> dict[str, int]:
    from commonspace.store.reencoding import reencode

    with progress_bar("encoding again") as bar:
        return reencode(collection, model, splits, batch=batch, progress=bar).made


def _counts(items: dict[str, int]) -> str:
    return ", ".join(f"{n} of {name}" for name, n in items.items())


def check(
    collection: CollectionPlace,
    json: Json = False,
) -> None:
    """Look for damage: of the file, of any vector, of the index; exit with 2 if there is any."""
    from commonspace.store.copying import check_collection

    problems = check_collection(collection)
    if json:
        print_json({"collection": collection, "ok": not problems, "problems": problems})
    else:
        for problem in problems:
            print_line(problem)
        print_line(f"{collection}: {f'{len(problems)} problems' if problems else 'all is well'}")
    if problems:
        raise typer.Exit(2)


def _chosen(splits: Splits, split: str) -> Splits:
    from commonspace.data import Splits

    if split == "all" and "all" not in splits:
        return splits
    return Splits({split: splits[split]}, splits.name, splits.provenance)
