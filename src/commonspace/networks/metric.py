"""A branch of MS-DMML: from the features of one modality to unit vectors of the common space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from commonspace.networks.dropout import Dropout
from commonspace.networks.inputs import ScaledInputs
from commonspace.networks.mlp import MLP

NORM_EPS = 1e-8


class MetricBranch(nn.Module):
    """Features → hidden layers → dim, scaled to unit length.

    Several members are networks side by side. Each gives unit vectors of dim / members dimensions,
    and the whole is again of unit length: its cosines are the means of theirs.

    Args:
        n_features: Width of the input.
        hidden: Widths of the hidden layers.
        dim: Dimensions of the common space, a multiple of ``members``.
        members: Networks side by side.
        final_relu: A ReLU on the output as well, so that no coordinate is negative.
        init_std: Standard deviation of the normal distribution that weights start from, biases
            from zero; None leaves them to torch.
        input_dropout: Share of the inputs dropped in training.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise hidden units over the batch.
        standardize: A fixed input layer scales the features; False takes them as they are.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        dim: int,
        *,
        members: int = 1,
        final_relu: bool = False,
        init_std: float | None = None,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = False,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.inputs: ScaledInputs | nn.Identity = (
            ScaledInputs(n_features) if standardize else nn.Identity()
        )
        self.dropout = Dropout(input_dropout)
        sizes = [n_features, *hidden, dim // members]
        self.members = nn.ModuleList(
            MLP(sizes, dropout=dropout, batch_norm=batch_norm) for _ in range(members)
        )
        self.final_relu = final_relu
        if init_std is not None:
            _initialize(self.members, init_std)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring features to the common space, shape (B, dim), rows of length 1.

        A row that the final ReLU makes all zero has no direction and stays zero.
        """
        x_BD = self.inputs(x_BD)
        parts = [member(self.dropout(x_BD)) for member in self.members]
        if self.final_relu:
            parts = [part.relu() for part in parts]
        units = [functional.normalize(part, dim=1, eps=NORM_EPS) for part in parts]
        length: float = len(units) ** 0.5
        return torch.cat(units, dim=1) / length


def _initialize(networks: nn.Module, std: float) -> None:
    for layer in networks.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
