"""Losses as pure functions of tensors, one file an idea, the formula and its paper on top."""

from commonspace.objectives.continual import (
    anchor_penalty,
    class_losses,
    dark_loss,
    with_gradients,
    without_conflict,
)
from commonspace.objectives.correlation import canonical_correlations
from commonspace.objectives.cosine_pairs import cosine_pair_loss
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
from commonspace.objectives.projection import (
    projection_classification_loss,
    projection_matching_loss,
)
from commonspace.objectives.triplets import adaptive_triplet_loss

__all__ = [
    "adaptive_triplet_loss",
    "anchor_penalty",
    "binary_similarity",
    "canonical_correlations",
    "class_losses",
    "class_mmd",
    "cosine_pair_loss",
    "dark_loss",
    "graded_similarity",
    "item_similarity",
    "log_loss",
    "multiscale_loss",
    "pair_weights",
    "projection_classification_loss",
    "projection_matching_loss",
    "reconstruction_loss",
    "supervised_loss",
    "with_gradients",
    "without_conflict",
]
