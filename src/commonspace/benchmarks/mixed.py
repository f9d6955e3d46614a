"""Whether lists of several modalities are fair: the share of each in the top ranks.

A collection holds the test items of all modalities. Test items of each modality ask it, once ranked
by cosine and once by match probability, learned on rows that are held back from training. A query
itself is not counted among its hits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.data import Dataset, load_dataset
from commonspace.machine import describe_machine
from commonspace.methods import SDML
from commonspace.store.collection import Collection
from commonspace.store.matching import MatchCalibration
from commonspace.training import Run
from commonspace.types import AnyArray, FloatArray, JsonDict

SETS = ("emoji", "digits")
_TOP = 10
_HELD_BACK = 0.15
_BINS = 15
_MOST_QUERIES = 500


def bench_mixed(
    *,
    sets: Sequence[str] = SETS,
    dim: int = 128,
    seed: int = 0,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Measure calibration and shares of modalities, by cosine and by match probability.

    Args:
        sets: Names that `load_dataset` knows.
        dim: Of the space, of `SDML.fast`.
        seed: Of the space and of the rows held back.
        root: Where the data sets are.
        say: Called with a line after each set.

    Returns:
        The form of all benchmarks. A row a set and ranking: "ece", the expected calibration error
        in 15 bins, mean over pairs of modalities, of the cosine (clipped at 0) or the
        probability; "unfair", half of the sum over modalities of |share of the top 10 - share of
        the relevant items|, mean over the modalities that ask; "own", the mean share of the
        query's modality, "tied", the share of neighbours in a list that score the same, and
        "precision", of the top 10. "tests" has the shares one by one.
    """
    rows: list[JsonDict] = []
    shares: list[JsonDict] = []
    for name in sets:
        for row, more in _measured(name, dim, seed, root):
            rows.append({"set": name, **row})
            shares += [{"set": name, "ranked_by": row["ranked_by"], **one} for one in more]
        before, after = rows[-2:]
        say(f"{name}: unfair {before['unfair']:.3f} -> {after['unfair']:.3f}")
    return {
        "bench": "mixed",
        "machine": describe_machine(),
        "data": {"method": "SDML.fast", "dim": dim, "seed": seed, "held_back": _HELD_BACK},
        "rows": rows,
        "tests": shares,
        "ratios": {
            f"{before['set']}: {what}, match over cosine": after[what] / before[what]
            for before, after in zip(rows[::2], rows[1::2], strict=True)
            for what in ("ece", "unfair", "precision")
        },
    }


def _measured(name: str, dim: int, seed: int, root: Any) -> list[tuple[JsonDict, list[JsonDict]]]:
    data = load_dataset(name, root=root)
    learn, held = _split(data["train"], seed)
    model = SDML.fast(dim=dim, random_state=seed).fit(learn, run=Run(jobs=1))
    calibration = MatchCalibration.fit(model, held)
    test = {m: p.take(np.flatnonzero(p.labels.labelled)) for m, p in data["test"].items()}
    vectors = {m: model.transform(m, part.x) for m, part in test.items()}
    labels = {m: part.labels.dense() for m, part in test.items()}
    found = []
    with TemporaryDirectory() as place:
        with Collection.create(Path(place) / "items", space=model.space_, index="exact") as items:
            for modality, rows in vectors.items():
                items.add(range(len(rows)), rows, modality=modality)
            items.calibrate(calibration)
            for by in ("cosine", "match"):
                shares = _shares(items, vectors, labels, by == "match")
                error = _errors(calibration, vectors, labels, by == "match")
                found.append(({"ranked_by": by, "ece": error, **_summary(shares)}, shares))
    return found


def _split(train: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Training rows and those held back, pairs on one side."""
    names = np.unique(np.concatenate([part.items for part in train.values()]))
    drawn = np.random.default_rng(seed).random(len(names)) < _HELD_BACK
    held = {m: np.isin(part.items, names[drawn]) for m, part in train.items()}
    learn = {m: part.take(np.flatnonzero(~held[m])) for m, part in train.items()}
    back = {m: part.take(np.flatnonzero(held[m])) for m, part in train.items()}
    return Dataset(learn, train.classes), Dataset(back, train.classes)


def _shares(
    items: Collection, vectors: dict[str, AnyArray], labels: dict[str, AnyArray], match: bool
) -> list[JsonDict]:
    rows = []
    for query, asking in vectors.items():
        some = np.linspace(0, len(asking) - 1, min(len(asking), _MOST_QUERIES)).astype(int)
        hits = items.search(asking[some], k=_TOP + 1, query_modality=query, match=match)
        own = (hits.modalities == query) & (hits.ids == some[:, None].astype(str))
        order = np.argsort(own, axis=1, kind="stable")[:, :_TOP]
        kinds = np.take_along_axis(hits.modalities, order, 1)
        ids = np.take_along_axis(hits.ids, order, 1).astype(int)
        right = np.zeros(kinds.shape, dtype=bool)
        relevant: dict[str, FloatArray] = {}
        for item, weights in labels.items():
            shared = labels[query][some] @ weights.T > 0
            relevant[item] = shared.sum(axis=1) - (item == query)
            of = kinds == item
            right |= of & np.take_along_axis(shared, np.where(of, ids, 0), 1)
        every = np.maximum(1, sum(relevant.values()))
        scores = np.take_along_axis(hits.scores, order, 1)
        for item in labels:
            rows.append(
                {
                    "query": query,
                    "item": item,
                    "share_of_top": float((kinds == item).mean()),
                    "share_of_relevant": float((relevant[item] / every).mean()),
                    "precision": float(right.mean()),
                    "tied": float((scores[:, 1:] == scores[:, :-1]).mean()),
                }
            )
    return rows


def _summary(shares: list[JsonDict]) -> JsonDict:
    n_queries = len({row["query"] for row in shares})
    apart = sum(abs(row["share_of_top"] - row["share_of_relevant"]) for row in shares)
    own = [row["share_of_top"] for row in shares if row["query"] == row["item"]]
    return {
        "unfair": apart / 2 / n_queries,
        "own": float(np.mean(own)),
        "precision": float(np.mean([row["precision"] for row in shares])),
        "tied": float(np.mean([row["tied"] for row in shares])),
    }


def _errors(
    calibration: MatchCalibration,
    vectors: dict[str, AnyArray],
    labels: dict[str, AnyArray],
    match: bool,
) -> float:
    """Expected calibration error, mean over pairs of modalities."""
    unit = {m: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
            for m, x in vectors.items()}  # fmt: skip
    errors = []
    for query, item in calibration.curves:
        cosines = unit[query] @ unit[item].T
        outcome = labels[query] @ labels[item].T > 0
        p = calibration.probability(query, item, cosines) if match else np.clip(cosines, 0, 1)
        keep = ~np.eye(len(p), dtype=bool) if query == item else np.ones(p.shape, dtype=bool)
        errors.append(expected_error(p[keep], outcome[keep]))
    return float(np.mean(errors))


def expected_error(p: AnyArray, outcome: AnyArray) -> float:
    """Mean over pairs of |mean prediction - share of matches| of the bin each falls in."""
    at = np.minimum((p * _BINS).astype(int), _BINS - 1)
    apart = np.bincount(at, weights=p - outcome, minlength=_BINS)
    return float(np.abs(apart).sum() / len(p))
