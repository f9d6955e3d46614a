"""Scores of the demo: the mean over all directions of one kind, for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from commonspace.evaluation import Report
from commonspace.types import JsonDict

Direction = tuple[str, str]
PICTURE = "image"
LANGUAGE_NAMES = {
    "en": "English",
    "ar": "Arabic",
    "de": "German",
    "es": "Spanish",
    "fa": "Persian",
    "fr": "French",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "zh": "Chinese",
}


@dataclass(frozen=True)
class Kind:
    """Directions that one column of a table is the mean of."""

    title: str
    directions: tuple[Direction, ...]

    def mean_ap(self, report: Report) -> float:
        """Mean over the directions of their mean average precisions."""
        return float(np.mean([report[direction].mean_ap for direction in self.directions]))


def text_modality(language: str) -> str:
    """Name of the modality that holds the names in a language."""
    return f"text_{language}"


def kinds_between(languages: Sequence[str]) -> tuple[Kind, ...]:
    """Picture to word, word to picture, and word to word of another language."""
    words = [text_modality(language) for language in languages]
    return (
        Kind("picture → word", tuple((PICTURE, word) for word in words)),
        Kind("word → picture", tuple((word, PICTURE) for word in words)),
        Kind("word → word", tuple((a, b) for a in words for b in words if a != b)),
    )


def kinds_with(added: str, languages: Sequence[str]) -> tuple[Kind, ...]:
    """The directions from and to a language that was added."""
    name, new = LANGUAGE_NAMES[added], text_modality(added)
    words = [text_modality(language) for language in languages]
    return (
        Kind(f"picture → {name}", ((PICTURE, new),)),
        Kind(f"{name} → picture", ((new, PICTURE),)),
        Kind(f"other word → {name}", tuple((word, new) for word in words)),
        Kind(f"{name} → other word", tuple((new, word) for word in words)),
    )


def score_rows(reports: Mapping[str, Report], kinds: Sequence[Kind]) -> dict[str, list[float]]:
    """Return the scores of each method, one a kind."""
    return {name: [kind.mean_ap(report) for kind in kinds] for name, report in reports.items()}


def as_records(rows: Mapping[str, Sequence[float]], kinds: Sequence[Kind]) -> list[JsonDict]:
    """Return a row a method for JSON: ``{"method": "SDML", "picture → word": 0.5, ...}``."""
    titles = [kind.title for kind in kinds]
    return [
        {"method": name, **dict(zip(titles, scores, strict=True))} for name, scores in rows.items()
    ]
