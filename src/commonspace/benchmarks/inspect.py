"""What `inspect` finds of faults that were planted, and what it says of models that have none.

Most faults are planted in vectors, labels and ids after a model has made the vectors of the test
rows, so that one model serves them all; scaling is planted in its inputs, and labels of training
rows before it is trained. A fault counts as found if one of the rules that could see it is worse
than on the same model without the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import not_found
from commonspace.data import Dataset, Labels, load_dataset
from commonspace.evaluation import Health, inspect
from commonspace.evaluation.health.findings import SEVERITIES
from commonspace.evaluation.health.suspects import STRONG
from commonspace.machine import describe_machine
from commonspace.methods import SDML, SM
from commonspace.training import Run
from commonspace.types import AnyArray, BoolArray, Float32Array, JsonDict

SETS = ("wikipedia", "mfeat", "ucm_captions", "digits")
MODELS: dict[str, Callable[[int], Any]] = {
    "SM": lambda seed: SM(random_state=seed),
    "SDML.fast": lambda seed: SDML.fast(random_state=seed),
}
MODALITIES = 3
TRAIN_NOISE = 0.1
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Case:
    """A space to inspect.

    Attributes:
        model: What made the vectors, for faults of its inputs.
        z: Vectors of each modality.
        data: Rows, labels and ids.
        planted: Rows of each modality whose label was changed, or whose pair was.
    """

    model: Any
    z: Mapping[str, Float32Array]
    data: Dataset
    planted: Mapping[str, BoolArray]


@dataclass(frozen=True)
class Fault:
    """How a fault is planted, and which rules may see it.

    Attributes:
        plant: Returns the case with the fault.
        rules: Names among `RULES`.
        ranks: What ranks the planted rows: "labels", "pairs" or nothing.
    """

    plant: Callable[[Case, Rng], Case]
    rules: tuple[str, ...]
    ranks: str = ""


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
        if fault.ranks == "pairs" and not len(_pairs(test)):
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
    case = _wrong_labels(Case(None, {}, parts["train"], {}), rng, TRAIN_NOISE, items=True)
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


def second(case: Case) -> str:
    """The modality that faults of one modality are planted in."""
    return case.data.modalities[1]


def _pairs(data: Dataset) -> AnyArray:
    return data.pairs(*data.modalities[:2])[0]


def _with(case: Case, name: str, z: AnyArray) -> Case:
    return replace(case, z={**case.z, name: np.asarray(z, dtype=np.float32)})


def _part(case: Case, name: str, **changes: Any) -> Dataset:
    parts = dict(case.data.parts)
    return Dataset({**parts, name: replace(parts[name], **changes)}, case.data.classes)


def _wrong_labels(case: Case, rng: Rng, rate: float, *, items: bool) -> Case:
    """Replace the labels of a share of the rows by those of a row that shares none of them.

    Args:
        case: What to change.
        rng: Draws.
        rate: The share.
        items: Of items, whose rows in all modalities then agree on the wrong label; else of the
            rows of each modality apart.
    """
    ids = np.unique(np.concatenate([part.items for part in case.data.values()]))
    keys = dict(zip(ids, rng.random(len(ids)), strict=True))
    salt = int(rng.integers(1 << 31))
    data, planted = case.data, {}
    for name, part in case.data.items():
        draw = np.array([keys[i] for i in part.items]) if items else rng.random(len(part))
        labels, planted[name] = part.labels, draw < rate
        y, wrong = labels.dense(), labels.dense()
        for row in np.flatnonzero(planted[name]):  # the same donor wherever labels are the same
            donors = np.flatnonzero(~(y * y[row]).any(axis=1) & y.any(axis=1))
            kinds = np.unique(y[donors], axis=0) if len(donors) else y[row : row + 1]
            pick = np.random.default_rng([salt, int(draw[row] * 1e9)]).integers(len(kinds))
            wrong[row] = kinds[pick]
        changed = Labels.from_any(wrong, classes=labels.classes)
        data = _part(replace(case, data=data), name, labels=changed)
    return replace(case, data=data, planted=planted)


def _one_vector(case: Case, rng: Rng, noise: float) -> Case:
    z = case.z[second(case)]
    near = z[:1] / np.linalg.norm(z[:1]) + noise * rng.standard_normal(z.shape) / z.shape[1] ** 0.5
    return _with(case, second(case), near)


def _half_coordinates(case: Case, rng: Rng) -> Case:
    z = case.z[second(case)].copy()
    z[:, rng.permutation(z.shape[1])[: z.shape[1] // 2]] = 0
    return _with(case, second(case), z)


def _half_classes(case: Case, rng: Rng) -> Case:
    """Take the directions of half of the classes out."""
    name = second(case)
    z, y = case.z[name], case.data[name].labels.dense()
    used = np.flatnonzero(y.any(axis=0))
    gone = rng.permutation(used)[: len(used) // 2]
    centroids = (y.T @ z)[gone] / y.sum(axis=0)[gone, None]
    basis = np.linalg.qr(centroids.T)[0]
    return _with(case, name, z - z @ basis @ basis.T)


def _shuffled(rng: Rng, n: int, rate: float) -> AnyArray:
    """An order in which a share of the places have changed hands."""
    order = np.arange(n)
    chosen = np.sort(rng.permutation(n)[: round(rate * n)])
    order[chosen] = np.roll(chosen, 1)[_back(rng.permutation(len(chosen)))]
    return order


def _back(order: AnyArray) -> AnyArray:
    return np.argsort(order, kind="stable") if len(order) else order


def _shuffle_rows(case: Case, rng: Rng, rate: float) -> Case:
    """Features under the wrong ids and labels; a pair counts where the classes differ."""
    name = second(case)
    order = _shuffled(rng, len(case.z[name]), rate)
    y = case.data[name].labels.dense()
    changed = np.asarray(~(y * y[order]).any(axis=1))
    return replace(_with(case, name, case.z[name][order]), planted={name: changed})


def _shuffle_ids(case: Case, rng: Rng, rate: float) -> Case:
    """Ids under the wrong rows, whose labels stay; a pair counts where the classes differ."""
    name = second(case)
    part = case.data[name]
    order = _shuffled(rng, len(part), rate)
    data = _part(case, name, items=part.items[order])
    y = part.labels.dense()
    changed = np.asarray(~(y * y[order]).any(axis=1))
    return replace(case, data=data, planted={name: changed})


def _scaling(case: Case, rng: Rng) -> Case:
    """Feed a modality with the mean and spread of the first one's features."""
    name, other = second(case), case.data.modalities[0]
    x, like = (np.asarray(case.data[n].x, dtype=np.float64) for n in (name, other))
    scaled = (x - x.mean()) / x.std() * like.std() + like.mean()
    return _with(case, name, case.model.transform(name, scaled))


