"""What every index can do, and what its search answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from commonspace.types import Float32Array, IntArray, JsonDict


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

    kind: str
    dim: int | None

    def __len__(self) -> int: ...

    @property
    def keys(self) -> IntArray:
        """The keys of all rows, ascending."""
        ...

    @property
    def n_dead(self) -> int:
        """Rows that were removed and still take room, until `compacted`."""
        ...

    @property
    def n_trained(self) -> int:
        """Rows that were there when the index learned; 0 for kinds that learn nothing."""
        ...

    @property
    def settings(self) -> JsonDict:
        """What `make_index` makes an empty index like this one from."""
        ...

    def train(self, vectors: Any, labels: Any = None, *, n_items: int | None = None) -> None:
        """Learn from vectors, and give up all rows; kinds that learn nothing do nothing."""
        ...

    def add(self, keys: Any, vectors: Any) -> None:
        """Add rows under keys that are not there yet; a kind that has not learned learns first."""
        ...

    def update(self, keys: Any, vectors: Any) -> None:
        """Put rows in the place of those of the same keys, where there are any."""
        ...

    def remove(self, keys: Any) -> int:
        """Remove the rows of these keys and return how many there were."""
        ...

    def compacted(self) -> Index:
        """Return an index of the same rows without what removed ones left behind."""
        ...

    def search(self, vectors: Any, k: int = 10, *, allowed: Any = None) -> Neighbours:
        """Return the best rows for each query, among the keys ``allowed`` (None: all)."""
        ...

    def write(self, path: Path) -> str:
        """Write the index to a file and return the SHA-256 of it."""
        ...
