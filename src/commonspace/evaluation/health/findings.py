"""Where to worry: what each number is held against, and what to do about it.

The limits were set on healthy spaces, `SDML.fast` and `SM` on eight data sets (the worst of them is
in the guide, beside each limit), and tried on planted faults, all on the same sets: false alarms on
others were not measured. A number is "fine", worth a "look", or "broken": retrieval cannot work
like this, whatever the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from commonspace.evaluation.health.gap import Gap
from commonspace.evaluation.health.pairs import PairCheck
from commonspace.evaluation.health.reliability import Calibration
from commonspace.evaluation.health.retrieval import Confusion, Hubness
from commonspace.evaluation.health.spread import Spread
from commonspace.evaluation.health.suspects import Suspects
from commonspace.types import JsonDict

Severity = Literal["fine", "look", "broken"]
SEVERITIES: tuple[Severity, ...] = ("fine", "look", "broken")
Direction = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """From which value on a number is worth a look, or broken; and what it means."""

    look: float
    broken: float
    meaning: str

    def severity(self, value: float) -> Severity:
        """Judge a number; the larger the worse."""
        return "broken" if value >= self.broken else "look" if value >= self.look else "fine"


NEVER = float("inf")
RULES: dict[str, Rule] = {
    "modality gap": Rule(
        0.1, 0.5, "part of the squared distance across that is one constant offset: centre each "
        "modality, or calibrate scores where modalities share a list"
    ),
    "zero vectors": Rule(
        1e-9, 0.1, "share of the rows without a direction: look at their features"
    ),
    "one direction": Rule(
        0.8, 0.95, "mean cosine of two items: the encoder says the same of all; look at its inputs "
        "and their scaling, train again"
    ),
    "merged items": Rule(
        0.01, 0.4, "share of the items whose vector is that of an item of another label: the "
        "encoder lost what tells them apart"
    ),
    "dead coordinates": Rule(
        0.1, 0.3, "share of the coordinates that vary in another modality and not in this one"
    ),
    "class directions": Rule(
        0.6, 0.8, "directions between classes that others have and this modality lacks, as a share"
    ),
    "agreement": Rule(
        0.7, 0.98, "1 - agreement of neighbours beyond chance, as part of what each modality has "
        "within itself: they know the classes and do not meet"
    ),
    "unseen classes": Rule(
        0.1, NEVER, "share of the classes with 5 items or more that nobody finds"
    ),
    "hub": Rule(
        0.5, 0.85, "share of the queries of other labels that find one and the same item"
    ),
    "calibration": Rule(
        0.1, NEVER, "mean difference between the probability of a match that inner products claim "
        "and what is: fit it anew on held-out rows"
    ),
    "suspect labels": Rule(
        0.06, NEVER, "share of the rows whose neighbours agree on another label: read their list"
    ),
    "shuffled pairs": Rule(
        0.15, 0.5, "share of the items whose two rows have hardly anything in common: look at the "
        "order of rows and ids"
    ),
    "label conflicts": Rule(
        0.01, 0.2, "share of the items whose two rows carry no common label: one id, two things"
    ),
}  # fmt: skip

_CHANCE_P = 0.01
_LEAST_LIFT, _LOW_LIFT = 0.02, 0.1


@dataclass(frozen=True)
class Finding:
    """One number and how bad it is.

    Attributes:
        what: Name of its rule, see `RULES`.
        where: The modality, the pair of modalities, or the direction.
        value: The number; the larger the worse.
        severity: "fine", "look" or "broken".
        note: What goes with it, such as the id of the hub.
    """

    what: str
    where: str
    value: float
    severity: Severity
    note: str = ""

    @property
    def meaning(self) -> str:
        """What the number is, and what to do about it."""
        return RULES[self.what].meaning

    def to_dict(self) -> JsonDict:
        """Return the fields by name, for JSON."""
        rule = RULES[self.what]
        limits = {"look": rule.look, "broken": None if rule.broken == NEVER else rule.broken}
        return {**asdict(self), "limits": limits, "meaning": rule.meaning}


def worst(findings: tuple[Finding, ...]) -> Severity:
    """The worst severity among findings."""
    return max((f.severity for f in findings), key=SEVERITIES.index, default="fine")


def judge_spreads(spreads: Mapping[str, Spread]) -> Iterator[Finding]:
    """Of each modality alone, and against the others."""
    for name, spread in spreads.items():
        others = [other for key, other in spreads.items() if key != name]
        least = min((other.constant for other in others), default=spread.constant)
        rank = float(np.median([other.class_rank for other in others])) if others else 0.0
        lack = 1 - spread.class_rank / rank if rank > 0 else 0.0
        yield _finding("zero vectors", name, spread.n_zero / spread.n_items)
        yield _finding("one direction", name, spread.concentration)
        yield _finding("merged items", name, spread.merged)
        yield _finding("dead coordinates", name, max(0.0, spread.constant - least))
        yield _finding("class directions", name, max(0.0, lack), f"{spread.class_rank:.1f}")


def judge_gaps(gaps: Mapping[Direction, Gap]) -> Iterator[Finding]:
    """Of each pair of modalities: no gap is one that shuffled modalities have as well."""
    for pair, gap in gaps.items():
        value = gap.share if gap.p <= 0.05 else 0.0
        yield _finding("modality gap", ", ".join(pair), value, f"tells apart {gap.separable:.2f}")


def judge_directions(
    confusions: Mapping[Direction, Confusion],
    hubs: Mapping[Direction, Hubness],
    calibrations: Mapping[Direction, Calibration],
    k: int,
) -> Iterator[Finding]:
    """Of each direction; half of a gallery says nothing of who is near, nor of who is a hub."""
    for direction, hub in hubs.items():
        where, found = "->".join(direction), confusions[direction]
        few = 2 * k < min(len(hubs[pair].counts) for pair in (direction, direction[::-1]))
        if few and found.chance < 1:
            yield _agreement(where, found, [confusions[name, name] for name in direction])
        if found.n_frequent:
            share = found.n_frequent_unseen / found.n_frequent
            yield _finding("unseen classes", where, share, ", ".join(found.unseen[:3]))
        if few:
            by_chance = k / len(hub.counts)
            reach = max(0.0, (hub.reach - by_chance) / (1 - by_chance))
            yield _finding("hub", where, reach, hub.reach_item)
        claimed = calibrations[direction].claimed
        if claimed is not None:
            yield _calibration(where, claimed.error, claimed.skill)


def judge_rows(
    suspects: Mapping[str, Suspects], pairs: Mapping[Direction, PairCheck]
) -> Iterator[Finding]:
    """Of labels and pairs."""
    for name, found in suspects.items():
        yield _finding("suspect labels", name, found.flagged)
    for pair, check in pairs.items():
        if len(check.items):
            yield _finding("shuffled pairs", ", ".join(pair), check.flagged)
            yield _finding("label conflicts", ", ".join(pair), check.conflicts)


def _finding(what: str, where: str, value: float, note: str = "") -> Finding:
    severity = RULES[what].severity(value)
    return Finding(what, where, float(value), severity, note if severity != "fine" else "")


def _agreement(where: str, found: Confusion, within: list[Confusion]) -> Finding:
    """Against the weaker of both modalities; broken as well where it is no more than chance."""
    known = min(part.lift for part in within)
    value = float(np.clip(1 - found.lift / known, 0, 1)) if known > _LEAST_LIFT else 0.0
    if found.lift < _LEAST_LIFT or (found.p > _CHANCE_P and found.lift < _LOW_LIFT):
        return Finding("agreement", where, 1.0, "broken", f"beyond chance {found.lift:.2f}")
    if found.p > _CHANCE_P:
        return Finding("agreement", where, value, "look", f"too few items to tell, p {found.p:.2f}")
    return _finding("agreement", where, value, f"beyond chance {found.lift:.2f}")


def _calibration(where: str, error: float, skill: float) -> Finding:
    found = _finding("calibration", where, error, f"skill {skill:.2f}")
    if found.severity == "fine" and skill < 0:  # worse than always saying the base rate
        return Finding("calibration", where, error, "look", f"skill {skill:.2f}")
    return found
