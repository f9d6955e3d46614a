"""Rows of sequential learning: adapted on their way in, remembered, and placed in the space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from commonspace.data import Modality
from commonspace.errors import InputError
from commonspace.methods.jobs import as_tensor, in_blocks
from commonspace.methods.memory import Memory
from commonspace.methods.scaling import set_scaling
from commonspace.networks import Adapter, FunctionOf, UnifiedTrunk, filled
from commonspace.space import Space
from commonspace.types import AnyArray, Float32Array, JsonDict

PCA_ROWS = 20_000  # components are those of so many rows, evenly spread
FILL = 0.3  # share of the missing squared length that is put back; see `filled`
KERNEL_AT_MEDIAN = 16.0  # minus the log of the identity kernel of two rows at median distance


@dataclass(frozen=True)
class Batch:
    """Rows ready for the trunk.

    Attributes:
        x: Adapted inputs, shape (n, width).
        gate: Open hidden units, shape (n, n_hidden).
        y: Label weights, shape (n, n_classes).
        several: Whether each row's classes are a yes-or-no each, shape (n,).
        kept: Logits stored with the row, shape (n, n_classes); NaN where there are none.
    """

    x: Tensor
    gate: Tensor
    y: Tensor
    several: Tensor
    kept: Tensor

    def take(self, rows: Any) -> Batch:
        """Some rows."""
        return Batch(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joined(self, other: Batch) -> Batch:
        """Both; rows of ``other`` last."""
        return Batch(
            *(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )

    def chunks(self, n: int) -> list[Batch]:
        """At most n parts of nearly equal size."""
        return [self.take(rows) for rows in torch.arange(len(self)).tensor_split(n) if len(rows)]

    def __len__(self) -> int:
        return len(self.x)


def as_batch(arrays: Mapping[str, Any]) -> Batch:
    """Arrays by the names of `Batch`; one gate or one row of logits stands for all rows."""
    n = len(arrays["x"])
    tensors = {field.name: torch.tensor(arrays[field.name]) for field in fields(Batch)}
    for name in ("gate", "kept"):
        tensors[name] = tensors[name].expand(n, -1)
    return Batch(**tensors)


def usable_rows(name: str, part: Modality) -> Modality:
    """Rows to learn from: all that are known where a row may have several classes, or none."""
    if not part.labels.labelled.any():
        raise InputError(
            f"modality {name!r}: Sequential learns from labels, and none of its {len(part)} "
            "rows has one. Label some rows, or leave the modality out."
        )
    use = part.labels.known if part.labels.kind != "single" else part.labels.labelled
    return part if use.all() else part.take(np.flatnonzero(use))


def label_info(part: Modality) -> JsonDict:
    """What the labels of a modality were like when it was learned, for its vectors."""
    squared = part.labels.weights.power(2).sum(axis=1)
    several = part.labels.kind != "single"
    return {
        "several": several,
        "length": max(1.0, float(np.mean(squared))),
        "n_classes": part.labels.n_classes,
    }


def make_adapter(
    x: Float32Array, width: int, hidden: Sequence[int], *, kind: str, gate: float, seed: int
) -> Adapter:
    """Standardise, keep components, turn them, and scale rows to the norm sqrt(width) on average.

    Args:
        x: Training rows.
        width: Of the trunk's input.
        hidden: Widths of the trunk's hidden layers.
        kind: "rotate", "pca" or "jl", see `Sequential`.
        gate: Share of each hidden layer to close, at random; one unit stays open.
        seed: Of everything random.
    """
    adapter = Adapter(x.shape[1], width, sum(hidden))
    set_scaling(adapter.inputs, x)
    rng = np.random.default_rng(seed)
    scaled = adapter.inputs(as_tensor(x[:: -(-len(x) // PCA_ROWS)])).numpy()
    projection = _projection(scaled, width, kind, rng)
    norm = float(np.linalg.norm(scaled @ projection, axis=1).mean())
    projection *= np.sqrt(width) / norm if norm > 0 else 1.0
    adapter.projection.copy_(torch.from_numpy(projection.astype(np.float32)))
    opened = [_opened(units, gate, rng) for units in hidden]
    adapter.gate.copy_(torch.from_numpy(np.concatenate(opened)))
    return adapter


def _projection(scaled: Float32Array, width: int, kind: str, rng: np.random.Generator) -> AnyArray:
    n, d = scaled.shape
    if kind == "jl":
        return np.asarray(rng.standard_normal((d, width)) / np.sqrt(d))
    k = max(1, min(width, d, n - 1))
    components = _components(scaled, k, seed=int(rng.integers(1 << 31)))
    if kind == "pca":
        return np.pad(components, ((0, 0), (0, width - k)))
    turn, _ = np.linalg.qr(rng.standard_normal((width, k)))
    return np.asarray(components @ turn.T)


def _components(scaled: Float32Array, k: int, *, seed: int) -> AnyArray:
    """Leading principal components as columns; of constant rows, the first features."""
    if len(scaled) < 2 or not scaled.any():
        return np.eye(scaled.shape[1], k)
    return np.asarray(PCA(k, random_state=seed).fit(scaled.astype(np.float64)).components_.T)


def _opened(units: int, gate: float, rng: np.random.Generator) -> Float32Array:
    out = np.zeros(units, np.float32)
    out[rng.permutation(units)[: max(1, round((1 - gate) * units))]] = 1
    return out


def prepared(adapter: Adapter, part: Modality) -> JsonDict:
    """A modality's rows as arrays that the trunk learns from, by the names of `Batch`."""
    y = part.labels.dense()
    return {
        "x": in_blocks(adapter, part.x, adapter.projection.shape[1]),
        "gate": adapter.gate.numpy()[None],
        "y": y,
        "several": np.full(len(y), part.labels.kind != "single"),
        "kept": np.full((1, y.shape[1]), np.nan, np.float32),
    }


