"""``encode``, ``index`` and ``search``: from a model to answers."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, Model, parse_where
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
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.data import Splits
    from commonspace.store.collection import Collection
    from commonspace.store.hits import Hits
    from commonspace.types import AnyArray, JsonDict

Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes that encode [default: one a processor core].")
]
_SHOWN = 70  # characters of a payload


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace encode wiki wikipedia --out wiki-vectors")(encode)
    app.command(epilog="Example: commonspace index wiki wikipedia --out wiki-index")(index)
    app.command(epilog="Example: commonspace check wiki-index")(check)
    app.command(epilog='Example: commonspace search wiki-index --text "a castle" --in image -k 5')(
        search
    )


def encode(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DATA2", help="Folder for the vectors.")],
    jobs: Jobs = None,
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

    splits = load_dataset(data, root=data_root)
    with encode_run(cache=cache, keep=cached, strict=strict, jobs=jobs) as run:
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
        float | None, typer.Option(metavar="MB", help="That an automatic index may take.")
    ] = None,
    recall: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of true neighbours to find.")
    ] = None,
    jobs: Jobs = None,
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
    from commonspace.store.pipelines import index_dataset, model_inputs

    whole = load_dataset(data, root=data_root)
    held_back = None if calibrate is None else whole[calibrate]
    splits, fitted = _chosen(whole, split), load(model)
    start, seen = time.perf_counter(), []
    with (
        encode_run(cache=cache, keep=cached, strict=strict, jobs=jobs, show=False) as run,
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
            from commonspace.store.matching import MatchCalibration

            inputs = model_inputs(fitted, held_back)
            collection.calibrate(MatchCalibration.fit(fitted, inputs))
        collection.flush()
        stale = {name: len(ids) for name, ids in collection.stale(fitted).items()}
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
            "stale": stale,
        }
    result["seconds"] = round(time.perf_counter() - start, 3)
    if json:
        return print_json(result)
    show_left_out(result["left_out"])
    print_table(["modality", "items"], [list(row) for row in result["modalities"].items()])
    if renewed:
        print_line(f"encoded again: {_counts(renewed)}")
    if stale:
        print_line(f"by older encoders: {_counts(stale)}; --restale encodes them again")
    return print_line(
        f"{result['collection']}: {result['added']} items added, "
        f"{result['already_there']} already there, index {result['index']['kind']}, "
        f"{result['seconds']} s"
    )


def _renewed(collection: Collection, model: Any, splits: Splits, batch: int) -> dict[str, int]:
    from commonspace.store.reencoding import reencode

    with progress_bar("encoding again") as bar:
        return reencode(collection, model, splits, batch=batch, progress=bar).made


def _counts(items: dict[str, int]) -> str:
    return ", ".join(f"{n} of {name}" for name, n in items.items())


def check(
    collection: Annotated[
        str, typer.Argument(metavar="COLLECTION", help="As `commonspace index` makes it.")
    ],
    json: Json = False,
) -> None:
    """Look for damage: of the file, of any vector, of the index; exit with 2 if there is any."""
    from commonspace.store.collection import Collection
    from commonspace.store.copying import check_collection
    from commonspace.store.milvus import is_address

    if is_address(collection):
        with Collection.open(collection, read_only=True) as items:
            problems = items.verify()
    else:
        problems = check_collection(collection)
    if json:
        print_json({"collection": str(collection), "ok": not problems, "problems": problems})
    else:
        for problem in problems:
            print_line(problem)
        print_line(f"{collection}: {f'{len(problems)} problems' if problems else 'all is well'}")
    if problems:
        raise typer.Exit(2)


def search(
    collection: Annotated[
        str, typer.Argument(metavar="COLLECTION", help="As `commonspace index` makes it.")
    ],
    text: Annotated[str | None, typer.Option(help="Search by a text.")] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="Search by a picture.")] = None,
    audio: Annotated[Path | None, typer.Option(metavar="FILE", help="Search by a sound.")] = None,
    video: Annotated[Path | None, typer.Option(metavar="FILE", help="Search by a film.")] = None,
    mesh: Annotated[Path | None, typer.Option(metavar="FILE", help="Search by a 3D model.")] = None,
    vector: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Search by features of --modality.")
    ] = None,
    encoded: Annotated[
        bool, typer.Option("--encoded", help="--vector is of the common space already.")
    ] = False,
    item: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME:]ID",
            help="Search by an item that is there; repeatable, of any modality.",
        ),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(metavar="W", help="Of each --item in turn; below 0: not like this one."),
    ] = None,
    lexical: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="By words in payloads (BM25), alone or with another."),
    ] = None,
    modality: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the query is of.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits a query.")] = 10,
    in_: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="NAME", help="Only items of this modality; repeatable."),
    ] = None,
    each: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many hits of each modality.")
    ] = None,
    offset: Annotated[int, typer.Option(min=0, help="Hits to pass over, for the next page.")] = 0,
    at_least: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="P", help="Only matches so probable; all of them."),
    ] = None,
    cosine: Annotated[
        bool, typer.Option("--cosine", help="Rank by cosine, calibrated or not.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE", help="Only items whose payload fits, also >=, <=, >, <, or JSON."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="[default: as the collection says]")
    ] = None,
    json: Json = False,
) -> None:
    """Find the items nearest to a query of any modality."""
    raw = {"text": text, "image": image, "audio": audio, "video": video, "mesh": mesh}
    given = {**raw, "vector": vector, "item": item, "lexical": lexical}
    named = [name for name, value in given.items() if value is not None]
    if len([name for name in named if name != "lexical"]) > 1 or not named:
        got = " and ".join(f"--{name}" for name in named) or "none"
        options = ", ".join(f"--{name}" for name in given)
        raise InputError(f"search: expected one of {options}, got {got}.")
    from commonspace.store.collection import Collection

    limits: dict[str, Any] = {"k": k, "modality": in_ or None, "where": parse_where(where or [])}
    more: dict[str, Any] = {"offset": offset, "per_modality": each, "text": lexical}
    more |= {"at_least": at_least, "match": False if cosine else None}
    if at_least is not None:
        limits["k"] = None
    with Collection.open(collection, read_only=True) as items:
        if named == ["lexical"]:
            hits = items.search_text(lexical or "", **limits)
        elif item is not None and (len(item) > 1 or weight):
            examples = [_example(items, name, modality) for name in item]
            shown = {name: more[name] for name in ("offset", "per_modality", "text")}
            hits = items.search_like(examples, weights=weight, **limits, **shown)
        else:
            only = item[0] if item else None
            if only is not None:
                modality, only = _example(items, only, modality)
            queries, of = _queries(items, raw, vector, encoded, only, modality, model)
            hits = items.search(queries, query_modality=of, **limits, **more)
    _show_hits(hits, {"by": named[0], "modality": modality}, json)


def _example(items: Collection, name: str, modality: str | None) -> tuple[str, str]:
    """Modality and id of ``NAME:ID``, or of an id that one modality has."""
    from commonspace.store.pipelines import item_modality

    prefix, colon, rest = name.partition(":")
    if colon and prefix in items.modalities and rest in items:
        return prefix, rest
    return modality or item_modality(items, name), name


def _chosen(splits: Splits, split: str) -> Splits:
    from commonspace.data import Splits

    if split == "all" and "all" not in splits:
        return splits
    return Splits({split: splits[split]}, splits.name, splits.provenance)


def _queries(
    items: Collection,
    raw: Mapping[str, Any],
    vector: Path | None,
    encoded: bool,
    item: str | None,
    modality: str | None,
    model: Path | None,
) -> tuple[AnyArray, str | None]:
    """Vectors of the queries, and what modality they are of, if that is known."""
    from commonspace.store.pipelines import item_vector, model_of, query_modality, query_vector

    if item is not None:
        return item_vector(items, item, modality), modality
    features = None if vector is None else _read_vectors(vector)
    if features is not None and encoded:
        return features, modality
    fitted = model_of(items, model_folder=model)
    of = query_modality(fitted, raw, modality)
    return query_vector(fitted, **raw, features=features, modality=of), of


def _read_vectors(path: Path) -> AnyArray:
    import numpy as np

    from commonspace.disk import read_array

    if not path.is_file():
        raise InputError(f"--vector: there is no file {path}.")
    return np.atleast_2d(read_array(path, mmap=False))


def _show_hits(hits: Hits, query: JsonDict, as_json: bool) -> None:
    lists = hits.rows()
    if as_json:
        return print_json({"query": query, "hits": lists[0] if len(lists) == 1 else lists})
    for number, rows in enumerate(lists):
        if len(lists) > 1:
            print_line(f"query {number}")
        cells = [
            [rank, hit["score"], hit["modality"], hit["id"], _short(hit["payload"])]
            for rank, hit in enumerate(rows, start=1)
        ]
        print_table(["rank", "score", "modality", "id", "payload"], cells)
    if not any(lists):
        print_line("nothing found")
    return None


def _short(payload: JsonDict) -> str:
    text = jsonlib.dumps(payload, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
