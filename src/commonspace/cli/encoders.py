"""``encoders``: what turns raw items into features, and how to get what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import print_benchmark, print_json, print_table, say

if TYPE_CHECKING:
    from commonspace.types import JsonDict


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace encoders --json")(encoders)


def register_bench(app: typer.Typer) -> None:
    """Add ``bench encode``."""
    app.command(epilog="Example: commonspace bench encode --encoder audio-logmel")(encode)


def encode(
    items: Annotated[int, typer.Option(min=1, help="Items of each kind.")] = 100,
    encoder: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="May be repeated [default: all that are here]."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the items.")] = 0,
    json: Json = False,
) -> None:
    """Time the encoders of raw items, and their second run, which the cache serves."""
    from commonspace.benchmarks.encode import bench_encode

    print_benchmark(bench_encode(n_items=items, kinds=encoder, seed=seed, say=say), json)


def encoders(json: Json = False) -> None:
    """List the encoders of raw items: ours, and those that installed packages bring."""
    from commonspace.encoders.registry import DEFAULTS, list_encoders

    rows: list[JsonDict] = [
        {
            "kind": offer.kind,
            "reads": offer.reads,
            "default": offer.kind in DEFAULTS.values(),
            "available": offer.available,
            "extra": offer.extra,
            "purpose": offer.purpose,
        }
        for offer in list_encoders()
    ]
    if json:
        return print_json({"encoders": rows})
    header = ["encoder", "reads", "default", "here", "makes"]
    return print_table(header, [_row(row) for row in rows])


def _row(row: JsonDict) -> list[Any]:
    here = "yes" if row["available"] else f"pip install 'commonspace[{row['extra']}]'"
    if not row["available"] and row["extra"] is None:
        here = "no"
    return [row["kind"], row["reads"], "yes" if row["default"] else "", here, row["purpose"]]
