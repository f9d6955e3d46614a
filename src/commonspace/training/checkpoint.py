"""Where a training stands, in memory and in one file that survives kill -9."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from commonspace.disk import atomic_file, sha256_bytes
from commonspace.errors import StorageError

logger = logging.getLogger(__name__)


class Progress:
    """Networks, optimiser, history and the best state seen of each network."""

    def __init__(self, networks: nn.ModuleDict, optimizer: torch.optim.Optimizer) -> None:
        self.networks = networks
        self.optimizer = optimizer
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best_value: dict[str, float] = {}
        self.best_epoch: dict[str, int] = {}
        self.best_state: dict[str, dict[str, Tensor]] = {}

    def record(self, train_loss: float, values: Mapping[str, float]) -> None:
        """Take note of an epoch that ended, and keep each network that is better than ever."""
        self.epoch += 1
        row = {"epoch": float(self.epoch), "train_loss": train_loss}
        measured = {key: value for key, value in values.items() if math.isfinite(value)}
        if measured:
            row["valid_loss"] = sum(measured.values()) / len(measured)
        if len(values) > 1:
            row |= {f"valid_loss/{key}": value for key, value in measured.items()}
        self.history.append(row)
        for key, value in measured.items():
            if value < self.best_value.get(key, math.inf):
                self.best_value[key], self.best_epoch[key] = value, self.epoch
                self._keep(key)

    def _keep(self, key: str) -> None:
        current = self.networks[key].state_dict()
        kept = self.best_state.setdefault(key, {k: v.clone() for k, v in current.items()})
        for name, tensor in current.items():
            kept[name].copy_(tensor)

    def of_last(self) -> dict[str, dict[str, Tensor]]:
        """The state of each network whose best epoch was an earlier one."""
        return {
            key: {name: tensor.clone() for name, tensor in self.networks[key].state_dict().items()}
            for key, epoch in self.best_epoch.items()
            if epoch < self.epoch
        }

    def select_best(self) -> None:
        """Put each network back to its best epoch (one never validated stays at its last)."""
        for key, state in self.best_state.items():
            self.networks[key].load_state_dict(state)

    def tensors(self) -> dict[str, Tensor]:
        """Everything a resumed training needs, as named tensors."""
        out: dict[str, Tensor] = {}
        for number, (key, network) in enumerate(self.networks.items()):  # names may hold anything
            out |= {f"network/{number}/{k}": v for k, v in network.state_dict().items()}
            best = self.best_state.get(key, {})
            out |= {f"best/{number}/{k}": v for k, v in best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            out |= {f"adam/{index}/{k}": v for k, v in state.items()}
        return out

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> None:
        """Continue where `tensors` and the metadata were taken."""
        for number, (key, network) in enumerate(self.networks.items()):
            network.load_state_dict(_under(tensors, f"network/{number}/"))
            best = _under(tensors, f"best/{number}/")
            if best:
                self.best_state[key] = best
        record = json.loads(meta["progress"])
        self.epoch, self.history = record["epoch"], record["history"]
        self.best_value, self.best_epoch = record["best_value"], record["best_epoch"]
        adam = self.optimizer.state_dict()
        indices = {int(name.split("/")[1]) for name in tensors if name.startswith("adam/")}
        adam["state"] = {index: _under(tensors, f"adam/{index}/") for index in indices}
        self.optimizer.load_state_dict(adam)

    def summary(self) -> str:
        """Epoch, history and best values as JSON."""
        return json.dumps(
            {
                "epoch": self.epoch,
                "history": self.history,
                "best_value": self.best_value,
                "best_epoch": self.best_epoch,
            }
        )


@dataclass(frozen=True)
class Checkpoint:
    """One file a training is saved to, atomically, as safetensors.

    Attributes:
        path: The file.
        identity: A digest of everything the training depends on (data, settings, seed). A file of
            another identity is not resumed but overwritten.
        every: Save after so many epochs (and after the last).
    """

    path: Path
    identity: str
    every: int = 1

    def save(self, state: Progress, *, last: bool) -> None:
        """Write the state if this epoch's turn has come."""
        from safetensors.torch import save

        if last or state.epoch % self.every == 0:
            tensors = {name: tensor.contiguous() for name, tensor in state.tensors().items()}
            progress = state.summary()
            digest = _digest(tensors, progress)
            meta = {"identity": self.identity, "progress": progress, "sha256": digest}
            with atomic_file(self.path) as file:
                file.write(save(tensors, metadata=meta))

    def load_into(self, state: Progress) -> None:
        """Continue from the file if it is there and of this training.

        Raises:
            StorageError: The file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            return
        try:
            with safe_open(self.path, framework="pt") as file:
                meta = file.metadata() or {}
                if meta.get("identity") != self.identity:
                    logger.warning("%s is of another training: starting anew.", self.path)
                    return
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if meta["sha256"] != _digest(tensors, meta["progress"]):
                raise ValueError("its content is not what was written")
            state.restore(tensors, meta)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise StorageError(
                f"checkpoint {self.path} is damaged ({error}). Remove it to start anew."
            ) from error


def _digest(tensors: Mapping[str, Tensor], progress: str) -> str:
    parts: list[bytes | memoryview] = [progress.encode()]
    for name in sorted(tensors):
        flat = tensors[name].detach().reshape(-1).view(torch.uint8)
        parts += [name.encode(), flat.numpy().data]
    return sha256_bytes(*parts)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
