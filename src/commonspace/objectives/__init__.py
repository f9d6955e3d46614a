"""Losses as pure functions of tensors, one file an idea, the formula and its paper on top."""

from commonspace.objectives.continual import (
    anchor_penalty,
    class_losses,
    dark_loss,
    with_gradients,
    without_conflict,
)
from commonspace.objectives.posterior import log_loss
from commonspace.objectives.predefined import reconstruction_loss, supervised_loss

__all__ = [
    "anchor_penalty",
    "class_losses",
    "dark_loss",
    "log_loss",
    "reconstruction_loss",
    "supervised_loss",
    "with_gradients",
    "without_conflict",
]
