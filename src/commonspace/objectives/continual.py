"""What keeps a network that learns in stages from forgetting, as pure functions of tensors.

Gradients are lists of tensors, one a parameter; an entry may be None where nothing flows.

References:
    [1] Chaudhry, Ranzato, Rohrbach, Elhoseiny. Efficient Lifelong Learning with A-GEM. ICLR 2019.
    [2] Kirkpatrick et al. Overcoming catastrophic forgetting in neural networks. PNAS 2017.
    [3] Buzzega et al. Dark Experience for General Continual Learning. NeurIPS 2020.
    [4] Riemer et al. Learning to Learn without Forgetting by Maximizing Transfer and Minimizing
        Interference. ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def class_losses(logits_BC: Tensor, y_BC: Tensor, several_B: Tensor) -> Tensor:
    """Negative log likelihood of each row's labels, shape (B,).

    Args:
        logits_BC: One logit a class.
        y_BC: Label weights.
        several_B: Rows for which every class is a yes-or-no of its own (summed over classes); for
            the others the classes exclude each other, and weights are scaled to sum 1.
    """
    if not bool(several_B.any()):
        return _exclusive(logits_BC, y_BC)
    each_BC = functional.binary_cross_entropy_with_logits(logits_BC, y_BC, reduction="none")
    return torch.where(several_B, each_BC.sum(dim=1), _exclusive(logits_BC, y_BC))


def _exclusive(logits_BC: Tensor, y_BC: Tensor) -> Tensor:
    share_BC = y_BC / y_BC.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return functional.cross_entropy(logits_BC, share_BC, reduction="none")


def dark_loss(logits_BC: Tensor, kept_BC: Tensor) -> Tensor:
    """Mean over rows of the squared distance to the logits kept with a memory [3], per class.

    A class that came after a row was stored has no kept logit, marked NaN, and takes no part.
    """
    known_BC = kept_BC.isfinite()
    gap_BC = torch.where(known_BC, logits_BC - kept_BC.nan_to_num(), 0.0)
    return (gap_BC.square().sum(dim=1) / known_BC.sum(dim=1).clamp(min=1)).mean()


def without_conflict(new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    """A-GEM [1]: the gradient on new data, made orthogonal to that on old data if they conflict.

    ``g − (⟨g, r⟩ / ⟨r, r⟩) r`` where ⟨g, r⟩ < 0, else g.
    """
    inner, square = _inner(new, old), _inner(old, old)
    if float(inner) >= 0 or float(square) == 0:
        return list(new)
    return [g - (inner / square) * r for g, r in zip(new, old, strict=True)]


def _inner(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()


def anchor_penalty(
    parameters: Mapping[str, Tensor], anchors: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """EWC [2]: ½ Σ F (θ − θ*)², with the diagonal Fisher information of what was learned.

    Args:
        parameters: θ, by name.
        anchors: θ*, of the same names and shapes.
        fisher: F, likewise.
    """
    terms = [
        (fisher[key] * (value - anchors[key]).square()).sum() for key, value in parameters.items()
    ]
    return 0.5 * torch.stack(terms).sum()


def with_gradients(
    value: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Tensor:
    """A scalar of that value whose gradient by the parameters is the one given.

    So a rule that is no plain loss (a projection, a look-ahead, the way to a point, as in
    Reptile [4]) still trains in a loop that takes losses.

    Args:
        value: Of the scalar, what a history shows.
        parameters: What is trained.
        gradients: One a parameter, of its shape.
    """
    inner = _inner(parameters, [gradient.detach() for gradient in gradients])
    return value.detach() + inner - inner.detach()
