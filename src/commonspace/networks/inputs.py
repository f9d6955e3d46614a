"""The fixed input layer of a network: features of any unit in, features that can be learned out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from commonspace.networks.mlp import Standardize

CLAMP = 10.0  # standard deviations: an outlier beyond says no more than "very large"


class ScaledInputs(Standardize):
    """Standardise, cut off outliers, set how loud features are.

    Args:
        n_features: Width of the features.
        clamp: Largest absolute value of a standardised feature.

    Attributes:
        loudness: What standardised features are multiplied by, shape (n_features,).
    """

    loudness: Tensor

    def __init__(self, n_features: int, *, clamp: float = CLAMP) -> None:
        super().__init__(torch.zeros(n_features).numpy(), torch.ones(n_features).numpy())
        self.clamp = clamp
        self.register_buffer("loudness", torch.ones(n_features))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return the scaled rows, same shape."""
        return self.loudness * super().forward(x_BD).clamp(-self.clamp, self.clamp)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """What was stored before there was a loudness has every feature alike."""
        state_dict.setdefault(f"{prefix}loudness", torch.ones_like(self.loudness))
        super()._load_from_state_dict(state_dict, prefix, *args)
