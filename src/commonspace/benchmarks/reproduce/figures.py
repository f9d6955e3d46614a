"""Pictures of tables, drawn from the result files alone (extra ``plots``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from commonspace.benchmarks.contestants import GROUPS
from commonspace.benchmarks.reproduce.formats import stem
from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.evaluation import Report, plot_curves
from commonspace.types import JsonDict

# Colours of Okabe and Ito, told apart by readers of every colour vision.
_COLOURS = dict(zip(GROUPS, ("#7f7f7f", "#56B4E9", "#009E73", "#E69F00", "#0072B2"), strict=True))
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_DRAWN = 5  # methods in one picture of curves: the best, and SM

Picture = tuple[str, Path]


def draw(table: JsonDict, folder: Path) -> list[Picture]:
    """Draw what a table has; return captions and files.

    Args:
        table: As `reproduce` yields it, or read from its JSON file.
        folder: Where the pictures go, made if it is not there.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if table["skipped"]:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / stem(table)
    makers = {"convergence": _losses, "growth": _growth, "orders": _orders}
    if table["kind"] in makers:
        return makers[table["kind"]](table, base)
    sweeps = any(isinstance(row.get("at", {}).get("value"), int | float) for row in table["rows"])
    pictures = _sweeps(table, base) if sweeps else _ranking(table, base)
    return pictures + _curves(table, base)


def _figure(width: float, height: float) -> Any:
    # A Figure of its own, without pyplot, leaves the caller's figures and backend alone.
    module = require("matplotlib.figure", extra="plots", what="figures of results")
    return module.Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path, caption: str) -> list[Picture]:
    import matplotlib

    # The same figures make the same bytes: no date, and names that do not change.
    with matplotlib.rc_context({"svg.hashsalt": path.name}), atomic_file(path) as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
    return [(caption, path)]


def _name(table: JsonDict) -> str:
    return Path(table["set"]).name


def _scored(table: JsonDict, key: str) -> list[JsonDict]:
    cells = [(row, row["cells"].get(key)) for row in table["rows"]]
    return [row for row, cell in cells if cell is not None and cell["ours"] is not None]


def _ranking(table: JsonDict, base: Path) -> list[Picture]:
    """Every method a dot with its interval, the best on top."""
    rows = sorted(_scored(table, "mean"), key=lambda row: row["cells"]["mean"]["ours"])
    if len(rows) < 2:
        return []
    figure = _figure(6.8, 0.24 * len(rows) + 1.2)
    axes, seen = figure.subplots(), set()
    for at, row in enumerate(rows):
        cell, group = row["cells"]["mean"], row["group"]
        label = None if group in seen else group
        seen.add(group)
        ours, colour = cell["ours"], _COLOURS.get(group, "#7f7f7f")
        if cell["low"] is not None:
            axes.plot([cell["low"], cell["high"]], [at, at], color=colour, linewidth=1.4)
        filled = colour if row.get("best") or row.get("tied") else "white"
        style = {"color": colour, "markerfacecolor": filled, "markersize": 6}
        axes.plot([ours], [at], marker="o", linestyle="", label=label, **style)
        if cell.get("paper") is not None:
            axes.plot([cell["paper"]], [at], marker="x", color="black", markersize=5)
    axes.set_xlim(left=0)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=8)
    axes.set_xlabel("mAP, mean over cross-modal directions, 95 % interval over items")
    axes.set_title(_name(table))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=7, loc="upper left")
    caption = "Filled: the best row, and rows that are not told apart from it. Cross: the paper."
    return _save(figure, base.with_name(f"{base.name}.ranking.svg"), caption)


def _sweeps(table: JsonDict, base: Path) -> list[Picture]:
    """Mean average precision against the argument that is swept; other rows as lines across."""
    figure = _figure(6.4, 4.0)
    axes = figure.subplots()
    lines: dict[str, list[JsonDict]] = {}
    others = []
    for row in _scored(table, "mean"):
        if "at" in row:
            lines.setdefault(row["label"].partition(", ")[0], []).append(row)
        else:
            others.append(row)
    for at, (name, rows) in enumerate(lines.items()):
        x = [row["at"]["value"] for row in rows]
        cells = [row["cells"]["mean"] for row in rows]
        style = {"color": _LINES[at % len(_LINES)], "linestyle": _DASHES[at % len(_DASHES)]}
        axes.plot(x, [cell["ours"] for cell in cells], marker="o", label=name, **style)
        low, high = ([cell[side] for cell in cells] for side in ("low", "high"))
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    for at, row in enumerate(others):
        level = row["cells"]["mean"]["ours"]
        colour = "#7f7f7f" if row["group"] == "floor" else _LINES[(at + len(lines)) % len(_LINES)]
        dash = ":" if row["group"] == "floor" else "--"
        axes.axhline(level, color=colour, linestyle=dash, linewidth=1.2, label=row["label"])
    arguments = {row["at"]["argument"] for rows in lines.values() for row in rows}
    if arguments == {"bits"}:
        axes.set_xscale("log", base=2)
        ticks = sorted({row["at"]["value"] for rows in lines.values() for row in rows})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel(", ".join(sorted(arguments)))
    axes.set_ylabel("mAP")
    axes.set_title(_name(table))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    caption = "Bands: 95 % intervals over items. Dashed: rows that are not swept."
    return _save(figure, base.with_name(f"{base.name}.sweep.svg"), caption)


