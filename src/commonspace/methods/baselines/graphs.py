"""Regression on labels that follows a graph of neighbours and chooses among features.

Shared by methods that minimise ``‖Z P − Y‖² + smoothness over a graph + the ℓ2,1 norm of P``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from commonspace.types import FloatArray

FLOOR = 1e-6  # length that is added, squared, to a row of P, so that its norm has a derivative


def neighbour_graph(z_ND: FloatArray, neighbours: int) -> sparse.csr_array:
    """Join each row to its nearest rows, both ways, by edges of weight 1; shape (N, N), sparse.

    All distances are looked at, a block of rows at a time: time grows with N², memory with N.
    """
    from sklearn.neighbors import kneighbors_graph

    n = len(z_ND)
    if n < 2:
        return sparse.csr_array((n, n))
    one_way = sparse.csr_array(kneighbors_graph(z_ND, min(neighbours, n - 1)))
    return sparse.csr_array(one_way.maximum(one_way.T))


def laplacian(graph: sparse.csr_array) -> Any:
    """Return ``I − D^-½ W D^-½``, sparse; zero for a row without neighbours."""
    return sparse.csr_array(sparse.csgraph.laplacian(graph, normed=True))


def roughness(z_ND: FloatArray, graph_laplacian: Any) -> FloatArray:
    """Return ``Zᵀ L Z``: how much directions of the features vary along the graph."""
    return np.asarray(z_ND.T @ (graph_laplacian @ z_ND))


def row_norms(weights: FloatArray) -> FloatArray:
    """Length of each row of P, a little above zero."""
    return np.asarray(np.sqrt(np.square(weights).sum(axis=1) + FLOOR**2))


def reweighted_step(
    quadratic: FloatArray, target: FloatArray, sparsity: float, weights: FloatArray | None
) -> FloatArray:
    """Take one step of iteratively reweighted least squares.

    It minimises ``tr(Pᵀ A P) − 2 tr(Pᵀ B) + γ ‖P‖_{2,1}``, the norm replaced by the quadratic form
    that touches it, from above, at the present P; so the objective never rises.

    Args:
        quadratic: A, positive semi-definite.
        target: B.
        sparsity: γ.
        weights: P; None starts from a ridge of γ.
    """
    slope = np.ones(len(quadratic)) if weights is None else 0.5 / row_norms(weights)
    level = float(np.trace(quadratic)) / len(quadratic) or 1.0
    solid = quadratic + np.diag(sparsity * slope + 1e-10 * level)
    return np.asarray(cho_solve(cho_factor(solid), target))
