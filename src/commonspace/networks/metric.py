"""A branch of MS-DMML: from the features of one modality to unit vectors of the common space."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from commonspace.networks.mlp import MLP, Standardize
from commonspace.types import AnyArray

NORM_EPS = 1e-8
CLAMP = 10.0  # standard deviations: an outlier beyond says no more than "very large"


class MetricBranch(nn.Module):
    """Features → hidden layers → dim, scaled to unit length.

    Args:
        n_features: Width of the input.
        hidden: Widths of the hidden layers.
        dim: Dimensions of the common space.
        final_relu: A ReLU on the output as well, so that no coordinate is negative.
        init_std: Standard deviation of the normal distribution that weights start from, biases
            from zero; None leaves them to torch.
        input_dropout: Share of the inputs dropped in training.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise hidden units over the batch.
        standardize: Mean and scale of a fixed input layer; None takes the input as it is.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        dim: int,
        *,
        final_relu: bool = False,
        init_std: float | None = None,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = False,
        standardize: tuple[AnyArray, AnyArray] | None = None,
    ) -> None:
        super().__init__()
        self.inputs: nn.Module = nn.Identity() if standardize is None else Standardize(*standardize)
        self.clamps = standardize is not None
        self.dropout = nn.Dropout(input_dropout)
        self.mlp = MLP([n_features, *hidden, dim], dropout=dropout, batch_norm=batch_norm)
        self.final_relu = final_relu
        if init_std is not None:
            _initialize(self.mlp, init_std)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring features to the common space, shape (B, dim), rows of length 1.

        A row that the final ReLU makes all zero has no direction and stays zero.
        """
        x_BD = self.inputs(x_BD)
        if self.clamps:
            x_BD = x_BD.clamp(-CLAMP, CLAMP)
        out_BE: Tensor = self.mlp(self.dropout(x_BD))
        if self.final_relu:
            out_BE = out_BE.relu()
        return functional.normalize(out_BE, dim=1, eps=NORM_EPS)


def _initialize(mlp: nn.Module, std: float) -> None:
    for layer in mlp.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
