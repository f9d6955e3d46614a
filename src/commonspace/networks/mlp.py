"""Fully connected networks and the fixed input scaling in front of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from commonspace.networks.dropout import Dropout
from commonspace.types import AnyArray

NORM_EPS = 1e-12


def l2_normalize(x_BE: Tensor) -> Tensor:
    """Scale each row to unit Euclidean length (a row of zeros stays zero)."""
    return functional.normalize(x_BE, dim=1, eps=NORM_EPS)


class MLP(nn.Sequential):
    """Linear layers with a nonlinearity after each but the last.

    Args:
        sizes: Width of the input, of each hidden layer, and of the output.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise every hidden unit over the batch, before the nonlinearity.
        activation: Makes the nonlinearity.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        dropout: float = 0.0,
        batch_norm: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(sizes[:-1]):
            layers.append(nn.Linear(width_in, width_out))
            if batch_norm:
                layers.append(nn.BatchNorm1d(width_out))
            layers.append(activation())
            if dropout:
                layers.append(Dropout(dropout))
        layers.append(nn.Linear(sizes[-2], sizes[-1]))
        super().__init__(*layers)


class Standardize(nn.Module):
    """A fixed affine input layer: subtract the mean of the training rows, divide by their spread.

    Attributes:
        mean: Shape (n_features,).
        scale: Shape (n_features,); 1 / standard deviation, 0 for a constant feature.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: AnyArray, scale: AnyArray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return the standardised rows, same shape."""
        return (x_BD - self.mean) * self.scale
