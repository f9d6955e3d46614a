"""The encoder of SDML's default recipe: calibrated class posteriors, carried by P into the space.

Let q(x) be the calibrated posterior of the classes. If errors in two modalities are independent,
an item x and an item y of another modality share their class with probability q(x)ᵀ q(y) (with
several labels, at least one of them with a probability that grows with it). An encoder with
``Pᵀ z = q`` therefore makes the inner product of two vectors the probability of a match. Cosine,
by which vectors are compared, divides that by the norms, and a norm is small where the posterior is
unsure: it would lift unsure items. So a share τ of the missing length is put back, in columns of
the basis that no class and no other modality uses (`Space.place`)::

    z = P q(x) + sqrt(τ (M − ‖q‖²)) · R u(x)

R holds those columns, u(x) is the unit vector of the whitened leading principal components of the
input, and M is the mean squared norm of a label vector (1 where each row has one class). Across
modalities the second term cancels, so inner products stay exactly qᵀq'. Within a modality it adds
what the classes do not say: near duplicates stay near, also of things that no class describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from scipy.linalg import eigh
from torch import Tensor, nn
from torch.nn import functional

from commonspace.networks.dropout import Dropout
from commonspace.networks.inputs import ScaledInputs
from commonspace.networks.kernel import KernelMachine
from commonspace.networks.mlp import MLP
from commonspace.types import AnyArray

KERNEL_SHARE = 1 / 3  # of the kernel machine in the posterior: where there are both kinds of
# networks, as much as either; a kind alone has two thirds
FILL = 0.45  # τ, share of the missing squared length that is put back
NEGLIGIBLE = 1e-8  # variance of a principal component against the first: no more than rounding


class Expert(nn.Sequential):
    """An MLP from scaled features to class logits, with its own regularisation."""

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = True,
    ) -> None:
        mlp = MLP(sizes, dropout=dropout, batch_norm=batch_norm)
        super().__init__(Dropout(input_dropout), mlp)


class PosteriorEncoder(nn.Module):
    """Scale, average calibrated posteriors, carry them into the space.

    The experts share what `KERNEL_SHARE` leaves evenly, or all of it.

    Args:
        n_features: Width of the input.
        hidden: Widths of the experts' hidden layers.
        experts: Options of each `Expert`, by name.
        basis: Basis of the space, shape (dim, dim), or the frame of more than dim classes.
        n_classes: Classes that own the first columns.
        several: Rows may belong to several classes: one sigmoid a class instead of a softmax.
        own: First column of the modality's place, and one past its last, see `Space.place`.
        landmarks: Of the `KernelMachine` beside the experts; 0 has none.

    Attributes:
        temperature: Divides each expert's logits, shape (n_experts,).
        length: M, the mean squared norm of a label vector.
        center: Mean of the principal components, shape (n_own,).
        components: Projection on the whitened components, shape (n_features, n_own).
    """

    frame: Tensor
    temperature: Tensor
    length: Tensor
    center: Tensor
    components: Tensor

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        experts: Mapping[str, Mapping[str, Any]],
        *,
        basis: AnyArray,
        n_classes: int,
        several: bool,
        own: Sequence[int] = (0, 0),
        landmarks: int = 0,
    ) -> None:
        super().__init__()
        sizes = [n_features, *hidden, n_classes]
        self.several = several
        self.inputs = ScaledInputs(n_features)
        self.experts = nn.ModuleDict({key: Expert(sizes, **experts[key]) for key in experts})
        self.kernel = (
            KernelMachine(landmarks, n_features, n_classes, several=several) if landmarks else None
        )
        basis_EF, (first, end) = torch.tensor(basis), own
        frame = torch.cat([basis_EF[:, :n_classes], basis_EF[:, first:end]], dim=1)
        self.register_buffer("frame", frame, persistent=False)
        self.register_buffer("temperature", torch.ones(len(experts)))
        self.register_buffer("length", torch.ones(()))
        self.register_buffer("center", torch.zeros(end - first))
        self.register_buffer("components", torch.zeros(n_features, end - first))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Kernel machines once had a scale of their own: what had none takes it back by weights."""
        scale_D = state_dict.pop(f"{prefix}kernel.scale", None)
        if scale_D is not None:
            back_D = torch.where(scale_D > 0, 1 / scale_D, torch.zeros(()))
            for key in self.experts:
                weight = f"{prefix}experts.{key}.1.0.weight"
                state_dict[weight] = state_dict[weight] * back_D
            components = f"{prefix}components"
            state_dict[components] = state_dict[components] * back_D.unsqueeze(1)
            state_dict[f"{prefix}inputs.loudness"] = scale_D
        super()._load_from_state_dict(state_dict, prefix, *args)

    def set_components(self, scaled_ND: Tensor) -> None:
        """Find the principal components of scaled rows; too few leave the rest at 0."""
        mean_D = scaled_ND.double().mean(dim=0)
        whitened_DF = _whitened(scaled_ND.double() - mean_D, self.components.shape[1])
        n = whitened_DF.shape[1]
        self.components.zero_()[:, :n] = whitened_DF
        self.center.zero_()[:n] = mean_D @ whitened_DF

    def posterior(self, scaled_BD: Tensor) -> Tensor:
        """Calibrated class posteriors of scaled features, shape (B, n_classes)."""
        shares = []
        for expert, temperature in zip(self.experts.values(), self.temperature, strict=True):
            logits_BC = expert(scaled_BD) / temperature
            shares.append(logits_BC.sigmoid() if self.several else logits_BC.softmax(dim=1))
        q_BC = torch.stack(shares).mean(dim=0)
        if self.kernel is None:
            return q_BC
        kernel_BC: Tensor = self.kernel(scaled_BD)
        return (1 - KERNEL_SHARE) * q_BC + KERNEL_SHARE * kernel_BC

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the common space, shape (B, dim)."""
        scaled_BD = self.inputs(x_BD)
        q_BC = self.posterior(scaled_BD)
        if not self.components.shape[1]:
            return q_BC @ self.frame.T
        u_BF = functional.normalize(scaled_BD @ self.components - self.center, dim=1)
        return filled(q_BC, u_BF, self.length, FILL) @ self.frame.T


def filled(q_BC: Tensor, u_BF: Tensor, length: Tensor | float, share: float) -> Tensor:
    """Posteriors, and beside them unit vectors that put back a share of the missing length.

    Args:
        q_BC: Posteriors.
        u_BF: Unit vectors.
        length: M, the squared length that none is missing from.
        share: τ, how much is put back.
    """
    missing_B1 = (length - q_BC.square().sum(dim=1, keepdim=True)).clamp(min=0)
    return torch.cat([q_BC, (share * missing_B1).sqrt() * u_BF], dim=1)


def _whitened(x_ND: Tensor, n: int) -> Tensor:
    """Directions of the leading principal components over their singular values, at most n."""
    wide = x_ND.shape[0] < x_ND.shape[1]
    gram = (x_ND @ x_ND.T if wide else x_ND.T @ x_ND).numpy()
    leading = (max(0, len(gram) - n), len(gram) - 1)
    found = eigh(gram, subset_by_index=leading, overwrite_a=True)
    variances, vectors = (torch.from_numpy(each).flip(-1) for each in found)
    kept = variances > max(NEGLIGIBLE * float(variances[0]), NEGLIGIBLE)
    variances, vectors = variances[kept], vectors[:, kept]
    whitened_DF: Tensor = x_ND.T @ vectors / variances if wide else vectors / variances.sqrt()
    largest_1F = whitened_DF.abs().argmax(dim=0, keepdim=True)  # made positive: rounding must not
    return whitened_DF * whitened_DF.gather(0, largest_1F).sign()  # choose between v and -v
