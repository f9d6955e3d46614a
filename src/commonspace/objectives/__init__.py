"""Losses as pure functions of tensors, one file an idea, the formula and its paper on top."""

from commonspace.objectives.mmd import class_mmd
from commonspace.objectives.posterior import log_loss
from commonspace.objectives.predefined import reconstruction_loss, supervised_loss

__all__ = ["class_mmd", "log_loss", "reconstruction_loss", "supervised_loss"]
