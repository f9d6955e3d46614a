"""The loop that every gradient-trained method runs.

A method hands over a `Task`: named networks, how many rows each draws from, the loss of a batch,
and a validation value for each network. The loop owns everything else: seeded batches, the
optimiser and its schedule, model selection, early stop, checkpoints, callbacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.errors import InputError
from commonspace.training.checkpoint import Checkpoint, Progress
from commonspace.training.seeds import derive_seed
from commonspace.training.threads import compute_settings
from commonspace.types import FloatArray, IntArray

History = list[dict[str, float]]
Rows = Mapping[str, IntArray]


class Networks(nn.ModuleDict):
    """Networks by name, where a name may be anything: "v1.5" and "type" too, unlike in torch."""

    def __setitem__(self, key: str, module: nn.Module) -> None:
        self._modules[key] = module


class Task(Protocol):
    """What is trained. Networks that are selected apart from each other have a name each."""

    networks: Networks

    @property
    def n_rows(self) -> Mapping[str, int]:
        """How many training rows each network draws from."""
        ...

    def learning_rates(self) -> Mapping[str, float]:
        """Learning rate of each network."""
        ...

    def loss(self, rows: Rows) -> Tensor:
        """Loss of one batch: ``rows`` holds row numbers for each network."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Validation loss of each network, lower is better; NaN where there is none."""
        ...


@runtime_checkable
class Alternating(Protocol):
    """A task that also solves for something in closed form, between the epochs of its networks."""

    def alternate(self, epoch: int) -> None:
        """Solve, with the networks in evaluation mode, before the epoch of that number, from 0.

        What it finds must live in buffers of the networks, so that a checkpoint holds it.
        """
        ...


@runtime_checkable
class Doubting(Protocol):
    """A task that takes an earlier epoch than the last only where it is clearly better.

    The least of many noisy values flatters itself, and the last epochs have the smallest steps.
    So the last one stays unless the mean over validation rows of how much more it errs exceeds its
    standard error.
    """

    def row_losses(self) -> Mapping[str, FloatArray]:
        """Validation loss of every row, of each network where this rule holds."""
        ...


