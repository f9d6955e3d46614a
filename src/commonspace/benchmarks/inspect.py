"""What `inspect` finds of faults that were planted, and what it says of models that have none.

Most faults are planted in vectors, labels and ids after a model has made the vectors of the test
rows, so that one model serves them all; scaling is planted in its inputs, and labels of training
rows before it is trained. A fault counts as found if one of the rules that could see it is worse
than on the same model without the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.faults import FAULTS, Case, Fault, second, wrong_labels
from commonspace.checks import not_found
from commonspace.data import Dataset, load_dataset
from commonspace.evaluation import Health, inspect
from commonspace.evaluation.health.findings import SEVERITIES
from commonspace.evaluation.health.suspects import STRONG
from commonspace.machine import describe_machine
from commonspace.methods import SDML, SM
from commonspace.training import Run
from commonspace.types import AnyArray, BoolArray, JsonDict

SETS = ("wikipedia", "mfeat", "ucm_captions", "digits")
MODELS: dict[str, Callable[[int], Any]] = {
    "SM": lambda seed: SM(random_state=seed),
    "SDML.fast": lambda seed: SDML.fast(random_state=seed),
}
MODALITIES = 3
TRAIN_NOISE = 0.1


def bench_inspect(
    *,
    sets: Sequence[str] = SETS,
    models: Sequence[str] = tuple(MODELS),
    seeds: int = 3,
    train: bool = True,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Plant faults and count which are found.

    Args:
        sets: Names that `load_dataset` knows; the first three modalities of each are looked at.
        models: Among `MODELS`.
        seeds: How many random states, from 0, of models and faults.
        train: Also train on labels of which a tenth is wrong, and look for these.
        root: Where the data sets are.
        say: Called with a line after each set and model.

    Returns:
        The form of all benchmarks: rows of "set", "model", "fault" and, over seeds, "found" (share
        that a rule saw; without a fault: that anything is worth a look), "broken" (share whose
        verdict is broken), "by" (the rules), and where rows were changed "ap" (average precision
        of the score that ranks them), "precision" (of as many rows as were changed, the share that
        was) and "recall" (share of the changed rows above the threshold).
    """
    for name in models:
        if name not in MODELS:
            raise not_found("model", name, MODELS)
    rows: list[JsonDict] = []
    for name in sets:
        splits = load_dataset(name, root=root)
        parts = {key: part.select(part.modalities[:MODALITIES]) for key, part in splits.items()}
        for kind in models:
            runs = [_run(kind, parts, seed, train) for seed in range(seeds)]
            for fault in runs[0]:
                rows.append(_row(name, kind, fault, [run[fault] for run in runs]))
            found = [row["found"] for row in rows if row["model"] == kind and row["set"] == name]
            say(f"{name}, {kind}: {np.mean(found[1:]):.2f} of the faults found")
    return {
        "bench": "inspect",
        "machine": describe_machine(),
        "rows": rows,
        "ratios": _ratios(rows),
    }


def _run(kind: str, parts: Mapping[str, Dataset], seed: int, train: bool) -> dict[str, JsonDict]:
    """Every fault in one model."""
    test = parts["test"]
    model = MODELS[kind](seed).fit(parts["train"], parts.get("valid"), run=Run(jobs=1))
    z = {name: model.transform(name, part.x) for name, part in test.items()}
    healthy = Case(model, z, test, {})
    before = inspect(z, test)
    looks = [f.what for f in before.findings if f.severity != "fine"]
    out: dict[str, JsonDict] = {
        "none": {"found": bool(looks), "broken": before.verdict == "broken", "by": looks}
    }
    for name, fault in FAULTS.items():
        if fault.ranks == "pairs" and not len(test.pairs(*test.modalities[:2])[0]):
            continue
        case = fault.plant(healthy, np.random.default_rng([seed, len(out)]))
        out[name] = _judge(inspect(case.z, case.data), before, fault, case)
    if train:
        out |= _trained(kind, parts, seed)
    return out


