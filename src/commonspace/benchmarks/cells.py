"""Finished pieces of a long benchmark, a file each, so that it can be stopped and taken up again.

A piece is known by all that its figures depend on: the settings and rows that the caller names, and
the sources that its code runs through. After a change of any of them it is another piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from commonspace.benchmarks.sources import digest_of
from commonspace.disk import sha256_bytes, write_json
from commonspace.types import JsonDict


class Cells:
    """A folder of finished cells.

    Args:
        folder: Where they lie.
        say: Called with a line after each that was computed.
    """

    def __init__(self, folder: str | Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = Path(folder), say

    def path(self, name: str, depends_on: Any, uses: Iterable[Any]) -> Path:
        """Where a cell is kept; see `get`."""
        digest = sha256_bytes(digest_of(*uses).encode(), repr((name, depends_on)).encode())[:16]
        return self.folder / f"{name.replace(' ', '_')}-{digest}.json"

    def get(
        self,
        name: str,
        depends_on: Any,
        compute: Callable[[], JsonDict],
        tell: Callable[[JsonDict], str],
        *,
        uses: Iterable[Any],
    ) -> JsonDict:
        """Return a cell, computed where it is not there.

        Args:
            name: For the reader of the folder.
            depends_on: Anything whose ``repr`` tells all that matters beside the sources.
            compute: Makes the cell.
            tell: Says in a line what was found.
            uses: Classes and functions that compute it: where their sources, or those of anything
                they import, have changed, it is computed again.
        """
        path = self.path(name, depends_on, uses)
        if path.exists():
            found: JsonDict = json.loads(path.read_text(encoding="utf-8"))
            return found
        found = compute()
        write_json(path, found)
        self.say(f"{name}: {tell(found)}")
        return found


def settings(method: Any) -> list[tuple[str, Any]]:
    """Class and arguments of an unfitted method."""
    return [("class", type(method).__name__), *sorted(method.get_params(deep=False).items())]
