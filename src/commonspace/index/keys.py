"""Which key stands at which row of an index."""

from __future__ import annotations

from typing import Any

import numpy as np

from commonspace.checks import as_features
from commonspace.errors import InputError
from commonspace.index.vectors import selector
from commonspace.types import BoolArray, IntArray


class KeyMap:
    """Keys by place (row of FAISS), and places by key.

    Attributes:
        keys: The key of each place, shape (n,).
        dead: Which places hold no item any more, shape (n,).
        n_dead: How many those are.
    """

    def __init__(self, keys: IntArray | None = None, dead: BoolArray | None = None) -> None:
        self.keys: IntArray = np.empty(0, dtype=np.int64) if keys is None else keys
        self.dead: BoolArray = np.zeros(len(self.keys), dtype=bool) if dead is None else dead
        self.n_dead = int(self.dead.sum())
        self._lookup: tuple[IntArray, IntArray] | None = None
        self._asked: tuple[Any, IntArray | None] | None = None
        self._chosen: tuple[IntArray, Any] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_items(self) -> int:
        """Places that hold an item."""
        return len(self.keys) - self.n_dead

    def append(self, keys: IntArray) -> None:
        """Give the next places to keys."""
        self.keys = np.concatenate([self.keys, keys])
        self.dead = np.concatenate([self.dead, np.zeros(len(keys), dtype=bool)])
        self._lookup = self._asked = None

    def bury(self, places: IntArray) -> None:
        """Let places hold no item any more."""
        self.dead[places] = True
        self.n_dead += len(places)
        self._lookup = self._asked = None

    def fill_from_end(self, places: IntArray) -> tuple[IntArray, IntArray]:
        """Drop places: the last ones move into their holes.

        Returns:
            The holes and the places that moved there, for the rows to follow.
        """
        left = len(self) - len(places)
        holes = places[places < left]
        movers: IntArray = np.setdiff1d(np.arange(left, len(self)), places, assume_unique=True)
        self.keys[holes] = self.keys[movers]
        self.keys, self.dead = self.keys[:left].copy(), self.dead[:left]
        self._lookup = self._asked = None
        return holes, movers

    def ascending(self) -> IntArray:
        """The keys of all items, ascending."""
        return self._sorted()[0]

    def places(self, keys: IntArray) -> IntArray:
        """Places of those keys that are there, in the order asked."""
        if not self.n_items:
            return np.empty(0, dtype=np.int64)
        ascending, order = self._sorted()
        at = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
        found: IntArray = order[at[ascending[at] == keys]]
        return found

    def pool(self, allowed: Any) -> IntArray | None:
        """Places of allowed keys, ascending; None if that is all items, or ``allowed`` is None.

        An array that cannot be written to is looked up once, for searches one after another.
        """
        if allowed is None:
            return None
        if self._asked is not None and self._asked[0] is allowed:
            return self._asked[1]
        found: IntArray | None = np.unique(self.places(as_keys(allowed)))
        if found is not None and len(found) == self.n_items:
            found = None
        if isinstance(allowed, np.ndarray) and not allowed.flags.writeable:
            self._asked = allowed, found
        return found

    def selector(self, pool: IntArray) -> Any:
        """FAISS's selector of a pool, made once for one that was looked up once."""
        if self._asked is None or self._asked[1] is not pool:
            return selector(pool, len(self))
        if self._chosen is None or self._chosen[0] is not pool:
            self._chosen = pool, selector(pool, len(self))
        return self._chosen[1]

    def check_new(self, keys: IntArray) -> None:
        """Raise `InputError` if keys repeat or are there already."""
        values, counts = np.unique(keys, return_counts=True)
        if len(values) != len(keys):
            raise InputError(f"keys: {values[counts > 1][0]} stands at more than one row.")
        if self.n_items and len(there := self.places(keys)):
            raise InputError(
                f"keys: {self.keys[there[0]]} is in the index already; remove it first."
            )

    def _sorted(self) -> tuple[IntArray, IntArray]:
        if self._lookup is None:
            live = np.flatnonzero(~self.dead) if self.n_dead else np.arange(len(self))
            keys = self.keys[live] if self.n_dead else self.keys
            if len(keys) > 1 and not (keys[1:] > keys[:-1]).all():
                order = np.argsort(keys, kind="stable")
                keys, live = keys[order], live[order]
            self._lookup = keys, live
        return self._lookup


def as_keys(keys: Any) -> IntArray:
    """Return keys as integers, shape (n,), or raise `InputError`."""
    array = np.asarray(keys)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
        raise InputError(
            f"keys: expected a list of integers, got dtype {array.dtype} and shape {array.shape}."
        )
    return array.astype(np.int64)


def replace(index: Any, keys: Any, vectors: Any) -> None:
    """Put rows in the place of those of the same keys, where there are any."""
    checked = as_keys(keys)
    rows = as_features(vectors, where="vectors to add", n_features=index.dim)
    KeyMap().check_new(checked)
    if len(checked) != len(rows):
        raise InputError(f"keys: expected {len(rows)} (one a vector), got {len(checked)}.")
    index.remove(checked)
    index.add(checked, rows)
