"""Pictures of an inspection, as PNG files (extra ``plots``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.evaluation.health.findings import Direction
from commonspace.evaluation.health.reliability import Reliability
from commonspace.evaluation.health.report import Health
from commonspace.evaluation.plots import COLOURS, plain_name

_MOST_NAMES = 30  # more classes than this are not named on the axes
_BLUE, _RED, _GREEN = COLOURS[:3]


def plot_health(health: Health, folder: str | Path) -> list[Path]:
    """Draw gaps, and for each direction confusions, hubs and reliability.

    Args:
        health: As `inspect` returns it.
        folder: Where the files go; made if it is not there.

    Returns:
        The files: ``gap.png`` where there are two modalities, and ``confusion_<query>_<gallery>``,
        ``hubs_...`` and ``reliability_...`` for each direction between different modalities.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: A file stands in place of the folder, or the disk refuses.
    """
    target = Path(folder)
    files = []
    if health.gaps:
        height = 1.4 + 0.45 * len(health.gaps)
        files.append(_picture(target / "gap.png", (6.4, height), lambda axes: _gaps(axes, health)))
    kinds: dict[str, Callable[[Any, Health, Direction], None]] = {
        "confusion": _confusion,
        "hubs": _hubs,
        "reliability": _reliability,
    }
    for key in health.hubs:
        for kind, draw in kinds.items():
            path = target / f"{kind}_{plain_name(key[0])}_{plain_name(key[1])}.png"
            files.append(_direction(path, health, key, draw))
    return files


def _direction(
    path: Path, health: Health, key: Direction, draw: Callable[[Any, Health, Direction], None]
) -> Path:
    def titled(axes: Any) -> None:
        draw(axes, health, key)
        axes.set_title(f"{key[0]} \N{RIGHTWARDS ARROW} {key[1]}")

    return _picture(path, (5.6, 4.6), titled)


def _picture(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> Path:
    # A Figure of its own, without pyplot, leaves the caller's figures and backend alone.
    module = require("matplotlib.figure", extra="plots", what="plot_health")
    figure = module.Figure(figsize=size, layout="constrained")
    draw(figure.subplots())
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path


def _gaps(axes: Any, health: Health) -> None:
    at = np.arange(len(health.gaps))
    found = list(health.gaps.values())
    axes.barh(at - 0.2, [gap.distance for gap in found], 0.4, color=_BLUE, label="measured")
    expected = [gap.expected for gap in found]
    axes.barh(at + 0.2, expected, 0.4, color=_RED, label="modalities shuffled")
    axes.set_yticks(at, [", ".join(pair) for pair in health.gaps])
    axes.invert_yaxis()
    axes.set_xlabel("distance of the centroids of unit vectors")
    axes.grid(axis="x", alpha=0.3)
    axes.set_title("modality gap")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _confusion(axes: Any, health: Health, key: Direction) -> None:
    matrix = health.confusions[key].matrix
    image = axes.imshow(matrix, vmin=0, vmax=max(float(matrix.max()), 1e-9), cmap="Blues")
    axes.figure.colorbar(image, ax=axes, label="share of the neighbours")
    if len(health.classes) <= _MOST_NAMES:
        small = 8 if len(health.classes) <= 12 else 6
        axes.set_xticks(range(len(matrix)), health.classes, rotation=45, ha="right", fontsize=small)
        axes.set_yticks(range(len(matrix)), health.classes, fontsize=small)
    axes.set_xlabel("class found")
    axes.set_ylabel("class of the query")


def _hubs(axes: Any, health: Health, key: Direction) -> None:
    hub = health.hubs[key]
    bins = np.arange(-0.5, hub.counts.max() + 1.5, max(1, int(hub.counts.max()) // 40))
    axes.hist(hub.counts, bins=bins, color=_BLUE)
    axes.axvline(hub.counts.mean(), color=_RED, linestyle="--", label="mean")
    axes.set_yscale("log")
    axes.set_xlabel(f"how often an item is among the {health.k} nearest")
    axes.set_ylabel("items")
    axes.plot([], [], " ", label=f"skew {hub.skew:.2f}, never found {hub.never:.0%}")
    axes.legend()


def _reliability(axes: Any, health: Health, key: Direction) -> None:
    found = health.calibrations[key]
    _curve(axes, found.fitted, "monotone fit", _GREEN, "--")
    if found.claimed is not None:
        _curve(axes, found.claimed, "inner product as it is", _BLUE, "-")
    top = max(1.0, *axes.get_xlim(), *axes.get_ylim()) if found.claimed is not None else 1.0
    axes.plot([0, top], [0, top], color="0.6", linewidth=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("observed")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _curve(axes: Any, curve: Reliability, name: str, colour: str, dash: str) -> None:
    label = f"{name} (ECE {curve.error:.3f}, skill {curve.skill:.2f})"
    size = 12 + 60 * np.sqrt(curve.pairs / curve.pairs.sum())
    axes.plot(curve.predicted, curve.observed, dash, color=colour, label=label)
    axes.scatter(curve.predicted, curve.observed, s=size, color=colour)
