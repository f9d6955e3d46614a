"""From the parts of a query to one vector of the common space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from commonspace.checks import as_features
from commonspace.errors import InputError
from commonspace.service.limits import Limits
from commonspace.service.schema import Part
from commonspace.service.uploads import kind_of, open_picture, stored
from commonspace.types import Float32Array

if TYPE_CHECKING:
    from commonspace.service.lifecycle import Version

# A sum this short has no direction worth searching by.
_SHORTEST = 1e-6


def mixed_vector(
    version: Version, parts: Sequence[Part], files: Sequence[bytes], limits: Limits
) -> Float32Array:
    """Return the query of several parts: each at unit length, weighted, summed.

    A single part of weight 1 is its vector as it is, so that scores are those of the library.

    Args:
        version: The collection and its model.
        parts: At least one.
        files: Uploads that parts speak of by their place.
        limits: Of pictures.

    Returns:
        Shape (1, dim).

    Raises:
        InputError: A part does not fit, or they cancel out.
        NotFoundError: An item or modality is not there.
    """
    vectors = [_vector(version, part, files, limits) for part in parts]
    if len(parts) == 1 and parts[0].weight == 1:
        return vectors[0]
    weighted = [part.weight * _unit(v) for part, v in zip(parts, vectors, strict=True)]
    total = np.sum(weighted, axis=0)
    if np.linalg.norm(total) < _SHORTEST:
        raise InputError("query: its parts cancel out. Change their weights.")
    return np.asarray(total, np.float32)


def file_vector(
    version: Version, place: int, files: Sequence[bytes], modality: str | None, limits: Limits
) -> Float32Array:
    """Return the vector of an uploaded file, shape (1, dim).

    Raises:
        Refused: A file that is not known here, or one that is too large.
        InputError: No such upload, damaged, or no modality reads such files.
    """
    from commonspace.store.pipelines import query_vector

    where = f"file {place}"
    if place >= len(files):
        raise InputError(f"{where}: there are {len(files)} uploads, numbered from 0.")
    kind = kind_of(files[place], where=where)
    if kind == "image":
        picture: Any = open_picture(files[place], limits, where=where)
        return query_vector(version.model, image=picture, modality=modality)
    with stored(files[place], where=where) as path:
        raw: dict[str, Any] = {kind: path}
        return query_vector(version.model, **raw, modality=modality)


def _vector(version: Version, part: Part, files: Sequence[bytes], limits: Limits) -> Float32Array:
    if part.vector is not None:
        dim = version.collection.space.dim
        return as_features([part.vector], where="query vector", n_features=dim)
    from commonspace.store.pipelines import item_vector, query_vector

    if part.item is not None:
        return item_vector(version.collection, part.item, part.modality)
    if part.file is not None:
        return file_vector(version, part.file, files, part.modality, limits)
    raw: dict[str, Any] = {"text": part.text}
    if part.features is not None:
        raw = {"features": np.array([part.features], np.float32)}
    return query_vector(version.model, **raw, modality=part.modality)


def _unit(vector: Float32Array) -> Float32Array:
    length = float(np.linalg.norm(vector))
    return vector if length == 0 else np.asarray(vector / length, np.float32)
