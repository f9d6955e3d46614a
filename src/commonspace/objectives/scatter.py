"""Fisher's criterion over several modalities: classes narrow, and far from each other.

With the rows z of all modalities below each other, m_c the mean of the n_c rows of class c, and m
the mean of all,

    S_W = Σ_c Σ_{z in c} (z − m_c)(z − m_c)ᵀ        S_B = Σ_c n_c (m_c − m)(m_c − m)ᵀ

Where every modality has outputs of its own, and not yet a common space, each takes columns of its
own in z, zeros elsewhere. That is MvDA [1]: the block of modalities j, r of S_W is
``δ_jr Σ x xᵀ − Σ_c (n_jc n_rc / n_c) μ_jc μ_rcᵀ``.

References:
    [1] Kan, Shan, Zhang, Lao, Chen. Multi-view Discriminant Analysis. TPAMI 38(1), 2016.
        doi:10.1109/TPAMI.2015.2435740
    [2] Hu, Peng, Sang, Xiang. Multi-view Linear Discriminant Analysis Network. IEEE TIP 28(11),
        2019. doi:10.1109/TIP.2019.2913511
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-6  # of the mean variance: what the ridge adds at least, for the arithmetic's sake


def deviations(z_BE: Tensor, y_BC: Tensor) -> tuple[Tensor, Tensor]:
    """What S_W and S_B are the Gram matrices of.

    Args:
        z_BE: Rows of all modalities.
        y_BC: One class a row, one-hot.

    Returns:
        ``z − m_c`` of every row, shape (B, E), and ``√n_c (m_c − m)`` of every class, shape (C, E);
        zero for a class without rows.
    """
    n_C1 = y_BC.sum(dim=0)[:, None]
    mean_CE = (y_BC.T @ z_BE) / n_C1.clamp(min=1)
    between_CE = n_C1.sqrt() * (mean_CE - z_BE.mean(dim=0))
    return z_BE - y_BC @ mean_CE, between_CE * n_C1.gt(0)


def trace_ratio(z_BE: Tensor, y_BC: Tensor) -> Tensor:
    """``tr S_W / tr S_B``; zero, with no gradient, where fewer than two classes are there."""
    if int(y_BC.any(dim=0).sum()) < 2:
        return 0 * z_BE.sum()
    within_BE, between_CE = deviations(z_BE, y_BC)
    return within_BE.square().sum() / between_CE.square().sum().clamp(min=1e-12)


def unexplained_share(z_BE: Tensor, y_BC: Tensor, *, ridge: float = 1e-3) -> Tensor:
    """``tr (S_W + S_B)⁻¹ S_W`` over the directions that classes may span; in [0, 1].

    The same for z and any invertible linear map of it, unlike `trace_ratio`, which a network makes
    small by letting all outputs vary along the one direction that separates best.

    Args:
        z_BE: Rows of all modalities.
        y_BC: One class a row, one-hot.
        ridge: On the diagonal of S_W + S_B, as a share of its mean.

    Returns:
        A scalar; zero, with no gradient, where fewer than two classes are there.
    """
    directions = min(int(y_BC.any(dim=0).sum()) - 1, z_BE.shape[1])
    if directions < 1:
        return 0 * z_BE.sum()
    within, between = (d.T @ d for d in deviations(z_BE.double(), y_BC.double()))
    total = within + between
    floor = ridge * total.detach().diagonal().mean() + 1e-12
    factor = torch.linalg.cholesky(total + floor * torch.eye(len(total), dtype=total.dtype))
    explained = torch.cholesky_solve(between, factor).trace()
    return (1 - explained / directions).to(z_BE.dtype)


def scatter_matrices(outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """S_W and S_B of [1], modality by modality in their blocks, float64.

    Args:
        outputs: Of each modality, shape (B_m, E_m).
        labels: One class a row, one-hot, shape (B_m, C).
    """
    width, z, start = sum(z.shape[1] for z in outputs), [], 0
    for part in outputs:
        end = start + part.shape[1]
        z.append(functional.pad(part.double(), (start, width - end)))
        start = end
    z_BE = torch.cat(z)
    within, between = deviations(z_BE, torch.cat(list(labels)).double())
    return within.T @ within, between.T @ between


def correlation_blocks(outputs: Sequence[Tensor]) -> Tensor:
    """``X_iᵀ X_j`` off the diagonal and zeros on it, for modalities whose rows are pairs."""
    wide = torch.cat([z.double() for z in outputs], dim=1)
    of = torch.cat([torch.full((z.shape[1],), number) for number, z in enumerate(outputs)])
    return (wide.T @ wide) * of[:, None].ne(of)


def discriminant_values(
    outputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    ridge: float,
    correlation: float = 0.0,
) -> Tensor:
    """Generalised eigenvalues of S_B against S_W + ridge · I, smallest first, float64.

    Args:
        outputs: As in `scatter_matrices`.
        labels: Likewise.
        ridge: On the diagonal of S_W; ``EPS`` of its mean is added, lest it be singular.
        correlation: λ_cca, weight of `correlation_blocks` in S_B.
    """
    within, between = scatter_matrices(outputs, labels)
    if correlation:
        between = between + correlation * correlation_blocks(outputs)
    floor = ridge + EPS * float(within.detach().diagonal().mean()) + 1e-12
    eye = torch.eye(len(within), dtype=within.dtype)
    factor = torch.linalg.cholesky(within + floor * eye)
    half = torch.linalg.solve_triangular(factor, between, upper=False)
    whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
    values: Tensor = torch.linalg.eigvalsh((whitened + whitened.T) / 2)
    return values


def discriminant_loss(
    outputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    ridge: float = 1e-3,
    correlation: float = 0.0,
    threshold: float = 1.0,
) -> Tensor:
    """MvLDAN [2]: minus the mean of the eigenvalues that separate classes worst.

    Of the ``min(classes, E) − 1`` largest those count that are at most ``threshold`` above the
    smallest of them: a direction that separates well already gains nothing by separating better.
    Zero where fewer than two classes are there.

    Args:
        outputs: As in `scatter_matrices`.
        labels: Likewise.
        ridge: See `discriminant_values`.
        correlation: Likewise.
        threshold: How far above the smallest value another still counts.
    """
    n_classes = int(torch.cat(list(labels)).any(dim=0).sum())
    kept = min(n_classes, outputs[0].shape[1]) - 1
    if kept < 1:
        return 0 * torch.cat([z.sum()[None] for z in outputs]).sum()
    values = discriminant_values(outputs, labels, ridge=ridge, correlation=correlation)[-kept:]
    return -values[values <= values[0] + threshold].mean().float()
