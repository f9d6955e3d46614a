"""Curves over the share of pairs, labels and wrong labels: a row a set, a panel a factor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.labels import FACTORS
from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.errors import InputError
from commonspace.types import JsonDict

# Colours of Okabe and Ito, told apart by readers of every colour vision; dashes tell them in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MEASURES = {"mean_ap": ("sd", "mAP"), "mean_ndcg": ("sd_ndcg", "nDCG of label overlap")}


def plot_labels(rows: Sequence[JsonDict], path: str | Path) -> Path:
    """Draw the rows of `bench_labels` and write a PNG.

    A method without a score at a share has a gap there. Shaded: one standard deviation over seeds.

    Args:
        rows: As `bench_labels` returns them.
        path: The file; replaced when the new one is whole.

    Raises:
        InputError: No row has a factor.
        MissingExtraError: matplotlib is not installed.
    """
    module = require("matplotlib.figure", extra="plots", what="plot_labels")
    factors = [name for name in FACTORS if any(row["factor"] == name for row in rows)]
    if not factors:
        raise InputError("rows: expected rows of a factor, as bench_labels returns, got none.")
    methods = list(dict.fromkeys(row["method"] for row in rows if row["factor"]))
    bands = _bands(rows)
    size = (3.1 * len(factors) + 1.2, 2.6 * len(bands) + 0.3)
    figure = module.Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(bands), len(factors), squeeze=False, sharey="row")
    for (name, measure), axes in zip(bands, panels, strict=True):
        of_set = [row for row in rows if row["set"] == name]
        for factor, axis in zip(factors, axes, strict=True):
            _panel(axis, of_set, factor, methods, measure)
        axes[0].set_ylabel(f"{Path(name).name}\n{_MEASURES[measure][1]}", fontsize=9)
    handles, texts = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside right upper", fontsize=8)
    with atomic_file(Path(path)) as file:
        figure.savefig(file, format="png", dpi=90)
    return Path(path)


def _bands(rows: Sequence[JsonDict]) -> list[tuple[str, str]]:
    """Set and measure of each row of panels."""
    names = dict.fromkeys(row["set"] for row in rows)
    graded = {row["set"] for row in rows if "mean_ndcg" in row}
    return [(n, m) for n in names for m in _MEASURES if m == "mean_ap" or n in graded]


def _panel(
    axis: Any, rows: Sequence[JsonDict], factor: str, methods: Sequence[str], measure: str
) -> None:
    for at, method in enumerate(methods):
        of_method = [r for r in rows if r["method"] == method and r["factor"] == factor]
        look = {"color": _COLOURS[at % len(_COLOURS)], "linestyle": _DASHES[at % len(_DASHES)]}
        _curve(axis, of_method, measure, method, look)
    floor = next((row[measure] for row in rows if row["method"] == "chance"), None)
    if floor is not None:
        axis.axhline(floor, color="#9aa5b1", linewidth=1, label="chance")
    axis.set_xlabel(f"% {FACTORS[factor].title}", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


def _curve(
    axis: Any, rows: Sequence[JsonDict], measure: str, method: str, look: dict[str, Any]
) -> None:
    def column(key: str) -> Any:
        return np.array([np.nan if row[key] is None else row[key] for row in rows], dtype=float)

    share, mean, spread = 100 * column("share"), column(measure), column(_MEASURES[measure][0])
    axis.plot(share, mean, label=method, marker="o", markersize=3, linewidth=1.3, **look)
    axis.fill_between(
        share, mean - spread, mean + spread, color=look["color"], alpha=0.2, linewidth=0
    )