def _raw_scale(case: Case, rng: Rng) -> Case:
    """Feed a modality with features 255 times too large, as bytes for shares."""
    x = np.asarray(case.data[second(case)].x, dtype=np.float32) * 255
    return _with(case, second(case), case.model.transform(second(case), x))


def _hub(case: Case, rng: Rng) -> Case:
    """Draw all of one modality towards an item of the first, so that it answers every query."""
    name, other = second(case), case.data.modalities[0]
    z = case.z[name] / np.maximum(np.linalg.norm(case.z[name], axis=1, keepdims=True), 1e-12)
    hub = case.z[other][rng.integers(len(case.z[other]))]
    return _with(case, name, 0.4 * z + 0.6 * hub / np.linalg.norm(hub))


def _labels_at(rate: float, items: bool) -> Callable[[Case, Rng], Case]:
    return lambda case, rng: _wrong_labels(case, rng, rate, items=items)


def _at(plant: Callable[[Case, Rng, float], Case], value: float) -> Callable[[Case, Rng], Case]:
    return lambda case, rng: plant(case, rng, value)


COLLAPSE = ("one direction", "merged items", "class directions", "dead coordinates", "agreement")
MISMATCH = ("agreement", "shuffled pairs", "suspect labels", "label conflicts")
INPUTS = (*COLLAPSE, "modality gap", "calibration", "shuffled pairs", "suspect labels", "hub")
FAULTS: dict[str, Fault] = {
    **{
        f"labels of {rate:.0%} of {what}": Fault(
            _labels_at(rate, what == "items"), ("suspect labels", "label conflicts"), "labels"
        )
        for what in ("rows", "items")
        for rate in (0.05, 0.1, 0.2)
    },
    "one vector": Fault(_at(_one_vector, 0.0), COLLAPSE),
    "nearly one vector": Fault(_at(_one_vector, 0.01), COLLAPSE),
    "half of the coordinates": Fault(_half_coordinates, COLLAPSE),
    "directions of half of the classes": Fault(
        _half_classes, (*COLLAPSE, "unseen classes", "suspect labels", "shuffled pairs")
    ),
    **{
        f"features of {rate:.0%} shuffled": Fault(_at(_shuffle_rows, rate), MISMATCH, "pairs")
        for rate in (0.1, 0.5, 1.0)
    },
    **{
        f"ids of {rate:.0%} shuffled": Fault(_at(_shuffle_ids, rate), MISMATCH, "pairs")
        for rate in (0.1, 0.5, 1.0)
    },
    "scaling of another modality": Fault(_scaling, INPUTS),
    "features 255 times too large": Fault(_raw_scale, INPUTS),
    "hub": Fault(_hub, ("hub", "modality gap", "one direction")),
}
