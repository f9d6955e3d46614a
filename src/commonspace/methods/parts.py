"""The rows that modalities learn from together, and how well validation rows find each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from commonspace.data import Dataset, Modality
from commonspace.evaluation import score_vectors
from commonspace.methods.jobs import evenly
from commonspace.training.loop import Networks
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray, StrArray

VALID_ROWS = 2000  # of each modality: enough to tell epochs apart

Sides = Mapping[str, tuple[AnyArray, Float32Array]]


@dataclass(frozen=True)
class Part:
    """The labelled rows of one modality, or vectors of others that stay as they are.

    Attributes:
        x: Features (or vectors), one row an item.
        y: Label weights, shape (n, n_classes).
        items: Number of the item that each row shows, equal across modalities.
    """

    x: AnyArray
    y: Float32Array
    items: IntArray

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: AnyArray) -> Part:
        """Some rows, in their order."""
        return Part(self.x[rows], self.y[rows], self.items[rows])


def item_ids(*data: Dataset | None) -> StrArray:
    """The ids of all items of some data sets, each once, sorted."""
    parts = [part.items for each in data if each is not None for part in each.values()]
    return np.unique(np.concatenate(parts))


def labelled_part(part: Modality, known: StrArray) -> Part:
    """The labelled rows, each with the number of its item among the known ids."""
    rows = np.flatnonzero(part.labels.labelled)
    items: IntArray = np.searchsorted(known, part.items[rows]).astype(np.int64)
    return Part(np.asarray(part.x)[rows], part.labels.take(rows).dense(), items)


def validation_parts(valid: Dataset | None, known: StrArray) -> dict[str, Part]:
    """Labelled validation rows; where none is labelled, rows whose label is their item."""
    if valid is None:
        return {}
    labelled = {n: labelled_part(p, known) for n, p in valid.items() if p.labels.labelled.any()}
    return labelled or _items_as_labels(valid)


def _items_as_labels(valid: Dataset) -> dict[str, Part]:
    """Every row under a class of its own item; nothing where no two rows show one item."""
    ids = item_ids(valid)
    if len(ids) == sum(map(len, valid.values())):
        return {}
    out = {}
    for name, part in valid.items():
        items = np.searchsorted(ids, part.items)
        out[name] = Part(part.x, np.eye(len(ids), dtype=np.float32)[items], items)
    return {name: part for name, part in out.items() if len(part)}


def thinned(part: Part, count: int) -> Part:
    """At most so many rows, at even distances."""
    return part.take(evenly(len(part), count))


class JudgedByRetrieval(ABC):
    """What a training task is whose epochs are judged by how well validation rows find each other.

    All networks have one value, so that all stop at one epoch. An earlier one than the last has to
    be clearly better, see `Doubting`.
    """

    networks: Networks

    @abstractmethod
    def _sides(self) -> Sides:
        """Vectors and label weights of validation rows of each modality."""

    def validate(self) -> Mapping[str, float]:
        """1 − mean average precision of validation rows."""
        return dict.fromkeys(self.networks, 1 - mean_ap_among(self._sides()))

    def row_losses(self) -> Mapping[str, FloatArray]:
        """1 − average precision of every validation query."""
        return dict.fromkeys(self.networks, 1 - average_precisions(self._sides()))


def mean_ap_among(sides: Sides) -> float:
    """Mean over directions between modalities; NaN where no query has anything to find.

    Args:
        sides: Vectors and label weights of some rows of each modality.
    """
    found = _directions(sides)
    return float(np.mean([ap.mean() for ap in found])) if found else float("nan")


def average_precisions(sides: Sides) -> FloatArray:
    """Of every query of every direction between modalities, one after the other.

    Args:
        sides: As for `mean_ap_among`.
    """
    return np.concatenate(_directions(sides) or [np.empty(0)])


def _directions(sides: Sides) -> list[FloatArray]:
    """Average precision of each query, one array a direction in which some query finds something.

    A query with nothing to find has 0, at every epoch.
    """
    found = []
    for (z_QE, y_QC), (z_GE, y_GC) in permutations(sides.values(), 2):
        if ((y_QC > 0).any(axis=0) & (y_GC > 0).any(axis=0)).any():
            found.append(score_vectors(z_QE, z_GE, y_QC, y_GC, n_bootstrap=0).ap)
    return found
