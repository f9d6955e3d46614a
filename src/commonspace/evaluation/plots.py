"""Curves of several reports in one picture a direction, as PNG files (extra ``plots``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.errors import InputError
from commonspace.evaluation.curves import Curves
from commonspace.evaluation.report import Report

# Colours of Okabe and Ito, told apart by readers of every colour vision; dashes tell them in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")


def plot_curves(reports: Mapping[str, Report], folder: str | Path) -> list[Path]:
    """Draw precision-recall, precision-scope and, where asked for, mAP@R curves of named reports.

    Args:
        reports: By the name to show in the legend; made with ``evaluate(..., curves=True)``.
        folder: Where the files go; made if it is not there.

    Returns:
        The files: ``pr_<query>_<gallery>.png`` and ``scope_<query>_<gallery>.png`` for each
        direction that any report has, and ``map_...`` where all were made with cut-offs.

    Raises:
        InputError: There is no report, or one has no curves.
        MissingExtraError: matplotlib is not installed.
        StorageError: A file stands in place of the folder, or the disk refuses.
    """
    _check_curves(reports)
    target = Path(folder)
    directions = dict.fromkeys(name for report in reports.values() for name in report.scores)
    files = []
    kinds = [("pr", _draw_recall), ("scope", _draw_scope)]
    every = [score.curves for report in reports.values() for score in report.scores.values()]
    if all(curves is not None and len(curves.cutoffs) for curves in every):
        kinds.append(("map", _draw_cutoffs))
    for direction in directions:
        for kind, draw in kinds:
            path = target / f"{kind}_{plain_name(direction[0])}_{plain_name(direction[1])}.png"
            _picture(reports, direction, draw, path)
            files.append(path)
    return files


def _picture(
    reports: Mapping[str, Report],
    direction: tuple[str, str],
    draw: Callable[[Any, Curves, dict[str, Any]], None],
    path: Path,
) -> None:
    # A Figure of its own, without pyplot, leaves the caller's figures and backend alone.
    figure = require("matplotlib.figure", extra="plots", what="plot_curves").Figure(
        figsize=(5.2, 4.0), layout="constrained"
    )
    axes = figure.subplots()
    axes.set_ylabel("precision")
    for at, (name, report) in enumerate(reports.items()):
        score = report.scores.get(direction)
        if score is not None and score.curves is not None:
            style = {
                "label": f"{name} (mAP {score.mean_ap:.3f})",
                "color": COLOURS[at % len(COLOURS)],
                "linestyle": _DASHES[at % len(_DASHES)],
            }
            draw(axes, score.curves, style)
    axes.set_title(f"{direction[0]} \N{RIGHTWARDS ARROW} {direction[1]}")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _draw_recall(axes: Any, curves: Curves, style: dict[str, Any]) -> None:
    axes.plot(curves.recall, curves.precision, **style)
    axes.set_xlabel("recall")
    axes.set_xlim(0, 1)


def _draw_scope(axes: Any, curves: Curves, style: dict[str, Any]) -> None:
    marker = {"marker": "o", "markersize": 3} if len(curves.scopes) < 25 else {}
    axes.plot(curves.scopes, curves.scope_precision, **style, **marker)
    axes.set_xlabel("scope (ranks looked at)")


def _draw_cutoffs(axes: Any, curves: Curves, style: dict[str, Any]) -> None:
    axes.plot(curves.cutoffs, curves.mean_ap_at, **style, marker="o", markersize=3)
    axes.set_xlabel("R (ranks looked at)")
    axes.set_ylabel("mAP@R")


def _check_curves(reports: Mapping[str, Report]) -> None:
    if not reports:
        raise InputError("reports: expected at least one named report, got none.")
    for name, report in reports.items():
        if any(score.curves is None for score in report.scores.values()):
            raise InputError(
                f"report {name!r} has no curves. Evaluate again with evaluate(..., curves=True)."
            )


def plain_name(name: str) -> str:
    """Return a name as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)
