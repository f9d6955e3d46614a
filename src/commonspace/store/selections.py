"""Which items a search is among: modalities and payload conditions, as keys of the index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from commonspace.store.items import ItemTable
from commonspace.store.where import compile_where
from commonspace.types import IntArray, JsonDict

# Selections remembered until the next write; each holds one integer an item.
_REMEMBERED = 16


class Selections:
    """Keys of the items that conditions hold for, remembered until something is written.

    All its methods are for use within `ItemTable.snapshot`.
    """

    def __init__(self, items: ItemTable) -> None:
        self._items = items
        self._known: dict[str, int] = {}
        self._keys: dict[str, IntArray] = {}
        self._generation = -1

    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        self._forget_old()
        return dict(self._known)

    def condition(self, where: Mapping[str, Any] | None) -> tuple[str, JsonDict]:
        """SQL of conditions, which looks up fields that have an index; see `compile_where`."""
        return compile_where(where, self._indexed(where))

    def keys(self, names: Sequence[str] | None, where: Mapping[str, Any] | None) -> IntArray | None:
        """Keys to search among, in an array that is not to be written to; None for all.

        Args:
            names: Modalities; None for all.
            where: Conditions, see `commonspace.store.conditions`.
        """
        if names is None and not where:
            return None
        self._forget_old()
        if names is not None and not where and set(names) >= self._known.keys():
            return None
        indexed = self._indexed(where)
        condition, values = compile_where(where, indexed)
        # A condition holds the number of an indexed field alone, which may come to be another's.
        chosen = names if names is None else list(names)
        name = json.dumps([chosen, condition, values, sorted(indexed.items())])
        if name not in self._keys:
            if len(self._keys) >= _REMEMBERED:
                self._keys.clear()
            found = self._items.select(names, condition, values)
            found.setflags(write=False)
            self._keys[name] = found
        return self._keys[name]

    def _indexed(self, where: Mapping[str, Any] | None) -> dict[str, int]:
        return self._items.indexed_fields() if where else {}

    def _forget_old(self) -> None:
        """Forget what was remembered of another generation than the snapshot's."""
        generation = self._items.generation()
        if self._generation != generation:
            self._keys, self._known = {}, self._items.modalities()
            self._generation = generation
