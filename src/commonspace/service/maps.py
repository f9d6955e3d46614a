"""A map of a collection: some of its items as points of the plane, made once and stored beside it.

``map.json`` is derived from the items and can be deleted at any time; a map of an older state shows
what was there then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import numpy as np

from commonspace.checks import check_one_of, check_range, require
from commonspace.disk import read_json, write_json
from commonspace.errors import InputError
from commonspace.store.sampling import Sample, sample_items
from commonspace.types import Float32Array, FloatArray, JsonDict

FILE = "map.json"
MOST_POINTS = 20_000
Projection = Literal["pca", "tsne", "umap"]

_KIND = "commonspace-map"
_VERSION = 1
_DECIMALS = 4
_SHOWN = 120  # characters of a point's text
_PROJECTIONS = ("pca", "tsne", "umap")


def write_map(
    folder: str | Path,
    *,
    points: int = 2000,
    projection: Projection = "pca",
    seed: int = 0,
) -> JsonDict:
    """Draw a map of a collection and store it as ``map.json`` in its folder.

    Vectors are brought to unit length, as search compares them.

    Args:
        folder: A collection; somebody may be writing to it.
        points: Items drawn at most, up to 20,000.
        projection: "pca" keeps what can be kept of distances by a linear map; "tsne" and "umap"
            (which needs umap-learn) keep neighbourhoods.
        seed: Which items, and of the projection.

    Returns:
        What was stored.

    Raises:
        NotFoundError: The folder is not a collection.
        InputError: It has fewer than three items.
    """
    check_range("points", points, low=3, high=MOST_POINTS, integer=True)
    check_one_of("projection", projection, _PROJECTIONS)
    sample = sample_items(folder, points, seed=seed)
    if len(sample) < 3:
        raise InputError(f"{folder}: a map needs three items, there are {len(sample)}.")
    xy, kept = _project(_unit(sample.vectors), projection, seed)
    content: JsonDict = {
        "kind": _KIND,
        "format_version": _VERSION,
        "projection": projection,
        "kept_variance": kept,
        "items": sample.total,
        "space": sample.space,
        "points": _points(sample, xy),
    }
    write_json(Path(folder) / FILE, content)
    return content


def read_map(folder: str | Path) -> JsonDict | None:
    """Return the map of a collection; None if there is none.

    Raises:
        StorageError: It is damaged, or of a newer format.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    return read_json(path, kind=_KIND, max_version=_VERSION)


def _project(
    z_NE: Float32Array, projection: Projection, seed: int
) -> tuple[FloatArray, float | None]:
    """Coordinates in [-1, 1], shape (n, 2), and what part of the variance they keep."""
    from sklearn.decomposition import PCA

    kept: float | None = None
    if projection == "umap":
        umap = require("umap", extra="map", what="a map by UMAP")
        xy = umap.UMAP(n_components=2, metric="cosine", random_state=seed).fit_transform(z_NE)
    elif projection == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(z_NE) - 1) / 3)
        xy = TSNE(2, perplexity=perplexity, init="random", random_state=seed).fit_transform(z_NE)
    else:
        pca = PCA(min(2, z_NE.shape[1]), random_state=seed)
        with np.errstate(invalid="ignore"):  # of points that are all in one place
            xy = pca.fit_transform(z_NE.astype(np.float64))
        kept = _finite(float(pca.explained_variance_ratio_.sum()))
    xy = np.asarray(xy, np.float64)
    flat = np.zeros((len(xy), 2))
    flat[:, : xy.shape[1]] = xy - (xy.max(axis=0) + xy.min(axis=0)) / 2
    return flat / max(float(np.abs(flat).max()), 1e-12), kept


def _points(sample: Sample, xy: FloatArray) -> JsonDict:
    """Columns, which take a third of the room of rows."""
    classes = sample.classes()
    names = sorted({name for found in classes for name in found})
    number = {name: place for place, name in enumerate(names)}
    return {
        "ids": sample.ids,
        "modalities": sample.modalities,
        "x": np.round(xy[:, 0], _DECIMALS).tolist(),
        "y": np.round(xy[:, 1], _DECIMALS).tolist(),
        "class_names": names,
        "classes": [number[found[0]] if found else None for found in classes],
        "labels": [_label(payload) for payload in sample.payloads],
    }


def _label(payload: JsonDict) -> str | None:
    text = payload.get("text")
    return text[:_SHOWN] if isinstance(text, str) else None


def _unit(z_NE: Float32Array) -> Float32Array:
    length = np.linalg.norm(z_NE, axis=1, keepdims=True)
    return cast(Float32Array, z_NE / np.where(length > 0, length, 1))


def _finite(value: float) -> float | None:
    """All points in one place have no variance to keep."""
    return round(value, _DECIMALS) if np.isfinite(value) else None
