"""`inspect`: the health of a space, measured on labelled data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np

from commonspace.checks import check_one_of, check_range
from commonspace.errors import InputError
from commonspace.evaluation.engine import MEMORY
from commonspace.evaluation.evaluator import Side, chosen_modalities
from commonspace.evaluation.health.findings import (
    Direction,
    judge_directions,
    judge_gaps,
    judge_rows,
    judge_spreads,
)
from commonspace.evaluation.health.gap import Gap, measure_gap
from commonspace.evaluation.health.neighbours import Neighbours, nearest
from commonspace.evaluation.health.pairs import PairCheck, check_pairs, unit
from commonspace.evaluation.health.reliability import Calibration, measure_calibration
from commonspace.evaluation.health.report import Health
from commonspace.evaluation.health.retrieval import (
    Confusion,
    Hubness,
    measure_confusion,
    measure_hubness,
)
from commonspace.evaluation.health.spread import measure_spread
from commonspace.evaluation.health.suspects import find_suspects, mates
from commonspace.types import (
    Float32Array,
    IntArray,
    LabelledData,
    SupportsTransform,
)

NEIGHBOURS = 10
"""That are looked at, unless the smallest modality has fewer than three times as many rows."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One modality: vectors, unit vectors, labels, ids and row numbers of its labelled rows."""

    z: Float32Array
    u: Float32Array
    y: Float32Array
    items: Any
    rows: IntArray
    n_unlabelled: int

    @classmethod
    def of(cls, model: Any, data: LabelledData, name: str) -> _Part:
        side = Side.of(model, data[name], name)
        rows = np.flatnonzero(np.asarray(data[name].labels.known))
        items = np.asarray(data[name].items)[rows].astype(np.str_)
        y = np.asarray(side.labels, dtype=np.float32)
        return cls(side.vectors, unit(side.vectors), y, items, rows, side.n_unlabelled)


def inspect(
    model: SupportsTransform | Mapping[str, Any],
    data: LabelledData,
    *,
    modalities: Sequence[str] | None = None,
    k: int | None = None,
    probabilities: bool | None = None,
    seed: int = 0,
    memory: int = MEMORY,
) -> Health:
    """Measure the health of a space: gap, collapse, confusions, hubs, calibration, suspect rows.

    Neighbours are exact: blocks of queries stream past the gallery, and beside vectors, labels and
    k neighbours a row and direction, working memory is bounded by ``memory``. What looks at all
    pairs (calibration, chance) takes at most 2000 evenly spaced queries, the gap at most 2000 rows
    of a modality. Rows whose labels are unknown are left out.

    Args:
        model: Anything with ``transform(modality, x)``, or vectors already made: a mapping of
            modality to shape (n, dim), rows as in ``data``.
        data: Rows that the model has not seen, better; of training rows it says what it was told.
        modalities: Which modalities; None takes all of ``data``.
        k: Neighbours that are looked at; None takes 10, or a third of the labelled rows of the
            smallest modality where that is fewer. From half of them on, agreement and hubs are not
            judged: near and far no longer differ.
        probabilities: Whether inner products claim to be probabilities of a match; None judges by
            their range, see `measure_calibration`.
        seed: Of the rows drawn for the gap.
        memory: Bound of working memory in bytes.

    Returns:
        All measures, and findings with their severity. Print it.

    Raises:
        InputError: Vectors and labels do not fit, a modality has fewer than 2 labelled rows, or
            no more than ``k``.
        NotFoundError: ``data`` or ``model`` has no modality of that name.
    """
    if k is not None:
        check_range("k", k, low=1, integer=True)
    check_range("memory", memory, low=1, integer=True)
    check_one_of("probabilities", probabilities, (None, True, False))
    names = chosen_modalities(data, modalities)
    parts = {name: _Part.of(model, data, name) for name in names}
    _check(parts)
    k = _count(parts, k)
    found = _neighbours(parts, k, memory)
    classes = tuple(data.classes)
    confusions = {
        key: _confusion(parts, key, found[key].first(k), classes, memory) for key in found
    }
    cross = list(permutations(names, 2))
    hubs = {key: _hubness(parts, key, found[key].first(k)) for key in cross}
    calibrations = {key: _calibration(parts, key, probabilities, memory) for key in cross}
    spreads = {n: measure_spread(part.u, part.y, found[n, n]) for n, part in parts.items()}
    gaps = {key: _gap(parts, key, seed) for key in combinations(names, 2)}
    pairs = {key: _pairs(parts, key, memory) for key in gaps}
    suspects = find_suspects(
        _voters(parts, found),
        {name: part.y for name, part in parts.items()},
        {name: part.items for name, part in parts.items()},
        {name: part.rows for name, part in parts.items()},
        {direction: confusion.lift for direction, confusion in confusions.items()},
    )
    findings = (
        *judge_directions(confusions, hubs, calibrations, k),
        *judge_spreads(spreads),
        *judge_gaps(gaps),
        *judge_rows(suspects, pairs),
    )
    return Health(
        classes=classes,
        k=k,
        spreads=spreads,
        gaps=gaps,
        confusions=confusions,
        hubs=hubs,
        calibrations=calibrations,
        suspects=suspects,
        pairs=pairs,
        n_unlabelled={name: part.n_unlabelled for name, part in parts.items()},
        findings=findings,
    )


