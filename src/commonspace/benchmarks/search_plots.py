"""Pictures of the benchmark of search: recall and mAP against bytes and queries a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.types import JsonDict

# Colours of Okabe and Ito; marks tell the kinds of a colour apart.
_COLOURS = ("#000000", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_FIGURES = {"recall": "recall@10", "of_float": "mAP, share of exact float"}


def draw(rows: Sequence[JsonDict], folder: Path) -> list[Path]:
    """Draw one PNG file against bytes and one against queries a second; return them."""
    axes = {"bytes": "bytes an item", "qps_1": "queries a CPU second, one at a time"}
    return [_picture(rows, key, label, folder / f"search_{key}.png") for key, label in axes.items()]


def _picture(rows: Sequence[JsonDict], key: str, label: str, path: Path) -> Path:
    figure = require("matplotlib.figure", extra="plots", what="bench search --plots").Figure(
        figsize=(9.6, 4.2), layout="constrained"
    )
    panels = figure.subplots(1, len(_FIGURES))
    for axes, (name, title) in zip(panels, _FIGURES.items(), strict=True):
        for at, row in enumerate(rows):
            axes.plot(row[key], row[name], linestyle="none", label=row["kind"], **_style(at))
        axes.set_xscale("log")
        axes.set_xticks(*_ticks([row[key] for row in rows]), minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlabel(label)
        axes.set_ylabel(title)
        if name == "recall":
            axes.set_ylim(-0.05, 1.05)
        else:
            axes.margins(y=0.3)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=7)
    figure.suptitle(f"{rows[0]['items']:,} items")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return path


def _ticks(values: Sequence[float]) -> tuple[list[float], list[str]]:
    """Powers of two and ten around the values, few enough to be read."""
    low, high = min(values), max(values)
    base = 2 if high / low < 200 else 10
    powers = [float(base) ** at for at in range(21)]
    ticks = [tick for tick in powers if low / base < tick < high * base]
    return ticks, [f"{tick:g}" for tick in ticks]


def _style(at: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[at % len(_COLOURS)],
        "marker": _MARKS[(at + at // len(_COLOURS)) % len(_MARKS)],
        "markersize": 6,
    }
