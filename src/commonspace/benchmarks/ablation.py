"""What each part of SDML's default recipe is worth: taken out one at a time, set by set.

Scored on a quarter of the *training* split, drawn once, so that the table may decide about the
recipe without the test split being looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.recipe import SETS
from commonspace.checks import not_found
from commonspace.data import Dataset, load_dataset
from commonspace.evaluation import Protocol, evaluate
from commonspace.machine import describe_machine
from commonspace.methods import SDML, scaling, sdml_job, sdml_posterior, sdml_settings
from commonspace.networks import posterior
from commonspace.training import Run, loop
from commonspace.types import JsonDict

DEVELOPMENT = 0.25
SPLIT_SEED = 99
PRESETS: dict[str, Callable[..., SDML]] = {"SDML": SDML, "SDML.fast": SDML.fast}
Factor = tuple[Mapping[str, Any], Sequence[tuple[Any, str, Any]]]


def _experts(**changes: Any) -> dict[str, JsonDict]:
    return {name: {**options, **changes} for name, options in sdml_settings.EXPERTS.items()}


# What is changed: arguments (effort: times the preset's), and constants of the recipe that no user
# has to know.
FACTORS: dict[str, Factor] = {
    "nothing": ({}, ()),
    "columns of its own": ({}, [(posterior, "FILL", 0.0)]),
    "dropout": ({}, [(sdml_job, "EXPERTS", _experts(dropout=0.0, input_dropout=0.0))]),
    "weight decay": ({}, [(sdml_job, "EXPERTS", _experts(weight_decay=0.0))]),
    "batch norm": ({}, [(sdml_job, "EXPERTS", _experts(batch_norm=False))]),
    "light network": ({"regularization": "strong"}, ()),
    "strong network": ({"regularization": "light"}, ()),
    "kernel machine": ({"landmarks": 0}, ()),
    "loudness": ({}, [(scaling, "loudness", lambda _, __, s, **___: torch.ones_like(s))]),
    "last epoch in doubt": ({}, [(loop, "is_clearly_worse", lambda *_: True)]),
    "rows held back": ({"validation_fraction": 0.0}, ()),
    "temperature": ({}, [(sdml_posterior, "fit_temperature", lambda *_, **__: 1.0)]),
    "one-cycle": ({}, [(sdml_job, "SCHEDULE", "constant")]),
    "half the steps": ({"effort": 0.5}, ()),
    "small batches": ({"batch_size": 256}, ()),
}


def bench_ablation(
    *,
    sets: Sequence[str] = SETS,
    factors: Sequence[str] = tuple(FACTORS),
    preset: str = "SDML.fast",
    seeds: int = 1,
    root: str | Path | None = None,
    cells: str | Path = "build/bench/ablation",
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Score the recipe without each of its parts on a development split of the training rows.

    Args:
        sets: Names that `load_dataset` knows.
        factors: Among `FACTORS`; "nothing" is the recipe as it is.
        preset: Among `PRESETS`.
        seeds: How many random states, from 0.
        root: Where the data sets are.
        cells: Folder of finished `Cells`.
        say: Called with a line after each cell.

    Returns:
        The form of all benchmarks: rows of "set", "without", "mean_ap", "mean_ap_within" (means
        over seeds), and "change", "change_within" against "nothing".
    """
    for name in factors:
        if name not in FACTORS:
            raise not_found("factor", name, FACTORS)
    if preset not in PRESETS:
        raise not_found("preset", preset, PRESETS)
    kept = Cells(cells, say)
    rows: list[JsonDict] = []
    for name in sets:
        parts = load_dataset(name, root=root)["train"].split(DEVELOPMENT, seed=SPLIT_SEED)
        found = {}
        for factor in dict.fromkeys(["nothing", *factors]):
            scores = [_cell(kept, name, preset, factor, seed, parts) for seed in range(seeds)]
            found[factor] = [
                float(np.mean([score[key] for score in scores]))
                for key in ("mean_ap", "mean_ap_within")
            ]
            rows.append(_row(name, factor, found))
    return {"bench": "ablation", "machine": describe_machine(), "rows": rows, "ratios": {}}


def _cell(
    kept: Cells, name: str, preset: str, factor: str, seed: int, parts: tuple[Dataset, Dataset]
) -> JsonDict:
    arguments, constants = FACTORS[factor]
    learner = _learner(preset, seed, arguments)

    def compute() -> JsonDict:
        start = time.perf_counter()
        with _changed(constants):  # of this process: workers would not know of them
            model = learner.fit(parts[0], run=Run(jobs=1))
            report = evaluate(model, parts[1], protocol=Protocol(within=True), n_bootstrap=0)
        seconds = round(time.perf_counter() - start, 2)
        within = report.mean_ap_within
        return {"mean_ap": report.mean_ap, "mean_ap_within": within, "seconds": seconds}

    def tell(cell: JsonDict) -> str:
        return f"{cell['mean_ap']:.4f} within {cell['mean_ap_within']:.4f}"

    changes = [(module.__name__, constant, value) for module, constant, value in constants]
    changes = [entry for entry in changes if not callable(entry[2])]  # known by its factor's name
    rows = [part.fingerprint() for part in parts]
    stem = f"{Path(name).name}-{preset}-{factor}-{seed}"
    depends_on, uses = (settings(learner), changes, rows), (type(learner), evaluate)
    return kept.get(stem, depends_on, compute, tell, uses=uses)


def _learner(preset: str, seed: int, arguments: Mapping[str, Any]) -> SDML:
    learner = PRESETS[preset](random_state=seed)
    changed = dict(arguments)
    if "effort" in changed:
        changed["effort"] *= learner.effort
    learner.set_params(**changed)
    return learner


@contextmanager
def _changed(constants: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    before = [(module, name, getattr(module, name)) for module, name, _ in constants]
    try:
        for module, name, value in constants:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _row(name: str, factor: str, found: Mapping[str, Sequence[float]]) -> JsonDict:
    (cross, within), (cross_0, within_0) = found[factor], found["nothing"]
    return {
        "set": name,
        "without": factor,
        "mean_ap": cross,
        "mean_ap_within": within,
        "change": cross - cross_0,
        "change_within": within - within_0,
    }
