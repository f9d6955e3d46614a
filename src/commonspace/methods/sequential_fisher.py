"""How much each weight mattered: the diagonal Fisher information, whole or as two vectors a matrix.

The whole of it is as large as the network, far larger than a small memory of rows. For a weight
matrix its row sums r and column sums c give ``r cᵀ / Σr``, of all matrices with these sums the one
of largest entropy [1]; what is kept for a modality is then some thousand numbers. Sums over
modalities are rebuilt when a stage begins.

References:
    [1] Shazeer, Stern. Adafactor: Adaptive Learning Rates with Sublinear Memory Cost. ICML 2018.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from commonspace.methods.sequential_rows import Batch, under
from commonspace.networks import UnifiedTrunk
from commonspace.objectives import class_losses
from commonspace.types import AnyArray

FISHER_ROWS = 256
FISHER_CHUNK = 16


def fisher_information(trunk: UnifiedTrunk, rows: Batch, p: Tensor) -> dict[str, Tensor]:
    """Mean over up to 256 rows of the squared gradient of their loss, for each parameter.

    Args:
        trunk: The network.
        rows: Of one modality.
        p: Directions of the classes, shape (dim, n_classes).
    """
    parameters = {name: value.detach() for name, value in trunk.named_parameters()}
    several = bool(rows.several[0])

    def loss(values: dict[str, Tensor], x: Tensor, gate: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(trunk, values, (x[None], gate[None])) @ p
        if several:
            return functional.binary_cross_entropy_with_logits(logits, y[None], reduction="sum")
        return class_losses(logits, y[None], None)[0]

    each = vmap(grad(loss), in_dims=(None, 0, 0, 0))
    n = min(len(rows), FISHER_ROWS)
    some = rows.take(torch.linspace(0, len(rows) - 1, n).long())
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    trunk.eval()
    for chunk in some.chunks(-(-n // FISHER_CHUNK)):
        for name, value in each(parameters, chunk.x, chunk.gate, chunk.y).items():
            total[name] += value.square().sum(dim=0) / n
    return total


def summed(kept: Mapping[str, AnyArray], found: Mapping[str, Tensor]) -> dict[str, AnyArray]:
    """Add the information of a modality to that of those before, whole."""
    return {
        f"fisher/{name}": value.numpy() + kept.get(f"fisher/{name}", 0.0)
        for name, value in found.items()
    }


def stacked(kept: Mapping[str, AnyArray], found: Mapping[str, Tensor]) -> dict[str, AnyArray]:
    """Append the information of a modality as two vectors a matrix; biases are summed whole."""
    out = summed(kept, {name: value for name, value in found.items() if value.ndim == 1})
    for name, value in found.items():
        if value.ndim == 2:
            matrix = value.numpy()
            pair = {"rows": matrix.sum(axis=1), "columns": matrix.sum(axis=0)}
            pair["columns"] = pair["columns"] / max(float(matrix.sum()), 1e-37)
            for key, vector in pair.items():
                before = kept.get(f"{key}-fisher/{name}", np.empty((0, len(vector)), np.float32))
                out[f"{key}-fisher/{name}"] = np.vstack([before, vector]).astype(np.float32)
    return out


def rebuilt(kept: Mapping[str, AnyArray]) -> dict[str, Tensor]:
    """The information of all modalities, from what `summed` or `stacked` keep."""
    out = {name: torch.tensor(value) for name, value in under(kept, "fisher/")}
    columns = dict(under(kept, "columns-fisher/"))
    for name, rows in under(kept, "rows-fisher/"):
        out[name] = torch.tensor(rows.T @ columns[name])
    return out
