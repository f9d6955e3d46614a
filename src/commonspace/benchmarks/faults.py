"""Faults to plant in a space: in labels, vectors, pairs and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from commonspace.data import Dataset, Labels
from commonspace.types import AnyArray, BoolArray, Float32Array

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


def second(case: Case) -> str:
    """The modality that faults of one modality are planted in."""
    return case.data.modalities[1]


def _with(case: Case, name: str, z: AnyArray) -> Case:
    return replace(case, z={**case.z, name: np.asarray(z, dtype=np.float32)})


def _part(case: Case, name: str, **changes: Any) -> Dataset:
    parts = dict(case.data.parts)
    return Dataset({**parts, name: replace(parts[name], **changes)}, case.data.classes)


def wrong_labels(case: Case, rng: Rng, rate: float, *, items: bool) -> Case:
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
    order[chosen] = np.roll(chosen, 1)[np.argsort(rng.permutation(len(chosen)))]
    return order


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
    return lambda case, rng: wrong_labels(case, rng, rate, items=items)


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
