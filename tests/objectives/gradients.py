"""Gradients by finite differences, for every loss alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def by_differences(function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
    """Central differences of a scalar function at x, in float64."""
    numeric, step = np.zeros_like(x), 1e-6
    for index in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[index] = step
        up, down = (float(function(torch.from_numpy(x + s * moved))) for s in (1, -1))
        numeric[index] = (up - down) / (2 * step)
    return numeric


def by_torch(function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
    """What backpropagation says of the same."""
    at = torch.tensor(x, requires_grad=True)
    function(at).backward()
    return at.grad.numpy()
