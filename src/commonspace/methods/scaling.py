"""How the features of a modality are scaled before a method learns from them."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from commonspace.methods.base import standardization
from commonspace.methods.jobs import as_tensor, evenly
from commonspace.methods.kernel_machine import loudness
from commonspace.networks import ScaledInputs, Standardize
from commonspace.types import AnyArray, Float32Array, IntArray

LOUDNESS_ROWS = 2048  # are enough to say how loud features should be


def set_scaling(layer: Standardize, x_ND: AnyArray) -> None:
    """Let an input layer scale by the mean and spread of these rows, all features alike."""
    mean, scale = standardization(x_ND)
    layer.mean.copy_(torch.from_numpy(mean))
    layer.scale.copy_(torch.from_numpy(scale))


def scale_by_labels(
    layer: ScaledInputs,
    x_ND: AnyArray,
    y_NC: AnyArray | sparse.csr_array,
    *,
    several: bool,
    use: AnyArray | None = None,
) -> None:
    """Let an input layer standardise, and leave features as loud as they were where that helps.

    Args:
        layer: Changed, see `loudness`.
        x_ND: Features.
        y_NC: Label weights.
        several: Rows may belong to several classes.
        use: Which rows tell; None takes those that have a label.
    """
    if use is None:
        use = y_NC.sum(axis=1) > 0
    rows = np.flatnonzero(use)
    rows = rows[evenly(len(rows), LOUDNESS_ROWS)]
    set_scaling(layer, x_ND)
    layer.loudness.fill_(1.0)
    if not len(rows):
        return

    def standardized(some: IntArray) -> Tensor:
        out: Tensor = layer(as_tensor(x_ND[rows[some]]))
        return out

    spread = torch.where(layer.scale > 0, 1 / layer.scale, torch.zeros(()))
    labels = sparse.csr_array(y_NC[rows])
    with torch.inference_mode():
        found = loudness(standardized, labels, spread, several=several)
        layer.loudness.copy_(found)


def loud_standardization(
    x_ND: Float32Array, y_NC: AnyArray, *, several: bool, use: AnyArray | None = None
) -> tuple[Float32Array, Float32Array]:
    """As `standardization`, the scale times how loud features should be: for linear maps.

    Args:
        x_ND: Features.
        y_NC: Label weights.
        several: Rows may belong to several classes.
        use: Which rows tell how loud; None takes all.
    """
    layer = ScaledInputs(x_ND.shape[1])
    use = np.ones(len(x_ND), bool) if use is None else use
    scale_by_labels(layer, x_ND, y_NC, several=several, use=use)
    return layer.mean.numpy(), (layer.scale * layer.loudness).numpy()
