"""The encoder of SDML's default recipe: calibrated class posteriors, carried by P into the space.

Let q(x) be the calibrated posterior of the classes. If errors in two modalities are independent,
an item x and an item y of another modality share their class with probability q(x)ᵀ q(y) (with
several labels, at least one of them with a probability that grows with it). An encoder with
``Pᵀ z = q`` therefore makes the inner product of two vectors the probability of a match. Cosine,
by which vectors are compared, divides that by the norms, and a norm is small where the posterior is
unsure: it would lift unsure items. So most of the missing length is put back, in the columns of
the basis that no class owns::

    z = P q(x) + sqrt(τ (M − ‖q‖²)) · R v(x)

R holds reserved columns, v(x) is a unit vector of random Fourier features of the input [1], so near
duplicates stay near and different items get almost orthogonal ones, and M is the mean squared norm
of a label vector (1 where each row has one class).

References:
    [1] Rahimi, Recht. Random Features for Large-Scale Kernel Machines. NIPS 2007.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from commonspace.networks.mlp import MLP, Standardize
from commonspace.types import AnyArray

CLAMP = 10.0  # standard deviations: an outlier beyond says no more than "very large"
FILL = 0.3  # τ, share of the missing squared length that is put back
MIN_RESERVED = 64  # with fewer columns free of classes, filled vectors would collide


class Expert(nn.Sequential):
    """An MLP from standardised features to class logits, with its own regularisation."""

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = True,
    ) -> None:
        mlp = MLP(sizes, dropout=dropout, batch_norm=batch_norm)
        super().__init__(nn.Dropout(input_dropout), mlp)


class PosteriorEncoder(nn.Module):
    """Standardise, average the experts' calibrated posteriors, carry them into the space.

    Args:
        n_features: Width of the input.
        hidden: Widths of the experts' hidden layers.
        experts: Options of each `Expert`, by name.
        basis: Basis of the space, shape (dim, dim), or the frame of more than dim classes.
        n_classes: Classes that own the first columns.
        several: Rows may belong to several classes: one sigmoid a class instead of a softmax.

    Attributes:
        temperature: Divides each expert's logits, shape (n_experts,).
        weight: Of each expert in the mixture, shape (n_experts,), sum 1.
        length: M, the mean squared norm of a label vector.
        frequencies: Of the random Fourier features, shape (n_features, n_reserved // 2).
    """

    frame: Tensor
    temperature: Tensor
    weight: Tensor
    length: Tensor
    frequencies: Tensor

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        experts: Mapping[str, Mapping[str, Any]],
        *,
        basis: AnyArray,
        n_classes: int,
        several: bool,
    ) -> None:
        super().__init__()
        sizes = [n_features, *hidden, n_classes]
        self.several = several
        self.inputs = Standardize(torch.zeros(n_features).numpy(), torch.ones(n_features).numpy())
        self.experts = nn.ModuleDict({key: Expert(sizes, **experts[key]) for key in experts})
        half = max(0, basis.shape[0] - n_classes) // 2
        half = half if 2 * half >= MIN_RESERVED else 0
        columns = torch.tensor(basis[:, : n_classes + 2 * half])
        self.register_buffer("frame", columns, persistent=False)
        self.register_buffer("temperature", torch.ones(len(experts)))
        self.register_buffer("weight", torch.full((len(experts),), 1 / len(experts)))
        self.register_buffer("length", torch.ones(()))
        self.register_buffer("frequencies", torch.zeros(n_features, half))

    def standardized(self, x_BD: Tensor) -> Tensor:
        """Scale and clamp the features, same shape."""
        scaled: Tensor = self.inputs(x_BD)
        return scaled.clamp(-CLAMP, CLAMP)

    def posterior(self, scaled_BD: Tensor) -> Tensor:
        """Calibrated class posteriors of standardised features, shape (B, n_classes)."""
        out_BC = torch.zeros(len(scaled_BD), 1)
        for expert, temperature, weight in zip(
            self.experts.values(), self.temperature, self.weight, strict=True
        ):
            if float(weight) > 0:
                logits_BC = expert(scaled_BD) / temperature
                share = torch.sigmoid(logits_BC) if self.several else logits_BC.softmax(dim=1)
                out_BC = out_BC + weight * share
        return out_BC

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the common space, shape (B, dim)."""
        scaled_BD = self.standardized(x_BD)
        q_BC = self.posterior(scaled_BD)
        if not self.frequencies.shape[1]:
            return q_BC @ self.frame.T
        angles = scaled_BD @ self.frequencies
        v_BF = torch.cat([angles.cos(), angles.sin()], dim=1) / angles.shape[1] ** 0.5
        missing = (self.length - q_BC.square().sum(dim=1, keepdim=True)).clamp(min=0)
        return torch.cat([q_BC, (FILL * missing).sqrt() * v_BF], dim=1) @ self.frame.T
