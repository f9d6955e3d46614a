"""Losses as pure functions of tensors, one file an idea, the formula and its paper on top."""

from commonspace.objectives.adversarial import (
    modality_loss,
    nearest_strangers,
    reversal_factor,
    reverse_gradient,
    weighted_triplets,
)
from commonspace.objectives.continual import (
    anchor_penalty,
    class_losses,
    dark_loss,
    with_gradients,
    without_conflict,
)
from commonspace.objectives.contrast import contrastive_loss
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
from commonspace.objectives.pairwise import pairwise_log_loss
from commonspace.objectives.posterior import log_loss
from commonspace.objectives.predefined import reconstruction_loss, supervised_loss
from commonspace.objectives.projection import (
    projection_classification_loss,
    projection_matching_loss,
)
from commonspace.objectives.scatter import discriminant_loss, trace_ratio, unexplained_share
from commonspace.objectives.translation import translation_reward
from commonspace.objectives.triplets import adaptive_triplet_loss

__all__ = [
    "adaptive_triplet_loss",
    "anchor_penalty",
    "binary_similarity",
    "canonical_correlations",
    "class_losses",
    "class_mmd",
    "contrastive_loss",
    "cosine_pair_loss",
    "dark_loss",
    "discriminant_loss",
    "graded_similarity",
    "item_similarity",
    "log_loss",
    "modality_loss",
    "multiscale_loss",
    "nearest_strangers",
    "pair_weights",
    "pairwise_log_loss",
    "projection_classification_loss",
    "projection_matching_loss",
    "reconstruction_loss",
    "reversal_factor",
    "reverse_gradient",
    "supervised_loss",
    "trace_ratio",
    "translation_reward",
    "unexplained_share",
    "weighted_triplets",
    "with_gradients",
    "without_conflict",
]
