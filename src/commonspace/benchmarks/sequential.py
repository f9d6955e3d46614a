"""Strategies of sequential learning on many orders of the modalities, at equal work and memory.

Every run learns the modalities of a set one by one and is scored after each; runs that are finished
are kept in a file each. All strategies of `Sequential` differentiate the same number of examples in
every stage, and those that remember rows remember equally many. "plain" contestants leave out what
keeps modalities apart in the network: rotated inputs and gates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.sequential_tests import (
    gaps_to_joint,
    has_order,
    paired_tests,
    ratios_left,
)
from commonspace.checks import check_range, not_found
from commonspace.data import Dataset, load_dataset
from commonspace.errors import InputError
from commonspace.evaluation import Course, Protocol, holm, score_directions
from commonspace.machine import describe_machine
from commonspace.methods import SDML, Sequential
from commonspace.training import Run
from commonspace.types import JsonDict

EMOJI = ("image_twemoji", "text_en", "text_fr", "text_ja")
SETS: dict[str, tuple[str, ...] | None] = {"digits": None, "emoji": EMOJI}
PLAIN: JsonDict = {"gate": 0.0, "adapter": "pca"}
CONTESTANTS: dict[str, JsonDict] = {
    "hold": {},
    "ewc": {"strategy": "ewc"},
    "distill": {"strategy": "distill"},
    "lookahead": {"strategy": "lookahead"},
    "replay": {"strategy": "replay"},
    "mer": {"strategy": "mer"},
    "agem": {"strategy": "agem"},
    "lwf": {"strategy": "lwf", "keep": 0.01},
    "finetune": {"strategy": "finetune"},
    "joint": {"strategy": "joint"},
    "plain ewc": {**PLAIN, "strategy": "ewc"},
    "plain distill": {**PLAIN, "strategy": "distill"},
    "plain replay": {**PLAIN, "strategy": "replay"},
    "plain finetune": {**PLAIN, "strategy": "finetune"},
    "plain joint": {**PLAIN, "strategy": "joint"},
    "SDML": {},
}
LISTED = 6  # of so many modalities all orders are listed to draw from; of more there are too many
NETWORK: JsonDict = {"dim": 128, "width": 256, "hidden": (256, 256)}


@dataclass(frozen=True)
class Scale:
    """How large a run is.

    Attributes:
        rows: Training rows of each modality, drawn once; all where there are fewer.
        test_rows: Test rows of each modality.
        memory: Rows remembered.
        steps: Work of a stage, see `Sequential`.
    """

    rows: int = 300
    test_rows: int = 150
    memory: int = 200
    steps: int = 80


@dataclass(frozen=True)
class Trial:
    """One run: who learns, in which order, from which random state."""

    set_name: str
    contestant: str
    order: tuple[str, ...]
    seed: int
    scale: Scale

    def learner(self) -> Any:
        """The method, unfitted."""
        if self.contestant == "SDML":
            return SDML.fast(dim=NETWORK["dim"], random_state=self.seed)
        settings = {**NETWORK, "steps": self.scale.steps, "memory": self.scale.memory}
        changes = CONTESTANTS[self.contestant]
        return Sequential(**{**settings, **changes}, random_state=self.seed)

    def name(self, modalities: Sequence[str]) -> str:
        """What its cell is called; the order is told by the places of the modalities."""
        order = "-".join(str(modalities.index(name)) for name in self.order)
        return f"{Path(self.set_name).name}-{self.contestant}-{order}-{self.seed}"


def bench_sequential(
    *,
    sets: Sequence[str] = tuple(SETS),
    contestants: Sequence[str] = tuple(CONTESTANTS),
    orders: int = 5,
    seeds: int = 1,
    scale: Scale = Scale(),
    root: str | Path | None = None,
    cells: str | Path = "build/bench/sequential",
    plot: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Score strategies on orders of modalities: mean and spread over runs, and paired tests.

    Args:
        sets: Names that `load_dataset` knows.
        contestants: Among `CONTESTANTS`.
        orders: How many orders of the modalities, drawn without repetition, the same for all; as
            many as there are where that is fewer.
        seeds: Random states of each order.
        scale: How large a run is.
        root: Where the data sets are.
        cells: Folder of finished runs, as `Cells`.
        plot: Draw the results there, as PNG.
        say: Called with a line after each run.

    Returns:
        The form of all benchmarks. Rows have "final", the cross-modal mean AP at the end, its
        "sd" over runs, "forgetting", "backward", "backward_within", "plasticity" (of all stages),
        "stale" (queries of the last model on vectors made when each modality was learned),
        "memory_bytes", "evaluations" (examples differentiated), "parameters" and "seconds".
        "tests": of "hold" against each other that has an order, paired by order and seed, p of a
        sign-flip test and Holm's correction over all of them.
        "gaps": final mean AP of "joint" over that of each other, in the mean over orders, with a
        95 % t-interval over seeds; of two seeds or more.
        "ratios": the share of the way from replay to joint, by set.
    """
    check_range("orders", orders, low=1, integer=True)
    for name in contestants:
        if name not in CONTESTANTS:
            raise not_found("contestant", name, CONTESTANTS)
    kept = Cells(cells, say)
    rows: list[JsonDict] = []
    tests: list[JsonDict] = []
    gaps: list[JsonDict] = []
    ratios: dict[str, float] = {}
    curves: dict[str, dict[str, list[float]]] = {}
    for name in sets:
        train, test = _data(name, scale, root)
        chosen = draw_orders(train.modalities, orders)
        runs = {
            who: [
                _run(kept, Trial(name, who, order, seed, scale), train, test)
                for order in (chosen if has_order(who) else chosen[:1])
                for seed in range(seeds)
            ]
            for who in contestants
        }
        found = [_row(name, who, done) for who, done in runs.items()]
        rows += found
        tests += paired_tests(name, runs)
        gaps += gaps_to_joint(name, runs, seeds)
        ratios |= ratios_left(name, found)
        curves[name] = {who: _curve(who, done) for who, done in runs.items()}
    for entry, p in zip(tests, holm([test["p"] for test in tests]) if tests else [], strict=True):
        entry["p_holm"] = float(p)
    if plot is not None:
        from commonspace.benchmarks.sequential_plot import plot_sequential

        plot_sequential(rows, curves, plot)
    return {
        "bench": "sequential",
        "machine": describe_machine(),
        "scale": vars(scale),
        "rows": rows,
        "tests": tests,
        "gaps": gaps,
        "ratios": ratios,
    }


