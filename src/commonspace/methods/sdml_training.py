"""The trainings of SDML: one a network, or one of all modalities together.

A part holds one modality's rows and the networks trained on them; `PartsTask` is the sum of some
parts, so one part is SDML-2 and SDML-3, and all of them together are SDML-1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.methods.sdml_autoencoder import AutoencoderPart, build_autoencoder
from commonspace.methods.sdml_posterior import PosteriorPart, build_posterior
from commonspace.methods.sdml_rows import rows_to_learn
from commonspace.methods.sdml_settings import settings_for, with_all_decays
from commonspace.training import History, compute_settings, derive_seed, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import Float32Array, FloatArray, JsonDict


class Part(Protocol):
    """One modality in training."""

    name: str
    networks: dict[str, nn.Module]
    n_rows: dict[str, int]
    rate: float

    def loss(self, rows: Rows) -> Tensor:
        """Loss of one batch for each of the networks, summed."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Validation loss of each network, NaN without validation rows."""
        ...

    def row_losses(self) -> Mapping[str, FloatArray]:
        """See `Doubting`; nothing where the best epoch is taken as it is."""
        ...

    def finish(self) -> nn.Module:
        """The encoder, from raw features to the common space, after training."""
        ...


class PartsTask:
    """The sum of the losses of some parts, one batch of each a step."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        named = {key: module for part in parts for key, module in part.networks.items()}
        self.networks = Networks(named)
        self.n_rows = {key: n for part in parts for key, n in part.n_rows.items()}

    def learning_rates(self) -> Mapping[str, float]:
        """The rate of each part's networks."""
        return {key: part.rate for part in self.parts for key in part.networks}

    def loss(self, rows: Rows) -> Tensor:
        """Sum over the parts."""
        return torch.stack([part.loss(rows) for part in self.parts]).sum()

    def validate(self) -> Mapping[str, float]:
        """Of every network of every part."""
        return {key: value for part in self.parts for key, value in part.validate().items()}

    def row_losses(self) -> Mapping[str, FloatArray]:
        """Of every network of every part that doubts."""
        return {key: value for part in self.parts for key, value in part.row_losses().items()}


def trainings_of(job: Mapping[str, Any]) -> dict[str, JsonDict]:
    """The trainings of one modality that need nothing of each other, by name.

    One for each network of the default recipe, with a seed and held-back rows of its own and the
    passes and batches of all. The first also finds what the networks share, see `assemble`.
    """
    experts = job["options"].get("experts")
    if experts is None:
        return {job["name"]: dict(job)}
    settings = settings_for(job, max(map(len, rows_to_learn(job))))
    out: dict[str, JsonDict] = {}
    for number, (key, expert) in enumerate(experts.items()):
        alone = {} if number == 0 else {"own": [0, 0], "landmarks": 0}
        out[f"{job['name']}/{key}"] = {
            **job,
            "options": {**job["options"], "experts": {key: expert}, **alone},
            "held": None if job["held"] is None else job["held"][number : number + 1],
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "seed": derive_seed(job["seed"], key),
        }
    return out


def assemble(
    job: Mapping[str, Any], done: Mapping[str, tuple[nn.Module, History]]
) -> tuple[nn.Module, History]:
    """Put what `fit_network` made of each of `trainings_of` a modality together."""
    if "experts" not in job["options"]:
        return next(iter(done.values()))
    networks = [network for network, _ in done.values()]
    state = networks[0].state_dict()
    for network in networks[1:]:
        experts = network.state_dict().items()
        state |= {key: value for key, value in experts if key.startswith("experts.")}
    state["temperature"] = torch.cat([network.state_dict()["temperature"] for network in networks])
    encoder: nn.Module = build(job["x"].shape[1], job["options"], job["basis"])
    encoder.load_state_dict(state)
    return encoder.eval(), _of_all({key: history for key, (_, history) in done.items()})


def _of_all(histories: Mapping[str, History]) -> History:
    """One history of trainings side by side, as if they were one."""
    out = []
    for rows in zip(*histories.values(), strict=True):
        row = {"epoch": rows[0]["epoch"], "train_loss": sum(each["train_loss"] for each in rows)}
        measured = {
            key: each["valid_loss"]
            for key, each in zip(histories, rows, strict=True)
            if "valid_loss" in each
        }
        if measured:
            row["valid_loss"] = sum(measured.values()) / len(measured)
        out.append(row | {f"valid_loss/{key}": value for key, value in measured.items()})
    return out


def fit_network(
    *, job: Mapping[str, Any], checkpoint: Checkpoint | None, callbacks: Sequence[Callback] = ()
) -> tuple[nn.Module, History]:
    """Train one of `trainings_of` a modality alone; runs in a worker process."""
    with compute_settings():
        part = make_part(job)
    history = train(
        PartsTask([part]),
        settings_for(job, max(part.n_rows.values())),
        name=next(iter(part.networks)),
        seed=job["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    with compute_settings():
        return part.finish(), history


def fit_jointly(
    *,
    jobs: Sequence[Mapping[str, Any]],
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback] = (),
) -> tuple[dict[str, nn.Module], History]:
    """SDML-1: all modalities in one training, one batch of each a step."""
    with compute_settings():
        parts = [make_part(job) for job in jobs]
    sizes = [max(part.n_rows.values()) for part in parts]
    largest = int(np.argmax(sizes))
    settings = settings_for(jobs[largest], sizes[largest])
    history = train(
        PartsTask(parts),
        with_all_decays(settings, jobs),
        name="joint",
        seed=jobs[0]["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    with compute_settings():
        return {part.name: part.finish() for part in parts}, history


def make_part(job: Mapping[str, Any]) -> Part:
    """The training of one modality, as its options say."""
    return PosteriorPart(job) if "experts" in job["options"] else AutoencoderPart(job)


def build(n_features: int, options: JsonDict, basis: Float32Array) -> nn.Module:
    """An untrained network of either kind: also what a stored one is loaded into."""
    if "experts" in options:
        return build_posterior(n_features, options, basis)
    return build_autoencoder(n_features, options)
