"""How much each weight mattered: the diagonal Fisher information, whole or as two vectors a matrix.

The whole of it is as large as the network, far larger than a small memory of rows. For a weight
matrix its row sums r and column sums c give ``r cᵀ / Σr``, of all matrices with these sums the one
of largest entropy [1]; what is kept for a modality is then some thousand numbers. Sums over
modalities are rebuilt when a stage begins.

References:
    [1] Shazeer, Stern. Adafactor: Adaptive Learning Rates with Sublinear Memory Cost. ICML 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.methods.sequential_rows import Batch, under
from commonspace.networks import UnifiedTrunk
from commonspace.objectives import class_losses
from commonspace.types import AnyArray

FISHER_ROWS = 256


def fisher_information(trunk: UnifiedTrunk, rows: Batch, p: Tensor) -> dict[str, Tensor]:
    """Mean over up to 256 rows of the squared gradient of their loss, for each parameter.

    The gradient of one row by the weights of a linear layer is δ aᵀ, with a the layer's input and
    δ the gradient by its output. So the squares of all rows sum to (δ²)ᵀ(a²): one pass for all.

    Args:
        trunk: The network.
        rows: Of one modality.
        p: Directions of the classes, shape (dim, n_classes).
    """
    n = min(len(rows), FISHER_ROWS)
    some = rows.take(torch.linspace(0, len(rows) - 1, n).long())
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def keep(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            seen[name] = inputs[0].detach(), output

        return keep

    layers = {k: layer for k, layer in trunk.named_modules() if isinstance(layer, nn.Linear)}
    hooks = [layer.register_forward_hook(note(k)) for k, layer in layers.items()]
    trunk.eval()
    losses = class_losses(trunk(some.x, some.gate) @ p, some.y, some.several)
    for hook in hooks:
        hook.remove()
    deltas = torch.autograd.grad(losses.sum(), [output for _, output in seen.values()])
    found: dict[str, Tensor] = {}
    for (name, (inputs, _)), delta in zip(seen.items(), deltas, strict=True):
        found[f"{name}.weight"] = delta.square().T @ inputs.square() / n
        found[f"{name}.bias"] = delta.square().mean(dim=0)
    return found


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
