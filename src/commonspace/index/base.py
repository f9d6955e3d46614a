"""What every index can do, and what its search answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from commonspace.types import Float32Array, IntArray


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The best rows for each query, best first.

    Attributes:
        keys: Keys as given to ``add``, shape (n_queries, k), int64.
        scores: Larger is better whatever the metric, shape (n_queries, k), float32.
    """

    keys: IntArray
    scores: Float32Array


class Index(Protocol):
    """Search over vectors under integer keys: exact first, approximate behind the same methods."""

    def __len__(self) -> int: ...

    def add(self, keys: Any, vectors: Any) -> None:
        """Add rows under keys that are not there yet."""
        ...

    def remove(self, keys: Any) -> int:
        """Remove the rows of these keys and return how many there were."""
        ...

    def search(self, vectors: Any, k: int = 10, *, allowed: Any = None) -> Neighbours:
        """Return the best rows for each query, among the keys ``allowed`` (None: all)."""
        ...

    def write(self, path: Path) -> str:
        """Write the index to a file and return the SHA-256 of it."""
        ...
