"""``examples``: a page of queries and what they find."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, Model, parse_list
from commonspace.cli.output import print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace examples icons emoji_raw --out page.html")(examples)


def examples(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path(
        "examples.html"
    ),
    split: Annotated[str, typer.Option(help="The split of queries and gallery.")] = "test",
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="[default: those both have]")
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Where the pictures and texts are, if DATA holds features."
        ),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Queries of each direction.")] = 6,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Results of each query.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the queries.")] = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Write a page of retrieval examples: each direction, right and wrong results in order."""
    from commonspace.data import load_dataset
    from commonspace.demo.examples import write_examples
    from commonspace.store.models import load

    fitted = load(model)
    part = load_dataset(data, root=data_root)[split]
    shown = None if show is None else load_dataset(show, root=data_root)[split]
    path = write_examples(
        out,
        fitted,
        part,
        shown=shown,
        modalities=parse_list(modalities),
        queries=queries,
        k=k,
        seed=seed,
        title=f"Retrieval examples: {data}",
    )
    if json:
        return print_json({"page": str(path), "model": str(model), "split": split})
    return print_line(f"wrote {path}")
