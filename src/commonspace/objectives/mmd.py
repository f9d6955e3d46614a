"""Maximum mean discrepancy between two modalities, class by class, under several kernels.

For samples of distributions p and q and a characteristic kernel k, eqs. 1-2 and 11-12 of [1] are::

    d²_k(p, q) = ‖E_p φ(a) − E_q φ(b)‖²        k(x, y) = 1/m Σ_u exp(−‖x − y‖² / τ_u)

with m = 5 and τ_u = τ̄ 2^(u − 3), u = 1 ... 5, where τ̄ is the mean squared distance of all rows of
the batch. The paper leaves m, τ_u and the weights open; this is the usual choice.

Both estimates are unbiased for given widths, so they may be negative; widths taken from the batch
itself leave a bias of order one over its rows. "quadratic" uses all pairs of rows; "linear",
which the paper trains with, takes rows in pairs as they come::

    η = k(a₁, a₂) − k(a₁, b₂) + k(b₁, b₂) − k(b₁, a₂),     d̂² = mean η

References:
    [1] Yang et al. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS 2018.
        arXiv:1904.07488
    [2] Gretton et al. A Kernel Two-Sample Test. JMLR 13 (2012).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from commonspace.checks import check_one_of

N_KERNELS = 5
MIDDLE = 3  # the kernel whose width is the mean squared distance itself
EPS = 1e-12


def class_mmd(
    a_AE: Tensor,
    b_BE: Tensor,
    y_AC: Tensor,
    y_BC: Tensor,
    *,
    estimator: Literal["quadratic", "linear"] = "quadratic",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """MK-MMD between the rows of a and of b that belong to one class, over all classes.

    Args:
        a_AE: Vectors of one modality.
        b_BE: Vectors of the other.
        y_AC: Labels; a row belongs to every class with a weight above zero.
        y_BC: Likewise.
        estimator: Of all pairs, or of rows in pairs as they come.
        reduction: Mean over the classes that have rows enough (2, or 4 for "linear", of either
            modality), or their sum. Without any such class the result is zero.

    Raises:
        InputError: An estimator or a reduction that is not among these.
    """
    check_one_of("estimator", estimator, ("quadratic", "linear"))
    check_one_of("reduction", reduction, ("mean", "sum"))
    of_a, of_b = y_AC.gt(0).to(a_AE.dtype), y_BC.gt(0).to(a_AE.dtype)
    mean_distance = _mean_squared_distance(torch.cat([a_AE, b_BE]).detach())
    if estimator == "quadratic":
        each_C, used_C = _quadratic(a_AE, b_BE, of_a, of_b, mean_distance)
    else:
        each_C, used_C = _linear(a_AE, b_BE, of_a, of_b, mean_distance)
    total = (each_C * used_C).sum()
    return total / used_C.sum().clamp(min=1) if reduction == "mean" else total


def kernel(squared: Tensor, mean_distance: Tensor) -> Tensor:
    """The mean of the Gaussian kernels at given squared distances."""
    widest = 2.0 ** (N_KERNELS - MIDDLE)
    each = torch.exp(-squared / (widest * mean_distance.clamp(min=EPS)))
    total = each
    for _ in range(N_KERNELS - 1):  # half the width is the square
        each = each.square()
        total = total + each
    return total / N_KERNELS


def _quadratic(
    a_AE: Tensor, b_BE: Tensor, of_a: Tensor, of_b: Tensor, mean_distance: Tensor
) -> tuple[Tensor, Tensor]:
    """U-statistics: sums of kernel blocks over the members of every class at once."""
    n_a, n_b = of_a.sum(dim=0), of_b.sum(dim=0)
    rows, k = len(a_AE), of_a.shape[1]
    pooled = torch.cat([a_AE, b_BE])
    k_XX = kernel(squared_distances(pooled, pooled), mean_distance)
    apart = torch.cat([of_a.new_zeros(rows, k), of_b])
    sums_XC = k_XX @ torch.cat([torch.cat([of_a, torch.zeros_like(of_b)]), apart], dim=1)
    own = k_XX.diagonal()  # 1 but for rounding, which leaves with it
    within_a = (of_a * (sums_XC[:rows, :k] - own[:rows, None])).sum(dim=0)
    within_b = (of_b * (sums_XC[rows:, k:] - own[rows:, None])).sum(dim=0)
    between = (of_a * sums_XC[:rows, k:]).sum(dim=0)
    each = (
        within_a / (n_a * (n_a - 1)).clamp(min=1)
        + within_b / (n_b * (n_b - 1)).clamp(min=1)
        - 2 * between / (n_a * n_b).clamp(min=1)
    )
    return each, ((n_a > 1) & (n_b > 1)).to(each.dtype)


def _linear(
    a_AE: Tensor, b_BE: Tensor, of_a: Tensor, of_b: Tensor, mean_distance: Tensor
) -> tuple[Tensor, Tensor]:
    """Quadruples of consecutive members, for all classes at once."""
    n_pairs = torch.minimum(of_a.sum(dim=0), of_b.sum(dim=0)).div(2).floor()
    most = int(n_pairs.max()) if len(n_pairs) else 0
    a1, a2 = _consecutive(a_AE, of_a, most)
    b1, b2 = _consecutive(b_BE, of_b, most)

    def k(x: Tensor, z: Tensor) -> Tensor:
        return kernel((x - z).square().sum(dim=2), mean_distance)

    eta_CT = k(a1, a2) - k(a1, b2) + k(b1, b2) - k(b1, a2)
    there = torch.arange(most, device=n_pairs.device) < n_pairs[:, None]
    return (eta_CT * there).sum(dim=1) / n_pairs.clamp(min=1), (n_pairs > 1).to(a_AE.dtype)


def _consecutive(x_XE: Tensor, of_x: Tensor, n_pairs: int) -> tuple[Tensor, Tensor]:
    """First and second of each pair of members, both of shape (C, n_pairs, E)."""
    members = torch.argsort(1 - of_x, dim=0, stable=True)[: 2 * n_pairs].T
    paired = x_XE[members]
    return paired[:, 0::2], paired[:, 1::2]


def squared_distances(x_XE: Tensor, z_ZE: Tensor) -> Tensor:
    """Of all pairs of rows, shape (X, Z)."""
    norms = x_XE.square().sum(dim=1)[:, None] + z_ZE.square().sum(dim=1)
    return (norms - 2 * x_XE @ z_ZE.T).clamp(min=0)


def _mean_squared_distance(x_XE: Tensor) -> Tensor:
    """Over pairs of different rows: twice the unbiased variance, summed over dimensions."""
    return 2 * x_XE.var(dim=0).sum() if len(x_XE) > 1 else x_XE.new_ones(())
