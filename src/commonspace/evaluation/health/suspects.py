"""Rows whose label looks wrong.

A row's neighbours in every modality vote for classes. Directions in which neighbours agree with
labels more weigh more, and an item that shows in several modalities pools the votes of its rows:
what is unclear in a picture may be plain in its text. The rows of the item itself never vote, as
they may well carry the same wrong label. No label of the row enters its votes, so what they say
against it is evidence, as far as the model did not learn the wrong label by heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from commonspace.evaluation.health.neighbours import Neighbours, votes
from commonspace.types import BoolArray, Float32Array, FloatArray, IntArray, JsonDict, StrArray

STRONG = 0.8
"""A score from which a row counts as suspect: hardly a neighbour has its label, most another."""

_LEAST_WEIGHT = 0.01


@dataclass(frozen=True, eq=False)
class Suspects:
    """How much the neighbours of each row of one modality disagree with its labels.

    Attributes:
        items: Item id of each row of known labels.
        at: Which row of the data set each of them is.
        score: (2 (1 - own) + other) / 3 in [0, 1], where ``own`` is the share of the votes for the
            row's labels (their mean) and ``other`` the largest one for a label it does not have.
            0.5 for a row that has no neighbours.
        doubtful: The row's label with the fewest votes, by class number; -1 for a row of none.
        suggested: The label with the most votes among those it does not have; -1 if it has all.
        own: Share of the votes for the doubtful label.
        other: Share of the votes for the suggested label.
    """

    items: StrArray
    at: IntArray
    score: FloatArray
    doubtful: IntArray
    suggested: IntArray
    own: FloatArray
    other: FloatArray

    @property
    def flagged(self) -> float:
        """Share of the rows with a score of at least `STRONG`."""
        return float((self.score >= STRONG).mean()) if len(self.score) else 0.0

    def ranked(self, n: int | None = None) -> IntArray:
        """Return rows, the most suspect first; the first ``n`` of them."""
        return np.argsort(-self.score, kind="stable")[:n]

    def table(self, classes: tuple[str, ...], n: int | None = None) -> list[JsonDict]:
        """Return the most suspect rows, for a table or JSON."""
        named = (*classes, None)  # -1 is None
        return [
            {
                "row": int(self.at[at]),
                "item": str(self.items[at]),
                "score": float(self.score[at]),
                "label": named[self.doubtful[at]],
                "votes": float(self.own[at]),
                "suggested": named[self.suggested[at]],
                "suggested_votes": float(self.other[at]),
            }
            for at in self.ranked(n)
        ]


def find_suspects(
    neighbours: Mapping[tuple[str, str], Neighbours],
    labels: Mapping[str, Float32Array],
    items: Mapping[str, StrArray],
    rows: Mapping[str, IntArray],
    lifts: Mapping[tuple[str, str], float],
) -> dict[str, Suspects]:
    """Score the rows of every modality.

    Args:
        neighbours: Of each (query, gallery) direction, within a modality too, without the item
            itself.
        labels: Label weights of each modality, of which those > 0 count.
        items: Item ids of each modality.
        rows: Which rows of the data set these are.
        lifts: How far neighbours agree beyond chance in each direction, at most 1.
    """
    y = {name: (part > 0).astype(np.float32) for name, part in labels.items()}
    sums = {name: np.zeros(part.shape) for name, part in y.items()}
    weights = {name: np.zeros(len(part)) for name, part in y.items()}
    for (query, gallery), found in neighbours.items():
        weight = max(lifts[query, gallery], _LEAST_WEIGHT) if found.k else 0.0
        sums[query] += weight * votes(found, y[gallery])
        weights[query] += weight
    out = {}
    for name in y:
        pooled, total = sums[name].copy(), weights[name].copy()
        for other in y:
            if other != name:
                at = mates(items[name], items[other])
                has = at >= 0
                pooled[has] += sums[other][at[has]]
                total[has] += weights[other][at[has]]
        shares = pooled / np.maximum(total, 1e-12)[:, None]
        out[name] = score_labels(shares, y[name], items[name], rows[name], known=total > 0)
    return out


def score_labels(
    share_NC: FloatArray,
    y_NC: Float32Array,
    items: StrArray,
    at: IntArray,
    *,
    known: BoolArray,
) -> Suspects:
    """Hold labels against shares of votes.

    Args:
        share_NC: Share of each class in the votes of a row's neighbours.
        y_NC: Label weights, of which those > 0 count.
        items: Item id of each row.
        at: Number of each row in the data.
        known: Whether a row got any vote.
    """
    has = y_NC > 0
    rows = np.arange(len(has))
    doubtful = np.where(has, share_NC, np.inf).argmin(axis=1)
    suggested = np.where(has, -np.inf, share_NC).argmax(axis=1)
    own, other = share_NC[rows, doubtful], share_NC[rows, suggested]
    mean = (share_NC * has).sum(axis=1) / np.maximum(has.sum(axis=1), 1)
    none, every = ~has.any(axis=1), has.all(axis=1)
    mean[none], own[none] = 1 - share_NC[none].max(axis=1, initial=0), 0
    other[every] = 0
    score = np.where(known, np.clip((2 * (1 - mean) + other) / 3, 0, 1), 0.5)
    doubtful[none], suggested[every] = -1, -1
    return Suspects(items, at, score, doubtful, suggested, own, other)


def mates(first: StrArray, second: StrArray) -> IntArray:
    """Return the row in ``second`` of each id in ``first``, -1 where there is none."""
    if not len(second):
        return np.full(len(first), -1)
    order = np.argsort(second)
    at = np.minimum(np.searchsorted(second[order], first), len(second) - 1)
    return np.where(second[order][at] == first, order[at], -1)
