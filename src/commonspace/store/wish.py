"""What index a collection asks for, as the truth records it; and what that means for its items."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from commonspace.checks import check_range
from commonspace.errors import InputError, StorageError
from commonspace.index import (
    MOST_READ,
    Index,
    IVFIndex,
    Wish,
    bytes_per_item,
    choose,
    make_index,
)
from commonspace.quantization import Quantizer
from commonspace.types import JsonDict

# Kinds that learn have nothing to learn from fewer items, and a scan of those takes no time.
LEAST_ITEMS = 1000
# An index is made again when it holds so many times the items that it learned from,
_GROWTH = 4
# or when so large a share of its slots is empty.
_DEAD_SHARE = 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexWish:
    """Which index a collection should have.

    Attributes:
        kind: Among `commonspace.index.KINDS`, or "auto".
        memory: Bytes that it may take; None sets no bound. Of use to "auto" only.
        recall: Share of true neighbours to find; None leaves the effort of a named kind alone.
        options: Of the kind.
        quantizer: What makes the codes of "codes" and "codes4"; None learns from the items.
    """

    kind: str = "auto"
    memory: int | None = None
    recall: float | None = None
    options: JsonDict = field(default_factory=dict)
    quantizer: Quantizer | None = None

    def check(self, dim: int) -> None:
        """Raise `InputError` or `NotFoundError` for what could not be made."""
        if self.recall is not None:
            check_range("recall", self.recall, low=0, high=1)
        if self.memory is not None:
            check_range("memory", self.memory, low=1, integer=True)
        if self.quantizer is not None:
            if self.kind not in ("codes", "codes4"):
                raise InputError(
                    f"quantizer: only the kinds 'codes' and 'codes4' have one, got {self.kind!r}."
                )
            if self.quantizer.dim != dim:
                raise InputError(
                    f"quantizer: expected one of {dim} dimensions, got {self.quantizer.dim}."
                )
        if self.kind == "auto":
            choose(self._for(0, dim))
        else:
            make_index(self.kind, dim=dim, **self._options(self.kind))

    def plan(self, n_items: int, dim: int, lists_lost: int = 0) -> tuple[str, JsonDict]:
        """The kind and options for so many items.

        Args:
            n_items: How many.
            dim: Width of the vectors.
            lists_lost: Items at which `lists_lose` was found; "auto" tries lists again when they
                are four times as many.
        """
        if self.kind != "auto":
            learns = self.kind not in ("exact", "hnsw")
            return ("exact", {}) if learns and n_items < LEAST_ITEMS else (self.kind, self.options)
        try:
            kind, options = choose(self._for(n_items, dim))
        except InputError:
            kind, options = "codes4", {"bits": 16}
        if kind == "ivf" and n_items <= _GROWTH * lists_lost:
            return "exact", {}
        return ("exact", {}) if n_items < LEAST_ITEMS else (kind, options)

    def make(self, n_items: int, dim: int) -> Index:
        """An empty index for so many items."""
        kind, options = self.plan(n_items, dim)
        needed = n_items * bytes_per_item(kind, dim, options)
        if self.memory is not None and needed > self.memory:
            _log.warning("the index takes %d bytes, %d were allowed", needed, self.memory)
        return make_index(kind, dim=dim, **{**options, **self._quantizer_for(kind)})

    def wanted_recall(self) -> float | None:
        """What effort is to be tuned to."""
        return 0.95 if self.recall is None and self.kind == "auto" else self.recall

    def lists_lose(self, index: Index, queries: Any) -> bool:
        """Whether "auto" took lists, and queries have to read so much of them that exact wins."""
        if self.kind != "auto" or not isinstance(index, IVFIndex):
            return False
        return index.share_read(queries) > MOST_READ

    def outgrown(self, index: Index, dim: int, lists_lost: int = 0) -> bool:
        """Whether an index should be made again for the items it has; see `plan`."""
        n = len(index)
        if index.n_dead > max(LEAST_ITEMS, _DEAD_SHARE * (n + index.n_dead)):
            return True
        learned = index.n_trained if self.quantizer is None else 0
        if learned and n > _GROWTH * learned:
            return True
        # A little above and below, or an index near a border would be made again and again.
        sizes = (n, int(0.8 * n), int(1.25 * n))
        return not any(_is(index, *self.plan(size, dim, lists_lost)) for size in sizes)

    def stored(self) -> JsonDict:
        """As rows of the collection's meta."""
        values: JsonDict = {
            "index": json.dumps(
                {
                    "kind": self.kind,
                    "memory": self.memory,
                    "recall": self.recall,
                    "options": self.options,
                }
            )
        }
        state = b""
        if self.quantizer is not None:
            beam = np.array([self.quantizer.beam])
            state = save_tensors({**self.quantizer.state(), "beam": beam})
        return {**values, "quantizer": state}

    @classmethod
    def restored(cls, content: str | None, state: bytes | None) -> IndexWish:
        """What `stored` wrote; a collection from before it was recorded is searched exactly."""
        if content is None:
            return cls("exact")
        try:
            values = json.loads(content)
            return cls(**values, quantizer=_restored(state) if state else None)
        except (ValueError, TypeError, KeyError, InputError) as error:
            raise StorageError(f"the recorded index settings are damaged: {error}.") from error

    def _for(self, n_items: int, dim: int) -> Wish:
        recall = 0.95 if self.recall is None else self.recall
        return Wish(n_items, dim, self.memory, recall, "cosine", self.options)

    def _options(self, kind: str) -> JsonDict:
        return {**self.options, **self._quantizer_for(kind)}

    def _quantizer_for(self, kind: str) -> JsonDict:
        return {"quantizer": self.quantizer} if self.quantizer and kind == self.kind else {}


def _restored(state: bytes) -> Quantizer:
    arrays = load_tensors(state)
    n_words, entries, _ = arrays["D"].shape
    per_word = entries.bit_length() - 1
    quantizer = Quantizer(n_words * per_word, per_word, beam=int(arrays["beam"][0]))
    return quantizer.restore(arrays)


def _is(index: Index, kind: str, options: JsonDict) -> bool:
    settings: dict[str, Any] = index.settings
    return settings["kind"] == kind and all(
        settings[name] == value for name, value in options.items() if name in settings
    )
