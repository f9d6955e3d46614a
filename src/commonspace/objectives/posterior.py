"""Log loss of class logits, the proper score whose minimiser is the posterior itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def log_loss(logits_BC: Tensor, y_BC: Tensor, *, several: bool) -> Tensor:
    """Mean over rows of the negative log likelihood of the labels.

    Args:
        logits_BC: One logit a class.
        y_BC: Label weights. With one class a row they are scaled to sum 1.
        several: Every class is a yes-or-no of its own (weights in [0, 1]), summed over classes;
            else the classes exclude each other.
    """
    if several:
        each = functional.binary_cross_entropy_with_logits(logits_BC, y_BC, reduction="none")
        return each.sum(dim=1).mean()
    share_BC = y_BC / y_BC.sum(dim=1, keepdim=True)
    return functional.cross_entropy(logits_BC, share_BC)
