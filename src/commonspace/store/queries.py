"""What a query becomes: a raw item, features or an item that is stored, as a vector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.encoders import Encoder, encoder_class, kept_encoder
from commonspace.errors import CommonspaceError, InputError, NotFoundError
from commonspace.media import MediaKind
from commonspace.store.collection import Collection
from commonspace.store.raw import listed
from commonspace.types import AnyArray, Float32Array, JsonDict


def query_vector(
    model: Any,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    audio: str | Path | None = None,
    video: str | Path | None = None,
    mesh: str | Path | None = None,
    features: Any = None,
    modality: str | None = None,
) -> Float32Array:
    """Bring one query, or several rows of features, into the common space.

    Args:
        model: A fitted method.
        text: A text, encoded as the model's training texts were.
        image: Path of a picture, encoded likewise.
        audio: Path of a sound.
        video: Path of a film.
        mesh: Path of a 3D model.
        features: Instead of these: features of ``modality``, shape (n, n_features) or
            (n_features,).
        modality: Which modality the query is of; None takes the only one that reads such items.

    Returns:
        Shape (n, dim), float32.

    Raises:
        InputError: Not exactly one query; no modality, or several, read such items; or the model
            does not know how this modality's features were made.

    Example:
        >>> from commonspace import SDML
        >>> from commonspace.encoders import HashTextEncoder
        >>> raw = Dataset.from_arrays({"text": np.array(["dog", "cat"])}, labels=["a", "b"])
        >>> data = encode_raw(raw, {"text": HashTextEncoder(dim=64).spec()})
        >>> model = SDML(dim=4, hidden=(8,), epochs=1, validation_fraction=0).fit(data)
        >>> query_vector(model, text="a dog").shape
        (1, 4)
    """
    raw: dict[MediaKind, Any] = {
        "text": text,
        "image": image,
        "audio": audio,
        "video": video,
        "mesh": mesh,
    }
    named = [kind for kind, value in raw.items() if value is not None]
    if len(named) + (features is not None) != 1:
        got = " and ".join([*named, *(["features"] if features is not None else [])]) or "none"
        raise InputError(f"query: expected one of {', '.join(raw)} or features, got {got}.")
    if named:
        modality, encoder = _encoder_for(model, named[0], modality)
        return _brought(model, modality, encoder.encode([raw[named[0]]]))
    if modality is None:
        raise InputError(f"query: name the modality of the features: {listed(model.modalities)}.")
    return _brought(model, modality, np.atleast_2d(np.asarray(features)))


def query_modality(model: Any, raw: Mapping[Any, Any], modality: str | None = None) -> str | None:
    """Return which modality `query_vector` reads a query as; None where nothing says.

    Args:
        model: A fitted method.
        raw: Raw queries by kind, of which one is given, or none.
        modality: What the caller says.
    """
    named = [kind for kind, value in raw.items() if value is not None]
    if modality is not None or not named:
        return modality
    return _encoder_for(model, named[0], None)[0]


def item_vector(collection: Collection, item: str, modality: str | None = None) -> Float32Array:
    """Return the stored vector of an item, shape (1, dim), to search for its like.

    Args:
        collection: Where the item is.
        item: Its id.
        modality: None takes the only modality that has the id.

    Raises:
        NotFoundError: There is no such item.
        InputError: Several modalities have it.
    """
    return collection.vectors([item], modality or item_modality(collection, item))


def item_modality(collection: Collection, item: str) -> str:
    """Return the only modality that has an id.

    Raises:
        NotFoundError: There is no such item.
        InputError: Several modalities have it.
    """
    found = [name for name in collection.modalities if _has(collection, item, name)]
    if not found:
        raise NotFoundError(f"{collection.place}: no item {item!r} in any modality.")
    if len(found) > 1:
        raise InputError(f"item {item!r}: several modalities have it: {listed(found)}. Name one.")
    return found[0]


def _has(collection: Collection, item: str, modality: str) -> bool:
    try:
        return bool(len(collection.payloads([item], modality)))
    except NotFoundError:
        return False


def _brought(model: Any, modality: str, x: AnyArray) -> Float32Array:
    vectors: Float32Array = model.transform(modality, x)
    return vectors


def _encoder_for(model: Any, kind: MediaKind, modality: str | None) -> tuple[str, Encoder]:
    """Return the modality to read a raw query as, and its encoder."""
    if modality is not None:
        model.n_features(modality)
        spec = model.encoders_.get(modality)
        if spec is None:
            raise InputError(
                f"modality {modality!r}: the model does not know which encoder made its features. "
                "Encode the query with it yourself and pass the features (--vector)."
            )
        encoder = kept_encoder(spec)
        if encoder.modality_kind != kind:
            raise InputError(
                f"modality {modality!r}: its encoder {encoder.id} reads {encoder.modality_kind}, "
                f"not {kind}."
            )
        return modality, encoder
    fitting = _readers(model, kind)
    if len(fitting) == 1:
        name, spec = next(iter(fitting.items()))
        return name, kept_encoder(spec)
    if fitting:
        raise InputError(f"{kind}: several modalities read it: {listed([*fitting])}. Name one.")
    raise InputError(
        f"{kind}: no modality of this model ({listed(model.modalities)}) has an encoder on record "
        f"that reads {kind}. Encode the query yourself and pass the features (--vector)."
    )


def _readers(model: Any, kind: MediaKind) -> dict[str, JsonDict]:
    """Encoders on record that read such items, by modality."""
    found: dict[str, JsonDict] = {}
    for name, spec in model.encoders_.items():
        try:
            if spec is not None and encoder_class(spec.get("kind")).modality_kind == kind:
                found[name] = spec
        except CommonspaceError:
            continue  # an encoder of somebody else's that is not installed
    return found
