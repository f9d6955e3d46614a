"""A small regression by two networks with dropout, for tests of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from commonspace.networks import MLP
from commonspace.training import Networks, derive_seed


class Regression:
    """Each network learns its own random map; `watch` is called with every batch's rows."""

    def __init__(
        self,
        n_rows: Mapping[str, int] | None = None,
        *,
        dropout: float = 0.2,
        valid: bool = True,
        watch: Callable[[Mapping[str, np.ndarray]], None] | None = None,
    ) -> None:
        self.n_rows = n_rows or {"a": 40, "b": 40}
        self.valid, self.watch = valid, watch
        self.data, networks = {}, {}
        for name, n in self.n_rows.items():
            generator = torch.Generator().manual_seed(derive_seed(0, name) % 2**31)
            x = torch.randn(n, 5, generator=generator)
            self.data[name] = x, torch.tanh(x @ torch.randn(5, 3, generator=generator))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(1, name))
                networks[name] = MLP([5, 8, 3], dropout=dropout)
        self.networks = Networks(networks)

    def learning_rates(self) -> dict[str, float]:
        return {name: 0.01 for name in self.n_rows}

    def loss(self, rows: Mapping[str, np.ndarray]) -> Tensor:
        if self.watch is not None:
            self.watch(rows)
        losses = []
        for name, (x, y) in self.data.items():
            chosen = torch.from_numpy(rows[name])
            losses.append((self.networks[name](x[chosen]) - y[chosen]).square().mean())
        return torch.stack(losses).sum()

    def validate(self) -> dict[str, float]:
        out = {}
        for name, (x, y) in self.data.items():
            value = float((self.networks[name](x) - y).square().mean())
            out[name] = value if self.valid else float("nan")
        return out

    def weights(self) -> dict[str, np.ndarray]:
        return {name: value.numpy().copy() for name, value in self.networks.state_dict().items()}
