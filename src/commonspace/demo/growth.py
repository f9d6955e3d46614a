"""Teach a model one more language, and prove that nothing that was there has changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonspace.data import Dataset, Splits
from commonspace.demo.emoji import EmojiRaw
from commonspace.demo.scores import PICTURE
from commonspace.disk import sha256_bytes
from commonspace.store.collection import Collection
from commonspace.store.models import save
from commonspace.store.pipelines import modality_digests
from commonspace.training import Run
from commonspace.types import JsonDict


@dataclass(frozen=True)
class Seal:
    """SHA-256 of what is stored, by modality.

    Attributes:
        weights: Of the model's file, as read from disk.
        vectors: Of all stored vectors, in the order of their ids.
        n_vectors: How many vectors were read.
    """

    weights: dict[str, str]
    vectors: dict[str, str]
    n_vectors: int

    @classmethod
    def of(cls, model_folder: Path, collection: Collection, data: Splits) -> Seal:
        """Read the files and the vectors of all modalities that are stored."""
        vectors, count = {}, 0
        for name in collection.modalities:
            ids = [item for part in data.values() for item in part[name].items.tolist()]
            vectors[name] = sha256_bytes(collection.vectors(ids, name).astype("<f4").tobytes())
            count += len(ids)
        return cls(modality_digests(model_folder), vectors, count)

    def kept_by(self, later: Seal) -> bool:
        """Whether everything sealed here is there later, byte for byte."""
        return all(
            old.items() <= new.items()
            for old, new in ((self.weights, later.weights), (self.vectors, later.vectors))
        )

    def to_dict(self) -> JsonDict:
        """Return the digests for JSON."""
        return {"weights": self.weights, "vectors": self.vectors, "n_vectors": self.n_vectors}


@dataclass(frozen=True)
class Growth:
    """What adding a language took, and the seals before and after."""

    before: Seal
    after: Seal
    seconds: float

    @property
    def unchanged(self) -> bool:
        """Whether model files and vectors that were there are the same to the byte."""
        return self.before.kept_by(self.after)


def add_language(
    model: Any,
    data: Splits,
    raw: EmojiRaw,
    modality: str,
    folder: Path,
    items: Collection,
    run: Run,
) -> Growth:
    """Fit one more modality, store it, and add its items to the collection."""
    before = Seal.of(folder, items, data)
    start = time.perf_counter()
    fit_one_more(model, data, modality, run)
    seconds = round(time.perf_counter() - start, 2)
    save(model, folder)
    add_items(items, model, data.select([modality]), raw)
    return Growth(before, Seal.of(folder, items, data), seconds)


def fit_one_more(model: Any, data: Splits, modality: str, run: Run) -> None:
    """Fit a modality of the data set onto a fitted model."""
    train, valid = data["train"][modality], data["valid"][modality]
    model.fit_modality(
        modality,
        train.x,
        train.labels,
        items=train.items,
        valid=(valid.x, valid.labels),
        encoder=train.encoder,
        run=run,
    )


def add_items(items: Collection, model: Any, data: Splits, raw: EmojiRaw) -> None:
    """Store the vectors of every split with what a reader wants to see of each item."""
    rows = {item: row for row, item in enumerate(raw.ids)}
    for split, part in data.items():
        for name, vectors in transform_all(model, part).items():
            ids = part[name].items.tolist()
            payloads = [_payload(raw, rows[item], name, split) for item in ids]
            items.add(ids, vectors, modality=name, payloads=payloads, space=model.space_)


def transform_all(model: Any, data: Dataset) -> Mapping[str, Any]:
    """Return the vectors of every modality, rows as in the data."""
    return {name: model.transform(name, part.x) for name, part in data.items()}


def _payload(raw: EmojiRaw, row: int, modality: str, split: str) -> JsonDict:
    language = "en" if modality == PICTURE else modality.removeprefix("text_")
    return {
        "text": raw.names[language][row],
        "character": raw.characters[row],
        "classes": [raw.classes[raw.labels[row]]],
        "subgroup": raw.subgroups[row],
        "split": split,
    }
