"""Pictures of the benchmark of codes: mAP against bits and rows, precision against ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from commonspace.benchmarks.coders import OWN
from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.types import JsonDict

# Colours of Okabe and Ito; marks and, from the eighth line, dots tell them apart.
_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#000000")
_MARKS = ("o", "s", "^", "v", "D", "x", "+", "*", "p")
Curves = Mapping[tuple[str, str], Mapping[str, JsonDict]]


def draw(
    rows: Sequence[JsonDict], sizes: Sequence[JsonDict], curves: Curves, folder: Path
) -> list[Path]:
    """Draw up to three PNG files for each set and space; return them."""
    files = []
    for name, space in dict.fromkeys((row["set"], row["space"]) for row in rows):
        here = [row for row in rows if (row["set"], row["space"]) == (name, space)]
        fewer = [row for row in sizes if (row["set"], row["space"]) == (name, space)]
        stem = f"{Path(name).name}_{space}"
        files.append(_against(here, "bits", f"{name}, vectors of {space}", folder / f"{stem}.png"))
        if fewer:
            title = f"{name}, vectors of {space}, 32 bits"
            path = folder / f"{stem}_rows.png"
            floats = [row for row in here if row["method"] == "float"]
            files.append(_against([*floats, *fewer], "rows", title, path))
        if curves.get((name, space)):
            found = curves[name, space]
            files.append(_scopes(found, f"{name}, 32 bits", folder / f"{stem}_scope.png"))
    return files


def _against(rows: Sequence[JsonDict], key: str, title: str, path: Path) -> Path:
    def lines(axes: Any) -> None:
        methods = list(dict.fromkeys(row["method"] for row in rows))
        for at, method in enumerate(methods):
            mine = [row for row in rows if row["method"] == method]
            if method == "float":
                axes.axhline(mine[0]["mean_ap"], color="#888888", linestyle="--", label="float")
                continue
            x, y = [row[key] for row in mine], [row["mean_ap"] for row in mine]
            spread = [row["sd"] for row in mine]
            axes.errorbar(x, y, yerr=spread, capsize=2, label=method, **_style(at - 1))
            if method == OWN:
                floats = [row["float_ap"] for row in mine]
                axes.plot(x, floats, color="#888888", linestyle=":", label=f"float of {OWN}")
        axes.set_xscale("log", base=2)
        ticks = sorted({row[key] for row in rows if row.get(key)})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel("bits a vector" if key == "bits" else "training rows")
        axes.set_ylabel("mAP")

    return _picture(lines, title, path)


def _scopes(found: Mapping[str, JsonDict], title: str, path: Path) -> Path:
    def lines(axes: Any) -> None:
        for at, (method, scope) in enumerate(found.items()):
            style = {"color": "#888888", "linestyle": "--"} if method == "float" else _style(at - 1)
            axes.plot(scope["n"], scope["precision"], label=method, **style)
        axes.set_xscale("log")
        axes.set_xlabel("N")
        axes.set_ylabel("precision within the first N")

    return _picture(lines, title, path)


def _style(at: int) -> JsonDict:
    return {
        "color": _COLOURS[at % len(_COLOURS)],
        "linestyle": "-" if at < len(_COLOURS) else ":",
        "marker": _MARKS[at % len(_MARKS)],
        "markersize": 4,
        "linewidth": 1.2,
    }


def _picture(lines: Callable[[Any], None], title: str, path: Path) -> Path:
    figure = require("matplotlib.figure", extra="plots", what="bench codes --plots").Figure(
        figsize=(6.4, 4.2), layout="constrained"
    )
    axes = figure.subplots()
    lines(axes)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return path
