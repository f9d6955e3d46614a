"""Losses as pure functions of tensors, one file an idea, the formula and its paper on top."""

from commonspace.objectives.continual import (
    anchor_penalty,
    class_losses,
    dark_loss,
    with_gradients,
    without_conflict,
)
from commonspace.objectives.mmd import class_mmd
from commonspace.objectives.multiscale import (
    binary_similarity,
    graded_similarity,
    item_similarity,
    multiscale_loss,
    pair_weights,
)
from commonspace.objectives.posterior import log_loss
from commonspace.objectives.predefined import reconstruction_loss, supervised_loss

__all__ = [
    "anchor_penalty",
    "binary_similarity",
    "class_losses",
    "class_mmd",
    "dark_loss",
    "graded_similarity",
    "item_similarity",
    "log_loss",
    "multiscale_loss",
    "pair_weights",
    "reconstruction_loss",
    "supervised_loss",
    "with_gradients",
    "without_conflict",
]
