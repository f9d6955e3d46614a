"""From a cosine to the probability of a match, for each pair of query and item modality.

Modalities do not lie equally far from one another: within one, cosines run higher than across two,
and a list of all modalities ranked by cosine shows the nearest one alone. On validation rows whose
labels are known, a rising function of the cosine says how often items so similar share a label;
ranked by that, an item counts for what it is, whatever it is made of.

The log-odds of a match are a line of 16 pieces over the angle between the two vectors, each of
which rises, as steps of isotonic regression do not: of two items, the more similar one always is
the more probable one. It is the logistic regression [1] of the pairs on the pieces, with a weak
penalty on kinks, so that where there are no pairs it goes on as beside them, and with Platt's
targets [2] in place of 0 and 1, so that nothing is sure. Within a modality one half of the rows
asks the other half, so that no item meets itself.

References:
    [1] Ramsay. Monotone Regression Splines in Action. Statistical Science 3(4), 1988.
    [2] Platt. Probabilistic Outputs for Support Vector Machines. Advances in Large Margin
        Classifiers, 1999.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from scipy.special import expit

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
_PIECES = 16
_LEAST_SLOPE = 0.01  # of the log-odds, per radian
_NARROWEST = 1e-3  # radians
_AGAIN = "Learn it again: commonspace index MODEL DATA --out COLLECTION --calibrate SPLIT"
_KINKS = 1e-4  # weight of their penalty, beside the mean loss of a pair

Pair = tuple[str, str]
Curve = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class MatchCalibration:
    """Probability of a match by cosine.

    Attributes:
        curves: By (query modality, item modality): cosines, ascending, and the log-odds of a match
            at each; between two they are straight over the angle, beyond the ends constant.
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
        x, log_odds = self.curves[query, item]
        found = np.interp(_falling_angle(cosines), _falling_angle(x), log_odds)
        probable: Float32Array = expit(found).astype(np.float32)
        return probable

    def to_dict(self) -> JsonDict:
        """Return plain numbers for JSON."""
        entries = [
            {"query": query, "item": item, "cosine": x.tolist(), "log_odds": y.tolist()}
            for (query, item), (x, y) in sorted(self.curves.items())
        ]
        return {"curves": entries}

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read what `to_dict` returned.

        Raises:
            StorageError: It is something else.
        """
        try:
            if any("probability" in entry for entry in content["curves"]):
                raise StorageError(
                    "the recorded calibration is of an older commonspace, whose curves held "
                    f"probabilities; this one reads log-odds. {_AGAIN}"
                )
            curves = {
                (str(entry["query"]), str(entry["item"])): (
                    np.array(entry["cosine"], dtype=np.float64),
                    np.array(entry["log_odds"], dtype=np.float64),
                )
                for entry in content["curves"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"the recorded calibration is damaged: {error!r}. {_AGAIN}"
            ) from error
        if not all(len(x) and x.shape == y.shape for x, y in curves.values()):
            raise StorageError(
                f"the recorded calibration is damaged: curves without points. {_AGAIN}"
            )
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
    return rising(score[used] / n[used], outcome[used] / n[used], n[used])


def rising(cosines: FloatArray, shares: FloatArray, weights: FloatArray) -> Curve:
    """Fit log-odds that rise with the cosine.

    Args:
        cosines: Mean cosine of each group of pairs, shape (n,), ascending.
        shares: Share of matches in each.
        weights: Pairs in each.

    Returns:
        Cosines of the knots, from -1 to 1, and the log-odds there, strictly rising.
    """
    from scipy.optimize import minimize

    angles = _falling_angle(cosines)
    matches, pairs = float(weights @ shares), float(weights.sum())
    ends = 1 / (pairs - matches + 2), (matches + 1) / (matches + 2)
    target, share = ends[0] + (ends[1] - ends[0]) * shares, weights / pairs
    knots = _knots(angles, share, weights * shares / max(matches, 1.0))
    widths = np.diff(knots)
    design = np.c_[np.ones(len(angles)), _pieces(angles, knots)]

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        z = design @ x
        kinks = np.diff(x[1:]) * np.minimum(widths[1:], widths[:-1])
        value = share @ (np.logaddexp(0, z) - target * z) + _KINKS * kinks @ kinks
        slopes = 2 * _KINKS * kinks * np.minimum(widths[1:], widths[:-1])
        gradient = design.T @ (share * (expit(z) - target))
        gradient[1:] += np.r_[0, slopes] - np.r_[slopes, 0]
        return float(value), gradient

    bounds = [(None, None)] + [(_LEAST_SLOPE, None)] * len(widths)
    start = np.r_[_log_odds((matches + 1) / (pairs + 2)) - widths.sum(), np.full(len(widths), 2.0)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.cos(knots).round(9), (found[0] + np.r_[0, np.cumsum(found[1:] * widths)]).round(9)


def _knots(angles: FloatArray, pairs: FloatArray, matches: FloatArray) -> FloatArray:
    """Ends of the pieces: half of the pairs' weight counts by their number, half by matches."""
    reached = np.cumsum(pairs + matches)
    at = np.interp(np.linspace(0, reached[-1], _PIECES + 1)[1:-1], reached, angles)
    inner = at[
        np.r_[True, np.diff(at) > _NARROWEST] & (at > _NARROWEST - np.pi) & (at < -_NARROWEST)
    ]
    knots: FloatArray = np.r_[-np.pi, inner, 0.0]
    return knots


def _pieces(angles: FloatArray, knots: FloatArray) -> FloatArray:
    """How much of each piece lies below each angle, shape (n, pieces)."""
    return np.clip(angles[:, None] - knots[:-1], 0, np.diff(knots))


def _falling_angle(cosines: AnyArray) -> FloatArray:
    """Minus the angle in radians, which rises with the cosine, from -pi to 0."""
    return -np.arccos(np.clip(np.asarray(cosines, dtype=np.float64), -1, 1))


def _log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))
