"""``encoders``: what turns raw items into features, and how to get what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import print_json, print_table

if TYPE_CHECKING:
    from commonspace.types import JsonDict


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace encoders --json")(encoders)


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
