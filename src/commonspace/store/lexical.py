"""What full-text search indexes of a payload, and how a user's words become a query.

Scripts that are written without spaces (Han, kana) are indexed character by character, and a run
of them in a query must stand in that order: so that one character of a name finds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNSPACED = re.compile(
    "([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])"
)
# More words than anyone types; a pasted page is cut here.
_MAX_WORDS = 200


def searchable_text(payload: Mapping[str, Any] | None) -> str:
    """All strings of a payload at any depth, a line each; field names are not searched."""
    strings: list[str] = []
    _collect(payload or (), strings)
    return _spaced("\n".join(strings))


def match_expression(words: str) -> str:
    """An FTS5 expression that finds items holding any of the words; never a syntax error."""
    clean = _encodable(words.replace("\0", " "))
    distinct = list(dict.fromkeys(clean.split()))[:_MAX_WORDS]
    quoted = (_spaced(word).strip().replace('"', '""') for word in distinct)
    return " OR ".join(f'"{word}"' for word in quoted) or '""'


def _collect(value: Any, strings: list[str]) -> None:
    for inner in value.values() if isinstance(value, Mapping) else value:
        if isinstance(inner, str):
            strings.append(inner)
        elif isinstance(inner, (Mapping, list, tuple)):
            _collect(inner, strings)


def _spaced(text: str) -> str:
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
