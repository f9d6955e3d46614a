"""3D models to feature vectors: shape distributions and silhouettes from many sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from commonspace.checks import check_range, require
from commonspace.encoders.settings import SettingsEncoder, as_items, checked_file
from commonspace.encoders.silhouettes import N_MOMENTS, silhouette_moments
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import AnyArray, Float32Array, FloatArray

_MOST_FACES = 5_000_000
_DISTRIBUTIONS = 5


@dataclass(frozen=True)
class ShapeEncoder(SettingsEncoder):
    """Encode 3D models by histograms of distances, angles, areas and volumes, and by silhouettes.

    Points are drawn evenly from the surface, seeded by the settings alone. The shape distributions
    of Osada et al. [1] are histograms of: D1, distance of a point from the centre; D2, distance of
    two points; D3, root of the area of three; D4, cube root of the volume of four; each divided by
    its mean; A3, the angle between three. To them come the silhouettes from the ten pairs of
    opposite corners of a dodecahedron [2], each described by its Zernike moments' magnitudes up to
    order 10, which a turn of the picture leaves alone; their mean and spread over the views.
    Where the model stands, how large it is, and (up to the choice of views) how it is turned makes
    no difference; nor does mirroring.

    Differs from [2]: moments are pooled over views, where the light-field descriptor compares two
    models in the best of all rotations, which a vector cannot; no Fourier coefficients of outlines.

    Attributes:
        points: Drawn from the surface.
        bins: Of each histogram.

    References:
        [1] Osada, Funkhouser, Chazelle, Dobkin. Shape Distributions. ACM Transactions on Graphics
            2002. doi:10.1145/571647.571648
        [2] Chen, Tian, Shen, Ouhyoung. On Visual Similarity Based 3D Model Retrieval. Eurographics
            2003. doi:10.1111/1467-8659.00669
    """

    kind: ClassVar[str] = "mesh-shape"
    version: ClassVar[int] = 1
    modality_kind: ClassVar[MediaKind] = "mesh"

    points: int = 32_768
    bins: int = 32

    def __post_init__(self) -> None:
        check_range("points", self.points, low=1024, high=1 << 20, integer=True)
        check_range("bins", self.bins, low=4, high=1024, integer=True)

    @property
    def dim(self) -> int:
        """Bins of five histograms, and two statistics a moment."""
        return _DISTRIBUTIONS * self.bins + 2 * N_MOMENTS

    def encode(self, items: Sequence[Any]) -> Float32Array:
        """Encode 3D models.

        Args:
            items: Paths of .obj, .off, .stl or .ply files, or anything with ``vertices`` (v, 3)
                and ``faces`` (f, 3), such as a trimesh.Trimesh.

        Returns:
            Shape (n, dim), float32.

        Raises:
            InputError: A file that is missing, empty, too large, no model or damaged (named), or a
                model without a surface.
            MissingExtraError: A file, and the package of the extra "mesh" is not installed.
        """
        models = as_items(items, "models")
        out_ND = np.empty((len(models), self.dim), np.float32)
        for row, model in enumerate(models):
            points = sample_surface(*read_mesh(model), self.points, where=_named(model))
            parts = [shape_distributions(points, self.bins).ravel(), silhouette_moments(points)]
            out_ND[row] = np.concatenate(parts)
        return out_ND


def read_mesh(model: Any) -> tuple[FloatArray, AnyArray]:
    """Return vertices (v, 3) and triangles (f, 3) of a file or a model in memory."""
    if hasattr(model, "vertices") and hasattr(model, "faces"):
        loaded = model
    else:
        loaded = _load(checked_file(model, "mesh"))
    vertices, faces = np.asarray(loaded.vertices, np.float64), np.asarray(loaded.faces)
    where = _named(model)
    shaped = vertices.ndim == faces.ndim == 2 and vertices.shape[1] == faces.shape[1] == 3
    if not shaped or not len(faces) or len(faces) > _MOST_FACES:
        raise InputError(f"{where}: expected 1 to {_MOST_FACES} triangles, got {faces.shape}.")
    if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"{where}: a corner that is not there, or is no finite point.")
    return vertices, faces


def _load(path: Path) -> Any:
    trimesh = require("trimesh", extra="mesh", what="reading 3D models")
    kind = path.suffix.lower().lstrip(".")
    try:
        # From bytes and without a resolver: a model's file may name materials, which stay closed.
        with path.open("rb") as file:
            return trimesh.load(file, file_type=kind, force="mesh", process=False)
    except Exception as error:  # readers of trimesh raise whatever they stumble over
        text = f"{type(error).__name__}: {error}"
        raise InputError(f"mesh {path}: not a 3D model, or damaged ({text:.200}).") from error


def sample_surface(
    vertices: FloatArray, faces: AnyArray, n: int, *, where: str = "mesh", seed: int = 0
) -> FloatArray:
    """Draw points evenly from the surface of triangles, centred, at a mean distance of 1.

    Returns:
        Shape (n, 3). The same triangles give the same points.

    Raises:
        InputError: The surface has no area.
    """
    corners = vertices[faces]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    total = float(areas.sum())
    if not np.isfinite(total) or total <= 0:
        raise InputError(f"{where}: the model has no surface.")
    rng = np.random.default_rng(seed)
    ends = np.cumsum(areas)
    chosen = np.searchsorted(ends, rng.random(n) * ends[-1], side="right").clip(max=len(faces) - 1)
    root, v = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    points = (1 - root) * a[chosen] + root * (1 - v) * b[chosen] + root * v * c[chosen]
    points -= points.mean(axis=0)
    scaled: FloatArray = points / np.linalg.norm(points, axis=1).mean()
    return scaled


def shape_distributions(points: FloatArray, bins: int) -> FloatArray:
    """Histograms D1, D2, D3, D4 and A3 of centred points in random order.

    Returns:
        Shape (5, bins), each row of sum 1. Measures are divided by their mean, and what is over
        three times the mean is in the last bin; angles go from 0 to pi.
    """
    a, b, c, d = points[: len(points) // 4 * 4].reshape(4, -1, 3)
    cross = np.cross(b - a, c - a)
    measures = (
        np.linalg.norm(points, axis=1),
        np.linalg.norm(a - b, axis=1),
        np.sqrt(np.linalg.norm(cross, axis=1) / 2),
        np.cbrt(np.abs(np.einsum("nd,nd->n", cross, d - a)) / 6),
    )
    rows = [_histogram(x / (x.mean() or 1.0), bins, 3.0) for x in measures]
    return np.stack([*rows, _histogram(_angles(a, b, c), bins, np.pi)])


def _angles(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    first, second = a - b, c - b
    across = np.linalg.norm(np.cross(first, second), axis=1)
    angles: FloatArray = np.arctan2(across, np.einsum("nd,nd->n", first, second))
    return angles


def _histogram(x: FloatArray, bins: int, high: float) -> FloatArray:
    # A millionth of a bin to the right: equal measures that differ by rounding fall into one bin.
    at = np.clip(np.floor(x / high * bins + 1e-6).astype(np.int64), 0, bins - 1)
    return np.bincount(at, minlength=bins) / len(x)


def _named(model: Any) -> str:
    return f"mesh {model}" if isinstance(model, str | Path) else "mesh"
