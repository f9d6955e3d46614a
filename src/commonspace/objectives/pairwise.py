"""Whether two items share a label, as a logistic regression on their inner product.

    L = mean over pairs of  log(1 + e^(uᵀv)) − s uᵀv        s = 1 where a label is shared, else 0

References:
    [1] Cao, Long, Wang, Liu. Collective Deep Quantization for Efficient Cross-Modal Retrieval.
        AAAI 2017.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

LIMIT = 15.0  # of a product, in the code released with [1]: beyond, a pair says nothing


def pairwise_log_loss(u_AE: Tensor, v_BE: Tensor, related_AB: Tensor) -> Tensor:
    """The loss above over all pairs of a row of one modality and a row of the other.

    Args:
        u_AE: Rows of one modality.
        v_BE: Rows of the other.
        related_AB: Which pairs share a label, bool.
    """
    product_AB = (u_AE @ v_BE.T).clamp(-LIMIT, LIMIT)
    return (functional.softplus(product_AB) - product_AB * related_AB).mean()
