"""Fit a method and score it, pair by pair where it takes no more modalities at once.

Nothing here names a method, so that what is computed through it depends on the sources of the
method that computes alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from commonspace.data import Dataset
from commonspace.errors import InputError, ProtocolMismatchError
from commonspace.evaluation import Protocol, Report, Score, evaluate
from commonspace.training import Run
from commonspace.types import JsonDict


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

    @property
    def modalities(self) -> list[str]:
        """Those that are learned and scored."""
        return [name for name in self.train if name in self.queries]

    def select(self, names: Sequence[str]) -> Parts:
        """Some modalities, of which not all need validation rows."""
        held = [name for name in names if self.valid is not None and name in self.valid]
        return Parts(
            self.train.select(names),
            None if self.valid is None or not held else self.valid.select(held),
            self.queries.select(names),
            None if self.gallery is None else self.gallery.select(names),
        )

    def fingerprints(self) -> list[str | None]:
        """What a cell is known by."""
        parts = (self.train, self.valid, self.queries, self.gallery)
        return [None if part is None else part.fingerprint() for part in parts]


@dataclass(frozen=True)
class Scored:
    """What a method scored.

    Attributes:
        report: Of all models, see `merged`.
        seconds: Of all fits.
        watched: What watched each fit.
    """

    report: Report
    seconds: float
    watched: tuple[Any, ...]

    def means(self) -> JsonDict:
        """Return "mean_ap" between different modalities, "seconds", and "mean_ndcg" if measured.

        Raises:
            InputError: No direction has a query that counts.
        """
        found: JsonDict = {"mean_ap": self.report.mean_ap, "seconds": round(self.seconds, 3)}
        if not math.isfinite(found["mean_ap"]):
            raise InputError("no direction has a query that counts: no mean average precision.")
        ndcg = self.report.mean_ndcg
        return found if ndcg is None else {**found, "mean_ndcg": ndcg}


def plain_score(protocol: Protocol | None = None) -> Callable[[Any, Parts], Report]:
    """Return what scores vectors, without intervals."""

    def score(model: Any, parts: Parts) -> Report:
        chosen = protocol or Protocol()
        return evaluate(model, parts.queries, gallery=parts.gallery, protocol=chosen, n_bootstrap=0)

    return score


def groups_of(learner: Any, modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Modalities that one model learns together: all, or each choice of as many as it takes."""
    limit = learner.max_modalities
    if limit is None or len(modalities) <= limit:
        return [tuple(modalities)]
    return list(combinations(modalities, limit))


def fit_and_score(
    learner: Any,
    parts: Parts,
    score: Callable[[Any, Parts], Report],
    *,
    run: Run | None = None,
    watch: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Scored:
    """Fit an unfitted method, on all modalities or on each pair of them, and score it.

    Args:
        learner: It stays unfitted.
        parts: The rows; modalities that are not scored are left out.
        score: Called with each fitted model and its rows.
        run: How trainings run; one at a time unless said otherwise.
        watch: Makes what is entered around each fit.
    """
    reports, seconds, watched = [], 0.0, []
    for names in groups_of(learner, parts.modalities):
        part = parts.select(names)
        model = type(learner)(**learner.get_params(deep=False))
        with watch() as seen:
            start = time.perf_counter()
            model.fit(part.train, part.valid, run=run or Run(jobs=1))
            seconds += time.perf_counter() - start
        watched.append(seen)
        reports.append(score(model, part))
    return Scored(merged(reports), seconds, tuple(watched))


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
