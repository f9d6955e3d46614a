"""``map``: a collection as points of the plane, for the page of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from commonspace.cli.arguments import CollectionPlace, Json
from commonspace.cli.output import print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("map", epilog="Example: commonspace map wiki-index --projection tsne")(map_)


def map_(
    collection: CollectionPlace,
    points: Annotated[int, typer.Option(min=3, help="Items to draw at most.")] = 2000,
    projection: Annotated[
        Literal["pca", "tsne", "umap"], typer.Option(help="How 2 dimensions are made of many.")
    ] = "pca",
    seed: Annotated[int, typer.Option(min=0, help="Which items, and of the projection.")] = 0,
    json: Json = False,
) -> None:
    """Draw items as points of the plane, which `serve` shows."""
    from commonspace.service.maps import FILE, write_map

    made = write_map(collection, points=points, projection=projection, seed=seed)
    drawn = len(made["points"]["ids"])
    path = Path(collection) / FILE
    if json:
        kept = made["kept_variance"]
        result = {"file": str(path), "points": drawn, "items": made["items"]}
        return print_json({**result, "projection": projection, "kept_variance": kept})
    return print_line(f"{path}: {drawn} of {made['items']} items")