def _curves(table: JsonDict, base: Path) -> list[Picture]:
    """Precision-recall, precision-scope and mAP@R of the best rows and SM."""
    kept: Mapping[str, JsonDict] = table.get("curves", {})
    rows = [row for row in _scored(table, "mean") if row["label"] in kept]
    order = sorted(rows, key=lambda row: -row["cells"]["mean"]["ours"])
    chosen = [row["label"] for row in order][:_DRAWN]
    chosen += [name for name in ("SM",) if name in kept and name not in chosen]
    if not chosen:
        return []
    reports = {name: _between(Report.from_dict(kept[name])) for name in chosen}
    files = plot_curves(reports, base.with_name(f"{base.name}.curves"))
    caption = f"The {_DRAWN} best rows and SM, random state 0: precision by recall, scope, mAP@R."
    return [(caption, file) for file in files]


def _between(report: Report) -> Report:
    """Directions between different modalities."""
    scores = {(a, b): score for (a, b), score in report.scores.items() if a != b}
    return Report(report.protocol, scores)


def _losses(table: JsonDict, base: Path) -> list[Picture]:
    """A panel a method, a line a modality and loss."""
    found: Mapping[str, Mapping[str, Sequence[float]]] = table["losses"]
    figure = _figure(3.6 * len(found) + 0.4, 3.4)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, history) in zip(panels, found.items(), strict=True):
        for at, (series, values) in enumerate(history.items()):
            style = {"color": _LINES[at % len(_LINES)], "linestyle": _DASHES[at % len(_DASHES)]}
            axes.plot(range(1, len(values) + 1), values, label=series, linewidth=1.2, **style)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if len(history) <= 6:
            axes.legend(fontsize=6)
    panels[0].set_ylabel("loss")
    return _save(figure, base.with_name(f"{base.name}.losses.svg"), "Losses by epoch.")


def _growth(table: JsonDict, base: Path) -> list[Picture]:
    """Seconds of one more modality, a group of bars a modality."""
    keys = [c["key"] for c in table["columns"] if c["key"].endswith(" seconds")]
    rows = [row for row in table["rows"] if row["cells"][keys[0]]["ours"] is not None]
    if not rows:
        return []
    figure = _figure(7.2, 3.8)
    axes, width = figure.subplots(), 0.8 / len(rows)
    for at, row in enumerate(rows):
        x = [place + at * width for place in range(len(keys))]
        heights = [row["cells"][key]["ours"] for key in keys]
        axes.bar(x, heights, width * 0.9, color=_LINES[at % len(_LINES)], label=row["label"])
    middle = [place + 0.4 - width / 2 for place in range(len(keys))]
    axes.set_xticks(middle, [key.removesuffix(" seconds") for key in keys], fontsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("seconds")
    axes.set_title(_name(table))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(fontsize=7, loc="outside lower center", ncols=2)
    return _save(figure, base.with_name(f"{base.name}.growth.svg"), "Seconds of one more modality.")


def _orders(table: JsonDict, base: Path) -> list[Picture]:
    """Every strategy a dot: what is found at the end, and what was forgotten."""
    rows = sorted(_scored(table, "final"), key=lambda row: row["cells"]["final"]["ours"])
    figure = _figure(9.0, 0.24 * len(rows) + 1.1)
    panels = figure.subplots(1, 2, sharey=True)
    names = {"final": "mAP at the end, ± over runs", "forgetting": "forgetting (mAP)"}
    for axes, (key, name) in zip(panels, names.items(), strict=True):
        for at, row in enumerate(rows):
            cell = row["cells"][key]
            if cell["ours"] is not None:
                colour = "#0072B2" if row.get("best") or row.get("tied") else "#7f7f7f"
                style = {"color": colour, "marker": "o", "capsize": 2}
                axes.errorbar([cell["ours"]], [at], xerr=cell["sd"], **style)
        axes.set_xlabel(name)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=8)
    figure.suptitle(_name(table))
    caption = "Blue: the best strategy, and those that are not told apart from it."
    return _save(figure, base.with_name(f"{base.name}.orders.svg"), caption)
