"""What an evaluation found: one `Score` a direction, and the `Protocol` that made them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from commonspace.checks import not_found
from commonspace.errors import InputError
from commonspace.evaluation.curves import Curves
from commonspace.evaluation.protocol import Protocol
from commonspace.evaluation.significance import Comparison, bootstrap_interval, compare
from commonspace.types import BoolArray, FloatArray, JsonDict

_ARROW = "->"
_GRADED = {"ndcg": "nDCG", "wap": "WAP", "acg": "ACG"}


@dataclass(frozen=True, eq=False)
class Score:
    """Mean average precision of one direction.

    Attributes:
        mean_ap: Mean over the queries that count; NaN if none does.
        ci: 95 % bootstrap interval of it over queries; None if not asked for.
        worst: The same mean if every tie fell in the worst order.
        best: The same mean if every tie fell in the best order.
        n_queries: Queries with known labels.
        n_gallery: Items of the gallery with known labels; within a modality the query itself
            is not counted unless the protocol keeps it.
        n_empty: Queries with nothing to find.
        n_unlabelled: Rows left out of queries and gallery because their labels are unknown.
        ap: Average precision of each query, shape (n_queries,), float64; NaN for a query that
            the protocol skips. Empty in a report read from a summary.
        curves: Precision-recall and precision-scope curves, if asked for.
        mean_ndcg: Mean nDCG over the queries that count; None where no gain is measured.
        ndcg_ci: 95 % bootstrap interval of it; None if not asked for.
        ndcg: Of each query, shape (n_queries,), float64; NaN for a query that the protocol
            skips. Empty in a report read from a summary.
        mean_wap: Average precision weighted by gains, likewise; and ``wap_ci`` and ``wap``.
        mean_acg: Mean gain of the first k ranks, likewise; and ``acg_ci`` and ``acg``. None
            without a cut-off, as the mean gain of all ranks says nothing of their order.
    """

    mean_ap: float
    ci: tuple[float, float] | None
    worst: float
    best: float
    n_queries: int
    n_gallery: int
    n_empty: int
    n_unlabelled: int = 0
    ap: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)
    curves: Curves | None = field(default=None, repr=False)
    mean_ndcg: float | None = None
    ndcg_ci: tuple[float, float] | None = None
    ndcg: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)
    mean_wap: float | None = None
    wap_ci: tuple[float, float] | None = None
    wap: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)
    mean_acg: float | None = None
    acg_ci: tuple[float, float] | None = None
    acg: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)

    def to_dict(self, *, per_query: bool = False) -> JsonDict:
        """Return the score for JSON; ``per_query`` adds the values that `compare` needs."""
        out: JsonDict = {
            "map": _number(self.mean_ap),
            "ci": None if self.ci is None else list(self.ci),
            "queries": self.n_queries,
            "gallery": self.n_gallery,
            "worst": _number(self.worst),
            "best": _number(self.best),
            "empty": self.n_empty,
            "unlabelled": self.n_unlabelled,
        }
        if self.curves is not None:
            out["curves"] = self.curves.to_dict()
        if per_query:
            out["ap"] = [_number(value) for value in self.ap]
        for name in _GRADED:
            mean, interval = getattr(self, f"mean_{name}"), getattr(self, f"{name}_ci")
            if mean is not None:
                out[name] = _number(mean)
                out[f"{name}_ci"] = None if interval is None else list(interval)
                if per_query:
                    out[f"{name}_of_query"] = [_number(value) for value in getattr(self, name)]
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """Rebuild a score from `to_dict`."""
        ap = [_float(value) for value in values.get("ap", ())]
        graded: JsonDict = {}
        for name in _GRADED:
            if name in values:
                of_query = [_float(value) for value in values.get(f"{name}_of_query", ())]
                graded[f"mean_{name}"] = _float(values[name])
                graded[f"{name}_ci"] = _interval(values.get(f"{name}_ci"))
                graded[name] = np.array(of_query, dtype=np.float64)
        return cls(
            mean_ap=_float(values["map"]),
            ci=_interval(values["ci"]),
            worst=_float(values["worst"]),
            best=_float(values["best"]),
            n_queries=values["queries"],
            n_gallery=values["gallery"],
            n_empty=values["empty"],
            n_unlabelled=values.get("unlabelled", 0),
            ap=np.array(ap, dtype=np.float64),
            curves=Curves.from_dict(values["curves"]) if "curves" in values else None,
            **graded,
        )


def summarise(
    ap: FloatArray,
    worst: FloatArray,
    best: FloatArray,
    counts: BoolArray,
    *,
    seed: int,
    n_bootstrap: int,
) -> tuple[float, tuple[float, float] | None, float, float]:
    """Return mean, interval, worst and best mean over the queries that count.

    Args:
        ap: A value of each query, shape (n_queries,).
        worst: Of its worst order of ties, likewise.
        best: Of its best.
        counts: Which queries count; without any, the answer is NaN.
        seed: Of the bootstrap.
        n_bootstrap: Resamples of the interval; 0 leaves it out.
    """
    if not counts.any():
        return math.nan, None, math.nan, math.nan
    kept = ap[counts]
    interval = bootstrap_interval(kept, n_bootstrap=n_bootstrap, seed=seed) if n_bootstrap else None
    return float(kept.mean()), interval, float(worst[counts].mean()), float(best[counts].mean())


@dataclass(frozen=True, eq=False)
class Report:
    """Scores by direction: ``report["image", "text"].mean_ap``.

    Attributes:
        protocol: How the numbers were made.
        scores: By (query modality, gallery modality).
    """

    protocol: Protocol
    scores: Mapping[tuple[str, str], Score]

    def __getitem__(self, direction: tuple[str, str]) -> Score:
        if direction not in self.scores:
            known = [_ARROW.join(name) for name in self.scores]
            asked = _ARROW.join(direction) if isinstance(direction, tuple) else direction
            raise not_found("direction", asked, known, hint='Ask for report["image", "text"].')
        return self.scores[direction]

    @property
    def mean_ap(self) -> float:
        """Mean over the directions between different modalities; NaN if there is none."""
        found = _mean(score.mean_ap for (a, b), score in self.scores.items() if a != b)
        return math.nan if found is None else found

    @property
    def mean_ap_within(self) -> float | None:
        """Mean over the directions from a modality to itself; None if there is none."""
        return _mean(score.mean_ap for (a, b), score in self.scores.items() if a == b)

    @property
    def mean_ndcg(self) -> float | None:
        """Mean nDCG over the directions between different modalities; None if not measured."""
        return _mean(s.mean_ndcg for (a, b), s in self.scores.items() if a != b)

    @property
    def mean_ndcg_within(self) -> float | None:
        """Mean nDCG over the directions from a modality to itself; None if not measured."""
        return _mean(s.mean_ndcg for (a, b), s in self.scores.items() if a == b)

    def graded_means(self, *, within: bool = False) -> dict[str, float]:
        """Means of "ndcg", "wap" and "acg" over directions, those that were measured.

        Args:
            within: Of the directions from a modality to itself, else between different ones.
        """
        chosen = [score for (a, b), score in self.scores.items() if (a == b) == within]
        means = {name: _mean(getattr(s, f"mean_{name}") for s in chosen) for name in _GRADED}
        return {name: mean for name, mean in means.items() if mean is not None}

    def compare(self, other: Report, *, n_resamples: int = 10_000, seed: int = 0) -> Comparison:
        """Test whether this report differs from another.

        Args:
            other: Made by the same protocol on the same data.
            n_resamples: See `compare`.
            seed: Likewise.

        Raises:
            ProtocolMismatchError: As `compare`.
            InputError: Likewise.
        """
        return compare(self, other, n_resamples=n_resamples, seed=seed)

    def to_dict(self, *, per_query: bool = False) -> JsonDict:
        """Return the report for JSON; ``per_query`` adds the values that `compare` needs."""
        within = self.mean_ap_within
        out: JsonDict = {
            "protocol": self.protocol.to_dict(),
            "directions": {
                _ARROW.join(direction): score.to_dict(per_query=per_query)
                for direction, score in self.scores.items()
            },
            "mean_ap": _number(self.mean_ap),
            "mean_ap_within": None if within is None else _number(within),
        }
        if self.protocol.gain is not None:
            for suffix in ("", "_within"):
                means = self.graded_means(within=bool(suffix))
                for name in ("ndcg", "wap", *(["acg"] if self.protocol.k is not None else [])):
                    out[f"mean_{name}{suffix}"] = _number(means[name]) if name in means else None
        return out

    def to_json(self, *, per_query: bool = False) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(per_query=per_query), indent=2, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Rebuild a report from `to_dict`.

        Raises:
            InputError: A part is missing or is not what `to_dict` writes.
        """
        try:
            scores = {}
            for name, score in values["directions"].items():
                query, _, gallery = name.partition(_ARROW)
                scores[query, gallery] = Score.from_dict(score)
            return cls(Protocol.from_dict(values["protocol"]), scores)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(
                f"report: expected what Report.to_dict writes, got something else ({error!r})."
            ) from error

    def __str__(self) -> str:
        graded = {**self.graded_means(within=True), **self.graded_means()}
        header = ["query", "gallery", "mAP", "95 % interval", "tie bracket"]
        header += [part for name in graded for part in (_GRADED[name], "95 % interval")]
        header += ["queries", "items"]
        rows = [_row(direction, score) for direction, score in self.scores.items()]
        means = [("mean, cross-modal", self.mean_ap, self.graded_means())]
        if self.mean_ap_within is not None:
            means.append(("mean, within", self.mean_ap_within, self.graded_means(within=True)))
        for title, mean_ap, found in means:
            row = [title, "", f"{mean_ap:.4f}", "", ""]
            for name in graded:
                row += [f"{found[name]:.4f}" if name in found else "", ""]
            rows.append([*row, "", ""])
        widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
        lines = [_line(row, widths) for row in [header, ["-" * width for width in widths], *rows]]
        return "\n".join([*lines, _describe(self.protocol)])


