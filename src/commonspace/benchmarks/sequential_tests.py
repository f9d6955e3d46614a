"""What runs of sequential learning say of each other: tests, and the gap to joint training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from commonspace.evaluation import Course, sign_flip_p
from commonspace.types import FloatArray, JsonDict

OURS = "hold"


def has_order(who: str) -> bool:
    """Whether the order of modalities makes a difference; if not, there is one run a seed."""
    return who != "SDML" and not who.endswith("joint")


def paired_tests(name: str, runs: Mapping[str, Sequence[JsonDict]]) -> list[JsonDict]:
    """Ours against each other contestant, paired by order and seed: final mean AP, forgetting.

    One without an order has no runs to pair with.
    """
    if OURS not in runs:
        return []
    courses = {who: [Course.from_dict(cell) for cell in done] for who, done in runs.items()}
    out = []
    for who in filter(has_order, runs):
        for measure in ("final", "forgetting"):
            gap = _gaps(courses[OURS], courses[who], measure)
            if who != OURS and np.isfinite(gap).all():
                found = {"difference": float(gap.mean()), "p": sign_flip_p(gap)}
                out.append({"set": name, "against": who, "of": measure, "n": len(gap), **found})
    return out


def _gaps(ours: Sequence[Course], theirs: Sequence[Course], measure: str) -> FloatArray:
    pairs = zip(ours, theirs, strict=True)
    return np.array([getattr(a, measure) - getattr(b, measure) for a, b in pairs])


def gaps_to_joint(name: str, runs: Mapping[str, Sequence[JsonDict]], seeds: int) -> list[JsonDict]:
    """How far each is from joint training in the frame of `NETWORK`, seed by seed."""
    if "joint" not in runs or seeds < 2:
        return []
    finals = {
        who: np.array([Course.from_dict(cell).final for cell in done]).reshape(-1, seeds)
        for who, done in runs.items()
        if who != "joint" and not who.startswith("plain")
    }
    joint = np.array([Course.from_dict(cell).final for cell in runs["joint"]])
    out = []
    for who, final in finals.items():
        gap = joint - final.mean(axis=0)
        low, high = t_interval(gap)
        mean = float(gap.mean())
        out.append({"set": name, "of": who, "n": seeds, "gap": mean, "low": low, "high": high})
    return out


def t_interval(values: FloatArray) -> list[float]:
    """Student's 95 % interval of the mean of independent values, two or more."""
    from scipy.special import stdtrit

    n = len(values)
    half = float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / n**0.5
    return [float(values.mean()) - half, float(values.mean()) + half]


def ratios_left(name: str, rows: Sequence[JsonDict]) -> dict[str, float]:
    """Share of the way from replay to joint training that is left to go."""
    final = {row["method"]: row["final"] for row in rows}
    out = {}
    for frame in ("", "plain "):
        low, high = final.get(f"{frame}replay"), final.get(f"{frame}joint")
        if OURS in final and low is not None and high is not None:
            left = (high - final[OURS]) / (high - low)
            out[f"{name}: left of the gap between {frame}replay and {frame}joint"] = left
    return out
