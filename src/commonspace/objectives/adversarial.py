"""A game of two: what one network learns to tell apart, another learns to hide.

For embeddings v, w of the two modalities of a pair, ACMR [1] trains embeddings to minimise

    L_emb − μ L_adv,     L_emb = α L_label + Σ max(0, m + β ½‖v − w⁺‖² − ½‖v − w⁻‖²) + mirror

and a discriminator of modalities to minimise L_adv. Both happen in one step where the discriminator
reads its input through a layer that turns gradients round [2], by a factor that grows from 0 to 1
with the share p of the training that is over.

References:
    [1] Wang, Yang, Xu, Hanjalic, Shen. Adversarial Cross-Modal Retrieval. ACM MM 2017.
        doi:10.1145/3123266.3123326
    [2] Ganin, Lempitsky. Unsupervised Domain Adaptation by Backpropagation. ICML 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """``x``, whose gradient is ``−factor`` times what comes back."""
    return x.detach() - factor * (x - x.detach())  # the bracket is zero, exactly


def reversal_factor(progress: float) -> float:
    """``2 / (1 + e^(−10 p)) − 1`` of [2]; p from 0 at the start of training to 1 at its end."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def nearest_strangers(x_BD: Tensor, y_BC: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the one of highest cosine among those that share no label with it.

    Args:
        x_BD: What rows are compared by.
        y_BC: Label weights.

    Returns:
        Row numbers, shape (B,), and whether there is any such row, shape (B,).
    """
    unit_BD = functional.normalize(x_BD, dim=1)
    related_BB = (y_BC @ y_BC.T).gt(0)
    cosine_BB = (unit_BD @ unit_BD.T).masked_fill(related_BB, -math.inf)
    return cosine_BB.argmax(dim=1), ~related_BB.all(dim=1)


def weighted_triplets(
    anchor_BE: Tensor,
    positive_BE: Tensor,
    negative_BE: Tensor,
    *,
    margin: float,
    pull: float,
    summed: bool = False,
) -> Tensor:
    """``max(0, m + β ½‖a − p‖² − ½‖a − n‖²)``, in the mean over rows; 0 without rows.

    Args:
        anchor_BE: a, shape (B, E).
        positive_BE: p of each row.
        negative_BE: n of each row.
        margin: m.
        pull: β, weight of the distance to the positive.
        summed: One hinge of the distances summed over the batch, as the code released with [1] has
            it: there one easy triplet pays for a hard one.
    """
    near_B = 0.5 * (anchor_BE - positive_BE).square().sum(dim=1)
    far_B = 0.5 * (anchor_BE - negative_BE).square().sum(dim=1)
    if summed:
        return (margin + pull * near_B.sum() - far_B.sum()).clamp(min=0)
    return (margin + pull * near_B - far_B).clamp(min=0).sum() / max(1, len(near_B))


def modality_loss(logits: Sequence[Tensor]) -> Tensor:
    """Cross-entropy of which modality rows are of: means over rows, summed over modalities.

    Args:
        logits: Of the rows of each modality, in their order; each of shape (B_m, n_modalities).
    """
    of_each = [
        functional.cross_entropy(found, torch.full((len(found),), number))
        for number, found in enumerate(logits)
    ]
    return torch.stack(of_each).sum()
