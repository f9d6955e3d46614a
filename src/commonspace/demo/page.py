"""The web page of the demo and the pictures in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from commonspace.data import Dataset
from commonspace.demo.emoji import ATTRIBUTION
from commonspace.demo.gallery import Plot, Section, SummaryTable, write_gallery
from commonspace.demo.plots import plot_training
from commonspace.demo.scores import LANGUAGE_NAMES, PICTURE, text_modality
from commonspace.evaluation import evaluate, plot_curves

_MAP = (
    "Mean average precision over whole galleries of emoji that no training has seen. A result is "
    "right if it is of the query's group; chance is what a random order scores."
)


def draw_plots(out: Path, models: Mapping[str, Any], test: Dataset, language: str) -> list[Plot]:
    """Draw losses and precision-recall curves; returns those that the page shows."""
    word = text_modality(language)
    shown = test.select([PICTURE, word])
    reports = {
        name: evaluate(model, shown, n_bootstrap=0, curves=True) for name, model in models.items()
    }
    plot_curves(reports, out / "curves")
    history = list(models.values())[-1].history_
    files = {"pictures": f"pr_{PICTURE}_{word}.png", "names": f"pr_{word}_{PICTURE}.png"}
    name = LANGUAGE_NAMES[language]
    return [
        Plot(
            out / "curves" / files["pictures"], f"Precision of pictures that ask for {name} names"
        ),
        Plot(out / "curves" / files["names"], f"Precision of {name} names that ask for pictures"),
        Plot(
            plot_training(history, out / "loss.png"),
            "Loss over the epochs: log loss of all networks in training, mean Brier score of held "
            "back rows",
        ),
    ]


def write_page(
    path: Path,
    lead: str,
    tables: Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[float]]]],
    plots: Sequence[Plot],
    sections: Sequence[Section],
) -> Path:
    """Write the page: tables by title, plots, examples."""
    summary = [
        SummaryTable(title, columns, rows, note="" if at else _MAP)
        for at, (title, (columns, rows)) in enumerate(tables.items())
    ]
    return write_gallery(
        path,
        sections,
        title="Emoji in one space",
        lead=lead,
        summary=summary,
        plots=plots,
        footer=ATTRIBUTION,
    )
