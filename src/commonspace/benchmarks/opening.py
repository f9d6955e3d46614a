"""How long a collection takes to open, up to its first answer, and how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from commonspace.benchmarks.rss import OPEN_PROGRAM
from commonspace.errors import NotFoundError
from commonspace.machine import describe_machine
from commonspace.store.collection import Collection
from commonspace.store.inputs import TRUTH
from commonspace.types import JsonDict


def bench_open(folder: str | Path) -> JsonDict:
    """Open a collection in fresh processes: as it is, and as if its index were deleted.

    Nothing is written to the folder.

    Returns:
        The form of all benchmarks. Rows have "seconds" and "cpu_seconds" from the opening to the
        first answer, "peak_bytes" of the process, and "own_bytes": what of it the process does not
        share with others that read the same files.

    Raises:
        NotFoundError: The folder is not a collection.
    """
    path = Path(folder)
    with Collection.open(path, read_only=True) as items:
        index, dim = items.index, items.space.dim
    rows = [
        {"kind": index["kind"], "items": index["items"], "dim": dim, "index": name, **cells}
        for name, cells in (("there", opened(path)), ("deleted", opened_without_index(path)))
    ]
    ratio = rows[1]["cpu_seconds"] / rows[0]["cpu_seconds"]
    return {
        "bench": "open",
        "machine": describe_machine(),
        "rows": rows,
        "ratios": {"CPU seconds without the index over with it": ratio},
    }


def opened(folder: Path) -> JsonDict:
    """Seconds and bytes of a process that opens a collection and asks it something."""
    command = [sys.executable, "-c", OPEN_PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: JsonDict = json.loads(done.stdout)
    return {key: round(value, 3) for key, value in found.items()}


def opened_without_index(folder: Path) -> JsonDict:
    """The same of one that finds the items and no index, which it makes in its memory."""
    truth = (folder / TRUTH).resolve()
    if not truth.is_file():
        raise NotFoundError(f"{folder} is not a collection: it has no {TRUTH}.")
    with TemporaryDirectory() as place:
        (Path(place) / TRUTH).symlink_to(truth)
        return opened(Path(place))
