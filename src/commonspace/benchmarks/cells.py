"""Finished pieces of a long benchmark, a file each, so that it can be stopped and taken up again.

A piece is known by all that its figures depend on: the settings and rows that the caller names, and
the sources of the library. After a change of any of them it is another piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from commonspace.disk import sha256_bytes, write_json
from commonspace.types import JsonDict

PACKAGE = Path(__file__).parents[1]
ROOMS = ("data", "evaluation", "methods", "networks", "objectives", "quantization", "training")


class Cells:
    """A folder of finished cells.

    Args:
        folder: Where they lie.
        say: Called with a line after each that was computed.
    """

    def __init__(self, folder: str | Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = Path(folder), say

    def path(self, name: str, depends_on: Any) -> Path:
        """Where a cell is kept.

        Args:
            name: For the reader of the folder.
            depends_on: Anything whose ``repr`` tells all that matters beside the sources.
        """
        digest = sha256_bytes(sources().encode(), repr((name, depends_on)).encode())[:16]
        return self.folder / f"{name.replace(' ', '_')}-{digest}.json"

    def get(
        self,
        name: str,
        depends_on: Any,
        compute: Callable[[], JsonDict],
        tell: Callable[[JsonDict], str],
    ) -> JsonDict:
        """Return a cell, computed where it is not there; ``tell`` says what it found in a line."""
        path = self.path(name, depends_on)
        if path.exists():
            found: JsonDict = json.loads(path.read_text(encoding="utf-8"))
            return found
        found = compute()
        write_json(path, found)
        self.say(f"{name}: {tell(found)}")
        return found


@cache
def sources() -> str:
    """Digest of what decides about figures: the rooms below, and the space."""
    files = [PACKAGE / "space.py", *(f for room in ROOMS for f in (PACKAGE / room).rglob("*.py"))]
    return sha256_bytes(*(path.read_bytes() for path in sorted(files)))


def settings(method: Any) -> list[tuple[str, Any]]:
    """Class and arguments of an unfitted method."""
    return [("class", type(method).__name__), *sorted(method.get_params(deep=False).items())]
