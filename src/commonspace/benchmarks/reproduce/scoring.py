"""From a method and a data set to one report, whatever the method can take.

A method of two modalities at most learns one model a pair of modalities, as the papers' tables do,
and the reports of all pairs become one. A method that learns from pairs, on data without any,
matches rows by class. Codes are searched by float queries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from inspect import signature
from itertools import combinations, permutations
from typing import Any

import numpy as np

from commonspace.benchmarks.scoring import Parts, groups_of
from commonspace.data import Dataset
from commonspace.errors import InputError
from commonspace.evaluation import Protocol, Report, evaluate, score_vectors
from commonspace.types import AnyArray, Float32Array, JsonDict

NOT_SEVERAL = "not for several labels"
NO_PAIRS = "needs pairs, and this set has none"
NO_CODES = "has no codes"
BY_CLASS = "rows paired by class, for the set has no pairs"
PER_PAIR = "one model a pair of modalities ({n})"


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
