"""``search``: a query of any modality, and what is nearest to it."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import CollectionPlace, Json, parse_where
from commonspace.cli.output import print_json, print_line, print_table
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.store.collection import Collection
    from commonspace.store.hits import Hits
    from commonspace.types import AnyArray, JsonDict

_SHOWN = 70  # characters of a payload


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog='Example: commonspace search wiki-index --text "a castle" --in image -k 5')(
        search
    )


def search(
    collection: CollectionPlace,
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
    if model is not None and (encoded or not {*raw, "vector"} & set(named)):
        raise InputError(
            "search: --model is what encodes a query; --item, --lexical and --encoded need none. "
            "Leave it out."
        )
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
        found = lists[0] if len(lists) == 1 else lists
        return print_json({"query": query, "measure": hits.measure, "hits": found})
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
