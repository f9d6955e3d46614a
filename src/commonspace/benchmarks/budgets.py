"""Every method under one budget of tuning, set by set: what settings are worth, and to whom.

Settings are chosen on rows held back from training. Only then are the defaults and the best fitted
on all training rows and scored once on the test split, where that is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.contestants import Maker, find_method
from commonspace.benchmarks.scoring import Parts, fit_and_score, plain_score
from commonspace.benchmarks.tune import Tuning, tune
from commonspace.benchmarks.tuned import write_tuned
from commonspace.data import Splits, load_dataset
from commonspace.errors import InputError
from commonspace.machine import describe_machine
from commonspace.store.settings import as_arguments
from commonspace.training import Run
from commonspace.types import JsonDict


@dataclass(frozen=True)
class Budget:
    """What every method gets, see `tune`."""

    trials: int | None = None
    seconds: float | None = None
    folds: int = 1
    seed: int = 0
    check: bool = True


def bench_tune(
    *,
    sets: Sequence[str],
    methods: Sequence[str],
    budget: Budget = Budget(),
    test: bool = False,
    root: str | Path | None = None,
    cells: str | Path = "build/bench/tune",
    out: str | Path | None = None,
    jobs: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Tune methods on data sets, all under one budget.

    Args:
        sets: Names that `load_dataset` knows.
        methods: Classes of `methods` or presets as "SDML.fast".
        budget: Of each method on each set.
        test: Score the defaults and the best on the test split too, learned from all training
            rows.
        root: Where the data sets are.
        cells: Folder of studies and finished `Cells`, to go on from.
        out: Folder for settings files, ``SET-METHOD.json``.
        jobs: Trainings at once.
        say: Called with a line after each trial.

    Returns:
        The form of all benchmarks: rows of "set", "method", "trials", "failed", "seconds",
        "default" and "best" (mean average precision on rows held back), "other_default" and
        "other_best" (on rows of another draw), with ``test`` "test_default" and "test_best", and
        the "settings" found; or "why" a method cannot learn from a set.
    """
    makers = {name: find_method(name) for name in methods}
    bench = _Bench(Cells(cells, say), budget, test, None if out is None else Path(out), jobs)
    rows = [
        bench.row(name, data, method, make)
        for name in sets
        for data in [load_dataset(name, root=root)]
        for method, make in makers.items()
    ]
    return {
        "bench": "tune",
        "machine": describe_machine(),
        "budget": vars(budget),
        "rows": rows,
        "ratios": {},
    }


@dataclass(frozen=True)
class _Bench:
    kept: Cells
    budget: Budget
    test: bool
    out: Path | None
    jobs: int

    def row(self, name: str, data: Splits, method: str, make: Maker) -> JsonDict:
        """Tune one method on one set, write its settings, and score it where asked."""
        stem = f"{Path(name).name}-{method}"
        try:
            found = self.tuned(stem, data, make)
        except InputError as error:  # it cannot learn from this set
            return {"set": name, "method": method, "trials": 0, "why": str(error)}
        if self.out is not None:
            names = data["train"].modalities
            path = self.out / f"{stem}.json"
            write_tuned(path, found, data=name, modalities=names, every=names)
        tested: JsonDict = {}
        if self.test:
            chosen = {"test_default": {}, "test_best": found.best.settings}
            tested = {k: self.tested(f"{stem}-{k}", make, v, data) for k, v in chosen.items()}
        return {"set": name, "method": method, **_row(found), **tested, "settings": _told(found)}

    def tuned(self, stem: str, data: Splits, make: Maker) -> Tuning:
        """The search, from where it was left."""
        return tune(
            make,
            data["train"],
            **vars(self.budget),
            valid=data.get("valid"),
            study=self.kept.folder / "studies",
            run=Run(jobs=self.jobs),
            say=lambda line: self.kept.say(f"{stem}: {line}"),
        )

    def tested(self, stem: str, make: Maker, chosen: JsonDict, data: Splits) -> float:
        """Mean average precision on the test split, learned from all training rows."""
        learner = make(random_state=self.budget.seed, **as_arguments(chosen))
        parts, run = Parts(data["train"], data.get("valid"), data["test"]), Run(jobs=self.jobs)
        rows = [part.fingerprint() for part in data.values()]
        found = self.kept.get(
            stem,
            (settings(learner), rows),
            lambda: fit_and_score(learner, parts, plain_score(), run=run).means(),
            lambda cell: f"{cell['mean_ap']:.4f}",
            uses=(type(learner), fit_and_score),
        )
        return float(found["mean_ap"])


def _row(found: Tuning) -> JsonDict:
    other = found.other_rows or {}
    return {
        "trials": len(found.trials),
        "failed": sum(trial.error is not None for trial in found.trials),
        "seconds": found.seconds,
        "default": found.default_score,
        "best": found.best_score,
        "other_default": other.get("defaults"),
        "other_best": other.get("best"),
    }


def _told(found: Tuning) -> str:
    """What the best trial changed, as ``--set`` takes it."""
    texts = [f"{name}={json.dumps(value)}" for name, value in found.best.settings.items()]
    return " ".join(texts) or "the defaults"
