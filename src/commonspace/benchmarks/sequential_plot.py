"""One picture of sequential learning: what is left at the end, what was forgotten, and the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.types import JsonDict

_OURS, _OTHER, _BOUND = "#0072B2", "#9aa5b1", "#009E73"
_SHOWN = {
    "hold": "#0072B2",
    "distill": "#CC79A7",
    "lookahead": "#D55E00",
    "replay": "#E69F00",
    "joint": "#009E73",
}
_PLAIN = "--"


def plot_sequential(
    rows: Sequence[JsonDict],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    path: str | Path,
) -> Path:
    """Draw a row of three panels a data set, and write it as PNG.

    Args:
        rows: As `bench_sequential` returns them.
        curves: Of each set and contestant the mean AP after each stage, from the second on.
        path: The file; replaced when the new one is whole.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    module = require("matplotlib.figure", extra="plots", what="plot_sequential")
    height = 0.24 * max(len(each) for each in curves.values()) + 1.1
    figure = module.Figure(figsize=(11.5, height * len(curves)), layout="constrained")
    panels = figure.subplots(len(curves), 3, squeeze=False, width_ratios=(1.2, 1, 1))
    for (name, each), axes in zip(curves.items(), panels, strict=True):
        of_set = [row for row in rows if row["set"] == name][::-1]
        _bars(axes[0], of_set, "final", f"{name}: mAP after the last stage")
        _bars(axes[1], of_set, "forgetting", "forgetting (less is better)")
        axes[1].set_yticklabels([])
        _lines(axes[2], each)
    with atomic_file(Path(path)) as file:
        figure.savefig(file, format="png", dpi=90)
    return Path(path)


def _bars(axis: Any, rows: Sequence[JsonDict], measure: str, title: str) -> None:
    values = [row[measure] or 0.0 for row in rows]
    spread = [row["sd"] for row in rows] if measure == "final" else None
    colours = [_colour(row["method"]) for row in rows]
    axis.barh(range(len(rows)), values, xerr=spread, color=colours, height=0.75)
    axis.set_yticks(range(len(rows)), [row["method"] for row in rows], fontsize=8)
    axis.set_title(title, fontsize=10)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", alpha=0.3)


def _lines(axis: Any, curves: Mapping[str, Sequence[float]]) -> None:
    for who, values in curves.items():
        colour = _SHOWN.get(who.removeprefix("plain "))
        if colour is not None and len(values):
            dash = _PLAIN if who.startswith("plain ") else "-"
            stages = np.arange(2, 2 + len(values))
            axis.plot(stages, values, dash, color=colour, label=who, marker="o", markersize=3)
            axis.set_xticks(stages)
    axis.set_title("mAP after each stage", fontsize=10)
    axis.set_xlabel("modalities learned", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _colour(who: str) -> str:
    if who == "hold":
        return _OURS
    return _BOUND if who.endswith("joint") or who == "SDML" else _OTHER
