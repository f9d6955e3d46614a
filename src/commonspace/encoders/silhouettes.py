"""Silhouettes of a cloud of points from many sides, and their Zernike moments."""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np

from commonspace.types import AnyArray, FloatArray

_SIDE = 64  # pixels of a silhouette
_ORDER = 10
_PAIRS = [(n, m) for n in range(_ORDER + 1) for m in range(n % 2, n + 1, 2)]
N_MOMENTS = len(_PAIRS)


def silhouette_moments(points: FloatArray) -> FloatArray:
    """Mean and spread over the views of the moments of each silhouette, shape (2 * N_MOMENTS,).

    Args:
        points: On a surface, shape (n, 3), dense enough to cover the pixels.
    """
    moments = np.stack([zernike(silhouette(points, axes)) for axes in views()])
    return np.concatenate([moments.mean(axis=0), moments.std(axis=0)])


@lru_cache(maxsize=1)
def views() -> FloatArray:
    """Picture planes of the ten views, shape (10, 2, 3): two orthogonal directions each.

    They look from the corners of a regular dodecahedron; of two opposite corners one is enough,
    since a silhouette from behind is its mirror image.
    """
    golden = (1 + 5**0.5) / 2
    signs = [(1, s, t) for s in (-1, 1) for t in (-1, 1)]
    corners = [np.array(corner, float) for corner in signs]
    for first, second in ((1 / golden, golden), (1 / golden, -golden)):
        flat = np.array([0.0, first, second])
        corners += [np.roll(flat, shift) for shift in range(3)]
    planes = [np.linalg.svd(corner[None])[2][1:] for corner in corners]
    return np.stack(planes)


def silhouette(points: FloatArray, axes: AnyArray) -> AnyArray:
    """Black and white picture of points along a direction, shape (64, 64), bool.

    The middle of the picture is the middle of their extent, its inner circle their farthest point.
    """
    from scipy.ndimage import binary_closing

    flat = points @ axes.T
    flat = flat - (flat.max(axis=0) + flat.min(axis=0)) / 2
    reach = np.linalg.norm(flat, axis=1).max() or 1.0
    # One pixel of margin, so that closing does not stop at the edge.
    cells = np.floor((flat / reach * (1 - 2 / _SIDE) + 1) * (_SIDE / 2)).astype(np.int64)
    seen = np.zeros((_SIDE, _SIDE), bool)
    seen[cells[:, 0], cells[:, 1]] = True
    closed: AnyArray = binary_closing(seen, np.ones((3, 3), bool))
    return closed


def zernike(picture: AnyArray) -> FloatArray:
    """Magnitudes of the Zernike moments up to order 10, shape (36,).

    Args:
        picture: Square of 64 pixels; what is outside its inner circle is not looked at.
    """
    magnitudes: FloatArray = np.abs(_basis() @ picture.ravel().astype(np.float64))
    return magnitudes


@lru_cache(maxsize=1)
def _basis() -> AnyArray:
    """Conjugate Zernike polynomials at the pixels times (n + 1) / pi times a pixel's area."""
    at = (np.arange(_SIDE) + 0.5) * 2 / _SIDE - 1
    x, y = np.meshgrid(at, at, indexing="ij")
    radius, angle = np.hypot(x, y).ravel(), np.arctan2(y, x).ravel()
    inside = radius <= 1
    rows = [
        (n + 1) / np.pi * _radial(n, m, radius) * np.exp(-1j * m * angle) * inside
        for n, m in _PAIRS
    ]
    return np.stack(rows) * (2 / _SIDE) ** 2


def _radial(n: int, m: int, radius: FloatArray) -> FloatArray:
    """The radial polynomial R_nm."""
    out = np.zeros_like(radius)
    for k in range((n - m) // 2 + 1):
        top = (-1) ** k * factorial(n - k)
        below = factorial(k) * factorial((n + m) // 2 - k) * factorial((n - m) // 2 - k)
        out += top / below * radius ** (n - 2 * k)
    return out
