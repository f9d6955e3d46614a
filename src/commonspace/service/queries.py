"""From the parts of a query to one vector of the common space, and what that is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Query:
    """What is searched by.

    Attributes:
        vectors: Shape (n, dim).
        modality: What they are of; None where nothing says, or several are mixed.
    """

    vectors: Float32Array
    modality: str | None


def query_of(
    version: Version, parts: Sequence[Part], files: Sequence[bytes], limits: Limits
) -> Query:
    """Return the query of several parts: each at unit length, weighted, summed.

    A single part is its vector as it is, so that scores are those of the library.

    Args:
        version: The collection and its model.
        parts: At least one.
        files: Uploads that parts speak of by their place.
        limits: Of pictures.

    Raises:
        InputError: A part does not fit, or they cancel out.
        NotFoundError: An item or modality is not there.
    """
    queries = [_query(version, part, files, limits) for part in parts]
    if len(parts) == 1 and parts[0].weight > 0:
        return queries[0]
    weighted = [p.weight * _unit(q.vectors) for p, q in zip(parts, queries, strict=True)]
    total = np.sum(weighted, axis=0)
    if np.linalg.norm(total) < _SHORTEST:
        raise InputError("query: its parts cancel out. Change their weights.")
    return Query(np.asarray(total, np.float32), None)


def file_query(
    version: Version, place: int, files: Sequence[bytes], modality: str | None, limits: Limits
) -> Query:
    """Return the query by an uploaded file.

    Raises:
        Refused: A file that is not known here, or one that is too large.
        InputError: No such upload, damaged, or no modality reads such files.
    """
    where = f"file {place}"
    if place >= len(files):
        raise InputError(f"{where}: there are {len(files)} uploads, numbered from 0.")
    kind = kind_of(files[place], where=where)
    if kind == "image":
        picture = open_picture(files[place], limits, where=where)
        return _encoded(version, {kind: picture}, modality)
    with stored(files[place], where=where) as path:
        return _encoded(version, {kind: path}, modality)


def _query(version: Version, part: Part, files: Sequence[bytes], limits: Limits) -> Query:
    if part.vector is not None:
        dim = version.collection.space.dim
        rows = as_features([part.vector], where="query vector", n_features=dim)
        return Query(rows, part.modality)
    from commonspace.store.pipelines import item_modality, item_vector, query_vector

    if part.item is not None:
        modality = part.modality or item_modality(version.collection, part.item)
        return Query(item_vector(version.collection, part.item, modality), modality)
    if part.file is not None:
        return file_query(version, part.file, files, part.modality, limits)
    if part.features is not None:
        x = np.array([part.features], np.float32)
        return Query(query_vector(version.model, features=x, modality=part.modality), part.modality)
    return _encoded(version, {"text": part.text}, part.modality)


def _encoded(version: Version, raw: Mapping[str, Any], modality: str | None) -> Query:
    """A raw query, as the modality that is named or the only one that reads such."""
    from commonspace.store.pipelines import query_modality, query_vector

    of = query_modality(version.model, raw, modality)
    return Query(query_vector(version.model, **raw, modality=of), of)


def _unit(vector: Float32Array) -> Float32Array:
    length = float(np.linalg.norm(vector))
    return vector if length == 0 else np.asarray(vector / length, np.float32)
