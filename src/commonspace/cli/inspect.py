"""``inspect``: the health of a space."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, Model, parse_list
from commonspace.cli.encoding import rows_for
from commonspace.cli.output import print_json, print_line

if TYPE_CHECKING:
    from commonspace.evaluation import Health
    from commonspace.types import JsonDict

_COLUMNS = ("modality", "row", "item", "score", "label", "votes", "suggested", "suggested_votes")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace inspect wiki wikipedia --suspects suspects.csv")(
        inspect
    )


def inspect(
    model: Model,
    data: Data,
    split: Annotated[str, typer.Option(help="The split to look at.")] = "test",
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="[default: those both have]")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            "-k",
            min=1,
            help="Neighbours to look at. [default: 10, or a third of the smallest modality's rows]",
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw pictures as PNG files there.")
    ] = None,
    suspects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all rows there, wrong labels first, as CSV."),
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Suspect rows and pairs to list.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of rows that are drawn.")] = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Look for a modality gap, collapse, confusions, hubs, bad calibration and wrong labels."""
    from commonspace import evaluation
    from commonspace.disk import check_folder
    from commonspace.store.models import load

    if plots is not None:
        check_folder(plots, what="the pictures")
    fitted = load(model)
    inputs = rows_for(fitted, data, split, parse_list(modalities), root=data_root)
    health = evaluation.inspect(fitted, inputs, k=k, seed=seed)
    result: JsonDict = {**health.to_dict(n=show), "model": str(model), "split": split}
    written = []
    if plots is not None:
        written = [str(path) for path in evaluation.plot_health(health, plots)]
        result["plots"] = written
    if suspects is not None:
        _write(suspects, health)
        written = [*written, str(suspects)]
        result["suspects_file"] = str(suspects)
    if json:
        return print_json(result)
    print_line(health)
    _print_suspects(health, show)
    for path in written:
        print_line(f"wrote {path}")
    return None


def _print_suspects(health: Health, n: int) -> None:
    found: dict[tuple[str, str], list[str]] = {}  # an item in several modalities takes one line
    for row in health.suspect_rows(n * len(health.suspects)):
        own, other = f"{row['votes']:.2f}", f"{row['suggested_votes']:.2f}"
        line = f"{row['item']}: {row['label']} ({own} of the votes), rather {row['suggested']}"
        key = f"{row['score']:.2f}", f"{line} ({other})"
        found.setdefault(key, []).append(row["modality"])
    if n:
        print_line("\nrows whose label looks wrong:")
    for (score, line), modalities in list(found.items())[:n]:
        print_line(f"  {score}  {', '.join(modalities)}  {line}")


def _write(path: Path, health: Health) -> None:
    from commonspace.disk import atomic_file

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(health.suspect_rows())
    with atomic_file(path) as file:
        file.write(text.getvalue().encode("utf-8"))