class Callback(Protocol):
    """Something to call after every epoch; must survive pickling to a worker process."""

    def on_epoch(self, name: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Take note of an epoch that ended.

        Args:
            name: Of the training.
            epoch: Number of the epoch, from 1.
            epochs: In all.
            metrics: As a row of the history.
        """
        ...


@dataclass(frozen=True)
class Settings:
    """How to optimise.

    Attributes:
        epochs: Passes over the rows of the largest modality.
        batch_size: Rows of each modality a step; a last, incomplete batch is dropped.
        betas: Of Adam.
        weight_decay: Of AdamW, decoupled from the gradient; one number, or one a network.
        schedule: "constant", or "one-cycle" (linear warm-up over 10 % of the steps, then cosine).
        optimizer: "adam", or plain "sgd" without momentum, for rules that say the step themselves.
        steps: Of an epoch; None makes a pass over the rows of the largest modality.
        clip: Largest gradient norm; None does not clip.
        patience: Stop when no network has improved for so many epochs; None never stops early.
    """

    epochs: int = 200
    batch_size: int = 100
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float | Mapping[str, float] = 0.0
    schedule: Literal["constant", "one-cycle"] = "constant"
    optimizer: Literal["adam", "sgd"] = "adam"
    steps: int | None = None
    clip: float | None = None
    patience: int | None = None


def train(
    task: Task,
    settings: Settings,
    *,
    name: str,
    seed: int,
    checkpoint: Checkpoint | None = None,
    callbacks: Sequence[Callback] = (),
    threads: int = 1,
) -> History:
    """Train the task's networks in place and leave each at its best validated epoch.

    Where the task is `Doubting`, at its last, unless the best is clearly better.

    Batches, dropout and everything else that is random depend on ``seed`` and the epoch alone, so
    that a resumed training continues to the same bits.

    Args:
        task: What to train.
        settings: How.
        name: What progress and messages call it.
        seed: Of all that is random.
        checkpoint: Where to save after every epoch, and to resume from when it is there.
        callbacks: Called after every epoch.
        threads: Torch threads; results of different numbers may differ in the last bits.

    Returns:
        One mapping an epoch: "train_loss", "valid_loss" (and "valid_loss/NAME" for several).
    """
    with compute_settings(threads=threads), torch.random.fork_rng(devices=[]):
        return _train(task, settings, name, seed, checkpoint, callbacks)


def _train(
    task: Task,
    settings: Settings,
    name: str,
    seed: int,
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback],
) -> History:
    optimizer = _optimizer(task, settings)
    steps = settings.steps or _steps_per_epoch(task.n_rows, settings.batch_size)
    schedule = _schedule(settings, steps * settings.epochs)
    state = Progress(task.networks, optimizer)
    if checkpoint is not None:
        checkpoint.load_into(state)
    while state.epoch < settings.epochs and not _patience_is_over(state, settings):
        torch.manual_seed(derive_seed(seed, "epoch", state.epoch))
        if isinstance(task, Alternating):
            task.networks.eval()
            task.alternate(state.epoch)
        task.networks.train()
        train_loss = _epoch(task, optimizer, settings, schedule, seed, state.epoch, steps)
        if not math.isfinite(train_loss):
            raise InputError(
                f"{name}: the training loss became {train_loss} in epoch {state.epoch + 1}. "
                "Lower the learning rate, or standardise the features."
            )
        task.networks.eval()
        with torch.inference_mode():
            values = dict(task.validate())
        state.record(train_loss, values)
        if checkpoint is not None:
            checkpoint.save(state, last=state.epoch == settings.epochs)
        for callback in callbacks:
            callback.on_epoch(name, state.epoch, settings.epochs, state.history[-1])
    task.networks.eval()
    with torch.inference_mode():
        _select(task, state)
    return state.history


def _select(task: Task, state: Progress) -> None:
    """Put each network to the epoch that it is to keep."""
    if not isinstance(task, Doubting):
        state.select_best()
        return
    last, at_last = state.of_last(), task.row_losses()
    state.select_best()
    at_best = task.row_losses()
    for key, kept in last.items():
        if key in at_last and not is_clearly_worse(at_last[key], at_best[key]):
            task.networks[key].load_state_dict(kept)


def is_clearly_worse(losses: FloatArray, best: FloatArray, *, errors: float = 1) -> bool:
    """Whether losses exceed the best, row by row, by more than so many standard errors."""
    excess = losses - best
    if len(excess) < 2:
        return False
    return bool(excess.mean() > errors * excess.std(ddof=1) / math.sqrt(len(excess)))


def _optimizer(task: Task, settings: Settings) -> torch.optim.Optimizer:
    rates, decay = task.learning_rates(), settings.weight_decay
    groups: list[dict[str, Any]] = [
        {
            "params": list(network.parameters()),
            "lr": rates[key],
            "base_lr": rates[key],
            "weight_decay": decay[key] if isinstance(decay, Mapping) else decay,
        }
        for key, network in task.networks.items()
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, fused=True)
    return torch.optim.AdamW(groups, betas=settings.betas, fused=True)


def _steps_per_epoch(n_rows: Mapping[str, int], batch_size: int) -> int:
    return max(max(1, n // batch_size) for n in n_rows.values())


def _schedule(settings: Settings, total: int) -> Sequence[float]:
    """Factor of the learning rate at every step."""
    if settings.schedule == "constant":
        return [1.0] * total
    t = np.arange(total) + 1
    warm_up = max(1, round(0.1 * total))
    cosine = 0.5 * (1 + np.cos(np.pi * (t - warm_up) / max(1, total - warm_up)))
    factors: list[float] = np.where(t <= warm_up, t / warm_up, cosine).tolist()
    return factors


def _epoch(
    task: Task,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    schedule: Sequence[float],
    seed: int,
    epoch: int,
    steps: int,
) -> float:
    streams = {
        key: _batches(n, settings.batch_size, seed=derive_seed(seed, key, epoch))
        for key, n in task.n_rows.items()
    }
    total = torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * schedule[epoch * steps + step]
        loss = task.loss({key: next(stream) for key, stream in streams.items()})
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if settings.clip is not None:
            nn.utils.clip_grad_norm_(task.networks.parameters(), settings.clip)
        optimizer.step()
        total += loss.detach()
    return float(total) / steps


def _batches(n: int, batch_size: int, *, seed: int) -> Iterator[IntArray]:
    """Yield batches of a shuffled order for ever, shuffling again after each pass."""
    generator = np.random.default_rng(seed)
    size = min(n, batch_size)
    while True:
        order = generator.permutation(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def _patience_is_over(state: Progress, settings: Settings) -> bool:
    if settings.patience is None or not state.best_epoch:
        return False
    return state.epoch - max(state.best_epoch.values()) >= settings.patience