Parts = Mapping[str, _Part]


def _confusion(
    parts: Parts, key: Direction, near: Neighbours, classes: tuple[str, ...], memory: int
) -> Confusion:
    a, b = key
    return measure_confusion(
        near, parts[a].y, parts[b].y, classes, exclude_self=a == b, memory=memory
    )


def _hubness(parts: Parts, key: Direction, near: Neighbours) -> Hubness:
    query, gallery = (parts[name] for name in key)
    return measure_hubness(near, query.y, gallery.y, gallery.items)


def _calibration(
    parts: Parts, key: Direction, probabilities: bool | None, memory: int
) -> Calibration:
    query, gallery = (parts[name] for name in key)
    return measure_calibration(
        query.z, gallery.z, query.y, gallery.y, probabilities=probabilities, memory=memory
    )


def _gap(parts: Parts, key: Direction, seed: int) -> Gap:
    one, two = (parts[name] for name in key)
    return measure_gap(one.u, one.y, two.u, two.y, seed=seed)


def _pairs(parts: Parts, key: Direction, memory: int) -> PairCheck:
    one, two = (parts[name] for name in key)
    return check_pairs(one.z, two.z, one.y, two.y, one.items, two.items, memory=memory)


def _neighbours(parts: Parts, k: int, memory: int) -> dict[Direction, Neighbours]:
    """Of every direction; across modalities one more than k, in case a mate has to leave."""
    return {
        (a, b): nearest(
            parts[a].z, parts[b].z, k=k + int(a != b), exclude_self=a == b, memory=memory
        )
        for a in parts
        for b in parts
    }


def _voters(parts: Parts, found: Mapping[Direction, Neighbours]) -> dict[Direction, Neighbours]:
    """The neighbours without the item itself in other modalities."""
    return {
        (a, b): near if a == b else near.without(mates(parts[a].items, parts[b].items))
        for (a, b), near in found.items()
    }


def _count(parts: Parts, k: int | None) -> int:
    """How many neighbours to look at, fewer than the smallest modality has rows."""
    name = min(parts, key=lambda name: len(parts[name].z))
    rows = len(parts[name].z)
    if k is None:
        return max(1, min(NEIGHBOURS, rows // 3))
    if k >= rows:
        raise InputError(
            f"k: expected fewer neighbours than there are items to choose from, but modality "
            f"{name!r} has {rows} labelled rows, got {k}. Ask for fewer: {max(1, rows // 3)} at "
            "most tell near from far."
        )
    return k


def _check(parts: Parts) -> None:
    dims = {name: part.z.shape[1] for name, part in parts.items()}
    if len(set(dims.values())) > 1:
        raise InputError(f"vectors: expected modalities of one space, got dimensions {dims}.")
    for name, part in parts.items():
        if len(part.z) < 2:
            raise InputError(
                f"modality {name!r}: expected at least 2 rows with known labels, got "
                f"{len(part.z)}. Leave it out with modalities=[...]."
            )
