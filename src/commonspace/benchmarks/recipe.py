"""The table that decides about recipes: data sets by methods, over several seeds.

Every cell is fitted on the training split alone and scored once on the test split. Finished cells
are kept in a file each, so that a long table can be stopped and taken up again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.contestants import SEEDLESS, check_known, make
from commonspace.data import Splits, load_dataset
from commonspace.evaluation import Protocol, Report, chance, evaluate, holm, sign_flip_p
from commonspace.machine import describe_machine
from commonspace.training import Run
from commonspace.types import FloatArray, JsonDict

SETS = (
    "wikipedia",
    "ucm_captions",
    "emoji",
    "emoji_subgroups",
    "mfeat",
    "digits",
    "pascal_sentences",
    "mdi_icons",
    "coco_mini",
)
COMPARED = (
    "SM",
    "Ridge",
    "SDML.paper",
    "SDML",
    "SDML.fast",
    "SPDQ",
    "SDML.best",
    "Sequential",
    "MSDMML",
    "MSDMML.bin",
    "MSDMML.paper",
)


def bench_recipe(
    *,
    sets: Sequence[str] = SETS,
    methods: Sequence[str] = COMPARED,
    seeds: int = 3,
    root: str | Path | None = None,
    cells: str | Path = "build/bench/recipe",
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Score methods on data sets: mean and spread over seeds, and paired tests against SDML.

    Args:
        sets: Names that `load_dataset` knows.
        methods: Among `contestants.METHODS`. Those without randomness run once.
        seeds: How many random states, from 0.
        root: Where the data sets are.
        cells: Folder of finished `Cells`.
        jobs: Trainings at once.
        say: Called with a line after each cell.

    Returns:
        The form of all benchmarks: rows of "set", "method", "mean_ap", "sd", "mean_ap_within",
        "seconds", and, where rows have several labels, "mean_ndcg" with the number of shared labels
        as the gain; and "tests": of SDML against each other method on each set, the difference of
        mean AP at seed 0 and the Holm-corrected p of a paired randomisation test over queries.
    """
    check_known(methods)
    kept = Cells(cells, say)
    rows: list[JsonDict] = []
    first: dict[str, dict[str, Report]] = {}
    for name in sets:
        data = load_dataset(name, root=root)
        rows.append(_chance(name, data))
        first[name] = {}
        for method in methods:
            n = 1 if method in SEEDLESS else seeds
            done = [_cell(kept, name, data, method, seed, jobs) for seed in range(n)]
            rows.append(_row(name, method, done))
            first[name][method] = Report.from_dict(done[0]["report"])
    return {
        "bench": "recipe",
        "machine": describe_machine(),
        "rows": rows,
        "tests": _tests(first),
        "ratios": {},
    }


def _cell(
    kept: Cells, name: str, data: Splits, method: str, seed: int, jobs: int | None
) -> JsonDict:
    learner, protocol = make(method, seed), _protocol(data)

    def compute() -> JsonDict:
        start = time.perf_counter()
        model = learner.fit(data["train"], data.get("valid"), run=Run(jobs=jobs))
        seconds = time.perf_counter() - start
        report = evaluate(model, data["test"], protocol=protocol)
        return {"seconds": round(seconds, 2), "report": report.to_dict(per_query=True)}

    def tell(cell: JsonDict) -> str:
        report = cell["report"]
        scores = f"{report['mean_ap']:.4f} within {report['mean_ap_within']:.4f}"
        return f"{scores} in {cell['seconds']:.1f} s"

    rows = [part.fingerprint() for part in data.values()]
    stem = f"{Path(name).name}-{method}-{seed}"
    depends_on, uses = (settings(learner), protocol, rows), (type(learner), evaluate)
    return kept.get(stem, depends_on, compute, tell, uses=uses)


def _protocol(data: Splits) -> Protocol:
    graded = data["train"].label_kind != "single"
    return Protocol(within=True, gain="overlap" if graded else None)


def _chance(name: str, data: Splits) -> JsonDict:
    report = chance(data["test"], protocol=_protocol(data))
    graded: JsonDict = {}
    if report.mean_ndcg is not None:
        graded = {"mean_ndcg": report.mean_ndcg, "sd_ndcg": 0.0}
        graded["mean_ndcg_within"] = report.mean_ndcg_within
    return {
        "set": name,
        "method": "chance",
        "seeds": 1,
        "mean_ap": report.mean_ap,
        "sd": 0.0,
        "mean_ap_within": report.mean_ap_within,
        "sd_within": 0.0,
        "seconds": 0.0,
        **graded,
    }


def _row(name: str, method: str, cells: Sequence[JsonDict]) -> JsonDict:
    cross = [cell["report"]["mean_ap"] for cell in cells]
    within = [cell["report"]["mean_ap_within"] for cell in cells]
    reports = [cell["report"] for cell in cells]
    ndcg = [report["mean_ndcg"] for report in reports if "mean_ndcg" in report]
    spread = 1 if len(cells) > 1 else 0
    graded = {}
    if ndcg:
        inside = float(np.mean([report["mean_ndcg_within"] for report in reports]))
        graded = {"mean_ndcg": float(np.mean(ndcg)), "sd_ndcg": float(np.std(ndcg, ddof=spread))}
        graded["mean_ndcg_within"] = inside
    return {
        "set": name,
        "method": method,
        "seeds": len(cells),
        "mean_ap": float(np.mean(cross)),
        "sd": float(np.std(cross, ddof=spread)),
        "mean_ap_within": float(np.mean(within)),
        "sd_within": float(np.std(within, ddof=spread)),
        "seconds": float(np.median([cell["seconds"] for cell in cells])),
        **graded,
    }


def _tests(first: Mapping[str, Mapping[str, Report]]) -> list[JsonDict]:
    """SDML against each other method on each set: difference of mean AP, and its p at seed 0."""
    tests: list[JsonDict] = []
    for name, reports in first.items():
        ours = reports.get("SDML")
        for method, theirs in reports.items():
            if ours is not None and method != "SDML":
                difference = ours.mean_ap - theirs.mean_ap
                p = sign_flip_p(_paired(ours, theirs))
                tests.append({"set": name, "against": method, "difference": difference, "p": p})
    corrected: FloatArray | list[float] = holm([entry["p"] for entry in tests]) if tests else []
    for entry, p in zip(tests, corrected, strict=True):
        entry["p_holm"] = float(p)
    return tests


def _paired(ours: Report, theirs: Report) -> FloatArray:
    """Differences of average precision, every query of every cross-modal direction."""
    parts = [
        score.ap - theirs.scores[direction].ap
        for direction, score in ours.scores.items()
        if direction[0] != direction[1]
    ]
    differences = np.concatenate(parts)
    return differences[~np.isnan(differences)]
