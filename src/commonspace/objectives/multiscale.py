"""The loss of MS-DMML: near in proportion to what the labels share, apart where they share nothing.

For unit vectors f of any modality and label vectors y, eqs. 3-5 and 8-10 of [1] are::

    S_mn = y_mᵀ y_n / (‖y_m‖ ‖y_n‖)                          graded similarity, in [0, 1]
    d²_mn = ‖f_m − f_n‖²
    loss_mn = α d²_mn S_mn  +  β max(0, c − d²_mn) [S_mn = 0]

Inter-modal loss sums it over pairs of different modalities, intra-modal loss over pairs within one
(an item and itself is no pair), and eq. 11 weighs the two::

    L = λ1 L_inter  +  λ2 L_first  +  λ3 L_second

The paper has two modalities. Here any number: λ1 is spread evenly over all pairs of modalities,
λ2 + λ3 over the modalities, in the proportion of λ2 for the first to λ3 for each other one.

References:
    [1] Hua, Yang, Du. Deep Multi-Modal Metric Learning with Multi-Scale Correlation for
        Image-Text Retrieval. Electronics 2020, 9(3), 466. doi:10.3390/electronics9030466
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPS = 1e-12


def graded_similarity(y_BC: Tensor) -> Tensor:
    """Cosine of every two label vectors, shape (B, B); 0 where a row has no label."""
    unit_BC = y_BC / y_BC.square().sum(dim=1, keepdim=True).clamp(min=EPS).sqrt()
    return unit_BC @ unit_BC.T


def binary_similarity(y_BC: Tensor) -> Tensor:
    """1 where two rows share a label, else 0, shape (B, B): the ablation "-bin"."""
    return (y_BC @ y_BC.T).gt(0).to(y_BC.dtype)


def item_similarity(items_B: Tensor) -> Tensor:
    """1 where two rows show the same item, else 0: "-bin" as the paper has it for single labels."""
    return items_B.unsqueeze(0).eq(items_B.unsqueeze(1)).float()


def multiscale_loss(
    f_BE: Tensor,
    s_BB: Tensor,
    weight_BB: Tensor,
    *,
    alpha: float,
    beta: float,
    margin: float,
    by_row: bool = False,
) -> Tensor:
    """Weighted sum of the loss over all pairs of a batch, modalities one below the other.

    Args:
        f_BE: Vectors of the rows of all modalities.
        s_BB: Similarity of every two rows.
        weight_BB: Weight of every pair, such as `pair_weights`; 0 where two rows are no pair.
        alpha: Weight of attraction.
        beta: Weight of repulsion.
        margin: c, the squared distance from which rows without a common label are left alone.
        by_row: Let every row weigh alike: what draws it is averaged over all that draws it, what
            pushes it over all that pushes it. Rare labels then count as much as frequent ones.
            Where all rows have as much of either, nothing changes. Not in the paper.

    Returns:
        A scalar.
    """
    squares_B = f_BE.square().sum(dim=1)
    d2_BB = (squares_B.unsqueeze(0) + squares_B.unsqueeze(1) - 2 * f_BE @ f_BE.T).clamp(min=0)
    near_BB = weight_BB * s_BB
    far_BB = weight_BB * s_BB.eq(0)
    push_BB = (margin - d2_BB).clamp(min=0)
    if not by_row:
        return alpha * (near_BB * d2_BB).sum() + beta * (far_BB * push_BB).sum()
    return alpha * _by_row(near_BB, d2_BB) + beta * _by_row(far_BB, push_BB)


def pair_weights(
    counts: Sequence[int], lambdas: tuple[float, float, float], *, reduction: str = "mean"
) -> Tensor:
    """Weight of every ordered pair of a batch's rows in eq. 11, shape (B, B).

    Args:
        counts: Rows of each modality in the batch.
        lambdas: λ1 of inter-modal pairs, λ2 and λ3 of pairs within a modality.
        reduction: "mean": each loss is a mean over its pairs, so that λ does not depend on the
            size of a batch (the paper does not say); "sum": a sum, inter-modal pairs counted once.
    """
    n = len(counts)
    within = torch.tensor([lambdas[1], *[lambdas[2]] * (n - 1)], dtype=torch.float64)
    share_M = within * (lambdas[1] + lambdas[2]) / within.sum().clamp(min=EPS)
    share_MM = torch.full((n, n), lambdas[0] / max(1, n * (n - 1)), dtype=torch.float64)
    share_MM.diagonal().copy_(share_M)
    size_M = torch.tensor(list(counts), dtype=torch.float64)
    if reduction == "mean":
        pairs_MM = size_M.unsqueeze(1) * size_M.unsqueeze(0)
        pairs_MM.diagonal().copy_(size_M * (size_M - 1))
        share_MM = share_MM / pairs_MM.clamp(min=1)
    of_row = torch.repeat_interleave(torch.arange(n), size_M.long())
    weight_BB = share_MM[of_row.unsqueeze(1), of_row.unsqueeze(0)]
    weight_BB.diagonal().zero_()
    return weight_BB.float()


def _by_row(weight_BB: Tensor, value_BB: Tensor) -> Tensor:
    """Mean over the rows of each row's weighted mean, times all weight there is."""
    total_B = weight_BB.sum(dim=1)
    mean_B = (weight_BB * value_BB).sum(dim=1) / total_B.clamp(min=EPS)
    return total_B.sum() * mean_B.sum() / total_B.ne(0).sum().clamp(min=1)
