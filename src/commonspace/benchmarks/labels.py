"""Labels and pairs as they are: what methods score as fewer pairs and labels can be had, or wrong.

Only what is learned from changes; the test split stays as it is. A method that cannot learn from
what is left has no score there, which is not a score of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.contestants import find_method
from commonspace.benchmarks.scoring import Parts, fit_and_score, plain_score
from commonspace.benchmarks.thinning import Thinning, drop_unpaired, mislabel, unlabel, unpair
from commonspace.checks import check_range, not_found
from commonspace.data import Dataset, load_dataset
from commonspace.errors import CommonspaceError
from commonspace.evaluation import Protocol, chance
from commonspace.machine import describe_machine
from commonspace.methods.base import Method
from commonspace.training import Run
from commonspace.types import JsonDict

SETS = ("wikipedia", "pascal_sentences")
METHODS = ("SM", "Ridge", "CCA", "MLCCA", "SDML.fast")


@dataclass(frozen=True)
class Factor:
    """What is made scarce or wrong.

    Attributes:
        title: What a share is a share of.
        thin: Makes it so.
        shares: Where the curve is drawn by default.
        whole: The share that changes nothing.
    """

    title: str
    thin: Thinning
    shares: tuple[float, ...]
    whole: float = 1.0


FACTORS: dict[str, Factor] = {
    "pairs": Factor("items that are paired, the rest kept", unpair, (0.0, 0.1, 0.5, 1.0)),
    "items": Factor("items, all paired, the rest left out", drop_unpaired, (0.0, 0.1, 0.5, 1.0)),
    "labels": Factor("rows with labels", unlabel, (0.05, 0.1, 0.25, 0.5, 1.0)),
    "noise": Factor("wrong labels", mislabel, (0.0, 0.1, 0.2, 0.4), whole=0.0),
}


def bench_labels(
    *,
    sets: Sequence[str] = SETS,
    methods: Sequence[str] = METHODS,
    factors: Sequence[str] = tuple(FACTORS),
    shares: Mapping[str, Sequence[float]] | None = None,
    seeds: int = 2,
    root: str | Path | None = None,
    cells: str | Path = "build/bench/labels",
    plot: str | Path | None = None,
    jobs: int | None = 1,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Score methods over shares of pairs, of labels and of wrong labels in the training split.

    Args:
        sets: Names that `load_dataset` knows. A split "valid" is not used.
        methods: Classes of `methods` or presets as "SDML.fast"; in any case.
        factors: Among `FACTORS`.
        shares: Of a factor, instead of its own.
        seeds: How many, from 0: which rows are touched, and the method's ``random_state``.
        root: Where the data sets are.
        cells: Folder of finished `Cells`.
        plot: Draw the curves there, as PNG.
        jobs: Trainings at once.
        say: Called with a line after each cell.

    Returns:
        The form of all benchmarks: rows of "set", "method", "factor", "share", "seeds" that have a
        score, "mean_ap" and "sd" over them, where rows have several labels also "mean_ndcg" with
        the number of shared labels as the gain, and "sd_ndcg"; "why" there is no score, else None.
        "chance" is a method with one row a set, of no factor.
    """
    asked = _asked(factors, shares or {})
    makers = {name: find_method(name) for name in methods}
    kept = Cells(cells, say)
    rows: list[JsonDict] = []
    for name in sets:
        data = load_dataset(name, root=root)
        train, test = data["train"], data["test"]
        protocol = Protocol(gain="overlap" if train.label_kind != "single" else None)
        rows.append(_chance(name, test, protocol))
        for factor, values in asked.items():
            for share in values:
                thinned = [_thin(train, factor, share, seed) for seed in range(seeds)]
                for method, make in makers.items():
                    task = _Task(name, method, factor, share, protocol, jobs)
                    done = [
                        task.cell(kept, partial(make, random_state=seed), seed, part, test)
                        for seed, part in enumerate(thinned)
                    ]
                    rows.append(task.row(done))
    if plot is not None:
        from commonspace.benchmarks.labels_plot import plot_labels

        plot_labels(rows, plot)
    return {"bench": "labels", "machine": describe_machine(), "rows": rows, "ratios": {}}


@dataclass(frozen=True)
class _Task:
    """One point of a curve."""

    set_name: str
    method: str
    factor: str
    share: float
    protocol: Protocol
    jobs: int | None

    def cell(
        self,
        kept: Cells,
        make: Callable[[], Method],
        seed: int,
        train: Dataset,
        test: Dataset,
    ) -> JsonDict:
        """The score of one seed, or why there is none."""
        whole = self.share == FACTORS[self.factor].whole
        what = "as it is" if whole else f"{self.factor} {100 * self.share:g}"
        stem = f"{Path(self.set_name).name}-{self.method}-{what}-{seed}"
        depends_on = settings(make()), self.protocol, train.fingerprint(), test.fingerprint()
        run = Run(jobs=self.jobs)

        def compute() -> JsonDict:
            try:
                parts, score = Parts(train, None, test), plain_score(self.protocol)
                return fit_and_score(make(), parts, score, run=run).means()
            except CommonspaceError as error:  # it cannot learn from these rows
                return {"mean_ap": None, "why": str(error)}

        def tell(cell: JsonDict) -> str:
            found = cell["mean_ap"]
            return cell["why"] if found is None else f"{found:.4f} in {cell['seconds']:.1f} s"

        return kept.get(stem, depends_on, compute, tell, uses=(type(make()), fit_and_score))

    def row(self, cells: Sequence[JsonDict]) -> JsonDict:
        """Mean and spread over the seeds that have a score."""
        there = [cell for cell in cells if cell["mean_ap"] is not None]
        graded = self.protocol.gain is not None
        ndcg = _mean_and_spread([cell["mean_ndcg"] for cell in there]) if graded else None
        mean, spread = _mean_and_spread([cell["mean_ap"] for cell in there])
        return {
            "set": self.set_name,
            "method": self.method,
            "factor": self.factor,
            "share": self.share,
            "seeds": len(there),
            "mean_ap": mean,
            "sd": spread,
            **({} if ndcg is None else {"mean_ndcg": ndcg[0], "sd_ndcg": ndcg[1]}),
            "why": None if there else cells[0]["why"],
        }


def _mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1 if len(values) > 1 else 0))


def _thin(train: Dataset, factor: str, share: float, seed: int) -> Dataset:
    chosen = FACTORS[factor]
    return train if share == chosen.whole else chosen.thin(train, share, seed)


def _chance(name: str, test: Dataset, protocol: Protocol) -> JsonDict:
    report = chance(test, protocol=protocol, n_bootstrap=0)
    graded = {} if report.mean_ndcg is None else {"mean_ndcg": report.mean_ndcg, "sd_ndcg": 0.0}
    row = {"set": name, "method": "chance", "factor": None, "share": None, "seeds": 1}
    return {**row, "mean_ap": report.mean_ap, "sd": 0.0, **graded, "why": None}


def _asked(
    factors: Sequence[str], shares: Mapping[str, Sequence[float]]
) -> dict[str, tuple[float, ...]]:
    asked = {}
    for name in [*factors, *shares]:
        if name not in FACTORS:
            raise not_found("factor", name, FACTORS)
    for name in factors:
        values = tuple(sorted(set(shares.get(name, FACTORS[name].shares))))
        for value in values:
            check_range(f"shares of {name}", value, low=0, high=1)
        asked[name] = values
    return asked
