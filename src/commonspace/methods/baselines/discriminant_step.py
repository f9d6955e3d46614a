"""The linear discriminant analysis that ends a method whose networks were trained to suit it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from commonspace.methods.base import standardization
from commonspace.methods.baselines.discriminant import leading_directions
from commonspace.methods.baselines.joint_training import Affine
from commonspace.objectives.scatter import scatter_matrices
from commonspace.types import AnyArray, Float32Array

RIDGE = 0.1  # from 0.001 to 10 the networks it ends retrieve as well, within 1 %
FLOOR = 1e-6  # of the ridge: within-class scatter may be singular


def discriminant_maps(
    z: Mapping[str, Float32Array], y: Mapping[str, Float32Array], *, dim: int, ridge: float = RIDGE
) -> dict[str, Affine]:
    """Multi-view discriminant analysis of scaled rows; of one modality, that of Fisher.

    Args:
        z: Rows of each modality.
        y: One class a row, one-hot; rows of zeros take no part.
        dim: Most dimensions; there are at most classes − 1, but one at least.
        ridge: On the within-class scatter, as a share of its mean variance.

    Returns:
        A map for each modality, to directions of unit within-class variance, the one that separates
        best first.
    """
    known = {name: table.any(axis=1) for name, table in y.items()}
    scaling = {name: standardization(rows[known[name]]) for name, rows in z.items()}
    scaled = [_scaled(rows[known[name]], *scaling[name]) for name, rows in z.items()]
    labels = [torch.from_numpy(table[known[name]]) for name, table in y.items()]
    within, between = (m.numpy() for m in scatter_matrices(scaled, labels))
    n_classes = int(np.any([table.any(axis=0) for table in y.values()], axis=0).sum())
    kept = max(1, min(dim, n_classes - 1, len(within)))
    vectors = leading_directions(between, within, kept, shrinkage=max(ridge, FLOOR))
    ends = np.cumsum([part.shape[1] for part in scaled])[:-1]
    blocks = np.split(_signed(vectors), ends)
    return {
        name: Affine(mean, (scale[:, None] * block).astype(np.float32))
        for (name, (mean, scale)), block in zip(scaling.items(), blocks, strict=True)
    }


def _scaled(rows: Float32Array, mean: Float32Array, scale: Float32Array) -> torch.Tensor:
    return torch.from_numpy((rows - mean) * scale)


def _signed(vectors: AnyArray) -> AnyArray:
    """Eigenvectors with a sign of their own: their largest entry is positive."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.asarray(vectors * np.where(signs == 0, 1, signs))
