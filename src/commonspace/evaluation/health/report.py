"""What an inspection found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commonspace.evaluation.health.findings import (
    RULES,
    SEVERITIES,
    Direction,
    Finding,
    Severity,
    worst,
)
from commonspace.evaluation.health.gap import Gap
from commonspace.evaluation.health.pairs import PairCheck
from commonspace.evaluation.health.reliability import Calibration
from commonspace.evaluation.health.retrieval import Confusion, Hubness
from commonspace.evaluation.health.spread import Spread
from commonspace.evaluation.health.suspects import Suspects
from commonspace.types import JsonDict

_SHOWN = 20
_ARROW = "->"


@dataclass(frozen=True, eq=False)
class Health:
    """Measures of a space on a data set, and what to think of them.

    Attributes:
        classes: Names of the classes.
        k: Neighbours that were looked at: 10, or fewer where galleries are small.
        spreads: By modality.
        gaps: By pair of modalities, in their order.
        confusions: By direction (query, gallery), those within a modality too.
        hubs: By direction between different modalities.
        calibrations: Likewise.
        suspects: By modality.
        pairs: By pair of modalities.
        n_unlabelled: Rows left out of each modality because their labels are unknown.
        findings: Every number that a rule judges.
    """

    classes: tuple[str, ...]
    k: int
    spreads: Mapping[str, Spread]
    gaps: Mapping[Direction, Gap]
    confusions: Mapping[Direction, Confusion]
    hubs: Mapping[Direction, Hubness]
    calibrations: Mapping[Direction, Calibration]
    suspects: Mapping[str, Suspects]
    pairs: Mapping[Direction, PairCheck]
    n_unlabelled: Mapping[str, int]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Severity:
        """The worst severity among the findings."""
        return worst(self.findings)

    def worst_of(self, what: str) -> Finding | None:
        """Return the finding of a rule with the largest value; None if nothing was judged by it."""
        found = [finding for finding in self.findings if finding.what == what]
        return max(found, key=_badness, default=None)

    def suspect_rows(self, n: int | None = None) -> list[JsonDict]:
        """Return the rows whose label looks wrong, of all modalities, the most suspect first."""
        rows = [
            {"modality": name, **row}
            for name, found in self.suspects.items()
            for row in found.table(self.classes, n)
        ]
        return sorted(rows, key=lambda row: -row["score"])[:n]

    def to_dict(self, *, n: int = _SHOWN) -> JsonDict:
        """Return everything for JSON, with the ``n`` most suspect rows and pairs of each list."""
        pairs = {
            ", ".join(key): {
                "gap": gap.to_dict(),
                "paired": len(self.pairs[key].items),
                "flagged": self.pairs[key].flagged,
                "conflicts": self.pairs[key].conflicts,
                "suspects": self.pairs[key].table(n),
            }
            for key, gap in self.gaps.items()
        }
        return {
            "verdict": self.verdict,
            "k": self.k,
            "findings": [finding.to_dict() for finding in self.findings],
            "modalities": {
                name: {
                    **spread.to_dict(),
                    "unlabelled": self.n_unlabelled[name],
                    "flagged": self.suspects[name].flagged,
                    "within": self.confusions[name, name].to_dict(),
                }
                for name, spread in self.spreads.items()
            },
            "directions": {
                _ARROW.join(key): {
                    **self.confusions[key].to_dict(),
                    "hubness": hub.to_dict(),
                    "calibration": self.calibrations[key].to_dict(),
                }
                for key, hub in self.hubs.items()
            },
            "pairs": pairs,
            "suspects": self.suspect_rows(n),
        }

    def to_json(self, *, n: int = _SHOWN) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(n=n), indent=2, allow_nan=False)

    def __str__(self) -> str:
        rows = [[*_row(found)] for what in RULES if (found := self.worst_of(what)) is not None]
        lines = [f"verdict: {self.verdict}, by {self.k} neighbours an item{self._unjudged()}"]
        lines += ["", *_table(_HEADER, rows)]
        lines += ["", *_table(_DIRECTIONS, [self._direction(key) for key in self.hubs])]
        lines += ["", *_table(_MODALITIES, [self._modality(name) for name in self.spreads])]
        rest = [found for found in self.findings if found.severity != "fine"]
        for found in sorted(rest, key=_badness, reverse=True):
            note = f" ({found.note})" if found.note else ""
            lines.append(f"{found.severity}: {found.what}, {found.where}: {found.value:.3f}{note}")
        for what in dict.fromkeys(found.what for found in rest):
            lines.append(f"  {what}: {RULES[what].meaning}")
        return "\n".join(lines)

    def _unjudged(self) -> str:
        """What is left out where k is half of a gallery or more."""
        left = self.hubs and self.worst_of("hub") is None
        return ": too many of so few items to judge agreement and hubs" if left else ""

    def _direction(self, key: Direction) -> list[str]:
        confusion, hub, calibration = self.confusions[key], self.hubs[key], self.calibrations[key]
        claimed = "-" if calibration.claimed is None else f"{calibration.claimed.error:.3f}"
        top = confusion.pairs[0] if confusion.pairs else ("-", "-", 0.0)
        return [
            _ARROW.join(key),
            f"{confusion.agreement:.3f}",
            f"{confusion.chance:.3f}",
            f"{hub.skew:.2f}",
            f"{hub.never:.3f}",
            f"{hub.largest:.3f}",
            hub.item,
            claimed,
            f"{calibration.fitted.error:.3f}",
            f"{top[0]} {_ARROW} {top[1]} ({top[2]:.2f})",
        ]

    def _modality(self, name: str) -> list[str]:
        spread, within = self.spreads[name], self.confusions[name, name]
        first = self.suspects[name].table(self.classes, 1)[0]
        return [
            name,
            str(spread.n_items),
            f"{within.agreement:.3f}",
            f"{spread.effective_rank:.1f} of {spread.dim}",
            f"{spread.class_rank:.1f}",
            f"{spread.twins:.3f}",
            f"{self.suspects[name].flagged:.3f}",
            f"{first['item']}: {first['label']} or {first['suggested']}? ({first['score']:.2f})",
        ]


_HEADER = ["", "severity", "worst at", "value", "look from", "broken from"]
_DIRECTIONS = ["direction", "agree", "chance", "skew", "never found", "largest hub", "which"]
_DIRECTIONS += ["claimed ECE", "fitted ECE", "most confused"]
_MODALITIES = ["modality", "rows", "agree", "effective rank", "of classes", "twins", "suspect"]
_MODALITIES += ["most suspect"]


def _badness(found: Finding) -> tuple[int, float]:
    return SEVERITIES.index(found.severity), found.value


def _row(found: Finding) -> list[str]:
    rule = RULES[found.what]
    broken = "never" if rule.broken == float("inf") else f"{rule.broken:g}"
    look = "any" if rule.look < 1e-6 else f"{rule.look:g}"
    return [found.what, found.severity, found.where, f"{found.value:.3f}", look, broken]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    every: list[Any] = [header, ["-" * width for width in widths], *rows]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]
