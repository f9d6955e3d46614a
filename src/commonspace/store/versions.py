"""Which version of an encoder made a vector, and making it again by a newer one.

Encoders of one space agree whenever they were trained, so a retrained one may ask a collection
whose vectors its predecessor made. The truth records a digest of the encoder with every batch.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Any

import numpy as np


def model_digests(model: Any, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of what makes the vectors of each modality."""
    state = model.state()
    digests = {}
    for name in names:
        arrays = {**state.shared, **state.parts[name].arrays}
        hasher = hashlib.sha256()
        for key in sorted(arrays):
            hasher.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape} ".encode())
            hasher.update(np.ascontiguousarray(arrays[key]).tobytes())
        digests[name] = hasher.hexdigest()
    return digests


def record_encoder(sql: sqlite3.Connection, generation: int, encoder: str) -> None:
    """Note what made the vectors of a batch."""
    sql.execute("INSERT INTO made_by VALUES (?, ?)", (generation, encoder))


def encoders(sql: sqlite3.Connection) -> dict[str, dict[str | None, int]]:
    """How many items of each modality each encoder made; None is not on record."""
    made_by = _made_by(sql)
    rows = sql.execute(
        f"SELECT modality, encoder, count(*) FROM items LEFT JOIN {made_by} USING (generation) "
        "GROUP BY modality, encoder ORDER BY modality, encoder"
    )
    found: dict[str, dict[str | None, int]] = {}
    for modality, encoder, count in rows:
        found.setdefault(modality, {})[encoder] = count
    return found


def made_by_others(sql: sqlite3.Connection, modality: str, encoder: str) -> list[str]:
    """Ids of the items whose vectors this encoder did not make, oldest first."""
    rows = sql.execute(
        f"SELECT id FROM items LEFT JOIN {_made_by(sql)} USING (generation) "
        "WHERE modality = ? AND encoder IS NOT ? ORDER BY key",
        (modality, encoder),
    )
    return [id_ for (id_,) in rows]


def _made_by(sql: sqlite3.Connection) -> str:
    """The table; an empty one where a reader meets the file of an older version."""
    named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'made_by'"
    there = sql.execute(named).fetchone() is not None
    return "made_by" if there else "(SELECT NULL AS generation, NULL AS encoder)"
