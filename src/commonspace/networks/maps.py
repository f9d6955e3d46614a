"""Maps that were solved for, not trained, as modules; and a function of modules as one.

What a method computes in numpy is here in torch, so that it can be exported like a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from commonspace.networks.mlp import Standardize
from commonspace.types import AnyArray


class LinearMap(nn.Module):
    """Standardise, multiply by a matrix, add an intercept.

    Args:
        mean: Shape (n_features,).
        scale: Shape (n_features,).
        weights: Shape (n_features, dim).
        intercept: Shape (dim,); None adds nothing.
    """

    weights: Tensor
    intercept: Tensor

    def __init__(
        self,
        mean: AnyArray,
        scale: AnyArray,
        weights: AnyArray,
        intercept: AnyArray | None = None,
    ) -> None:
        super().__init__()
        self.inputs = Standardize(mean, scale)
        start = torch.zeros(weights.shape[1]) if intercept is None else intercept
        self.register_buffer("weights", torch.as_tensor(weights, dtype=torch.float32))
        self.register_buffer("intercept", torch.as_tensor(start, dtype=torch.float32))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the output, shape (B, dim)."""
        scaled: Tensor = self.inputs(x_BD)
        return scaled @ self.weights + self.intercept


class KernelMap(nn.Module):
    """Standardise, compare with landmarks by a kernel, multiply by a matrix; in float64.

    Args:
        mean: Shape (n_features,).
        scale: Shape (n_features,).
        basis: From features to coordinates; None where they are the same.
        landmarks: Shape (n_landmarks, n_coordinates).
        gamma: Of the Gaussian kernel; 0 means the linear one.
        weights: Shape (n_landmarks, dim).
        offset: Subtracted in the end, shape (dim,).
    """

    basis: Tensor
    landmarks: Tensor
    weights: Tensor
    offset: Tensor

    def __init__(
        self,
        mean: AnyArray,
        scale: AnyArray,
        *,
        basis: AnyArray | None,
        landmarks: AnyArray,
        gamma: float,
        weights: AnyArray,
        offset: AnyArray,
    ) -> None:
        super().__init__()
        self.inputs = Standardize(mean, scale)
        self.projects, self.gamma = basis is not None, gamma
        held = {"landmarks": landmarks, "weights": weights, "offset": offset}
        for name, array in held.items():
            self.register_buffer(name, torch.as_tensor(array, dtype=torch.float64))
        if basis is not None:
            self.register_buffer("basis", torch.as_tensor(basis, dtype=torch.float32))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the output, shape (B, dim), float32."""
        rows: Tensor = self.inputs(x_BD)
        rows = (rows @ self.basis if self.projects else rows).double()
        k_BL = rows @ self.landmarks.T
        if self.gamma:
            lengths = rows.square().sum(1, keepdim=True) + self.landmarks.square().sum(1)
            k_BL = (-self.gamma * (lengths - 2 * k_BL).clamp(min=0)).exp()
        return (k_BL @ self.weights - self.offset).float()


class UnitRows(nn.Module):
    """Each row at unit length; a row of zeros stays zero, and no square over- or underflows."""

    def forward(self, x_BD: Tensor) -> Tensor:
        """Scale rows, same shape."""
        scaled = x_BD / _or_one(x_BD.abs().amax(1, keepdim=True))
        return scaled / _or_one(scaled.square().sum(1, keepdim=True).sqrt())


class FunctionOf(nn.Module):
    """A function of a batch that calls some modules, as a module that holds them.

    Args:
        function: From rows to vectors.
        modules: What it calls.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.function = function
        self.called = nn.ModuleList(modules)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x_BD)


def _or_one(length_B1: Tensor) -> Tensor:
    return torch.where(length_B1 > 0, length_B1, torch.ones_like(length_B1))
