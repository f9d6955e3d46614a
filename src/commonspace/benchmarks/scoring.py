"""Fit a method and score it, pair by pair where it takes no more modalities at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from inspect import ismethod
from itertools import combinations
from typing import Any

import numpy as np

from commonspace import methods
from commonspace.checks import not_found
from commonspace.data import Dataset
from commonspace.errors import InputError
from commonspace.evaluation import Protocol, Report, evaluate
from commonspace.methods.base import Method
from commonspace.training import Run
from commonspace.types import JsonDict

Maker = Callable[..., Method]


def find_method(name: str) -> Maker:
    """Return what makes a method of that name: a class, or one of its presets.

    Args:
        name: As in `methods.__all__`, in any case, with a preset behind a dot: "SDML.fast".

    Raises:
        NotFoundError: No such method or preset; the message lists those there are.
    """
    wanted, _, preset = name.partition(".")
    cls: Maker = getattr(methods, known_name(wanted, methods.__all__))
    if not preset:
        return cls
    known = presets_of(cls)
    maker: Maker = getattr(cls, known_name(preset, known, f"preset of {cls.__name__}"))
    return maker


def known_name(name: str, known: Iterable[str], kind: str = "method") -> str:
    """Return the known name that this one is, in any case.

    Raises:
        NotFoundError: There is none; the message lists those there are.
    """
    names = list(known)
    if name in names:
        return name
    for each in names:
        if each.lower() == name.lower():
            return each
    raise not_found(kind, name, names)


def name_of(make: Maker) -> str:
    """Return the name by which `find_method` finds a class or one of its presets."""
    if ismethod(make) and isinstance(make.__self__, type):
        return f"{make.__self__.__name__}.{make.__name__}"
    return type(make()).__name__


def presets_of(cls: Any) -> list[str]:
    """Names of the class methods of a method that make one with other settings."""
    return [
        name
        for name, value in vars(cls).items()
        if isinstance(value, classmethod) and not name.startswith("_")
    ]


def groups_of(method: Method, modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Modalities that one model learns together: all, or each choice of as many as it takes."""
    limit = method.max_modalities
    if limit is None or len(modalities) <= limit:
        return [tuple(modalities)]
    return list(combinations(modalities, limit))


def fit_and_score(
    make: Callable[[], Method],
    train: Dataset,
    test: Dataset,
    *,
    valid: Dataset | None = None,
    protocol: Protocol | None = None,
    run: Run | None = None,
) -> JsonDict:
    """Fit on one part of the data and retrieve in another: means over all directions.

    A method for two modalities is fitted once for each pair of them.

    Args:
        make: Returns the method, unfitted.
        train: Rows to learn from.
        test: Rows to score; modalities that ``train`` lacks are left out.
        valid: For model selection within `fit`, as there.
        protocol: How the numbers are made.
        run: How trainings run.

    Returns:
        "mean_ap" between different modalities, "mean_ndcg" where the protocol has gains,
        "seconds" of the fits.

    Raises:
        InputError: No direction has a query that counts; and as `fit` and `evaluate`.
    """
    shared = [name for name in train if name in test]
    reports: list[Report] = []
    seconds = 0.0
    for group in groups_of(make(), shared):
        learner, rows = make(), train.select(group)
        start = time.perf_counter()
        learner.fit(rows, _present(valid, group), run=run or Run(jobs=1))
        seconds += time.perf_counter() - start
        chosen = protocol or Protocol()
        reports.append(evaluate(learner, test.select(group), protocol=chosen, n_bootstrap=0))
    found: JsonDict = {"mean_ap": float(np.mean([report.mean_ap for report in reports]))}
    if not np.isfinite(found["mean_ap"]):
        raise InputError("no direction has a query that counts: no mean average precision.")
    graded = [report.mean_ndcg for report in reports if report.mean_ndcg is not None]
    if graded:
        found["mean_ndcg"] = float(np.mean(graded))
    return {**found, "seconds": round(seconds, 3)}


def _present(data: Dataset | None, group: Sequence[str]) -> Dataset | None:
    names = [name for name in group if data is not None and name in data]
    return data.select(names) if data is not None and names else None
