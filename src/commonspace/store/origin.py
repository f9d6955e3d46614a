"""Which model made the vectors of a collection, and whether it has changed since."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commonspace.errors import InputError, NotFoundError
from commonspace.store.collection import Collection
from commonspace.store.milvus import is_address
from commonspace.store.models import load
from commonspace.store.versions import model_digests
from commonspace.types import JsonDict

logger = logging.getLogger(__name__)


def model_of(collection: Collection, *, model_folder: str | Path | None = None) -> Any:
    """Load the model behind a collection; it logs a warning where it has changed since.

    Args:
        collection: As `index_dataset` made it.
        model_folder: Where the model is; None looks where a collection in a folder says, first
            relative to it (both may have moved together), then at the absolute path.

    Raises:
        NotFoundError: There is no model at any of these places.
        SpaceMismatchError: The model is of another space.
    """
    if model_folder is not None:
        model = load(model_folder)
    else:
        model = load(_model_folder(collection))
    collection.space.check_same(model.space_, where=f"collection {collection.place}")
    if _has_learned_since(collection, model):
        logger.warning(
            "%s: this model has learned since the vectors were made, which changes them: results "
            "are less good than they could be. Index into a new folder.",
            collection.place,
        )
    return model


def record_model(
    collection: Collection, model: Any, shared: Sequence[str], model_folder: str | Path | None
) -> None:
    """Store who makes the vectors, unless they do not go with those that are there."""
    digests = model_digests(model, shared)
    known = _digests_on_record(collection)
    if _has_learned_since(collection, model):
        raise InputError(
            f"{collection.place}: this model has learned since its vectors were made, which "
            f"changes them all (keeps_vectors of {type(model).__name__} is False). Index into a "
            "new folder, with the items of every modality."
        )
    record: JsonDict = {
        "method": type(model).__name__,
        "space": model.space_.fingerprint,
        "modalities": {**known, **digests},
    }
    # Others who share an address have other folders, and need not know of ours.
    if model_folder is not None and not is_address(collection.place):
        path = Path(model_folder).resolve()
        record["path"] = str(path)
        record["relative"] = os.path.relpath(path, collection.folder.resolve())
    collection.set_metadata("model", {**collection.metadata.get("model", {}), **record})


def _digests_on_record(collection: Collection) -> dict[str, str]:
    digests: dict[str, str] = collection.metadata.get("model", {}).get("modalities", {})
    return digests


def _has_learned_since(collection: Collection, model: Any) -> bool:
    """Whether a model whose vectors change as it learns is not as it was when they were made."""
    if model.keeps_vectors:
        return False
    known = _digests_on_record(collection)
    now = model_digests(model, [name for name in known if name in model.modalities])
    return any(known[name] != digest for name, digest in now.items())


def _model_folder(collection: Collection) -> Path:
    record: JsonDict = collection.metadata.get("model", {})
    places: list[Path] = []
    if "relative" in record:
        places.append((collection.folder / record["relative"]).resolve())
    if "path" in record:
        places.append(Path(record["path"]))
    for place in places:
        if (place / "model.json").is_file():
            return place
    looked = f" There is none at {places[-1]}." if places else ""
    raise NotFoundError(
        f"{collection.place} does not say where its model is.{looked} Name the model's folder "
        "(--model)."
    )
