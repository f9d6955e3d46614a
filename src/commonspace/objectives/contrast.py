"""Pairs of one class near, others at a distance: the inter-modal half of CCL [1].

    L = 1/(2B) Σ_ij  d²_ij  where i and j share a class,   max(0, m − d_ij)²  otherwise

over all pairs of a row of one modality and a row of the other.

References:
    [1] Peng, Qi, Huang, Yuan. CCL: Cross-modal Correlation Learning with Multi-grained Fusion by
        Hierarchical Network. IEEE TMM 20(2), 2018. doi:10.1109/TMM.2017.2742704
"""

from __future__ import annotations

import torch
from torch import Tensor

from commonspace.objectives.mmd import squared_distances

EPS = 1e-12


def contrastive_loss(
    u_AE: Tensor, v_BE: Tensor, related_AB: Tensor, *, margin: float = 1.0
) -> Tensor:
    """The loss above; B is the mean number of rows of the two modalities.

    Args:
        u_AE: Rows of one modality.
        v_BE: Rows of the other.
        related_AB: Which pairs share a class, bool.
        margin: m, a distance (not squared).
    """
    squares_AB = squared_distances(u_AE, v_BE)
    short_AB = (margin - (squares_AB + EPS).sqrt()).clamp(min=0)
    total = torch.where(related_AB, squares_AB, short_AB.square()).sum()
    return total / (len(u_AE) + len(v_BE))
