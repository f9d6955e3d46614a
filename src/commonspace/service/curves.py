"""How often two items share a class, by their cosine: what turns a similarity into a probability.

The cosine is not one: 0.7 may be a sure match between two modalities and a poor one between two
others. For each pair of modalities a monotone function is fitted to the labelled items at hand,
held-out ones where payloads say that there are some: on rows that a model learned from, matches
look surer than they are.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from commonspace.store.sampling import Sample
from commonspace.types import AnyArray, FloatArray, JsonDict

MOST_ROWS = 700
"""Items of each modality whose pairs are counted, the first ones of the sample."""

_BINS = 200
_HELD_OUT = ("test", "valid", "validation")
_FEWEST_PAIRS = 500  # below, and with fewer matches than a tenth of it, nothing is claimed
_DECIMALS = 4


def match_curves(sample: Sample) -> list[JsonDict]:
    """Fit the probability that two items share a class to their cosine.

    Args:
        sample: Its payloads name "classes"; "split" tells held-out items.

    Returns:
        For each pair of modalities with enough pairs: "modalities", "held_out", "pairs", and the
        points "cosine" and "probability" of a function that rises, to be joined by lines.
    """
    rows, held_out = _judges(sample)
    classes = sample.classes()
    names = sorted({sample.modalities[row] for row in rows})
    parts = {
        name: [row for row in rows if sample.modalities[row] == name][:MOST_ROWS] for name in names
    }
    curves = []
    for a, b in combinations_with_replacement(names, 2):
        cosine, match = _pairs(sample, classes, parts[a], parts[b], same=a == b)
        curve = _fit(cosine, match)
        if curve is not None:
            curves.append({"modalities": [a, b], "held_out": held_out, **curve})
    return curves


def _judges(sample: Sample) -> tuple[list[int], bool]:
    """Rows with labels, the held-out ones alone if there are some."""
    labelled = [row for row, names in enumerate(sample.classes()) if names]
    kept = [row for row in labelled if sample.payloads[row].get("split") in _HELD_OUT]
    return (kept, True) if kept else (labelled, False)


def _pairs(
    sample: Sample, classes: list[tuple[str, ...]], a: list[int], b: list[int], *, same: bool
) -> tuple[FloatArray, AnyArray]:
    """Cosine of each pair of different items, and whether they share a class."""
    known = {name: at for at, name in enumerate(sorted({c for row in a + b for c in classes[row]}))}
    z_a, z_b = (_unit(sample.vectors[rows]) for rows in (a, b))
    y_a, y_b = (_indicator([classes[row] for row in rows], known) for rows in (a, b))
    id_a, id_b = (np.array([sample.ids[row] for row in rows], dtype=np.str_) for rows in (a, b))
    other = id_a[:, None] != id_b[None, :]
    if same:
        other &= np.tri(len(a), k=-1, dtype=bool)
    return (z_a @ z_b.T)[other], ((y_a @ y_b.T) > 0)[other]


def _fit(cosine: FloatArray, match: AnyArray) -> JsonDict | None:
    from sklearn.isotonic import IsotonicRegression

    fewest = min(int(match.sum()), int((~match).sum())) if len(match) else 0
    if len(match) < _FEWEST_PAIRS or fewest < _FEWEST_PAIRS // 10:
        return None
    at = np.clip(((cosine + 1) / 2 * _BINS).astype(np.int64), 0, _BINS - 1)
    pairs = np.bincount(at, minlength=_BINS)
    used = pairs > 0
    mean = np.bincount(at, weights=cosine, minlength=_BINS)[used] / pairs[used]
    seen = np.bincount(at, weights=match, minlength=_BINS)[used] / pairs[used]
    fitted = IsotonicRegression(y_min=0, y_max=1).fit_transform(
        mean, seen, sample_weight=pairs[used]
    )
    return {
        "pairs": len(match),
        "cosine": np.round(mean, _DECIMALS).tolist(),
        "probability": np.round(fitted, _DECIMALS).tolist(),
    }


def _indicator(classes: list[tuple[str, ...]], known: dict[str, int]) -> FloatArray:
    y_NC = np.zeros((len(classes), len(known)), np.float32)
    for row, names in enumerate(classes):
        y_NC[row, [known[name] for name in names]] = 1
    return y_NC


def _unit(z_NE: AnyArray) -> FloatArray:
    length = np.linalg.norm(z_NE, axis=1, keepdims=True)
    return np.asarray(z_NE / np.where(length > 0, length, 1), np.float64)
