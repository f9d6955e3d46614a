"""A kernel machine: class posteriors of an item by its likeness to some items with labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARPNESS = 10.0  # a score of 1 against 0 are odds of e¹⁰, before calibration
LEAST = 1e-3  # the smallest score, and 1 less the largest, that counts as a probability


class KernelMachine(nn.Module):
    """Scores ``Σ_j w_j exp(−γ ‖x − l_j‖²) + b`` of the classes, as calibrated posteriors.

    Args:
        n_landmarks: Rows that items are compared with.
        n_features: Width of the input.
        n_classes: Scores an item.
        several: Rows may belong to several classes, see `logits_of`.

    Attributes:
        landmarks: Rows, shape (n_landmarks, n_features).
        gamma: γ ≥ 0.
        weights: Shape (n_landmarks, n_classes).
        intercept: Shape (n_classes,).
        temperature: Divides the logits.
    """

    landmarks: Tensor
    gamma: Tensor
    weights: Tensor
    intercept: Tensor
    temperature: Tensor

    def __init__(self, n_landmarks: int, n_features: int, n_classes: int, *, several: bool) -> None:
        super().__init__()
        self.several = several
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_features))
        self.register_buffer("gamma", torch.zeros(()))
        self.register_buffer("weights", torch.zeros(n_landmarks, n_classes))
        self.register_buffer("intercept", torch.zeros(n_classes))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Posteriors of the classes, shape (B, n_classes)."""
        scores_BC = likeness(x_BD, self.landmarks, self.gamma) @ self.weights + self.intercept
        logits_BC = logits_of(scores_BC, several=self.several) / self.temperature
        return logits_BC.sigmoid() if self.several else logits_BC.softmax(dim=1)


def likeness(x_BD: Tensor, landmarks_LD: Tensor, gamma: Tensor | float) -> Tensor:
    """exp(−γ ‖x − l‖²) of every row and landmark, shape (B, L)."""
    return (-gamma * squared_distances(x_BD, landmarks_LD)).exp()


def squared_distances(x_BD: Tensor, other_LD: Tensor) -> Tensor:
    """‖x − y‖² of every pair of rows, shape (B, L)."""
    lengths = x_BD.square().sum(1, keepdim=True) + other_LD.square().sum(1)
    return (lengths - 2 * (x_BD @ other_LD.T)).clamp(min=0)


def logits_of(scores_BC: Tensor, *, several: bool) -> Tensor:
    """Least-squares scores of class membership, about 0 or 1, as logits.

    Of several classes a row every score is a probability of its own; else scores compete.
    """
    if not several:
        return SHARPNESS * scores_BC
    return torch.logit(scores_BC, eps=LEAST)
