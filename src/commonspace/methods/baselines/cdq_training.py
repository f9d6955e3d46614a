"""How CDQ trains: networks by gradient, and before each epoch codes and codebooks in closed form.

The first epoch has no codebooks yet. Then each begins with the outputs for all training rows of
both modalities, one below the other: words by ICM, then codebooks by ridge regression on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.methods.jobs import as_tensor, in_blocks
from commonspace.methods.parts import VALID_ROWS, JudgedByRetrieval, Part, Sides, thinned
from commonspace.methods.scaling import scale_by_labels
from commonspace.networks import Branch
from commonspace.objectives import pairwise_log_loss
from commonspace.quantization import Assigner, decode_words, update_codebooks
from commonspace.quantization.codebooks import residual_codebooks
from commonspace.training import History, Settings, compute_settings, derive_seed, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import AnyArray, Float32Array, JsonDict

JOINT = "joint"
RIDGE = 1e-3  # as in the released code
LAST_ROUNDS = 5  # of words and codebooks, once the networks stay as they are


class Codebooks(nn.Module):
    """Codebooks and words as buffers, so that a checkpoint holds them beside the networks."""

    D: Tensor
    words: Tensor
    started: Tensor

    def __init__(self, n_rows: int, n_words: int, n_entries: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("D", torch.zeros(n_words, n_entries, dim))
        self.register_buffer("words", torch.zeros(n_rows, n_words, dtype=torch.int64))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))


class CDQTask(JudgedByRetrieval):
    """Two modalities at once; the objective is that of `CDQ`, in means over pairs and rows."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job, self.seed = job, int(job["seed"])
        self.parts: dict[str, Part] = job["parts"]
        self.valid: dict[str, Part] = job["valid"]
        self.n_rows = {name: len(part) for name, part in self.parts.items()}
        self.branches = {name: self._branch(name, part) for name, part in self.parts.items()}
        sizes = job["n_words"], job["n_entries"], job["options"]["dim"]
        self.codebooks = Codebooks(sum(self.n_rows.values()), *sizes)
        self.networks = Networks({JOINT: nn.ModuleDict({"codebooks": self.codebooks})})
        self.networks[JOINT].add_module("branches", Networks({**self.branches}))

    def learning_rates(self) -> Mapping[str, float]:
        """One rate for all."""
        return {JOINT: float(self.job["learning_rate"])}

    def alternate(self, epoch: int) -> None:
        """Words and codebooks for the outputs as they are."""
        if epoch and self.job["lam"]:
            self.quantize(rounds=1)

    def quantize(self, *, rounds: int) -> None:
        """Words by ICM and codebooks in closed form, in turn."""
        vectors = np.concatenate([self.embed(name, part.x) for name, part in self.parts.items()])
        D, words = self.codebooks.D.numpy(), self.codebooks.words.numpy()
        if not bool(self.codebooks.started):
            D = block_codebooks(vectors, n_words=len(D), n_entries=D.shape[1], seed=self.seed)
            words = Assigner(D).assign(vectors)
        for _ in range(rounds):
            words = Assigner(D).assign(vectors, start=words)
            D = update_codebooks(vectors, words, np.zeros_like(D), ridge=RIDGE)
        with torch.no_grad():
            self.codebooks.D.copy_(torch.from_numpy(D))
            self.codebooks.words.copy_(torch.from_numpy(words))
            self.codebooks.started.fill_(True)

    def loss(self, rows: Rows) -> Tensor:
        """Similarity of all pairs of a batch, and λ times how far its rows are from their codes."""
        rows = {n: np.repeat(r, 2) if len(r) == 1 else r for n, r in rows.items()}
        z = {n: self.branches[n](as_tensor(part.x[rows[n]])) for n, part in self.parts.items()}
        (u, v), (y_u, y_v) = z.values(), (p.y[rows[n]] for n, p in self.parts.items())
        total = pairwise_log_loss(u, v, torch.from_numpy((y_u @ y_v.T) > 0))
        if self.job["lam"] and bool(self.codebooks.started):
            total = total + self.job["lam"] * self._quantization(z, rows)
        return total

    def _quantization(self, z: Mapping[str, Tensor], rows: Rows) -> Tensor:
        start, errors = 0, []
        for name, part in self.parts.items():
            words = self.codebooks.words[start + torch.from_numpy(rows[name])].numpy()
            wanted = torch.from_numpy(decode_words(self.codebooks.D.numpy(), words))
            errors.append((z[name] - wanted).square().sum(dim=1).mean())
            start += len(part)
        return torch.stack(errors).sum()

    def _sides(self) -> Sides:
        """The networks' outputs, not the codes."""
        few = {name: thinned(part, VALID_ROWS) for name, part in self.valid.items()}
        return {name: (self.embed(name, part.x), part.y) for name, part in few.items()}

    def embed(self, name: str, x: AnyArray) -> Float32Array:
        """Outputs for all rows of one modality."""
        return in_blocks(self.branches[name], x, self.job["options"]["dim"])

    def _branch(self, name: str, part: Part) -> Branch:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, name, "initial weights"))
            branch = build(part.x.shape[1], self.job["options"]).eval()
        scale_by_labels(branch.inputs, part.x, part.y, several=self.job["several"])
        return branch


def fit_cdq(
    *, job: Mapping[str, Any], checkpoint: Checkpoint | None, callbacks: Sequence[Callback] = ()
) -> tuple[dict[str, Branch], Float32Array, History]:
    """Train both modalities together: their networks, the codebooks, losses by epoch."""
    with compute_settings():
        task = CDQTask(job)
    settings: Settings = job["settings"]
    history = train(
        task, settings, name=JOINT, seed=task.seed, checkpoint=checkpoint, callbacks=callbacks
    )
    with compute_settings():
        task.quantize(rounds=LAST_ROUNDS)
    return task.branches, task.codebooks.D.numpy(), history


def build(n_features: int, options: JsonDict) -> Branch:
    """An untrained network: also what a stored one is loaded into."""
    return Branch(n_features, **options, final="tanh")


def block_codebooks(x_NE: Float32Array, *, n_words: int, n_entries: int, seed: int) -> Float32Array:
    """K-means in M blocks of the dimensions; each codebook is zero outside its block."""
    D = np.zeros((n_words, n_entries, x_NE.shape[1]), np.float32)
    for m, columns in enumerate(np.array_split(np.arange(x_NE.shape[1]), n_words)):
        if len(columns):
            block = np.ascontiguousarray(x_NE[:, columns])
            D[m][:, columns] = residual_codebooks(
                block, n_words=1, n_entries=n_entries, seed=seed + m
            )[0]
    return D
