"""How a `JointMethod` trains: its batches, its task for the training loop, its validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.methods.baselines.joint_draw import Draw
from commonspace.methods.jobs import as_tensor, in_blocks
from commonspace.methods.parts import VALID_ROWS, JudgedByRetrieval, Part, Sides, thinned
from commonspace.networks import Branch
from commonspace.training import History, Settings, compute_settings, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import AnyArray, Float32Array, IntArray

SHARED = "all"  # what the loop calls a module that is no modality's own begins so


@dataclass(frozen=True)
class Affine:
    """A linear map found after training: z ↦ (z − mean) map.

    Attributes:
        mean: Shape (E,).
        map: Shape (E, dim of the space).
    """

    mean: AnyArray
    map: AnyArray

    def __call__(self, z_NE: AnyArray) -> Float32Array:
        """Map rows, shape (N, dim of the space), float32."""
        return np.asarray((z_NE - self.mean) @ self.map, dtype=np.float32)

    def arrays(self) -> dict[str, AnyArray]:
        """To be stored, as float32."""
        return {"mean": self.mean.astype(np.float32), "map": self.map.astype(np.float32)}


@dataclass(frozen=True)
class Sizes:
    """What a subclass builds its modules for.

    Attributes:
        features: Number of features of each modality, in order.
        n_classes: Number of classes.
        several: Whether a row may have several or graded labels.
    """

    features: Mapping[str, int]
    n_classes: int
    several: bool


@dataclass(frozen=True)
class Batch:
    """One batch of every modality, and the modules that are trained with the networks.

    Attributes:
        x: Scaled features, shape (B, D), of each modality: what a decoder should give back.
        z: Outputs of the networks, shape (B, E), of each modality.
        y: Label weights, shape (B, C), of each modality; zero where a row has no label.
        items: Number of the item that each row shows, shape (B,), equal across modalities.
        networks: The network of each modality, for a loss that passes other inputs through them.
        modules: What the subclass made.
        several: Whether a row may have several or graded labels.
        matched: Whether row i of every modality is one item, or stands for one.
        progress: Share of the training that is over, 0 to 1.
    """

    x: Mapping[str, Tensor]
    z: Mapping[str, Tensor]
    y: Mapping[str, Tensor]
    items: Mapping[str, Tensor]
    networks: Mapping[str, Branch]
    modules: Mapping[str, nn.Module]
    several: bool
    matched: bool
    progress: float

    def share(self, first: str, second: str) -> Tensor:
        """1 where row i of one modality and row j of another share a label, else 0: (B, B)."""
        return (self.y[first] @ self.y[second].T).gt(0).float()

    def same_item(self, first: str, second: str) -> Tensor:
        """1 where the two rows show one item, else 0: (B, B). Matched rows count as one item."""
        same_BB = self.items[first].unsqueeze(1).eq(self.items[second])
        if self.matched:
            same_BB = same_BB | torch.eye(len(same_BB), dtype=torch.bool)
        return same_BB.float()

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every two modalities, once."""
        return combinations(self.z, 2)

    def mean_over_pairs(self, loss: Callable[[str, str], Tensor]) -> Tensor:
        """Mean of a loss of two modalities, given by name, over every two of them."""
        return torch.stack([loss(first, second) for first, second in self.pairs()]).mean()

    def mean_over_modalities(self, loss: Callable[[str], Tensor]) -> Tensor:
        """Mean of a loss of one modality, given by name."""
        return torch.stack([loss(name) for name in self.z]).mean()


class Trainer(Protocol):
    """What the task asks of a `JointMethod`."""

    aligns: ClassVar[bool]
    sizes_: Sizes
    random_state: int

    def _settings(self, draw: Draw) -> Settings: ...

    def _build(self, name: str, part: Part) -> Branch: ...

    def _build_modules(self) -> dict[str, nn.Module]: ...

    def _rates(self, networks: Sequence[str], modules: Sequence[str]) -> dict[str, float]: ...

    def _loss(self, batch: Batch) -> Tensor: ...

    def _embedding(
        self, modality: str, z_BE: Tensor, modules: Mapping[str, nn.Module]
    ) -> Tensor: ...

    def _align(
        self, z: Mapping[str, Float32Array], y: Mapping[str, Float32Array]
    ) -> Mapping[str, Affine]: ...


