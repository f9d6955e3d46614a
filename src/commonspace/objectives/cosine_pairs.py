"""The pair loss of Recipe: matching pairs to cosine 1, all others below a margin.

For pairs of rows of two modalities with cosine s (eq. 2 of [1])::

    loss = 1 − s  for a matching pair,      max(0, s − margin)  for any other

In [1] a share of the pairs drawn is no match. Here every row of a batch meets every other, and the
two kinds of pairs are weighed by that share: the same in expectation.

References:
    [1] Marín, Biswas, Ofli, Hynes, Salvador, Aytar, Weber, Torralba. Recipe1M+: A Dataset for
        Learning Cross-Modal Embeddings for Cooking Recipes and Food Images. TPAMI 2021.
        doi:10.1109/TPAMI.2019.2927476
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cosine_pair_loss(
    x_BE: Tensor, y_BE: Tensor, match_BB: Tensor, *, margin: float, mismatched: float
) -> Tensor:
    """Weighted mean over the matching pairs and over the others.

    Args:
        x_BE: Vectors of one modality.
        y_BE: Vectors of the other.
        match_BB: 1 where row i of x and row j of y match, else 0.
        margin: Cosine up to which other pairs are left alone.
        mismatched: Weight of the other pairs; the matching ones have the rest up to 1.
    """
    s_BB = functional.normalize(x_BE, dim=1) @ functional.normalize(y_BE, dim=1).T
    near = _mean(1 - s_BB, match_BB)
    far = _mean((s_BB - margin).clamp(min=0), 1 - match_BB)
    return (1 - mismatched) * near + mismatched * far


def _mean(value_BB: Tensor, weight_BB: Tensor) -> Tensor:
    return (value_BB * weight_BB).sum() / weight_BB.sum().clamp(min=1)
