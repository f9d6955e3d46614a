"""What a translation is worth: how much of the original comes back when it is translated back.

CBT [1] translates the features of one modality into those of the other and rewards a pair of
translators with ``log ½(1 + cos(x, x''))``, x'' being x translated there and back.

References:
    [1] Qi, Peng. Cross-modal Bidirectional Translation via Reinforcement Learning. IJCAI 2018.
        doi:10.24963/ijcai.2018/365
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

LEAST = 1e-4  # of ½(1 + cos): the reward of the opposite of x is finite


def translation_reward(x_BD: Tensor, back_BD: Tensor) -> Tensor:
    """``log ½(1 + cos(x, x''))`` of each row, shape (B,): 0 at best, about −9.2 at worst."""
    cosine_B = functional.cosine_similarity(x_BD, back_BD, dim=1)
    return (0.5 * (1 + cosine_B)).clamp(min=LEAST).log()
