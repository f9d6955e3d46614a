"""How much two sets of outputs correlate, after the best linear map of each: the loss of DCCA.

With Σ₁₁, Σ₂₂ the covariances of a batch's outputs plus a ridge, and Σ₁₂ their cross-covariance::

    corr = ‖Σ₁₁^(−1/2) Σ₁₂ Σ₂₂^(−1/2)‖ trace norm = the sum of the canonical correlations   (eq. 10)

Any factors with R Rᵀ = Σ⁻¹ give the same singular values; here they are those of Cholesky.

References:
    [1] Andrew, Arora, Bilmes, Livescu. Deep Canonical Correlation Analysis. ICML 2013.
"""

from __future__ import annotations

import torch
from torch import Tensor


def canonical_correlations(first_BE: Tensor, second_BE: Tensor, *, ridge: float) -> Tensor:
    """All canonical correlations of two sets of rows, largest first, shape (E,).

    Args:
        first_BE: Rows of one modality, two at least.
        second_BE: Rows of the other, row by row the same items.
        ridge: Added to the diagonal of both covariances, > 0.
    """
    first, second = (z - z.mean(dim=0) for z in (first_BE, second_BE))
    cross_EE = first.T @ second / (len(first) - 1)
    half_EE = torch.linalg.solve_triangular(_factor(first, ridge), cross_EE, upper=False)
    t_EE = torch.linalg.solve_triangular(_factor(second, ridge), half_EE.T, upper=False)
    correlations: Tensor = torch.linalg.svdvals(t_EE)
    return correlations


def _factor(centred_BE: Tensor, ridge: float) -> Tensor:
    covariance_EE = centred_BE.T @ centred_BE / (len(centred_BE) - 1)
    lower_EE: Tensor = torch.linalg.cholesky(
        covariance_EE + ridge * torch.eye(centred_BE.shape[1], dtype=centred_BE.dtype)
    )
    return lower_EE
