"""What a model that learns modality after modality gained, and what it forgot.

With A_t(i→j) the mean average precision after stage t, and τ = max(i, j) the stage at which a pair
is born, these are the measures of continual learning [1, 2] read for retrieval. They are averaged
over pairs older than the last stage, so with two modalities there is no cross-modal pair to forget
and they are NaN. A model that never learned its pairs forgets little: look at `Course.final` too.

References:
    [1] Lopez-Paz, Ranzato. Gradient Episodic Memory for Continual Learning. NeurIPS 2017.
    [2] Chaudhry et al. Riemannian Walk for Incremental Learning. ECCV 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from commonspace.errors import InputError
from commonspace.evaluation.engine import DEFAULT_PROTOCOL, score_vectors
from commonspace.evaluation.protocol import Protocol
from commonspace.types import Float32Array, JsonDict, LabelledData

Pair = tuple[str, str]


@dataclass(frozen=True)
class Course:
    """Mean average precision of every direction after every stage.

    Attributes:
        order: Modalities in the order of learning.
        stages: After each stage, by (query, gallery): every direction among the modalities
            learned so far, those within a modality included where they are to be measured.

    Example:
        >>> first = {("a", "a"): 0.9}
        >>> second = {**first, ("b", "b"): 0.8, ("a", "b"): 0.6, ("b", "a"): 0.5}
        >>> Course(("a", "b"), (first, {**second, ("a", "a"): 0.7})).backward_within
        -0.2
    """

    order: tuple[str, ...]
    stages: tuple[Mapping[Pair, float], ...]

    def __post_init__(self) -> None:
        if len(self.stages) != len(self.order):
            raise InputError(
                f"stages: expected one a modality ({len(self.order)}), got {len(self.stages)}."
            )
        for t, stage in enumerate(self.stages, start=1):
            missing = [pair for pair in _crossings(self.order[:t]) if pair not in stage]
            if missing:
                query, gallery = missing[0]
                raise InputError(f"stage {t}: {query}->{gallery} is missing.")

    @property
    def means(self) -> list[float]:
        """Ā_t: mean over the cross-modal directions after each stage; NaN after the first."""
        return [
            _mean([stage[pair] for pair in _crossings(self.order[:t])])
            for t, stage in enumerate(self.stages, start=1)
        ]

    @property
    def final(self) -> float:
        """ACC = Ā_T, what remains at the end."""
        return self.means[-1]

    @property
    def backward(self) -> float:
        """BWT: mean over the older pairs of A_T − A_τ; below zero is forgetting."""
        last = self.stages[-1]
        return _mean([last[pair] - self.stages[born][pair] for pair, born in self._older()])

    @property
    def forgetting(self) -> float:
        """F: mean over the older pairs of the best they ever were before, minus A_T."""
        last = self.stages[-1]
        return _mean(
            [
                max(stage[pair] for stage in self.stages[born:-1]) - last[pair]
                for pair, born in self._older()
            ]
        )

    @property
    def backward_within(self) -> float:
        """BWT_in: mean of A_T(i→i) − A_i(i→i), over all but the last modality measured at both."""
        last = self.stages[-1]
        gains = [
            last[name, name] - self.stages[at][name, name]
            for at, name in enumerate(self.order[:-1])
            if (name, name) in last and (name, name) in self.stages[at]
        ]
        return round(_mean(gains), 12)

    @property
    def plasticity(self) -> list[float]:
        """PLAST_t: mean of the directions between the new modality and the older ones."""
        return [
            _mean([stage[pair] for pair in _crossings(self.order[:t]) if name in pair])
            for t, (name, stage) in enumerate(zip(self.order, self.stages, strict=True), start=1)
        ]

    def _older(self) -> list[tuple[Pair, int]]:
        place = {name: at for at, name in enumerate(self.order)}
        births = ((pair, max(place[pair[0]], place[pair[1]])) for pair in _crossings(self.order))
        return [(pair, born) for pair, born in births if born < len(self.order) - 1]

    def to_dict(self) -> JsonDict:
        """Return everything for JSON; scores as [query, gallery, value]."""
        stages = [[[*pair, value] for pair, value in stage.items()] for stage in self.stages]
        return {"order": list(self.order), "stages": stages}

    @classmethod
    def from_dict(cls, values: JsonDict) -> Course:
        """Rebuild a course from `to_dict`."""
        stages = [
            {(query, gallery): float(value) for query, gallery, value in stage}
            for stage in values["stages"]
        ]
        return cls(tuple(values["order"]), tuple(stages))


def score_directions(
    queries: Mapping[str, Float32Array],
    galleries: Mapping[str, Float32Array],
    data: LabelledData,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
) -> dict[Pair, float]:
    """Mean average precision of queries against galleries that need not be of one model.

    With vectors of today as queries and, as galleries, those made when each modality was learned,
    this is retrieval from an index that nobody renewed.

    Args:
        queries: Vectors of each modality, rows as in ``data``.
        galleries: Likewise.
        data: Their labels, all known.
        protocol: How the numbers are made; ``within`` scores each modality against itself too.

    Returns:
        By (query, gallery).
    """
    labels = {name: data[name].labels.dense() > 0 for name in {*queries, *galleries}}
    return {
        (query, gallery): score_vectors(
            queries[query],
            galleries[gallery],
            labels[query],
            labels[gallery],
            protocol=protocol,
            exclude_self=query == gallery and not protocol.keep_self,
            n_bootstrap=0,
        ).mean_ap
        for query in queries
        for gallery in galleries
        if query != gallery or protocol.within
    }


def _crossings(names: Sequence[str]) -> list[Pair]:
    return [(a, b) for a in names for b in names if a != b]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
