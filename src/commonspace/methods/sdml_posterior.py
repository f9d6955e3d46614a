"""The default recipe of SDML: one modality's calibrated posterior in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.methods.calibration import calibrated_error, calibrated_errors, fit_temperature
from commonspace.methods.jobs import as_tensor, evenly
from commonspace.methods.kernel_machine import TAUGHT, solve_kernel_machine
from commonspace.methods.scaling import scale_by_labels
from commonspace.methods.sdml_rows import (
    blocks,
    dense_rows,
    labelled_rows,
    rows_to_learn,
    to_use,
)
from commonspace.networks import KernelMachine, PosteriorEncoder
from commonspace.objectives import log_loss
from commonspace.training import derive_seed
from commonspace.training.loop import Rows
from commonspace.types import BoolArray, Float32Array, FloatArray, IntArray, JsonDict

COMPONENT_ROWS = 1024  # are enough to find a few dozen principal components


class PosteriorPart:
    """The default recipe: networks of different regularisation, each on the log loss.

    Without validation rows of the caller's, each network holds back rows of its own.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        options: JsonDict = job["options"]
        held: BoolArray | None = job["held"]
        self.name, self.rate = job["name"], job["rate"]
        self.several = bool(options["several"])
        self.x, self.labels = job["x"], job["labels"]
        self.use = to_use(job)
        use = job["valid_known"] if self.several else None
        self.valid_x, self.valid_labels = labelled_rows(job["valid_x"], job["valid_labels"], use)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(job["seed"], self.name, "initial weights"))
            self.encoder = build_posterior(self.x.shape[1], options, job["basis"])
        scale_by_labels(
            self.encoder.inputs, self.x, self.labels, several=self.several, use=self.use
        )
        experts = self.encoder.experts
        self.networks: dict[str, nn.Module] = {
            f"{self.name}/{key}": expert for key, expert in experts.items()
        }
        rows_of = [] if held is None else [np.flatnonzero(mask & self.use) for mask in held]
        self.held = dict(zip(self.networks, rows_of, strict=False))
        self.rows = dict(zip(self.networks, rows_to_learn(job), strict=True))
        self.n_rows = {key: len(rows) for key, rows in self.rows.items()}

    def loss(self, rows: Rows) -> Tensor:
        """Log loss of one batch for every expert, each with a batch of its own."""
        losses = []
        for key, expert in self.networks.items():
            index = self.rows[key][rows[key]]
            if len(index) == 1:  # a batch of one has no spread to normalise by
                index = np.repeat(index, 2)
            scaled_BD = self.encoder.inputs(as_tensor(self.x[index]))
            y_BC = torch.from_numpy(dense_rows(self.labels, index))
            losses.append(log_loss(expert(scaled_BD), y_BC, several=self.several))
        return torch.stack(losses).sum()

    def validate(self) -> Mapping[str, float]:
        """Squared error of every expert's posteriors on its validation rows, calibrated.

        A network grows too sure of itself long before it stops getting better. The temperature
        takes that back, and the squared error does not let a few sure mistakes outweigh the rest
        as the log loss does: either would choose too early an epoch.
        """
        return {
            key: calibrated_error(logits, y, several=self.several)
            for key, logits, y in self._validation()
        }

    def row_losses(self) -> Mapping[str, FloatArray]:
        """What `validate` takes the mean of."""
        return {
            key: calibrated_errors(logits, y, several=self.several)
            for key, logits, y in self._validation()
            if len(y)
        }

    def finish(self) -> nn.Module:
        """Calibrate the experts, find the principal components and solve the kernel machine."""
        encoder = self.encoder
        squared = self.labels[np.flatnonzero(self.use)].power(2).sum(axis=1)
        encoder.length.fill_(max(1.0, float(np.mean(squared))))
        with torch.inference_mode():
            temperatures = [
                fit_temperature(logits, y, several=self.several)
                for _, logits, y in self._validation()
            ]
        encoder.temperature.copy_(torch.tensor(temperatures))
        if encoder.components.numel():
            some = evenly(len(self.x), COMPONENT_ROWS)
            encoder.set_components(encoder.inputs(as_tensor(self.x[some])))
        if encoder.kernel is not None:
            with torch.inference_mode():
                self._solve(encoder.kernel)
        return encoder

    def _solve(self, kernel: KernelMachine) -> None:
        """On all rows, for it holds none back."""
        rows = np.flatnonzero(self.use)
        rows = rows[evenly(len(rows), TAUGHT)]

        def scaled(some: IntArray) -> Tensor:
            out: Tensor = self.encoder.inputs(as_tensor(self.x[rows[some]]))
            return out

        solve_kernel_machine(kernel, scaled, self.labels[rows])

    def _validation(self) -> Iterator[tuple[str, FloatArray, FloatArray]]:
        """Of each expert: its key, and logits and labels of its validation rows."""
        for key, expert in self.networks.items():
            held = self.held.get(key)
            x, labels = self.valid_x, self.valid_labels
            if held is not None:
                x, labels = self.x[held], self.labels[held]
            out = [expert(self.encoder.inputs(as_tensor(x[rows]))) for rows in blocks(x)]
            logits = torch.cat(out) if out else torch.empty(0, labels.shape[1])
            yield key, logits.double().numpy(), labels.toarray().astype(np.float64)


def build_posterior(n_features: int, options: JsonDict, basis: Float32Array) -> PosteriorEncoder:
    """An untrained encoder: also what a stored one is loaded into."""
    return PosteriorEncoder(
        n_features,
        options["hidden"],
        {
            key: {k: v for k, v in expert.items() if k != "weight_decay"}
            for key, expert in options["experts"].items()
        },
        basis=basis,
        n_classes=options["n_classes"],
        several=options["several"],
        own=options["own"],
        landmarks=options.get("landmarks", 0),
    )
