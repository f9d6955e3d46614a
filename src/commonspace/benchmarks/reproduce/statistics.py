"""Intervals of a table's rows, and whether the best of them is ahead of each other.

The unit is the item: where it asks in several directions, and where it is present in several
modalities, all that it scores stays together, in the bootstrap and under the test. Average
precisions are averaged over random states first; how far the states lie apart is told beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from commonspace.errors import InputError
from commonspace.evaluation import Report, holm, sign_flip_p
from commonspace.evaluation.significance import LEVEL
from commonspace.types import FloatArray, IntArray, StrArray

ALPHA = 0.05
DRAWS = 1000
Direction = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Shares:
    """What each item contributes to the mean over directions of mean average precision.

    Attributes:
        values: Their sum is that mean. Shape (n_items,).
        kinds: Which items ask in the same directions; resampled among themselves.
    """

    values: FloatArray
    kinds: IntArray

    @property
    def mean(self) -> float:
        """The mean over directions."""
        return float(self.values.sum())

    def interval(self, *, seed: int = 0) -> tuple[float, float]:
        """95 % percentile bootstrap interval over items."""
        rng = np.random.default_rng(seed)
        sums = np.zeros(DRAWS)
        for kind in np.unique(self.kinds):
            part = self.values[self.kinds == kind]
            for at in range(DRAWS):
                sums[at] += part[rng.integers(0, len(part), len(part))].sum()
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(sums, [tail, 1 - tail])
        return float(low), float(high)


def shares(
    reports: Sequence[Report], items: Mapping[str, StrArray], directions: Sequence[Direction]
) -> Shares:
    """Contributions of each item, averaged over the reports of several random states.

    Args:
        reports: Of one method, with values per query.
        items: Item ids of the queries of each modality, rows of unknown labels left out.
        directions: To average over.

    Raises:
        InputError: A report has no values per query.
    """
    ids, at = np.unique(np.concatenate([items[a] for a, _ in directions]), return_inverse=True)
    values, asks = np.zeros(len(ids)), np.zeros((len(ids), len(directions)), bool)
    start = 0
    for number, direction in enumerate(directions):
        rows = at[start : start + len(items[direction[0]])]
        start += len(rows)
        asks[rows, number] = True
        for report in reports:
            ap = report.scores[direction].ap
            if len(ap) != len(rows):
                raise InputError(
                    f"{'->'.join(direction)}: expected {len(rows)} values, one a query, got "
                    f"{len(ap)}."
                )
            counted = ~np.isnan(ap)
            weight = max(1, int(counted.sum())) * len(directions) * len(reports)
            np.add.at(values, rows[counted], ap[counted] / weight)
    _, kinds = np.unique(asks, axis=0, return_inverse=True)
    return Shares(values, kinds.ravel())


@dataclass(frozen=True)
class Standing:
    """Where a row stands.

    Attributes:
        best: No other row has a larger mean.
        tied: Not the best, and not told apart from it.
        p: Of the paired randomisation test against the best other row.
        p_holm: Corrected for all rows of the table.
        against: That other row.
    """

    best: bool
    tied: bool
    p: float
    p_holm: float
    against: str


def standings(rows: Mapping[str, Shares], *, n_resamples: int = 10_000) -> dict[str, Standing]:
    """Test every row against the best other one, Holm-corrected over the table.

    The best row is tested against the second, which is the same test as the second's.

    Args:
        rows: At least two for a test; of the same items.
        n_resamples: Of each test.
    """
    if len(rows) < 2:
        return {}
    order = sorted(rows, key=lambda name: -rows[name].mean)
    best, others = order[0], order[1:]
    gaps = [rows[best].values - rows[name].values for name in others]
    found = [sign_flip_p(gap, n_resamples=n_resamples) for gap in gaps]
    corrected = holm(found)
    out = {
        name: Standing(False, bool(q > ALPHA), p, float(q), best)
        for name, p, q in zip(others, found, corrected, strict=True)
    }
    second = out[others[0]]
    return {best: Standing(True, False, second.p, second.p_holm, others[0]), **out}
