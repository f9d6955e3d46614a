"""Make the vectors again that an older version of an encoder made, from the items themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.checks import check_range
from commonspace.data import Dataset, Modality, Splits
from commonspace.errors import InputError
from commonspace.store.collection import Collection
from commonspace.store.pipelines import encode_raw
from commonspace.store.versions import model_digests
from commonspace.types import JsonDict

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reencoded:
    """What was made again.

    Attributes:
        made: Items by modality.
        left: Ids by modality of the stale items that the data do not have.
    """

    made: dict[str, int]
    left: dict[str, list[str]]

    def to_dict(self) -> JsonDict:
        """Return counts for JSON."""
        return {"made": self.made, "left": {name: len(ids) for name, ids in self.left.items()}}


def reencode(
    collection: Collection,
    model: Any,
    splits: Splits,
    *,
    batch: int = 1024,
    progress: Progress = lambda done, total: None,
) -> Reencoded:
    """Make the stale vectors of a collection again; payloads stay as they are.

    Durable batch by batch: called again after it was cut off, it goes on with what is left. Items
    that are not in the data keep their vectors, which stay comparable.

    Args:
        collection: Open for writing.
        model: Of its space, with the newer encoders.
        splits: Features or raw items by id.
        batch: Items a transaction.
        progress: Called with the items done and their total, at first and after every batch.

    Raises:
        InputError: The model changes all vectors when it learns (``keeps_vectors`` is False), so
            that making some again would not do.
        SpaceMismatchError: The model is of another space.
    """
    check_range("batch", batch, low=1, integer=True)
    stale = collection.stale(model)
    digests = model_digests(model, stale)
    if stale and not model.keeps_vectors:
        raise InputError(
            f"{collection.place}: {type(model).__name__} changes all vectors when it learns "
            "(keeps_vectors is False). Index every item into a new folder."
        )
    parts = [(name, *found) for name, ids in stale.items() for found in _rows(splits, name, ids)]
    total, done = sum(len(rows) for *_, rows in parts), 0
    made: dict[str, int] = {}
    progress(done, total)
    for name, part, rows in parts:
        for at in range(0, len(rows), batch):
            some = part.take(rows[at : at + batch])
            inputs = encode_raw(Dataset({name: some}, some.labels.classes), model.encoders_)
            collection.add(
                some.items,
                model.transform(name, inputs.x(name)),
                modality=name,
                payloads=collection.payloads(some.items, name),
                encoder=digests[name],
            )
            made[name] = made.get(name, 0) + len(some)
            done += len(some)
            progress(done, total)
    return Reencoded(made, collection.stale(model))


def _rows(splits: Splits, name: str, ids: Sequence[str]) -> Iterator[tuple[Modality, Any]]:
    """Rows of the data that have these ids, each id once."""
    left = np.array(ids, dtype=np.str_)
    for data in splits.values():
        if name in data and len(left):
            items = data[name].items
            yield data[name], np.flatnonzero(np.isin(items, left))
            left = np.setdiff1d(left, items)
