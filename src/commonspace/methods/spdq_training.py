"""How SPDQ trains: networks by gradient, and before each epoch the quantiser in closed form.

The first epoch has no quantiser yet, as in Algorithm 1's warm start. Then each epoch begins with
the representations of all training rows under the networks as they are, and C, Z, D and B in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.data import Modality
from commonspace.errors import InputError
from commonspace.methods.jobs import as_tensor, in_blocks
from commonspace.methods.scaling import scale_by_labels
from commonspace.methods.sdml_settings import settings_for
from commonspace.methods.spdq_quantizer import Groups, LabelQuantizer, Sums
from commonspace.networks.spdq import Representations, SharedPrivateNetwork
from commonspace.objectives import log_loss
from commonspace.objectives.mmd import class_mmd
from commonspace.training import History, Settings, compute_settings, derive_seed, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import AnyArray, Float32Array, IntArray, JsonDict

JOINT = "joint"
_NETWORK = ("input_dropout", "dropout", "weight_decay", "batch_norm", "standardize")
_OBJECTIVE = ("alpha", "beta", "lam", "gamma", "estimator", "class_reduction", "private_term")


class QuantizerState(nn.Module):
    """The quantiser as buffers, so that a checkpoint holds it beside the networks."""

    Z: Tensor
    D: Tensor
    words: Tensor
    started: Tensor

    def __init__(self, n_prototypes: int, n_groups: int, options: JsonDict) -> None:
        super().__init__()
        dim, words = options["shared"], options["bits"] // options["bits_per_word"]
        self.register_buffer("Z", torch.zeros(n_prototypes, dim, dtype=torch.float64))
        self.register_buffer("D", torch.zeros(words, 2 ** options["bits_per_word"], dim))
        self.register_buffer("words", torch.zeros(n_groups, words, dtype=torch.int64))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))


class SPDQTask:
    """All modalities at once; the loss is eq. 9, ``L1 + α L2 + λ O_q``, in means over rows.

    Args:
        jobs: Per modality "x", "labels" (dense weights), "items", and the same of validation rows.
        options: Of the networks and the objective, see `SPDQ`.
    """

    def __init__(self, jobs: Mapping[str, Mapping[str, Any]], options: JsonDict) -> None:
        self.jobs, self.options = jobs, options
        self.names = list(jobs)
        self.n_rows = {name: len(job["x"]) for name, job in jobs.items()}
        self.groups = _groups(jobs, options["label_alignment"])
        self.parts = {name: make_network(name, job, options) for name, job in jobs.items()}
        self.state = QuantizerState(self.groups.labels.shape[1], len(self.groups), options)
        together = Networks({**self.parts})
        self.networks = Networks({JOINT: nn.ModuleDict({"q": self.state})})
        self.networks[JOINT].add_module("parts", together)
        self.targets = torch.zeros(len(self.groups), options["shared"])

    def learning_rates(self) -> Mapping[str, float]:
        """One rate for all."""
        return {JOINT: self.options["rate"]}

    def alternate(self, epoch: int) -> None:
        """C, Z, D and B for the representations as they are."""
        if epoch == 0 or not self.options["lam"]:
            return
        found = self.quantizer(rounds=self.options["rounds"])
        self._keep(found)

    def quantizer(self, *, rounds: int) -> LabelQuantizer:
        """The quantiser after more rounds of its steps."""
        sums = {name: Sums.of(self._shared(name), self.groups, name) for name in self.names}
        options = self.options
        if bool(self.state.started):
            found = LabelQuantizer(
                {name: part.C.double().numpy() for name, part in self.parts.items()},
                self.state.Z.numpy().copy(),
                self.state.D.numpy().copy(),
                self.state.words.numpy().copy(),
                options["beta"],
                self._orthogonal(),
            )
        else:
            found = LabelQuantizer.start(
                sums,
                self.groups,
                n_words=self.state.D.shape[0],
                n_entries=self.state.D.shape[1],
                beta=options["beta"],
                orthogonal=options["orthogonal"],
                seed=options["seed"],
            )
        found.update(sums, self.groups, rounds=rounds)
        return found

    def loss(self, rows: Rows) -> Tensor:
        """Eq. 9 on one batch of each modality."""
        found, labels, terms = {}, {}, []
        for name in self.names:
            index = rows[name] if len(rows[name]) > 1 else np.repeat(rows[name], 2)
            job = self.jobs[name]
            out = found[name] = self.parts[name].represent(as_tensor(job["x"][index]))
            y_BC = labels[name] = torch.from_numpy(job["labels"][index])
            terms += self._own_terms(name, out, y_BC, index)
        return torch.stack(terms + self._between(found, labels)).sum()

    def _own_terms(
        self, name: str, out: Representations, y_BC: Tensor, index: IntArray
    ) -> list[Tensor]:
        """α L2 + λ L3 of one modality."""
        options = self.options
        terms = [options["alpha"] * log_loss(out.logits, y_BC, several=options["sigmoid"])]
        if options["lam"] and bool(self.state.started):
            targets = self.targets[torch.from_numpy(self.groups.index[name][index])]
            errors = out.shared @ self.parts[name].C.T - targets
            terms.append(options["lam"] * errors.square().sum(dim=1).mean())
        return terms

    def _between(
        self, found: Mapping[str, Representations], labels: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """L1, in the mean over pairs of modalities."""
        options = self.options
        pairs = list(combinations(self.names, 2))
        how = {"estimator": options["estimator"], "reduction": options["class_reduction"]}
        terms = []
        for one, other in pairs if options["gamma"] else ():
            a, b, ys = found[one], found[other], (labels[one], labels[other])
            term = class_mmd(a.shared, b.shared, *ys, **how)
            if options["private_term"]:
                term = term - class_mmd(a.private, b.private, *ys, **how)
            terms.append(options["gamma"] * term / len(pairs))
        return terms

    def validate(self) -> Mapping[str, float]:
        """Mean classification loss of the validation rows, and how far C s is from Z l."""
        losses = []
        for name in self.names:
            job = self.jobs[name]
            if job["valid_x"] is not None and len(job["valid_x"]):
                losses.append(self._valid_loss(name, job))
        return {JOINT: float(np.mean(losses)) if losses else float("nan")}

    def _valid_loss(self, name: str, job: Mapping[str, Any]) -> float:
        """Cosine distance of C s to the labels' prototypes once there are any, else L2."""
        part, labels = self.parts[name], job["valid_labels"]
        x = as_tensor(job["valid_x"])
        if bool(self.state.started) and self.options["label_alignment"]:
            wanted = torch.from_numpy(labels).double() @ self.state.Z
            cosine = nn.functional.cosine_similarity(part(x).double(), wanted, dim=1)
            return 1 - float(cosine.mean())
        if self.options["lam"] and self.options["label_alignment"]:
            return float("inf")  # an epoch without a quantiser is never the best
        logits = part.represent(x).logits
        return float(log_loss(logits, torch.from_numpy(labels), several=self.options["sigmoid"]))

    def finish(self) -> LabelQuantizer:
        """The quantiser of the networks that were selected."""
        self.networks.eval()
        found = self.quantizer(rounds=10)
        self._keep(found)
        return found

    def vectors(self) -> tuple[Float32Array, Float32Array]:
        """C s of all training rows, modality after modality, and their labels."""
        found = [self._turned(name, "x") for name in self.names]
        labels = [self.jobs[name]["labels"] for name in self.names]
        return np.concatenate(found), np.concatenate(labels)

    def valid_vectors(self) -> dict[str, tuple[Float32Array, Float32Array]] | None:
        """Those of the validation rows, by modality; None where there are none."""
        jobs = {name: job for name, job in self.jobs.items() if job["valid_x"] is not None}
        return {
            n: (self._turned(n, "valid_x"), job["valid_labels"]) for n, job in jobs.items()
        } or None

    def _turned(self, name: str, rows: str) -> Float32Array:
        return np.asarray(self._shared(name, rows) @ self.parts[name].C.numpy().T, np.float32)

    def _shared(self, name: str, rows: str = "x") -> Float32Array:
        part, x = self.parts[name], self.jobs[name][rows]
        part.eval()
        return in_blocks(lambda rows: part.represent(rows).shared, x, self.options["shared"])

    def _keep(self, found: LabelQuantizer) -> None:
        with torch.no_grad():
            for name, part in self.parts.items():
                part.C.copy_(torch.from_numpy(found.C[name]))
            self.state.Z.copy_(torch.from_numpy(found.Z))
            self.state.D.copy_(torch.from_numpy(found.D))
            self.state.words.copy_(torch.from_numpy(found.words))
            self.state.started.fill_(True)
        self.targets = torch.from_numpy(found.targets(self.groups))

    def _orthogonal(self) -> bool:
        return bool(self.options["orthogonal"]) and self.state.Z.shape[0] <= self.state.Z.shape[1]


