"""Decoders beside the networks, and what is lost on the way through both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.networks import MLP


def decoders(sizes: Sizes, dim: int, hidden: Sequence[int]) -> dict[str, nn.Module]:
    """One decoder a modality, its hidden layers those of the networks reversed."""
    return {
        decoder_of(name): MLP([dim, *reversed(hidden), width])
        for name, width in sizes.features.items()
    }


def decoder_of(name: str) -> str:
    """What the decoder of a modality is called."""
    return f"decoder of {name}"


def reconstruction_error(batch: Batch) -> Tensor:
    """Mean square error of the scaled features, a mean over modalities whatever their widths."""
    return torch.stack(
        [
            functional.mse_loss(batch.modules[decoder_of(name)](z_BE), batch.x[name])
            for name, z_BE in batch.z.items()
        ]
    ).mean()
