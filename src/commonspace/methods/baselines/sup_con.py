"""Supervised contrastive learning across modalities: what today's user would try first.

References:
    [1] Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan. Supervised Contrastive
        Learning. NeurIPS 2020.
    [2] Musgrave, Belongie, Lim. PyTorch Metric Learning. 2020. arXiv:2008.09164
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from commonspace.checks import check_range, require
from commonspace.methods.baselines.joint import JointMethod
from commonspace.methods.baselines.joint_training import Batch


@dataclass(eq=False, repr=False, kw_only=True)
class SupCon(JointMethod):
    """Supervised contrastive loss [1] of the rows of all modalities, as [2] computes it.

    ``− mean_i mean_{p ∈ P(i)} log( exp(z_i·z_p / τ) / Σ_{a ≠ i} exp(z_i·z_a / τ) )``, with i, p, a
    over the rows of every modality in a batch and P(i) the other rows that share a label with i.
    Items need no pairs. Further arguments are those of `JointMethod`.

    Args:
        dim: Dimensions of the space.
        temperature: τ.
    """

    unit: ClassVar[bool] = True

    dim: int = 128
    temperature: float = 0.1
    input_dropout: float = 0.2
    dropout: float = 0.5

    def _check_own(self) -> None:
        check_range("temperature", self.temperature, low=1e-6)

    def _loss(self, batch: Batch) -> Tensor:
        losses = require("pytorch_metric_learning.losses", extra="baselines", what="SupCon")
        y_BC = torch.cat(list(batch.y.values()))
        share_BB = (y_BC @ y_BC.T).gt(0)
        other_BB = ~torch.eye(len(y_BC), dtype=torch.bool)
        pairs = (*torch.where(share_BB & other_BB), *torch.where(~share_BB))
        loss: Tensor = losses.SupConLoss(temperature=self.temperature)(
            torch.cat(list(batch.z.values())), indices_tuple=pairs
        )
        return loss
