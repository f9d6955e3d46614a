"""The supervised autoencoder of SDML: one a modality."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from commonspace.networks.mlp import MLP, Standardize, l2_normalize
from commonspace.types import AnyArray


class SupervisedAutoencoder(nn.Module):
    """Encoder n_features → hidden → dim and its mirrored decoder.

    Args:
        n_features: Width of the input.
        hidden: Widths of the encoder's hidden layers; the decoder's are these reversed.
        dim: Dimensions of the common space.
        normalize_encoder: Scale the code h to unit length.
        normalize_decoder: Scale the reconstruction to unit length.
        standardize: Mean and scale of a fixed input layer; None takes the input as it is.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int],
        dim: int,
        *,
        normalize_encoder: bool,
        normalize_decoder: bool,
        standardize: tuple[AnyArray, AnyArray] | None = None,
    ) -> None:
        super().__init__()
        self.inputs: nn.Module = nn.Identity() if standardize is None else Standardize(*standardize)
        self.encoder = MLP([n_features, *hidden, dim])
        self.decoder = MLP([dim, *reversed(hidden), n_features])
        self.normalize_encoder = normalize_encoder
        self.normalize_decoder = normalize_decoder

    def encode(self, x_BD: Tensor) -> Tensor:
        """Bring scaled features to the common space, shape (B, dim)."""
        h_BE: Tensor = self.encoder(x_BD)
        return l2_normalize(h_BE) if self.normalize_encoder else h_BE

    def decode(self, h_BE: Tensor) -> Tensor:
        """Reconstruct scaled features from codes, shape (B, n_features)."""
        decoded_BD: Tensor = self.decoder(h_BE)
        return l2_normalize(decoded_BD) if self.normalize_decoder else decoded_BD

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring raw features to the common space, shape (B, dim)."""
        return self.encode(self.inputs(x_BD))