def draw_orders(names: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Orders of the names, seeded, all different; all of them where there are no more than n."""
    rng = np.random.default_rng(0)
    if len(names) <= LISTED:
        every = list(permutations(names))
        return [every[at] for at in sorted(rng.permutation(len(every))[:n])]
    drawn: dict[tuple[str, ...], None] = {}
    while len(drawn) < min(n, factorial(len(names))):
        drawn[tuple(names[at] for at in rng.permutation(len(names)))] = None
    return list(drawn)


def run_trial(trial: Trial, train: Dataset, test: Dataset, model: Any = None) -> JsonDict:
    """Learn modality after modality, scored after each.

    Args:
        trial: Who learns, in which order.
        train: Training rows.
        test: Rows to score.
        model: Learns in place of the trial's own contestant.
    """
    model, start = model or trial.learner(), time.perf_counter()
    together = trial.contestant.endswith("joint")
    stages, born, seconds = [], {}, 0.0
    for t, name in enumerate(trial.order, start=1):
        begin = time.perf_counter()
        _advance(model, train, trial.order if together else trial.order[:t])
        seconds += time.perf_counter() - begin
        now = {m: model.transform(m, test.x(m)) for m in trial.order[:t]}
        born[name] = now[name]
        stages.append(score_directions(now, now, test, protocol=Protocol(within=True)))
    stale = score_directions(now, born, test)
    return {
        **Course(trial.order, tuple(stages)).to_dict(),
        "stale": float(np.mean(list(stale.values()))),
        "memory_bytes": getattr(model, "memory_bytes", 0),
        "evaluations": sum(getattr(model, "evaluations_", {}).values()),
        "parameters": _parameters(model),
        "seconds": round(seconds, 2),
        "seconds_in_all": round(time.perf_counter() - start, 2),
    }


def _advance(model: Any, train: Dataset, names: Sequence[str]) -> None:
    """Bring a model to the stage at which it knows these modalities."""
    fitted = hasattr(model, "space_")
    if fitted and set(names) == set(model.modalities):
        return
    if not fitted:
        model.fit(train.select(list(names)), run=Run(jobs=1))
    else:
        part = train[names[-1]]
        model.fit_modality(names[-1], part.x, part.labels, items=part.items, run=Run(jobs=1))


def _parameters(model: Any) -> int:
    """Numbers that were learned; of SDML those of its kernel machines, with their rows, too."""
    if isinstance(model, Sequential):
        return model.parameter_counts()["learned"]
    count = 0
    for network in model.networks_.values():
        kernel = {} if network.kernel is None else network.kernel.state_dict()
        count += sum(tensor.numel() for tensor in (*network.parameters(), *kernel.values()))
    return count


def _data(name: str, scale: Scale, root: str | Path | None) -> tuple[Dataset, Dataset]:
    data = load_dataset(name, root=root)
    names = SETS.get(name) or data["train"].modalities
    if len(names) < 2:
        raise InputError(f"{name}: expected at least two modalities to learn in turn, got one.")
    train, test = data["train"].select(names), data["test"].select(names)
    return some_rows(train, scale.rows), some_rows(test, scale.test_rows)


def some_rows(data: Dataset, n: int) -> Dataset:
    """At most n rows of known labels of each modality, drawn once."""
    rng = np.random.default_rng(0)
    rows = {}
    for name, part in data.items():
        known = np.flatnonzero(part.labels.known)
        rows[name] = np.sort(rng.permutation(known)[:n])
    return data.take(rows)


def _run(kept: Cells, trial: Trial, train: Dataset, test: Dataset) -> JsonDict:
    def tell(cell: JsonDict) -> str:
        course, names = Course.from_dict(cell), ",".join(trial.order)
        scores = f"{course.final:.4f}, forgot {course.forgetting:.4f}"
        return f"{scores} by {names} in {cell['seconds_in_all']:.1f} s"

    rows = train.fingerprint(), test.fingerprint()
    depends_on = settings(trial.learner()), trial.scale, rows
    name = trial.name(train.modalities)
    uses = (type(trial.learner()), Course, score_directions)
    return kept.get(name, depends_on, lambda: run_trial(trial, train, test), tell, uses=uses)


def _row(name: str, who: str, cells: Sequence[JsonDict]) -> JsonDict:
    courses = [Course.from_dict(cell) for cell in cells]
    final = [course.final for course in courses]
    plasticity = [np.mean(course.plasticity[1:]) for course in courses]

    def mean(values: Sequence[Any]) -> float | None:
        value = float(np.mean(values))
        return value if np.isfinite(value) else None

    return {
        "set": name,
        "method": who,
        "runs": len(cells),
        "final": mean(final),
        "sd": float(np.std(final, ddof=1 if len(final) > 1 else 0)),
        "forgetting": mean([course.forgetting for course in courses]),
        "backward": mean([course.backward for course in courses]),
        "backward_within": mean([course.backward_within for course in courses]),
        "plasticity": mean(plasticity),
        **{key: mean([cell[key] for cell in cells]) for key in ("stale", "seconds")},
        **{key: int(cells[0][key]) for key in ("memory_bytes", "evaluations", "parameters")},
    }


def _curve(who: str, cells: Sequence[JsonDict]) -> list[float]:
    """Mean over runs of the cross-modal mean AP after each stage from the second on.

    Without an order there are no stages, and the end stands for each of them.
    """
    means = np.array([Course.from_dict(cell).means[1:] for cell in cells]).mean(axis=0)
    if not has_order(who):
        means[:] = means[-1]
    return [float(value) for value in means]