class JointTask(JudgedByRetrieval):
    """The loss of a `JointMethod` on a batch of every modality, retrieval among validation rows."""

    def __init__(
        self,
        method: Trainer,
        draw: Draw,
        valid: Mapping[str, Part],
        branches: Mapping[str, Branch],
        modules: Mapping[str, nn.Module],
        *,
        rates: Mapping[str, float],
        settings: Settings,
        several: bool,
    ) -> None:
        self.method, self.draw, self.valid, self.several = method, draw, valid, several
        self.branches, self.modules, self.rates = branches, modules, rates
        trained = {shared_key(k): m for k, m in modules.items() if m.state_dict()}
        self.networks = Networks({**branches, **trained})
        self.steps = settings.steps or 1
        self.total = self.steps * settings.epochs
        self.history: History = []
        self._step = 0

    @property
    def n_rows(self) -> Mapping[str, int]:
        """One stream of rows for all modalities, or one each."""
        return self.draw.n_rows

    def learning_rates(self) -> Mapping[str, float]:
        """One a network."""
        return self.rates

    def alternate(self, epoch: int) -> None:
        """Note how far the training is, which a resumed one would not know."""
        self._step = epoch * self.steps

    def loss(self, rows: Rows) -> Tensor:
        """What the subclass says of one batch."""
        parts = {n: self._part(n, rows[stream]) for n, stream in self.draw.streams.items()}
        x = {name: self.branches[name].inputs(as_tensor(p.x)) for name, p in parts.items()}
        batch = Batch(
            x=x,
            z={name: self.branches[name].encode(scaled_BD) for name, scaled_BD in x.items()},
            y={name: torch.from_numpy(part.y) for name, part in parts.items()},
            items={name: torch.from_numpy(part.items) for name, part in parts.items()},
            networks=self.branches,
            modules=self.modules,
            several=self.several,
            matched=len(self.n_rows) < len(parts),
            progress=self._step / self.total,
        )
        self._step += 1
        return self.method._loss(batch)

    def _sides(self) -> Sides:
        """Vectors and labels of validation rows; of one modality alone they tell nothing.

        What is found after training is found anew for it, from some of the training rows.
        """
        if len(self.valid) < 2:
            return {}
        maps = self.maps(count=VALID_ROWS)
        sides = {}
        for name, part in self.valid.items():
            few = thinned(part, VALID_ROWS)
            z_NE = self.embed(name, few.x)
            sides[name] = maps[name](z_NE) if name in maps else z_NE, few.y
        return sides

    def maps(self, count: int | None = None) -> Mapping[str, Affine]:
        """What the subclass finds after training, from ``count`` rows of each modality or all."""
        if not self.method.aligns:
            return {}
        parts = {name: self.draw.rows(name, count) for name in self.draw.parts}
        z = {name: self.embed(name, part.x) for name, part in parts.items()}
        maps = self.method._align(z, {name: part.y for name, part in parts.items()})
        return {name: Affine(**found.arrays()) for name, found in maps.items()}

    def embed(self, name: str, x_ND: AnyArray) -> Float32Array:
        """Vectors of all rows before any map."""
        return embed(self.method, name, self.branches[name], self.modules, x_ND)

    def _part(self, name: str, index: IntArray) -> Part:
        """Rows of a batch; a single one, which has no spread to normalise by, twice."""
        rows = self.draw.order[name][index]
        return self.draw.parts[name].take(np.repeat(rows, 2) if len(rows) == 1 else rows)


def fit_jointly(
    *,
    method: Trainer,
    name: str,
    draw: Draw,
    valid: Mapping[str, Part],
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback] = (),
) -> JointTask:
    """Train the modalities of a draw together; the task that returns holds them and how it went."""
    settings = method._settings(draw)
    with compute_settings():
        branches = {key: method._build(key, part) for key, part in draw.parts.items()}
        modules = method._build_modules()
        task = JointTask(
            method,
            draw,
            valid,
            branches,
            modules,
            rates=method._rates(list(branches), list(modules)),
            settings=settings,
            several=method.sizes_.several,
        )
    seed = method.random_state
    task.history = train(
        task, settings, name=name, seed=seed, checkpoint=checkpoint, callbacks=callbacks
    )
    return task


def embed(
    method: Trainer,
    name: str,
    branch: Branch,
    modules: Mapping[str, nn.Module],
    x_ND: AnyArray,
) -> Float32Array:
    """Vectors of rows of one modality before any map, in blocks."""

    def function(x_BD: Tensor) -> Tensor:
        return method._embedding(name, branch(x_BD), modules)

    return in_blocks(function, x_ND, _width(function, x_ND))


def shared_key(name: str) -> str:
    """What the loop calls a module that is no modality's own."""
    return f"{SHARED}/{name}"


def _width(function: Callable[[Tensor], Tensor], x_ND: AnyArray) -> int:
    with torch.inference_mode():
        return int(function(torch.zeros(1, x_ND.shape[1])).shape[1])
