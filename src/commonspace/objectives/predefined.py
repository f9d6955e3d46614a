"""The two terms of SDML: agree with a predefined space, and keep what the input said.

For modality i with encoder output h, decoder output x̂ and label vector y, eqs. 1-2 of [1] are::

    J_i = 1/n_i Σ_j  λ ‖x̂_j − x_j‖²  +  (1 − λ) ‖Pᵀ h_j − y_j‖²

The code released with the paper takes the norms *un-squared*, and both h and x̂ at unit length.

References:
    [1] Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal Retrieval.
        SIGIR 2019. doi:10.1145/3331184.3331213
"""

from __future__ import annotations

from torch import Tensor

EPS = 1e-12


def supervised_loss(h_BE: Tensor, p_EC: Tensor, y_BC: Tensor, *, squared: bool) -> Tensor:
    """Mean over the labelled rows of ‖Pᵀh − y‖, or of its square.

    A row whose label vector is zero is unlabelled and takes no part; without any labelled row the
    term is zero (the released code divides by zero there).

    Args:
        h_BE: Codes h of a batch.
        p_EC: P, one direction a class.
        y_BC: Label vectors y.
        squared: Whether to take the square of the norm.
    """
    labelled = y_BC.ne(0).any(dim=1).to(h_BE.dtype)
    residual = _row_norms(h_BE @ p_EC - y_BC, squared=squared)
    return (residual * labelled).sum() / labelled.sum().clamp(min=1)


def reconstruction_loss(decoded_BD: Tensor, x_BD: Tensor, *, squared: bool) -> Tensor:
    """Mean over all rows of ‖x̂ − x‖, or of its square.

    Args:
        decoded_BD: x̂, what the decoder gives.
        x_BD: x, what went into the encoder.
        squared: Whether to take the square of the norm.
    """
    return _row_norms(decoded_BD - x_BD, squared=squared).mean()


def _row_norms(residual_BX: Tensor, *, squared: bool) -> Tensor:
    squares = residual_BX.square().sum(dim=1)
    return squares if squared else (squares + EPS).sqrt()
