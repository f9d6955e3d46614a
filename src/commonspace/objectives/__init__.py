"""Losses as pure functions of tensors, one file an idea, the formula and its paper on top."""

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
    "binary_similarity",
    "class_mmd",
    "graded_similarity",
    "item_similarity",
    "log_loss",
    "multiscale_loss",
    "pair_weights",
    "reconstruction_loss",
    "supervised_loss",
]
