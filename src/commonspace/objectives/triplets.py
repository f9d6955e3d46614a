"""AdaMine's double triplet loss: over items and over classes, averaged over what still violates.

With d = 1 − cosine between rows of two modalities, for an anchor a, a positive p and a negative n::

    l(a, p, n) = max(0, d(a, p) + margin − d(a, n))                              (eq. 4 of [1])

Items: p is the anchor's own item, n any other item. Classes: p another item that shares a label, n
one that shares none. Both in both directions. Each of the four terms is the sum of its triplets
divided by the number of those that are not zero: adaptive mining (eqs. 5-6).

References:
    [1] Carvalho, Cadène, Picard, Soulier, Thome, Cord. Cross-Modal Retrieval in the Cooking
        Context: Learning Semantic Text-Image Embeddings. SIGIR 2018. doi:10.1145/3209978.3210036
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def adaptive_triplet_loss(
    anchor_BE: Tensor, other_BE: Tensor, positive_BB: Tensor, negative_BB: Tensor, *, margin: float
) -> Tensor:
    """Mean over the triplets of a batch that are not zero; 0 where all are.

    Args:
        anchor_BE: Vectors of the modality that anchors are of.
        other_BE: Vectors of the modality that positives and negatives are of.
        positive_BB: Whether row j of the other is a positive of anchor i, bool.
        negative_BB: Whether it is a negative of it, bool.
        margin: How much farther than a positive a negative should be.
    """
    d_BB = 1 - functional.normalize(anchor_BE, dim=1) @ functional.normalize(other_BE, dim=1).T
    anchor_P, positive_P = torch.nonzero(positive_BB, as_tuple=True)
    near_P = d_BB[anchor_P, positive_P] + margin
    hinge_PB = (near_P.unsqueeze(1) - d_BB[anchor_P]).clamp(min=0) * negative_BB[anchor_P]
    return hinge_PB.sum() / hinge_PB.gt(0).sum().clamp(min=1)