def fit_spdq(
    *,
    jobs: Mapping[str, Mapping[str, Any]],
    options: JsonDict,
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback] = (),
) -> tuple[SPDQTask, LabelQuantizer, History]:
    """Train all modalities together."""
    with compute_settings():
        task = SPDQTask(jobs, options)
    history = train(
        task,
        settings(jobs, options),
        name=JOINT,
        seed=options["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    with compute_settings():
        return task, task.finish(), history


def settings(jobs: Mapping[str, Mapping[str, Any]], options: JsonDict) -> Settings:
    """As SDML's, from the largest modality."""
    largest = max(jobs.values(), key=lambda job: len(job["x"]))
    found = settings_for({**largest, **options, "options": {}}, len(largest["x"]))
    return Settings(**{**vars(found), "weight_decay": options["weight_decay"]})


def make_network(name: str, job: Mapping[str, Any], options: JsonDict) -> SharedPrivateNetwork:
    """An untrained network with its input scaling."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(options["seed"], name, "initial weights"))
        network = build(job["x"].shape[1], options)
    if options["standardize"]:
        scale_by_labels(network.inputs, job["x"], job["labels"], several=options["several"])
    return network


def build(n_features: int, options: JsonDict) -> SharedPrivateNetwork:
    """An untrained network: also what a stored one is loaded into."""
    return SharedPrivateNetwork(
        n_features,
        options["hidden"],
        options["n_classes"],
        shared=options["shared"],
        private=options["private"],
        input_dropout=options["input_dropout"],
        dropout=options["dropout"],
        batch_norm=options["batch_norm"],
        clamp=10.0 if options["standardize"] else float("inf"),
    )


def _groups(jobs: Mapping[str, Mapping[str, Any]], label_alignment: bool) -> Groups:
    if label_alignment:
        return Groups.of_labels({name: job["labels"] for name, job in jobs.items()})
    return Groups.of_items({name: job["items"] for name, job in jobs.items()})


def label_tables(labels: AnyArray) -> Float32Array:
    """Dense label weights, float32 and C-ordered."""
    return np.ascontiguousarray(labels, np.float32)


def make_options(params: Mapping[str, Any], n_classes: int, several: bool) -> JsonDict:
    """Options of the networks and the objective, from the parameters of `SPDQ`."""
    return {
        **{key: params[key] for key in (*_NETWORK, *_OBJECTIVE)},
        "label_alignment": bool(params["label_alignment"]),
        "orthogonal": bool(params["orthogonal"] and params["label_alignment"]),
        "bits": int(params["bits"]),
        "bits_per_word": int(params["bits_per_word"]),
        "shared": int(params["shared"]),
        "private": int(params["private"]),
        "hidden": [int(width) for width in params["hidden"]],
        "n_classes": n_classes,
        "several": several,
        "sigmoid": several if params["sigmoid"] is None else bool(params["sigmoid"]),
        "rounds": int(params["rounds"]),
        "rate": float(params["learning_rate"]),
        "epochs": params["epochs"],
        "effort": float(params["effort"]),
        "batch_size": params["batch_size"],
        "betas": tuple(params["betas"]),
        "schedule": params["schedule"],
        "seed": int(params["random_state"]),
    }


def make_job(name: str, part: Modality, held: Modality | None, several: bool) -> JsonDict:
    """What training needs of one modality: its labelled rows, and those of the validation set.

    Where rows may have several classes, those known to have none count as labelled too.
    """
    rows = np.flatnonzero(part.labels.known if several else part.labels.labelled)
    if not len(rows):
        raise InputError(
            f"modality {name!r}: SPDQ learns from labels, and none of its {len(part)} rows has "
            "one. Label some rows, or leave the modality out."
        )
    job = {
        "x": part.x[rows],
        "labels": label_tables(part.labels.take(rows).dense()),
        "items": part.items[rows],
        "valid_x": None,
        "valid_labels": None,
    }
    if held is not None:
        rows = np.flatnonzero(held.labels.labelled)
        labels = label_tables(held.labels.take(rows).dense())
        job |= {"valid_x": held.x[rows], "valid_labels": labels}
    return job
