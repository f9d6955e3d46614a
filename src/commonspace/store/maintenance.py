"""Looking after a collection: its index, copies of it, and whether it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from commonspace.quantization import Quantizer
from commonspace.store.handle import Handle
from commonspace.store.matching import MatchCalibration
from commonspace.store.wish import IndexWish
from commonspace.types import JsonDict

_CALIBRATION = "calibration"


class Maintained(Handle):
    """An open collection that can be looked after."""

    _calibrated: tuple[str | None, MatchCalibration | None] = (None, None)

    @property
    def index(self) -> JsonDict:
        """The search index there is now: its kind, settings, items and empty slots."""
        with self._reading():
            return self._engine.describe_index()

    def set_index(
        self,
        kind: str = "auto",
        *,
        memory: int | None = None,
        recall: float | None = None,
        quantizer: Quantizer | None = None,
        **options: Any,
    ) -> None:
        """Record another wish for the index, see `create`, and make that index."""
        wish = IndexWish(kind, memory, recall, options, quantizer)
        with self._writing():
            self._engine.set_index(wish)
        self.compact()

    def create_index(self, field: str) -> None:
        """Keep the values of a payload field looked up, for filters that select few items.

        Costs about as much room as the values themselves, and time with every item added.

        Args:
            field: As in ``where``, such as "lang" or "shop.city".
        """
        with self._writing():
            self._engine.index_field(field)

    def drop_index(self, field: str) -> None:
        """Forget what `create_index` made; filters on the field read payloads again."""
        with self._writing():
            self._engine.index_field(field, drop=True)

    @property
    def indexed_fields(self) -> list[str]:
        """Payload fields that have an index, as JSON paths."""
        with self._reading():
            return self._engine.indexed_fields()

    def calibrate(self, calibration: MatchCalibration | None) -> None:
        """Store how probable a match is at which cosine; searches rank by it where it is known.

        Args:
            calibration: Such as ``MatchCalibration.fit(model, data["valid"])``; None forgets it.
        """
        value = None if calibration is None else calibration.to_dict()
        with self._writing():
            self._items.set_metadata(_CALIBRATION, json.dumps(value))

    @property
    def calibration(self) -> MatchCalibration | None:
        """What `calibrate` stored."""
        with self._reading():
            return self._calibration()

    def compact(self, *, wait: bool = True) -> None:
        """Make the search index again, of the items there are, without what deleted ones left.

        Searches and writes go on meanwhile; the new index takes over when it is done. This
        happens by itself when a quarter of the index is empty, or it has outgrown its kind.

        Args:
            wait: Return when it is done, not when it has begun.
        """
        with self._writing():
            done = self._engine.compact()
        if wait:
            done()
            with self._reading():
                self._engine.describe_index()  # which takes the new one over

    def flush(self) -> None:
        """Write the search index beside the items, so that the next open need not make it.

        An index that is outgrown is made again first.
        """
        with self._writing():
            outgrown = self._engine.outgrown()
        if outgrown:
            self.compact()
        with self._writing():
            self._engine.flush()

    def snapshot(self, folder: str | Path) -> None:
        """Write a copy of the collection as it is now to a new folder, which is whole or absent.

        Raises:
            StorageError: The folder is there already, or cannot be written.
        """
        with self._mutex:
            self._check_open()
            self._engine.snapshot(Path(folder))

    def verify(self) -> list[str]:
        """Look for damage, see `check_collection`; one sentence a problem."""
        with self._mutex:
            self._check_open()
        return self._engine.verify()

    def _calibration(self) -> MatchCalibration | None:
        """As the truth has it now, read again only where it has changed."""
        text = self._items.metadata_text(_CALIBRATION)
        if self._calibrated[0] != text:
            content = None if text is None else json.loads(text)
            known = None if content is None else MatchCalibration.from_dict(content)
            self._calibrated = (text, known)
        return self._calibrated[1]
