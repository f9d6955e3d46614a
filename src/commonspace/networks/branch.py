"""One modality's network in a method that trains all modalities together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from commonspace.networks.dropout import Dropout
from commonspace.networks.inputs import ScaledInputs
from commonspace.networks.mlp import MLP, l2_normalize

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Branch(nn.Module):
    """Features, scaled once and for all → hidden layers → dim.

    Args:
        n_features: Width of the input.
        hidden: Widths of the hidden layers; none makes it linear.
        dim: Width of the output.
        activation: "relu", "tanh" or "sigmoid", after each hidden layer.
        final: The same after the output; None leaves it linear.
        unit: Scale the output to unit length.
        input_dropout: Share of the features dropped in training.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise hidden units over the batch.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        dim: int,
        *,
        activation: str = "relu",
        final: str | None = None,
        unit: bool = False,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = ScaledInputs(n_features)
        self.dropout = Dropout(input_dropout)
        self.layers = MLP(
            [n_features, *hidden, dim],
            dropout=dropout,
            batch_norm=batch_norm,
            activation=ACTIVATIONS[activation],
        )
        self.final: nn.Module = nn.Identity() if final is None else ACTIVATIONS[final]()
        self.unit = unit

    def encode(self, scaled_BD: Tensor) -> Tensor:
        """Bring scaled features to the output, shape (B, dim)."""
        z_BE: Tensor = self.final(self.layers(self.dropout(scaled_BD)))
        return l2_normalize(z_BE) if self.unit else z_BE

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the output, shape (B, dim)."""
        return self.encode(self.inputs(x_BD))
