"""The published objective of SDML: one modality's supervised autoencoder in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from commonspace.methods.jobs import as_tensor
from commonspace.methods.scaling import set_scaling
from commonspace.methods.sdml_rows import blocks, labelled_rows
from commonspace.networks import Standardize, SupervisedAutoencoder
from commonspace.objectives import reconstruction_loss, supervised_loss
from commonspace.training import derive_seed
from commonspace.training.loop import Rows
from commonspace.types import FloatArray, JsonDict


class AutoencoderPart:
    """The published objective: λ reconstruction + (1 − λ) ‖Pᵀh − y‖."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        options: JsonDict = job["options"]
        self.name, self.rate, self.lam = job["name"], job["rate"], float(options["lam"])
        self.x, self.labels = job["x"], job["labels"]
        self.valid_x, self.valid_labels = labelled_rows(job["valid_x"], job["valid_labels"])
        self.n_rows = {self.name: len(self.x)}
        self.squared = bool(options["squared"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(job["seed"], self.name, "initial weights"))
            self.network = build_autoencoder(self.x.shape[1], options)
            if isinstance(self.network.inputs, Standardize):
                set_scaling(self.network.inputs, self.x)
        self.p = torch.tensor(job["basis"][:, : self.labels.shape[1]])
        self.networks: dict[str, nn.Module] = {self.name: self.network}

    def loss(self, rows: Rows) -> Tensor:
        """One batch of J_i, eqs. 1-2."""
        index = rows[self.name]
        x_BD = self.network.inputs(as_tensor(self.x[index]))
        h_BE = self.network.encode(x_BD)
        supervised: Tensor = self._supervised(h_BE, self.labels[index])
        if self.lam == 0:
            return supervised
        decoded_BD = self.network.decode(h_BE)
        kept = reconstruction_loss(decoded_BD, x_BD, squared=self.squared)
        return self.lam * kept + (1 - self.lam) * supervised

    def validate(self) -> Mapping[str, float]:
        """Mean supervised loss of the labelled validation rows."""
        total = 0.0
        for rows in blocks(self.valid_x):
            h_BE = self.network(as_tensor(self.valid_x[rows]))
            loss = self._supervised(h_BE, self.valid_labels[rows])
            total += float(loss) * len(h_BE)
        n = len(self.valid_x)
        return {self.name: total / n if n else float("nan")}

    def row_losses(self) -> Mapping[str, FloatArray]:
        """None: the best epoch is kept, as released."""
        return {}

    def finish(self) -> nn.Module:
        """The autoencoder; called as a function it encodes."""
        return self.network

    def _supervised(self, h_BE: Tensor, y: sparse.csr_array) -> Tensor:
        return supervised_loss(h_BE, self.p, torch.from_numpy(y.toarray()), squared=self.squared)


def build_autoencoder(n_features: int, options: JsonDict) -> SupervisedAutoencoder:
    """An untrained network: also what a stored one is loaded into."""
    scaling = np.zeros(n_features, np.float32), np.ones(n_features, np.float32)
    return SupervisedAutoencoder(
        n_features,
        options["hidden"],
        options["dim"],
        normalize_encoder=options["normalize_encoder"],
        normalize_decoder=options["normalize_decoder"],
        standardize=scaling if options["standardize"] else None,
    )
