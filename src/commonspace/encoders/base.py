"""What an encoder is, and how one is made again from what a data set or model remembers of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from commonspace.encoders.registry import encoder_class
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import AnyArray, JsonDict


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns raw items of one kind into feature vectors.

    The same item gives the same vector today, next year and in another
    process, so that a query meets what was indexed. One that learned something, such as a
    vocabulary, holds it in its settings. Two encoders whose ids are equal give equal
    features; any change of the features is a new id.
    """

    @property
    def id(self) -> str:
        """Unique name with version and settings, such as ``"text-hash:v1:dim=2048"``."""
        ...

    @property
    def modality_kind(self) -> MediaKind:
        """Which raw items it takes."""
        ...

    @property
    def dim(self) -> int:
        """Features per item."""
        ...

    def encode(self, items: Sequence[Any]) -> AnyArray:
        """Return features of the items, shape (n, dim), float32 (pixels: uint8)."""
        ...

    def spec(self) -> JsonDict:
        """Plain JSON from which `encoder_from_spec` makes an equal encoder."""
        ...


def identity(encoder: Encoder) -> JsonDict:
    """What data sets and models keep of an encoder: its spec and its id.

    Example:
        >>> from commonspace.encoders import HashTextEncoder
        >>> identity(HashTextEncoder(dim=64))["id"]
        'text-hash:v1:dim=64'
    """
    return {**encoder.spec(), "id": encoder.id}


def same_encoder(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two records of encoders are of the same one; ids count where both have one."""
    if "id" in first and "id" in second:
        return bool(first["id"] == second["id"])
    one, other = ({k: v for k, v in record.items() if k != "id"} for record in (first, second))
    return one == other


def fitted_spec(spec: Mapping[str, Any], items: Sequence[Any] | AnyArray) -> JsonDict:
    """Complete the settings of an encoder that learns from training items, such as a vocabulary.

    Args:
        spec: What `encoder_from_spec` reads, or, of an encoder that learns, its kind and the
            settings of its ``fit``. Without a version: the one there is.
        items: Training items, looked at only by an encoder that learns.

    Raises:
        NotFoundError: There is no encoder of that kind.
        InputError: A setting is unknown or out of range, or there is nothing to learn from.

    Example:
        >>> fitted_spec({"kind": "text-bag-of-words", "size": 1}, ["a cat", "a dog"])["words"]
        ['a']
    """
    settings = dict(spec)
    kind = settings.pop("kind", None)
    cls = encoder_class(kind)
    settings.setdefault("version", cls.version)
    learns = hasattr(cls, "fit")
    if not learns or "words" in settings:
        return encoder_from_spec({"kind": kind, **settings}).spec()
    del settings["version"]
    try:
        made: JsonDict = cls.fit(items, **settings).spec()
    except TypeError as error:
        raise InputError(f"encoder {kind!r}: unknown settings in {settings!r}.") from error
    return made


def encoder_from_spec(spec: Mapping[str, Any]) -> Encoder:
    """Make the encoder that a `Encoder.spec` describes.

    Args:
        spec: A mapping with ``"kind"``, ``"version"`` and the settings of that kind; with an
            ``"id"`` (see `identity`), the encoder must have that id.

    Raises:
        NotFoundError: There is no encoder of that kind.
        InputError: The version is not the one this library has, a setting is unknown, or the
            encoder is not the one that was recorded: other weights, for example.

    Example:
        >>> encoder_from_spec({"kind": "text-hash", "version": 1, "dim": 512}).id
        'text-hash:v1:dim=512'
    """
    settings = dict(spec)
    kind, version = settings.pop("kind", None), settings.pop("version", None)
    recorded = settings.pop("id", None)
    maker = encoder_class(kind)
    if version != maker.version:
        raise InputError(
            f"encoder {kind!r}: expected version {maker.version}, got {version!r}. These features "
            "were made by another version of commonspace: encode the raw items again."
        )
    try:
        made: Encoder = maker(**settings)
    except TypeError as error:
        raise InputError(f"encoder {kind!r}: unknown settings in {settings!r}.") from error
    if recorded is not None and recorded != made.id:
        raise InputError(
            f"encoder {kind!r}: expected {recorded}, as on record, got {made.id}. Install what "
            "made the features, or encode the raw items again."
        )
    return made


def kept_encoder(spec: Mapping[str, Any]) -> Encoder:
    """Return what `encoder_from_spec` does, made once a process: networks take seconds to load."""
    return _kept(json.dumps(dict(spec), sort_keys=True))


@lru_cache(maxsize=8)
def _kept(spec: str) -> Encoder:
    return encoder_from_spec(json.loads(spec))