def _judge(after: Health, before: Health, fault: Fault, case: Case) -> JsonDict:
    worse = [rule for rule in fault.rules if _severity(after, rule) > _severity(before, rule)]
    found: JsonDict = {"found": bool(worse), "broken": after.verdict == "broken", "by": worse}
    if fault.ranks == "labels":
        scores = [after.suspects[name].score for name in case.planted]
        planted = [case.planted[name] for name in case.planted]
        found |= ranking(np.concatenate(planted), np.concatenate(scores), STRONG)
    if fault.ranks == "pairs":
        check = next(iter(after.pairs.values()))
        changed = dict(zip(case.data[second(case)].items, case.planted[second(case)], strict=True))
        found |= ranking(np.array([changed[item] for item in check.items]), check.score, 0.9)
    return found


def ranking(planted: BoolArray, score: AnyArray, threshold: float) -> JsonDict:
    """Average precision of a score, precision of as many rows as were planted, and recall."""
    from sklearn.metrics import average_precision_score

    n = int(planted.sum())
    if not n:
        return {}
    top = np.argsort(-score, kind="stable")[:n]
    return {
        "ap": float(average_precision_score(planted, score)),
        "precision": float(planted[top].mean()),
        "recall": float((score[planted] >= threshold).mean()),
    }


def _trained(kind: str, parts: Mapping[str, Dataset], seed: int) -> Iterator[tuple[str, JsonDict]]:
    """Wrong labels of training rows: seen by the model that learned them, and by one that did not.

    The second is two models, each trained on one half of the rows and looking at the other.
    """
    rng = np.random.default_rng([seed, 99])
    case = wrong_labels(Case(None, {}, parts["train"], {}), rng, TRAIN_NOISE, items=True)
    halves = case.data.held_back(0.5, seed=seed)
    whole = {name: np.ones(len(mask), np.bool_) for name, mask in halves.items()}
    others = {name: ~mask for name, mask in halves.items()}
    for title, folds in (
        ("trained on wrong labels, own rows", [(whole, whole)]),
        ("trained on wrong labels, other half", [(others, halves), (halves, others)]),
    ):
        planted, scores, flagged = [], [], []
        for learn, look in folds:
            train, seen = (
                case.data.take({name: np.flatnonzero(mask) for name, mask in rows.items()})
                for rows in (learn, look)
            )
            model = MODELS[kind](seed).fit(train, run=Run(jobs=1))
            health = inspect(model, seen)
            for name, found in health.suspects.items():
                planted.append(case.planted[name][look[name]])
                scores.append(found.score)
            flagged.append(health.worst_of("suspect labels"))
        looks = [f for f in flagged if f is not None and f.severity != "fine"]
        found_by = ["suspect labels"] if looks else []
        yield (
            title,
            {
                "found": bool(looks),
                "broken": False,
                "by": found_by,
                **ranking(np.concatenate(planted), np.concatenate(scores), STRONG),
            },
        )


def _severity(health: Health, rule: str) -> int:
    found = [f.severity for f in health.findings if f.what == rule]
    return max((SEVERITIES.index(severity) for severity in found), default=0)


def _row(name: str, kind: str, fault: str, runs: Sequence[JsonDict]) -> JsonDict:
    row: JsonDict = {"set": name, "model": kind, "fault": fault, "seeds": len(runs)}
    for key in ("found", "broken"):
        row[key] = float(np.mean([run[key] for run in runs]))
    for key in ("ap", "precision", "recall"):
        values = [run[key] for run in runs if key in run]
        row[key] = float(np.mean(values)) if values else None
    row["by"] = ", ".join(dict.fromkeys(rule for run in runs for rule in run["by"]))
    return row


def _ratios(rows: Sequence[JsonDict]) -> dict[str, float]:
    """Share of models without a fault that are called broken, and of faults that are found."""
    healthy = [row for row in rows if row["fault"] == "none"]
    out = {"healthy called broken": float(np.mean([row["broken"] for row in healthy]))}
    for fault in dict.fromkeys(row["fault"] for row in rows):
        if fault != "none":
            of_fault = [row["found"] for row in rows if row["fault"] == fault]
            out[f"found: {fault}"] = float(np.mean(of_fault))
    return out
