"""Dropout from random bytes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 256  # values of a byte
EIGHT_BYTES = -(2**63)  # the least of 64-bit integers: from there on, every bit is random


class Dropout(nn.Module):
    """Set a share of the units to 0 in training, and scale up the others.

    What `torch.nn.Dropout` does, faster on a processor: that draws a number a unit, here one draw
    decides about eight units, a byte each.

    Args:
        p: Share of the units that are set to 0, in steps of 1/256.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.kept = max(1, LEVELS - round(LEVELS * p))

    def forward(self, x: Tensor) -> Tensor:
        """Return what is left of x, same shape; out of training, x itself."""
        if not self.training or self.kept == LEVELS:
            return x
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        levels = draws.random_(EIGHT_BYTES, None).view(torch.uint8)[: x.numel()].view(x.shape)
        return x * (levels < self.kept).to(x.dtype).mul_(LEVELS / self.kept)

    def extra_repr(self) -> str:
        """The share, for ``print(network)``."""
        return f"p={self.p}"
