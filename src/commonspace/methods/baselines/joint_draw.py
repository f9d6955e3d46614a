"""Which rows the batches of a `JointMethod` are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from commonspace.data import Dataset
from commonspace.errors import InputError
from commonspace.methods.baselines.pairing import Pairing, matched_rows
from commonspace.methods.jobs import evenly
from commonspace.methods.parts import Part
from commonspace.types import AnyArray, Float32Array, IntArray


@dataclass(frozen=True)
class Draw:
    """Which rows batches are drawn from.

    Attributes:
        parts: Features, label weights and item numbers of each modality.
        order: Row numbers of each modality, in the order that its stream counts.
        streams: The stream that each modality follows: one for all where rows are matched.
    """

    parts: Mapping[str, Part]
    order: Mapping[str, IntArray]
    streams: Mapping[str, str]

    @property
    def n_rows(self) -> dict[str, int]:
        """Length of each stream."""
        return {stream: len(self.order[name]) for name, stream in self.streams.items()}

    def rows(self, name: str, count: int | None = None) -> Part:
        """Rows of a modality in the order of its stream, ``count`` of them at even distances."""
        order = self.order[name]
        chosen = np.arange(len(order)) if count is None else evenly(len(order), count)
        return self.parts[name].take(order[chosen])


@dataclass(frozen=True)
class Rule:
    """Which rows take part, and how often.

    Attributes:
        pairing: How rows of different modalities are matched; None draws each modality alone.
        labelled: Only rows that have a label or, where rows are matched, whose partner has one.
        balance: Every class as often as the largest.
        seed: Of all that is random.
        who: The method, for messages.
    """

    pairing: Pairing | None
    labelled: bool
    balance: bool
    seed: int
    who: str

    def draw(self, train: Dataset, known: AnyArray) -> Draw:
        """Apply it to training rows.

        Args:
            train: Features and labels.
            known: All item ids, sorted: an item's number is its place among them.

        Raises:
            InputError: No row of a modality has a label where one is needed, or nothing matches.
        """
        parts = {
            name: Part(part.x, part.labels.dense(), np.searchsorted(known, part.items))
            for name, part in train.items()
        }
        if self.pairing is not None:
            return self._pairs(parts, matched_rows(train, pairing=self.pairing, seed=self.seed))
        order = {name: self._chosen(name, part.y) for name, part in parts.items()}
        return Draw(parts, order, {name: name for name in parts})

    def _pairs(self, parts: Mapping[str, Part], matched: Mapping[str, IntArray]) -> Draw:
        pooled = np.max([parts[name].y[rows] for name, rows in matched.items()], axis=0)
        for name, rows in matched.items():  # a row without a label has that of its partner
            empty = ~parts[name].y[rows].any(axis=1)
            parts[name].y[rows[empty]] = pooled[empty]
        chosen = self._chosen(", ".join(parts), pooled)
        order = {name: rows[chosen] for name, rows in matched.items()}
        return Draw(parts, order, dict.fromkeys(parts, "pairs"))

    def _chosen(self, name: str, y_NC: Float32Array) -> IntArray:
        rows = np.flatnonzero(y_NC.any(axis=1)) if self.labelled else np.arange(len(y_NC))
        if not len(rows):
            raise InputError(
                f"modality {name!r}: {self.who} learns from labels, and none of its {len(y_NC)} "
                "rows has one. Label some rows, or leave the modality out."
            )
        return rows[balanced(y_NC[rows], self.seed)] if self.balance else rows


def balanced(y_NC: Float32Array, seed: int) -> IntArray:
    """Row numbers in which every class is as frequent as the largest, its rows taken in turn.

    A row of several classes counts under its first.
    """
    generator = np.random.default_rng(seed)
    classes = y_NC.argmax(axis=1)
    members = [generator.permutation(np.flatnonzero(classes == k)) for k in np.unique(classes)]
    most = max(map(len, members))
    return np.concatenate([np.resize(rows, most) for rows in members]).astype(np.int64)
