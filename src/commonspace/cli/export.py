"""``export`` and ``card``: a model for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from commonspace.cli.arguments import DataRoot, Json, Model, parse_list
from commonspace.cli.encoding import rows_for
from commonspace.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from commonspace.types import JsonDict


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace export wiki --out wiki-onnx")(export)
    app.command(epilog="Example: commonspace card wiki --data wikipedia")(card)


def export(
    model: Model,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.")],
    format_: Annotated[Literal["onnx"], typer.Option("--format", help="Of the files.")] = "onnx",
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Which modalities [default: all].")
    ] = None,
    json: Json = False,
) -> None:
    """Write the networks as ONNX, one file a modality, to be run without this library."""
    from commonspace.store.export import export_onnx
    from commonspace.store.models import load

    manifest = export_onnx(load(model), out, modalities=parse_list(modalities))
    if json:
        return print_json({"folder": str(out), **manifest})
    rows = [
        [name, str(out / entry["file"]), entry["n_features"], f"{entry['largest_difference']:.0e}"]
        for name, entry in manifest["modalities"].items()
    ]
    print_table(["modality", "file", "features", "differs by"], rows)
    return print_line(f"{out}: {manifest['method']}, dim {manifest['dim']}, {format_}")


def card(
    model: Model,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Score the model on this data set and inspect it."),
    ] = None,
    split: Annotated[str, typer.Option(help="The split to score on.")] = "test",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: README.md in MODEL]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that is no card.")] = False,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Write the model's page: what it is, its scores, its health, its limits.

    With it, the model's folder can be given to others as it is, on a model hub too.
    """
    from commonspace.store.card import model_card, write_card

    target = model / "README.md" if out is None else out
    measured = {} if data is None else _measure(model, data, split, data_root)
    write_card(target, model_card(model, **measured), force=force)
    result: JsonDict = {"model": str(model), "card": str(target), "data": measured.get("data")}
    return print_json(result) if json else print_line(f"wrote {target}")


def _measure(model: Path, data: str, split: str, data_root: Path | None) -> dict[str, Any]:
    from commonspace import evaluation
    from commonspace.store.models import load

    fitted = load(model)
    inputs = rows_for(fitted, data, split, root=data_root)
    return {
        "report": evaluation.evaluate(fitted, inputs),
        "health": evaluation.inspect(fitted, inputs),
        "data": f"{Path(data).name}, {split}",
    }
