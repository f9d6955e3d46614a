"""From a method and a data set to one report, whatever the method can take.

A method of two modalities at most learns one model a pair of modalities, as the papers' tables do,
and the reports of all pairs become one. A method that learns from pairs, on data without any,
matches rows by class. Codes are searched by float queries.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from itertools import combinations, permutations
from typing import Any

import numpy as np

from commonspace.benchmarks.reproduce.memory import PeakMemory
from commonspace.benchmarks.scoring import groups_of
from commonspace.data import Dataset
from commonspace.errors import InputError, ProtocolMismatchError
from commonspace.evaluation import Protocol, Report, Score, evaluate, score_vectors
from commonspace.training import Run
from commonspace.types import AnyArray, Float32Array, JsonDict

NOT_SEVERAL = "not for several labels"
NO_PAIRS = "needs pairs, and this set has none"
NO_CODES = "has no codes"
BY_CLASS = "rows paired by class, for the set has no pairs"
PER_PAIR = "one model a pair of modalities ({n})"


@dataclass(frozen=True)
class Parts:
    """The rows of a table.

    Attributes:
        train: To learn from.
        valid: To select by; None where the method holds rows back.
        queries: To ask with.
        gallery: To search; None: the queries.
    """

    train: Dataset
    valid: Dataset | None
    queries: Dataset
    gallery: Dataset | None = None

    def select(self, names: Sequence[str]) -> Parts:
        """Some modalities."""
        return Parts(
            self.train.select(names),
            None if self.valid is None else self.valid.select(names),
            self.queries.select(names),
            None if self.gallery is None else self.gallery.select(names),
        )

    def fingerprints(self) -> list[str | None]:
        """What a cell is known by."""
        parts = (self.train, self.valid, self.queries, self.gallery)
        return [None if part is None else part.fingerprint() for part in parts]


@dataclass(frozen=True)
class Measure:
    """What is measured beside the mean average precision.

    Attributes:
        protocol: How numbers are made.
        codes: Search decoded codes instead of vectors.
        curves: Keep curves.
        scopes: Of the precision-scope curve.
        cutoffs: Of the curve of mean average precision at R.
    """

    protocol: Protocol
    codes: bool = False
    curves: bool = False
    scopes: tuple[int, ...] | None = None
    cutoffs: tuple[int, ...] = ()

    def options(self) -> JsonDict:
        """Arguments of `evaluate`."""
        return {"curves": self.curves, "scopes": self.scopes, "cutoffs": self.cutoffs}


def prepared(learner: Any, train: Dataset, *, codes: bool = False) -> tuple[Any, list[str]]:
    """The method as it can learn from these rows, and notes on what that took.

    Raises:
        InputError: It cannot; the message is what the table says.
    """
    if not learner.multi_label and train.label_kind != "single":
        raise InputError(NOT_SEVERAL)
    if codes and not learner.emits_codes:
        raise InputError(NO_CODES)
    notes = []
    if learner.needs_pairs and not _is_paired(train):
        if "pairing" not in signature(type(learner)).parameters:
            raise InputError(NO_PAIRS)
        learner = learner.set_params(pairing="classes")
        notes.append(BY_CLASS)
    groups = groups_of(learner, train.modalities)
    if len(groups) > 1:
        notes.append(PER_PAIR.format(n=len(groups)))
    return learner, notes


def fit_and_score(learner: Any, parts: Parts, measure: Measure, *, jobs: int | None) -> JsonDict:
    """Fit, on all modalities or on each pair of them, and score.

    Returns:
        "report" (with values per query), "seconds" of fitting and "memory_mib" over its start:
        sum and largest where there are several models.
    """
    groups = groups_of(learner, parts.train.modalities)
    reports, seconds, memory = [], 0.0, []
    for names in groups:
        part = parts.select(names)
        model = type(learner)(**learner.get_params(deep=False))
        with PeakMemory() as peak:
            start = time.perf_counter()
            model.fit(part.train, part.valid, run=Run(jobs=jobs))
            seconds += time.perf_counter() - start
        memory.append(peak.mib)
        reports.append(score(model, part, measure))
    known = [value for value in memory if value is not None]
    return {
        "seconds": round(seconds, 3),
        "memory_mib": max(known) if known else None,
        "report": merged(reports).to_dict(per_query=True),
    }


def score(model: Any, parts: Parts, measure: Measure) -> Report:
    """Score a fitted model."""
    if measure.codes:
        return _score_codes(model, parts, measure)
    return evaluate(
        model,
        parts.queries,
        gallery=parts.gallery,
        protocol=measure.protocol,
        n_bootstrap=0,
        **measure.options(),
    )


def merged(reports: Sequence[Report]) -> Report:
    """One report of models of some modalities each.

    Every direction between two modalities comes from the model of both. A modality searched from
    itself has as many figures as models, which of them is meant is not defined: left out, unless
    there is one model alone.

    Raises:
        ProtocolMismatchError: Made by different protocols.
        InputError: Two models score the same direction.
    """
    if len(reports) == 1:
        return reports[0]
    check_one_protocol({f"model {at}": report for at, report in enumerate(reports, start=1)})
    scores: dict[tuple[str, str], Score] = {}
    for report in reports:
        for direction, score in report.scores.items():
            if direction[0] == direction[1]:
                continue
            if direction in scores:
                raise InputError(f"{'->'.join(direction)}: expected one model, got two.")
            scores[direction] = score
    return Report(reports[0].protocol, scores)


def check_one_protocol(reports: Mapping[str, Report], *, metrics: bool = False) -> None:
    """Raise `ProtocolMismatchError` unless all were made by one protocol on the same rows.

    Args:
        reports: By the name that the message shall call them.
        metrics: Allow that rows differ in what ranks, which then their labels say.
    """
    names = list(reports)
    for name in names[1:]:
        _check_same(names[0], reports[names[0]], name, reports[name], metrics)


def _check_same(one: str, first: Report, other: str, second: Report, metrics: bool) -> None:
    theirs = second.protocol.to_dict()
    for key, value in first.protocol.to_dict().items():
        if theirs[key] != value and not (metrics and key == "metric"):
            raise ProtocolMismatchError(
                f"rows of one table are made by one protocol: {key} is {value!r} for {one} and "
                f"{theirs[key]!r} for {other}. Evaluate both under one Protocol."
            )
    for direction in first.scores.keys() & second.scores.keys():
        counts = [
            (r.scores[direction].n_queries, r.scores[direction].n_gallery) for r in (first, second)
        ]
        if counts[0] != counts[1]:
            raise ProtocolMismatchError(
                f"rows of one table are made on the same rows: {'->'.join(direction)} has "
                f"{counts[0]} queries and items for {one} and {counts[1]} for {other}."
            )


def _is_paired(train: Dataset) -> bool:
    """Whether every two modalities share at least two items, as pairs are needed."""
    return all(len(train.pairs(a, b)[0]) > 1 for a, b in combinations(train.modalities, 2))


def _score_codes(model: Any, parts: Parts, measure: Measure) -> Report:
    """Float queries against decoded codes, between different modalities."""
    gallery = parts.gallery if parts.gallery is not None else parts.queries
    asked = {name: model.transform(name, _known(parts.queries, name)[0]) for name in gallery}
    given = {name: model.decode(model.encode(name, _known(gallery, name)[0])) for name in gallery}
    scores = {
        (a, b): score_vectors(
            np.asarray(asked[a], np.float32),
            np.asarray(given[b], np.float32),
            _known(parts.queries, a)[1],
            _known(gallery, b)[1],
            protocol=measure.protocol,
            n_bootstrap=0,
            **measure.options(),
        )
        for a, b in permutations(gallery, 2)
    }
    return Report(replace(measure.protocol, within=False), scores)


def _known(data: Dataset, name: str) -> tuple[Float32Array, AnyArray]:
    rows = data[name].labels.known
    return data[name].x[rows], data[name].labels.dense()[rows]
