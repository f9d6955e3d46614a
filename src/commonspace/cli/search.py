"""``encode``, ``index`` and ``search``: from a model to answers."""

from __future__ import annotations

import json as jsonlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, Model, parse_where
from commonspace.cli.data import describe_splits
from commonspace.cli.output import print_json, print_line, print_table, progress_bar
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.data import Splits
    from commonspace.store.collection import Collection
    from commonspace.store.hits import Hits
    from commonspace.types import AnyArray, JsonDict

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
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Write a data set whose features are vectors of the common space."""
    from commonspace.data import load_dataset
    from commonspace.store.models import load
    from commonspace.store.pipelines import encode_dataset

    encoded = encode_dataset(load(model), load_dataset(data, root=data_root))
    encoded.save(out)
    if json:
        return print_json({"folder": str(out), **describe_splits(encoded)})
    for split, part in encoded.items():
        for name in part:
            print_line(f"{out}: {split}/{name} {' x '.join(map(str, part.x(name).shape))}")
    return None


def index(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="COLLECTION", help="Folder of the collection.")],
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
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Make items searchable. Run again, it continues where it was cut off."""
    from commonspace.data import load_dataset
    from commonspace.store.models import load
    from commonspace.store.pipelines import index_dataset

    splits = _chosen(load_dataset(data, root=data_root), split)
    start, seen = time.perf_counter(), []
    with progress_bar("indexing") as bar:

        def progress(done: int, total: int) -> None:
            seen.append(done)
            bar(done, total)

        collection = index_dataset(
            load(model),
            splits,
            out,
            model_folder=model,
            batch=batch,
            progress=progress,
            index="codes4" if codes and kind is None else kind,
            bits=bits,
            memory=None if memory is None else int(1e6 * memory),
            recall=recall,
        )
    with collection:
        collection.flush()
        result: JsonDict = {
            "collection": str(out),
            "space": collection.space.fingerprint,
            "added": seen[-1] - seen[0],
            "already_there": seen[0],
            "items": len(collection),
            "modalities": collection.modalities,
            "index": collection.index,
        }
    result["seconds"] = round(time.perf_counter() - start, 3)
    if json:
        return print_json(result)
    print_table(["modality", "items"], [list(row) for row in result["modalities"].items()])
    return print_line(
        f"{out}: {result['added']} items added, {result['already_there']} already there, "
        f"index {result['index']['kind']}, {result['seconds']} s"
    )


def check(
    collection: Annotated[
        Path, typer.Argument(metavar="COLLECTION", help="As `commonspace index` makes it.")
    ],
    json: Json = False,
) -> None:
    """Look for damage: of the file, of any vector, of the index; exit with 2 if there is any."""
    from commonspace.store.copying import check_collection

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
        Path, typer.Argument(metavar="COLLECTION", help="As `commonspace index` makes it.")
    ],
    text: Annotated[str | None, typer.Option(help="Search by a text.")] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="Search by a picture.")] = None,
    vector: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Search by features of --modality.")
    ] = None,
    encoded: Annotated[
        bool, typer.Option("--encoded", help="--vector is of the common space already.")
    ] = False,
    item: Annotated[
        str | None, typer.Option(metavar="ID", help="Search by an item that is there.")
    ] = None,
    lexical: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Search by words in payloads (BM25).")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the query is of.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits a query.")] = 10,
    in_: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="NAME", help="Only items of this modality; repeatable."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE", help="Only items whose payload fits, also >=, <=, >, <."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="[default: as the collection says]")
    ] = None,
    json: Json = False,
) -> None:
    """Find the items nearest to a query of any modality."""
    given = {"text": text, "image": image, "vector": vector, "item": item, "lexical": lexical}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(f"--{name}" for name in named) or "none"
        options = ", ".join(f"--{name}" for name in given)
        raise InputError(f"search: expected one of {options}, got {got}.")
    from commonspace.store.collection import Collection

    limits: dict[str, Any] = {"k": k, "modality": in_ or None, "where": parse_where(where or [])}
    with Collection.open(collection, read_only=True) as items:
        if lexical is not None:
            hits = items.search_text(lexical, **limits)
        else:
            queries = _queries(items, text, image, vector, encoded, item, modality, model)
            hits = items.search(queries, **limits)
    _show_hits(hits, {"by": named[0], "modality": modality}, json)


def _chosen(splits: Splits, split: str) -> Splits:
    from commonspace.data import Splits

    if split == "all" and "all" not in splits:
        return splits
    return Splits({split: splits[split]}, splits.name, splits.provenance)


def _queries(
    items: Collection,
    text: str | None,
    image: Path | None,
    vector: Path | None,
    encoded: bool,
    item: str | None,
    modality: str | None,
    model: Path | None,
) -> AnyArray:
    from commonspace.store.pipelines import item_vector, model_of, query_vector

    if item is not None:
        return item_vector(items, item, modality)
    features = None if vector is None else _read_vectors(vector)
    if features is not None and encoded:
        return features
    fitted = model_of(items, model_folder=model)
    return query_vector(fitted, text=text, image=image, features=features, modality=modality)


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