def _row(direction: tuple[str, str], score: Score) -> list[str]:
    bracket = f"{score.worst:.4f} - {score.best:.4f}" if score.best > score.worst else "no ties"
    row = [*direction, f"{score.mean_ap:.4f}", _span(score.ci), bracket]
    for name in _GRADED:
        mean = getattr(score, f"mean_{name}")
        if mean is not None:
            row += [f"{mean:.4f}", _span(getattr(score, f"{name}_ci"))]
    return [*row, str(score.n_queries), str(score.n_gallery)]


def _span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} - {interval[1]:.4f}"


def _line(row: list[str], widths: list[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(cells).rstrip()


def _describe(protocol: Protocol) -> str:
    depth = "all ranks" if protocol.k is None else f"first {protocol.k} ranks"
    gain = "" if protocol.gain is None else f", gains by label {protocol.gain}"
    return (
        f"{protocol.metric}, {depth}, divided by {protocol.divide_by}, ties {protocol.ties}, "
        f"empty queries {protocol.empty}{gain}"
    )


def _mean(values: Iterable[float | None]) -> float | None:
    counted = [value for value in values if value is not None]
    known = [value for value in counted if not math.isnan(value)]
    if not known:
        return math.nan if counted else None
    return sum(known) / len(known)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _interval(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
