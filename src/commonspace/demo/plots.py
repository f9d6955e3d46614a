"""Training curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.errors import InputError

_COLUMNS = 4
_CURVES = {
    "train_loss": ("training", "#1f5fa8", "-"),
    "valid_loss": ("validation", "#c4551a", "--"),
}


def plot_training(histories: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path) -> Path:
    """Draw the loss over the epochs, one panel a modality, and write it as PNG.

    Args:
        histories: For each modality one mapping an epoch with "train_loss" and, where there was
            validation, "valid_loss".
        path: The file; replaced when the new one is whole.

    Returns:
        The path written.

    Raises:
        InputError: No modality, or one without any loss.
        MissingExtraError: matplotlib is not installed.
    """
    if not histories:
        raise InputError("histories: expected at least one modality, got none.")
    module = require("matplotlib.figure", extra="plots", what="plot_training")
    columns = min(_COLUMNS, len(histories))
    rows = -(-len(histories) // columns)
    # A figure of its own, without pyplot: no global state, no display, safe in threads.
    figure = module.Figure(figsize=(3.2 * columns, 2.4 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (modality, epochs) in zip(axes, histories.items(), strict=False):
        _panel(axis, modality, epochs)
    for axis in axes[len(histories) :]:
        axis.set_axis_off()
    lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    figure.legend(handles=list(lines.values()), loc="outside upper right", ncols=2, frameon=False)
    with atomic_file(Path(path)) as file:
        figure.savefig(file, format="png", dpi=110)
    return Path(path)


def _panel(axis: Any, modality: str, epochs: Sequence[Mapping[str, Any]]) -> None:
    drawn = False
    for key, (label, colour, style) in _CURVES.items():
        points = [
            (number, float(epoch[key]))
            for number, epoch in enumerate(epochs, start=1)
            if epoch.get(key) is not None
        ]
        if points:
            axis.plot(*zip(*points, strict=True), style, color=colour, label=label, linewidth=1.4)
            drawn = True
    if not drawn:
        raise InputError(
            f"histories of modality {modality!r}: expected epochs with 'train_loss' or "
            f"'valid_loss', got {len(epochs)} without."
        )
    axis.set_title(modality, fontsize=10)
    axis.set_xlabel("epoch", fontsize=8)
    axis.set_ylabel("loss", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3, linewidth=0.6)
