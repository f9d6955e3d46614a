"""From a cosine to the probability of a match, for each pair of query and item modality.

Modalities do not lie equally far from one another: within one, cosines run higher than across two,
and a list of all modalities ranked by cosine shows the nearest one alone. On validation rows whose
labels are known, the best non-decreasing function of the cosine says how often items so similar
share a label; ranked by that, an item counts for what it is, whatever it is made of.

Within a modality one half of the rows asks the other half, so that no item meets itself. Between
the middles of the steps that isotonic regression finds, the function is read off a straight line.

References:
    [1] Zadrozny, Elkan. Transforming Classifier Scores into Accurate Multiclass Probability
        Estimates. KDD 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np

from commonspace.checks import as_features
from commonspace.data import Dataset
from commonspace.errors import InputError, StorageError
from commonspace.evaluation.engine import MEMORY
from commonspace.evaluation.health.reliability import count_pairs
from commonspace.types import AnyArray, Float32Array, FloatArray, JsonDict

# Labelled rows of a modality that are looked at, evenly spaced.
_MOST_ROWS = 4000
_FEWEST_ROWS = 4
_SPAN = (-1.0, 1.0)

Pair = tuple[str, str]
Curve = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class MatchCalibration:
    """Probability of a match by cosine.

    Attributes:
        curves: By (query modality, item modality): cosines, ascending, and the probability at
            each; straight between two, constant beyond the ends.
    """

    curves: Mapping[Pair, Curve]

    @classmethod
    def fit(cls, model: Any, data: Dataset) -> Self:
        """Learn from rows that the model was not trained on.

        Args:
            model: Anything with ``transform(modality, x)``.
            data: Validation rows, features as the model takes them; those without labels are
                passed over.

        Raises:
            InputError: A modality has fewer than 4 rows of known labels.
        """
        sides = {name: _side(model, data, name) for name in data.modalities}
        return cls({(q, g): _curve((q, g), sides) for q, g in product(sides, sides)})

    def knows(self, query: str, items: Any) -> bool:
        """Whether there is a curve from a query modality to each of these."""
        return all((query, item) in self.curves for item in items)

    def probability(self, query: str, item: str, cosines: AnyArray) -> Float32Array:
        """How probably items of such cosines match; of the same shape as ``cosines``."""
        return np.interp(cosines, *self.curves[query, item]).astype(np.float32)

    def to_dict(self) -> JsonDict:
        """Return plain numbers for JSON."""
        entries = [
            {"query": query, "item": item, "cosine": x.tolist(), "probability": p.tolist()}
            for (query, item), (x, p) in sorted(self.curves.items())
        ]
        return {"curves": entries}

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read what `to_dict` returned.

        Raises:
            StorageError: It is something else.
        """
        try:
            curves = {
                (str(entry["query"]), str(entry["item"])): (
                    np.array(entry["cosine"], dtype=np.float64),
                    np.array(entry["probability"], dtype=np.float64),
                )
                for entry in content["curves"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"the recorded calibration is damaged: {error}.") from error
        if not all(len(x) and x.shape == p.shape for x, p in curves.values()):
            raise StorageError("the recorded calibration is damaged: curves without points.")
        return cls(curves)


_Side = tuple[Float32Array, Float32Array]


def _side(model: Any, data: Dataset, name: str) -> _Side:
    """Vectors and label weights of the labelled rows."""
    part = data[name]
    rows = np.flatnonzero(part.labels.labelled)
    if len(rows) < _FEWEST_ROWS:
        raise InputError(
            f"modality {name!r}: calibration needs {_FEWEST_ROWS} rows of known labels at least, "
            f"got {len(rows)}."
        )
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.int64))]
    taken = part.take(rows)
    return as_features(model.transform(name, taken.x), where=name), taken.labels.dense()


def _curve(pair: Pair, sides: Mapping[str, _Side]) -> Curve:
    (z_QE, y_QC), (z_GE, y_GC) = (sides[name] for name in pair)
    if pair[0] == pair[1]:
        z_QE, y_QC, z_GE, y_GC = z_QE[::2], y_QC[::2], z_GE[1::2], y_GC[1::2]
    counts = count_pairs(
        z_QE, z_GE, y_QC, y_GC, metric="cosine", span=_SPAN, shared=True, memory=MEMORY
    )
    n, score, outcome = (x.sum(axis=0) for x in (counts.n, counts.score, counts.outcome))
    used = n > 0
    return isotonic(score[used] / n[used], outcome[used] / n[used], n[used])


def isotonic(x: FloatArray, y: FloatArray, weights: FloatArray) -> Curve:
    """Middles and heights of the steps of the best non-decreasing function; ``x`` ascends."""
    from sklearn.isotonic import IsotonicRegression

    heights = IsotonicRegression().fit_transform(x, y, sample_weight=weights)
    step = np.cumsum(np.diff(heights, prepend=heights[0]) > 0)
    total = np.bincount(step, weights=weights)
    middles = np.bincount(step, weights=weights * x) / total
    levels = np.bincount(step, weights=weights * heights) / total
    return middles.round(6), levels.round(6)
