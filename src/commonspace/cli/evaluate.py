"""``evaluate``: how well each modality finds the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, Model, parse_list
from commonspace.cli.encoding import rows_for
from commonspace.cli.output import print_json, print_line, print_table
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.evaluation import Protocol, Report
    from commonspace.types import JsonDict


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace evaluate wiki wikipedia --k 50 --chance")(evaluate)


def evaluate(
    model: Model,
    data: Data,
    split: Annotated[str, typer.Option(help="The split of queries and gallery.")] = "test",
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="[default: those both have]")
    ] = None,
    protocol: Annotated[
        Literal["default", "sdml", "msdmml", "spdq"], typer.Option(help="How numbers are made.")
    ] = "default",
    within: Annotated[bool, typer.Option("--within", help="Within a modality too.")] = False,
    k: Annotated[int | None, typer.Option("--k", "-k", min=1, help="Ranks to look at.")] = None,
    divide_by: Annotated[
        Literal["all", "found"] | None, typer.Option(help="Divide by all relevant items, or found.")
    ] = None,
    graded: Annotated[
        bool,
        typer.Option("--graded", "--ndcg", help="nDCG, WAP, ACG too; gains: labels shared."),
    ] = False,
    cutoffs: Annotated[
        str | None, typer.Option(metavar="R,R,...", help="mAP@R too, such as 50,100,500.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw curves as PNG files there.")
    ] = None,
    chance: Annotated[bool, typer.Option("--chance", help="What random ranks score, too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Score retrieval between every two modalities, with 95 % intervals over queries."""
    from commonspace import evaluation
    from commonspace.disk import check_folder
    from commonspace.store.models import load

    if plots is not None:
        check_folder(plots, what="the plots")
    chosen = _protocol(protocol, k, divide_by, within, graded)
    ranks = _whole_numbers("--cutoffs", parse_list(cutoffs) or ())
    fitted = load(model)
    inputs = rows_for(fitted, data, split, parse_list(modalities), root=data_root)
    report = evaluation.evaluate(
        fitted, inputs, protocol=chosen, seed=seed, curves=plots is not None, cutoffs=ranks
    )
    result: JsonDict = {**report.to_dict(), "model": str(model), "split": split}
    floor = evaluation.chance(inputs, protocol=chosen, seed=seed) if chance else None
    if floor is not None:
        result["chance"] = floor.to_dict()
    if plots is not None:
        files = evaluation.plot_curves({type(fitted).__name__: report}, plots)
        result["plots"] = [str(path) for path in files]
    if json:
        return print_json(result)
    print_line(report)
    if ranks:
        _print_cutoffs(report)
    if floor is not None:
        print_line(f"\nchance:\n{floor}")
    for path in result.get("plots", ()):
        print_line(f"wrote {path}")
    return None


def _print_cutoffs(report: Report) -> None:
    rows = []
    for (query, gallery), score in report.scores.items():
        if score.curves is not None:
            values = [f"{value:.4f}" for value in score.curves.mean_ap_at]
            header = ["query", "gallery", *(f"mAP@{k}" for k in score.curves.cutoffs)]
            rows.append([query, gallery, *values])
    print_line()
    print_table(header, rows)


def _whole_numbers(option: str, values: Sequence[str]) -> list[int]:
    for value in values:
        if not value.isdecimal() or int(value) < 1:
            raise InputError(f"{option}: expected whole numbers above 0, got {value!r}.")
    return [int(value) for value in values]


def _protocol(name: str, k: int | None, divide_by: Any, within: bool, graded: bool) -> Protocol:
    from commonspace.evaluation import Protocol

    protocol = Protocol() if name == "default" else getattr(Protocol, name)()
    gain = "overlap" if graded else None
    changes = {"k": k, "divide_by": divide_by, "within": within or None, "gain": gain}
    return replace(protocol, **{key: value for key, value in changes.items() if value is not None})
