"""Intervals, paired tests, and the correction for testing often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from commonspace.checks import check_range
from commonspace.errors import InputError, ProtocolMismatchError
from commonspace.types import FloatArray, JsonDict

if TYPE_CHECKING:
    from commonspace.evaluation.report import Report, Score

LEVEL = 0.95
"""Coverage of every interval."""

_DRAWS_AT_ONCE = 1 << 20
_EXACT_UP_TO = 14  # 2**14 sign patterns cost no more than the default number of draws


@dataclass(frozen=True)
class Difference:
    """How one direction differs between two reports, the first minus the second.

    Attributes:
        difference: Of the mean average precisions.
        ci: 95 % percentile bootstrap interval over queries, of the paired difference.
        p: Two-sided p value of the sign-flip randomisation test.
        p_holm: The same, adjusted for the number of directions by Holm's method.
        n_queries: Queries that count in both reports.
    """

    difference: float
    ci: tuple[float, float]
    p: float
    p_holm: float
    n_queries: int


@dataclass(frozen=True)
class Comparison:
    """Differences of two reports by (query modality, gallery modality)."""

    directions: Mapping[tuple[str, str], Difference]

    def __getitem__(self, direction: tuple[str, str]) -> Difference:
        return self.directions[direction]

    def to_dict(self) -> JsonDict:
        """Return the differences by ``"query->gallery"``, for JSON."""
        return {
            f"{query}->{gallery}": asdict(part) | {"ci": list(part.ci)}
            for (query, gallery), part in self.directions.items()
        }

    def __str__(self) -> str:
        lines = [f"{'direction':<24} {'difference':>10} {'95 % interval':>20} {'p':>8} {'Holm':>8}"]
        for (query, gallery), part in self.directions.items():
            interval = f"[{part.ci[0]:+.4f}, {part.ci[1]:+.4f}]"
            lines.append(
                f"{query + ' -> ' + gallery:<24} {part.difference:>+10.4f} {interval:>20} "
                f"{part.p:>8.4f} {part.p_holm:>8.4f}"
            )
        return "\n".join(lines)


def bootstrap_interval(
    values: FloatArray, *, n_bootstrap: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean over queries.

    Args:
        values: One value a query, shape (n_queries,), at least one.
        n_bootstrap: How many resamples, at least 1.
        seed: Of the resampling.

    Raises:
        InputError: There is no value, or ``n_bootstrap`` is less than 1.

    References:
        [1] Sakai. Evaluating evaluation metrics based on the bootstrap. SIGIR 2006.
            doi:10.1145/1148170.1148261

    Example:
        >>> bootstrap_interval(np.array([0.5, 0.5, 0.5]))
        (0.5, 0.5)
    """
    check_range("n_bootstrap", n_bootstrap, low=1, integer=True)
    check_range("seed", seed, low=0, integer=True)
    data = _vector(values)
    rng = np.random.default_rng(seed)
    means = [
        data[rng.integers(0, len(data), size=(count, len(data)), dtype=np.uint32)].mean(axis=1)
        for count in _chunks(n_bootstrap, len(data))
    ]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def sign_flip_p(differences: FloatArray, *, n_resamples: int = 10_000, seed: int = 0) -> float:
    """Return the two-sided p value of a paired randomisation test [1].

    If two systems do not differ, each query's difference is as likely to have the other sign.
    Up to 14 queries every pattern of signs is tried; beyond, signs are drawn at random and the
    observed pattern counts as one of them, so that p is never 0.

    Args:
        differences: Per query, one system minus the other. Shape (n_queries,), at least one.
        n_resamples: How many patterns to draw, at least 1.
        seed: Of the draws.

    Raises:
        InputError: There is no value, or ``n_resamples`` is less than 1.

    References:
        [1] Smucker, Allan, Carterette. A comparison of statistical significance tests for
            information retrieval evaluation. CIKM 2007. doi:10.1145/1321440.1321528

    Example:
        >>> sign_flip_p(np.array([0.1, 0.2, 0.3]))               # 2 of 8 patterns as extreme
        0.25
    """
    check_range("n_resamples", n_resamples, low=1, integer=True)
    check_range("seed", seed, low=0, integer=True)
    data = _vector(differences)
    observed = abs(data.sum()) - 1e-12 * np.abs(data).sum()
    if len(data) <= _EXACT_UP_TO:
        patterns = np.arange(2 ** len(data))[:, None] >> np.arange(len(data)) & 1
        return float((np.abs((1.0 - 2.0 * patterns) @ data) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for count in _chunks(n_resamples, len(data)):
        drawn = np.frombuffer(rng.bytes(count * -(-len(data) // 8)), dtype=np.uint8)
        negative = np.unpackbits(drawn.reshape(count, -1), axis=1, count=len(data))
        sums = data.sum() - 2.0 * (negative.astype(np.float64) @ data)
        extreme += int((np.abs(sums) >= observed).sum())
    return (1 + extreme) / (1 + n_resamples)


def holm(p_values: Sequence[float] | FloatArray) -> FloatArray:
    """Adjust p values for testing several hypotheses, by Holm's step-down method [1].

    Args:
        p_values: Shape (n,), each in [0, 1].

    Returns:
        Shape (n,), float64, in the order given. Rejecting those at most alpha keeps the chance
        of any false rejection at most alpha.

    Raises:
        InputError: A value is outside [0, 1].

    References:
        [1] Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal
            of Statistics 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])                             # 3 x 0.01, 2 x 0.03, 1 x 0.04
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"p_values: expected numbers from 0 up to 1, got {p_values!r}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def compare(
    first: Report,
    second: Report,
    *,
    n_resamples: int = 10_000,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two reports over the same queries, direction by direction.

    Args:
        first: The one whose gain is asked.
        second: The one to compare with; made by the same protocol on the same data.
        n_resamples: Sign patterns drawn by the randomisation test.
        n_bootstrap: Resamples of the interval.
        seed: Of both.

    Returns:
        For each direction the reports share: difference, interval, p, and p adjusted by Holm.

    Raises:
        ProtocolMismatchError: The protocols differ, a direction has other queries or another
            gallery in the two, or they share no direction.
        InputError: A report was read from a summary without values per query.
    """
    shared = _comparable(first, second)
    rows = {}
    for direction in shared:
        delta = _paired(direction, first.scores[direction], second.scores[direction])
        p = sign_flip_p(delta, n_resamples=n_resamples, seed=seed)
        interval = bootstrap_interval(delta, n_bootstrap=n_bootstrap, seed=seed)
        rows[direction] = (float(delta.mean()), interval, p, len(delta))
    adjusted = holm([row[2] for row in rows.values()])
    return Comparison(
        {
            direction: Difference(gain, interval, p, float(p_holm), n)
            for (direction, (gain, interval, p, n)), p_holm in zip(
                rows.items(), adjusted, strict=True
            )
        }
    )


def _comparable(first: Report, second: Report) -> list[tuple[str, str]]:
    ours, theirs = first.protocol.to_dict(), second.protocol.to_dict()
    for name, value in ours.items():
        if theirs[name] != value:
            raise ProtocolMismatchError(
                f"compare: the reports were made by different protocols: {name} is {value!r} in "
                f"the first and {theirs[name]!r} in the second. Evaluate both under one Protocol."
            )
    shared = [direction for direction in first.scores if direction in second.scores]
    if not shared:
        raise ProtocolMismatchError("compare: the reports have no direction in common.")
    for direction in shared:
        _check_same_test(direction, first.scores[direction], second.scores[direction])
    return shared


def _check_same_test(direction: tuple[str, str], ours: Score, theirs: Score) -> None:
    for name in ("n_queries", "n_gallery"):
        if getattr(ours, name) != getattr(theirs, name):
            raise ProtocolMismatchError(
                f"compare: {direction[0]}->{direction[1]} has {name} {getattr(ours, name)} in the "
                f"first report and {getattr(theirs, name)} in the second. Evaluate both on one "
                "data set."
            )


def _paired(direction: tuple[str, str], ours: Score, theirs: Score) -> FloatArray:
    for score in (ours, theirs):
        if len(score.ap) != score.n_queries:
            raise InputError(
                f"compare: {direction[0]}->{direction[1]} has no values per query, as the report "
                "was read from a summary. Evaluate again, or keep them: to_dict(per_query=True)."
            )
    delta = ours.ap - theirs.ap
    counted: FloatArray = delta[~np.isnan(delta)]
    if not len(counted):
        raise InputError(f"compare: {direction[0]}->{direction[1]} has no query that counts.")
    return counted


def _vector(values: Any) -> FloatArray:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise InputError(f"values: expected at least one finite number, got shape {data.shape}.")
    return data


def _chunks(total: int, width: int) -> Iterator[int]:
    step = max(1, _DRAWS_AT_ONCE // width)
    for start in range(0, total, step):
        yield min(step, total - start)
