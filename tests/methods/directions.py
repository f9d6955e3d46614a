"""Comparing what methods learn that leave the sign of each direction open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from commonspace.data import Dataset


def same_up_to_sign(found: np.ndarray, expected: np.ndarray, atol: float = 1e-4) -> None:
    """Columns agree but for their signs, and for one factor that all share."""
    assert found.shape == expected.shape
    expected = expected * np.sign((found * expected).sum(axis=0))
    factor = np.linalg.norm(found) / np.linalg.norm(expected)
    np.testing.assert_allclose(found / factor, expected, atol=atol * np.abs(expected).max())


def standardized(x: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    by = (x if by is None else by).astype(np.float64)
    return (x - by.mean(axis=0)) / by.std(axis=0)


def with_standardized_features(data: Dataset) -> Dataset:
    """Where all features are alike, labels have nothing to say about how loud they should be."""
    parts = {
        name: replace(part, x=standardized(part.x).astype(np.float32))
        for name, part in data.items()
    }
    return Dataset(parts, data.classes)


def side_by_side(blocks: list[list[np.ndarray]]) -> np.ndarray:
    return np.vstack([np.hstack(row) for row in blocks])


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (first, second)]
    return unit[0] @ unit[1].T