def remembered(
    memory: Memory, adapters: Mapping[str, Adapter], infos: Mapping[str, JsonDict]
) -> JsonDict:
    """The rows of a memory, likewise."""
    gates = np.stack([adapter.gate.numpy() for adapter in adapters.values()])
    several = np.array([info["several"] for info in infos.values()])
    return {
        "x": memory.x,
        "gate": gates[memory.modality],
        "y": memory.y,
        "several": several[memory.modality],
        "kept": memory.logits,
    }


def answers(trunk: UnifiedTrunk, x_NA: Float32Array, gate_1H: Float32Array) -> Float32Array:
    """The trunk's output for adapted rows of one modality, shape (n, dim)."""
    gate = torch.from_numpy(gate_1H)
    trunk.eval()
    return in_blocks(lambda rows: trunk(rows, gate), x_NA, trunk.output.out_features)


def make_frequencies(width: int, dim: int, *, seed: int) -> Float32Array:
    """Frequencies of random Fourier features [1], shape (width, dim // 16).

    Adapted rows have norm sqrt(width) on average, so two rows are about sqrt(2 width) apart: there
    the kernel is exp(-16), so that only near duplicates look alike.

    References:
        [1] Rahimi, Recht. Random Features for Large-Scale Kernel Machines. NIPS 2007.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sqrt(KERNEL_AT_MEDIAN / width) * rng.standard_normal((width, dim // 16))
    return np.asarray(drawn, dtype=np.float32)


def placed(
    q_BC: Tensor,
    a_BA: Tensor,
    space: Space,
    *,
    own: tuple[int, int],
    length: float,
    frequencies: Float32Array,
) -> Tensor:
    """Vectors of posteriors: z = P q + sqrt(FILL (M − ‖q‖²)) R v(a), see `PosteriorEncoder`.

    Args:
        q_BC: Posterior of the classes.
        a_BA: Adapted inputs; v(a) are their random Fourier features, a unit vector.
        space: Its columns are P and R.
        own: Where R begins and ends, see `Space.place`.
        length: M, the mean squared norm of a label vector.
        frequencies: Of the features, see `make_frequencies`.
    """
    p_CE, half = torch.tensor(space.P.T), (own[1] - own[0]) // 2
    if not half:
        return q_BC @ p_CE
    angles = a_BA @ torch.tensor(frequencies[:, :half])
    v_BF = torch.cat([angles.cos(), angles.sin()], dim=1) / half**0.5
    columns = torch.tensor(space.basis[:, own[0] : own[0] + 2 * half].T)
    return filled(q_BC, v_BF, length, FILL) @ torch.cat([p_CE, columns])


def vectors_of(
    trunk: UnifiedTrunk,
    adapter: Adapter,
    info: JsonDict,
    space: Space,
    *,
    own: tuple[int, int],
    frequencies: Float32Array,
) -> FunctionOf:
    """From features of a modality to its vectors.

    Args:
        trunk: As it is now.
        adapter: Of the modality.
        info: Its `label_info`; classes that came later have no share in its vectors.
        space: As it is now.
        own: Columns of the modality, see `Space.place`.
        frequencies: See `make_frequencies`.
    """
    p, length = torch.tensor(space.P[:, : info["n_classes"]]), info["length"]
    later = space.n_classes - info["n_classes"]

    def vectors(x_BD: Tensor) -> Tensor:
        a_BA = adapter(x_BD)
        logits = trunk(a_BA, adapter.gate.unsqueeze(0)) @ p
        q_BC = logits.sigmoid() if info["several"] else logits.softmax(dim=1)
        q_BC = functional.pad(q_BC, (0, later))
        return placed(q_BC, a_BA, space, own=own, length=length, frequencies=frequencies)

    return FunctionOf(vectors, [adapter, trunk])


def under(arrays: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Entries whose name begins so, without the prefix."""
    return ((k.removeprefix(prefix), v) for k, v in arrays.items() if k.startswith(prefix))
