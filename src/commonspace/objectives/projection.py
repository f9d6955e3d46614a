"""Cross-modal projection: match whole distributions of a batch, and classify what is projected.

For vectors x of one modality and y of another, ȳ = y / ‖y‖, and matches t_ij in {0, 1}::

    p_ij = softmax_j(x_iᵀ ȳ_j),    q_ij = t_ij / Σ_k t_ik
    CMPM = mean_i Σ_j p_ij log(p_ij / (q_ij + ε))                             (eqs. 1-4)
    CMPC = mean_i cross entropy of  Wᵀ x̂_i,   x̂_i = (x_iᵀ ȳ_i) ȳ_i,   ‖W_c‖ = 1     (eqs. 5-8)

That is one direction; either loss is the sum of both.

References:
    [1] Zhang, Lu. Deep Cross-Modal Projection Learning for Image-Text Matching. ECCV 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from commonspace.objectives.posterior import log_loss

EPS = 1e-8  # ε of the paper


def projection_matching_loss(x_BE: Tensor, y_BE: Tensor, match_BB: Tensor) -> Tensor:
    """CMPM in both directions.

    Args:
        x_BE: Vectors of one modality.
        y_BE: Vectors of the other.
        match_BB: 1 where row i of x and row j of y match, else 0; a row without any match takes no
            part in its direction.
    """
    return _matching(x_BE, y_BE, match_BB) + _matching(y_BE, x_BE, match_BB.T)


def projection_classification_loss(
    x_BE: Tensor, y_BE: Tensor, labels_BC: Tensor, weight_CE: Tensor, *, several: bool
) -> Tensor:
    """CMPC in both directions, for rows that are pairs.

    Args:
        x_BE: Vectors of one modality.
        y_BE: Vectors of the other: row i of both is one item.
        labels_BC: Label weights of the items.
        weight_CE: One vector a class, scaled to unit length here.
        several: See `log_loss`.
    """
    weight_EC = functional.normalize(weight_CE, dim=1).T
    projected = _project(x_BE, y_BE), _project(y_BE, x_BE)
    losses = [log_loss(z_BE @ weight_EC, labels_BC, several=several) for z_BE in projected]
    return losses[0] + losses[1]


def _matching(x_BE: Tensor, y_BE: Tensor, match_BB: Tensor) -> Tensor:
    log_p_BB = functional.log_softmax(x_BE @ functional.normalize(y_BE, dim=1).T, dim=1)
    count_B = match_BB.sum(dim=1)
    q_BB = match_BB / count_B.clamp(min=1).unsqueeze(1)
    divergence_B = (log_p_BB.exp() * (log_p_BB - torch.log(q_BB + EPS))).sum(dim=1)
    matched_B = count_B.gt(0).to(x_BE.dtype)
    return (divergence_B * matched_B).sum() / matched_B.sum().clamp(min=1)


def _project(x_BE: Tensor, y_BE: Tensor) -> Tensor:
    unit_BE = functional.normalize(y_BE, dim=1)
    return (x_BE * unit_BE).sum(dim=1, keepdim=True) * unit_BE
