"""``demo``: the main job, end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace demo --out emoji")(demo)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path(
        "commonspace-demo"
    ),
    json: Json = False,
) -> None:
    """Train, evaluate, add a language, index and search: emoji in pictures and languages."""
    from commonspace.demo.run import run_demo

    result = run_demo(out, quiet=json)
    if json:
        print_json(result)
