"""One network for all modalities: a fixed adapter each, and one trunk that they share.

An adapter is learned by nothing: it standardises the features, keeps their leading principal
components, and turns these into the trunk's input space. `UnifiedTrunk` is all that learns, and its
size does not grow with the number of modalities. Each modality opens a fixed random subset of the
hidden units [1], so that what one modality teaches a unit disturbs only those that share it.

References:
    [1] Masse, Grant, Freedman. Alleviating catastrophic forgetting using context-dependent gating
        and synaptic stabilization. PNAS 2018. doi:10.1073/pnas.1803839115
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from commonspace.networks.dropout import Dropout
from commonspace.networks.inputs import ScaledInputs


class Adapter(nn.Module):
    """A fixed linear map from standardised features to the trunk's input.

    Args:
        n_features: Width of the features.
        width: Width of the trunk's input.
        n_hidden: Hidden units of the trunk, all layers together.

    Attributes:
        projection: Shape (n_features, width).
        gate: 1 for the hidden units that this modality opens, else 0; shape (n_hidden,).
    """

    projection: Tensor
    gate: Tensor

    def __init__(self, n_features: int, width: int, n_hidden: int) -> None:
        super().__init__()
        self.inputs = ScaledInputs(n_features)
        self.register_buffer("projection", torch.zeros(n_features, width))
        self.register_buffer("gate", torch.ones(n_hidden))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the trunk's input, shape (B, width)."""
        scaled_BD: Tensor = self.inputs(x_BD)
        return scaled_BD @ self.projection


class UnifiedTrunk(nn.Module):
    """Linear layers with ReLU, whose hidden units each row opens or closes.

    Args:
        width: Of the input.
        hidden: Widths of the hidden layers.
        dim: Of the output: dimensions of the common space.
        dropout: Share of the hidden units dropped in training.
        input_dropout: Share of the inputs dropped in training.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        dim: int,
        *,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.widths = list(hidden)
        sizes = [width, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        self.output = nn.Linear(sizes[-1], dim)
        self.input_dropout = Dropout(input_dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x_BA: Tensor, gate_BH: Tensor) -> Tensor:
        """Bring adapted rows to the space.

        Args:
            x_BA: Output of the adapters.
            gate_BH: Which hidden units each row opens, shape (B, sum of the hidden widths), or
                (1, ...) for all rows alike.

        Returns:
            Shape (B, dim). Its projection on a class's direction is the logit of that class.
        """
        h_BX = self.input_dropout(x_BA)
        gates = torch.split(gate_BH, self.widths, dim=1)
        for layer, gate_BX in zip(self.hidden, gates, strict=True):
            h_BX = self.dropout(layer(h_BX).relu()) * gate_BX
        out: Tensor = self.output(h_BX)
        return out
