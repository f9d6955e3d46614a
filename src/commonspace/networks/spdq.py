"""The network of SPDQ: one trunk a modality, a shared and a private representation on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from commonspace.networks.dropout import Dropout
from commonspace.networks.inputs import ScaledInputs
from commonspace.networks.mlp import MLP


@dataclass(frozen=True, eq=False)
class Representations:
    """What the network says of a batch.

    Attributes:
        shared: s, shape (B, shared).
        private: r, shape (B, private).
        logits: Classification of [s; r], shape (B, C).
    """

    shared: Tensor
    private: Tensor
    logits: Tensor


class SharedPrivateNetwork(nn.Module):
    """n_features → hidden → {shared, private}, both with tanh, and a linear classifier of both.

    Args:
        n_features: Width of the input.
        hidden: Widths of the hidden layers.
        n_classes: Classes of the classifier.
        shared: Width of the shared representation.
        private: Width of the private representation.
        input_dropout: Share of the inputs dropped in training.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise hidden units over the batch.
        clamp: Largest absolute value of a standardised feature.

    Attributes:
        C: Orthogonal map of the shared representation to the label space, set from outside.
    """

    C: Tensor

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        n_classes: int,
        *,
        shared: int = 256,
        private: int = 48,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = False,
        clamp: float = float("inf"),
    ) -> None:
        super().__init__()
        self.inputs = ScaledInputs(n_features, clamp=clamp)
        self.dropout = Dropout(input_dropout)
        sizes = [n_features, *hidden, shared + private]  # two parallel layers are one that is split
        self.trunk = MLP(sizes, dropout=dropout, batch_norm=batch_norm)
        self.classifier = nn.Linear(shared + private, n_classes)
        self.widths = [shared, private]
        self.register_buffer("C", torch.eye(shared))

    def represent(self, x_BD: Tensor) -> Representations:
        """Shared and private representation and class logits of raw features."""
        scaled: Tensor = self.inputs(x_BD)
        h_BH = torch.tanh(self.trunk(self.dropout(scaled)))
        s_BE, r_BP = torch.split(h_BH, self.widths, dim=1)
        return Representations(s_BE, r_BP, self.classifier(h_BH))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the label space: C s, shape (B, shared)."""
        return self.represent(x_BD).shared @ self.C.T
