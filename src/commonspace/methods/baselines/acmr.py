"""ACMR: embeddings that classify, keep pairs together, and hide from which modality they come.

References:
    [1] Wang, Yang, Xu, Hanjalic, Shen. Adversarial Cross-Modal Retrieval. ACM MM 2017.
        doi:10.1145/3123266.3123326
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from commonspace.checks import check_flag, check_range
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.objectives import (
    log_loss,
    modality_loss,
    nearest_strangers,
    reversal_factor,
    reverse_gradient,
    weighted_triplets,
)


@dataclass(eq=False, repr=False, kw_only=True)
class ACMR(PairedMethod):
    """Adversarial cross-modal retrieval [1].

    For embeddings v, w of pairs, a linear classifier of both and a discriminator of modalities::

        L_emb = α · log loss of the labels, both modalities
              + mean max(0, m + β ½‖v − w⁺‖² − ½‖v − w⁻‖²), and the same from w
        embeddings and classifier minimise L_emb − μ L_adv, the discriminator L_adv

    w⁺ is the pair mate, w⁻ the mate of that item of the batch which shares no label and whose
    features are most like the anchor's. μ is multiplied by ``2 / (1 + e^(−10 p)) − 1`` at the share
    p of the training. Several labels a row: a yes-or-no of every class, and items that share any
    label are no negatives of each other. Further arguments are those of `JointMethod`.

    Args:
        dim: Dimensions of the common space.
        alpha: α, weight of the labels.
        beta: β, weight of the pair mate in a triplet.
        margin: m.
        mu: μ, weight of the game against the discriminator.
        parity: Train as the code released with [1] does, and not as the paper intends: one hinge of
            the distances summed over a batch, a discriminator that is linear throughout and whose
            gradient never reaches the embeddings, a classifier that stays as it was initialised.

    Differs from the paper: triplets a row (the published sum of distances is under ``parity``);
    a discriminator with ReLU; both networks of one shape; AdamW on a one-cycle schedule.
    """

    max_modalities: ClassVar[int | None] = 2
    final: ClassVar[str | None] = "tanh"

    dim: int = 40
    hidden: Sequence[int] = (512, 100)
    activation: Literal["relu", "tanh", "sigmoid"] = "tanh"
    alpha: float = 100.0
    beta: float = 5.0
    margin: float = 0.1
    mu: float = 1.0
    parity: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.0
    betas: tuple[float, float] = (0.5, 0.999)

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        widths = [self.dim, max(1, self.dim // 2), max(1, self.dim // 4)]
        layers: list[nn.Module] = []
        for inner, outer in pairwise(widths):
            layers += [nn.Linear(inner, outer)] + ([] if self.parity else [nn.ReLU()])
        discriminator = nn.Sequential(*layers, nn.Linear(widths[-1], 2))
        return {
            "classifier": nn.Linear(self.dim, sizes.n_classes),
            "discriminator": discriminator,
        }

    def _loss(self, batch: Batch) -> Tensor:
        labels = [
            log_loss(self._logits(batch, n), batch.y[n], several=batch.several) for n in batch.z
        ]
        terms = [self.alpha * torch.stack(labels).sum(), self._triplets(batch)]
        if self.mu:
            terms.append(self._game(batch))
        return torch.stack(terms).sum()

    def _logits(self, batch: Batch, name: str) -> Tensor:
        classifier = batch.modules["classifier"]
        if not self.parity:
            logits: Tensor = classifier(batch.z[name])
            return logits
        weight, bias = (parameter.detach() for parameter in classifier.parameters())
        return functional.linear(batch.z[name], weight, bias)

    def _triplets(self, batch: Batch) -> Tensor:
        terms = []
        for name, other in (tuple(batch.z), tuple(batch.z)[::-1]):
            negative, there = nearest_strangers(batch.x[name], batch.y[name])
            rows = there.nonzero()[:, 0]
            terms.append(
                weighted_triplets(
                    batch.z[name][rows],
                    batch.z[other][rows],
                    batch.z[other][negative[rows]],
                    margin=self.margin,
                    pull=self.beta,
                    summed=self.parity,
                )
            )
        return torch.stack(terms).sum()

    def _game(self, batch: Batch) -> Tensor:
        """The discriminator's loss, whose gradient turns round on its way to the embeddings."""
        factor = 0.0 if self.parity else self.mu * reversal_factor(batch.progress)
        discriminator = batch.modules["discriminator"]
        return modality_loss(
            [discriminator(reverse_gradient(z_BE, factor)) for z_BE in batch.z.values()]
        )

    def _check_own(self) -> None:
        for name in ("alpha", "beta", "margin", "mu"):
            check_range(name, getattr(self, name), low=0)
        check_flag("parity", self.parity)
