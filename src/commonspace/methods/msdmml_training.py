"""How MS-DMML trains: all modalities in one optimisation, pairs drawn from their batches.

Modalities whose rows show the same items share their batches, so that an item meets itself in the
others; any other modality has batches of its own. The losses need labels alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.encoders import load_backbone
from commonspace.errors import InputError
from commonspace.methods.jobs import as_tensor, evenly, in_blocks, passes_for, with_arrays
from commonspace.methods.parts import VALID_ROWS, JudgedByRetrieval, Part, Sides, thinned
from commonspace.methods.scaling import scale_by_labels, set_scaling
from commonspace.networks import MetricBranch, PictureBranch, ScaledInputs
from commonspace.objectives import (
    binary_similarity,
    graded_similarity,
    item_similarity,
    multiscale_loss,
    pair_weights,
)
from commonspace.training import History, Settings, compute_settings, derive_seed, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import AnyArray, Float32Array, JsonDict

FORWARD_ROWS = 1024
STEPS, PASSES, PASSES_AT_1024 = (150, 3000), (10, 25), 12.5  # fewest and most of each
PICTURE_WIDTH = 1024  # features that a picture counts as: about what a backbone makes of it
SCALING_ROWS = 512  # pictures by which the pooled maps are scaled
PICTURE_ROWS = 32
ANCHORS = "\0anchors"  # the stream of what stays as it is; no modality has that name


class MetricTask(JudgedByRetrieval):
    """The loss of eq. 11 on a batch of every modality, and retrieval among validation rows."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = job
        self.parts: dict[str, Part] = job["parts"]
        self.valid: dict[str, Part] = job["valid"]
        self.anchors: Part | None = job["anchors"]
        self.branches: dict[str, nn.Module] = {name: self._branch(name) for name in self.parts}
        self.networks = Networks(
            {key: network for name in self.parts for key, network in self._networks(name)}
        )
        self._stream = _streams(self.parts)
        self.n_rows = {stream: len(self.parts[stream]) for stream in self._stream.values()}
        if self.anchors is not None:
            self.n_rows[ANCHORS] = len(self.anchors)
        self._weights: dict[tuple[int, ...], Tensor] = {}

    def learning_rates(self) -> Mapping[str, float]:
        """One a modality."""
        rates: Mapping[str, float] = self.job["rates"]
        return rates

    def loss(self, rows: Rows) -> Tensor:
        """Eq. 11 over all pairs of a batch."""
        parts = {n: part.take(_several(rows[self._stream[n]])) for n, part in self.parts.items()}
        anchors = self.anchors.take(rows[ANCHORS]) if self.anchors is not None else None
        return self._loss(parts, anchors)

    def _sides(self) -> Sides:
        """Vectors and labels of validation rows, and the anchors.

        The loss itself would choose too early an epoch: it goes on to grow with the sureness of a
        few mistakes while the ranking still improves.
        """
        sides = {
            name: (self._embedded(name, part.x), part.y)
            for name, part in ((n, thinned(p, VALID_ROWS)) for n, p in self.valid.items())
        }
        if sides and self.anchors is not None:
            sides[ANCHORS] = self.anchors.x, self.anchors.y
        return sides

    def _loss(self, parts: Mapping[str, Part], anchors: Part | None) -> Tensor:
        vectors = [self.branches[name](as_input(part.x)) for name, part in parts.items()]
        every = list(parts.values())
        if anchors is not None:
            vectors.append(torch.from_numpy(anchors.x))
            every.append(anchors)
        similarity, pairs = self._similarity(every), self._pairs([len(part) for part in every])
        members: int = self.job["members"]
        losses = [
            multiscale_loss(
                f_BE * members**0.5,  # each member's vectors at unit length
                similarity,
                pairs,
                alpha=self.job["alpha"],
                beta=self.job["beta"],
                margin=self.job["margin"],
                by_row=self.job["reduction"] == "rows",
            )
            for f_BE in torch.cat(vectors).chunk(members, dim=1)
        ]
        return torch.stack(losses).sum()

    def _embedded(self, name: str, x: AnyArray) -> Float32Array:
        return embed(self.branches[name], x, self.job["options"][name]["dim"])

    def _similarity(self, parts: Sequence[Part]) -> Tensor:
        if self.job["similarity"] == "item":
            return item_similarity(torch.from_numpy(np.concatenate([p.items for p in parts])))
        y_BC = torch.from_numpy(np.concatenate([part.y for part in parts]))
        graded = self.job["similarity"] == "graded"
        return graded_similarity(y_BC) if graded else binary_similarity(y_BC)

    def _pairs(self, counts: Sequence[int]) -> Tensor:
        """Weights of pairs, made once for each size of a batch."""
        key = tuple(counts)
        if key not in self._weights:
            inter, first, second = self.job["lambdas"]
            lambdas = (inter, second, 0.0) if self.anchors is not None else (inter, first, second)
            reduction = "sum" if self.job["reduction"] == "sum" else "mean"
            self._weights[key] = pair_weights(counts, lambdas, reduction=reduction)
        return self._weights[key]

    def _branch(self, name: str) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.job["seed"], name, "initial weights"))
            branch = build(self.parts[name], self.job["options"][name], several=self.job["several"])
        branch.eval()
        return branch

    def _networks(self, name: str) -> Iterator[tuple[str, nn.Module]]:
        """What is trained of a branch, each with a learning rate of its own."""
        branch = self.branches[name]
        if isinstance(branch, PictureBranch):
            yield name, branch.head
            yield backbone_of(name), branch.trained
        else:
            yield name, branch


def fit_branches(
    *, job: Mapping[str, Any], checkpoint: Checkpoint | None, callbacks: Sequence[Callback] = ()
) -> tuple[dict[str, nn.Module], History]:
    """Train the branches of a job together; returns them, ready to transform."""
    with compute_settings():
        task = MetricTask(job)
    history = train(
        task,
        settings_for(job, max(task.n_rows.values())),
        name=job["name"],
        seed=job["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    return task.branches, history


def build(part: Part, options: JsonDict, *, several: bool) -> nn.Module:
    """A branch for such rows, scaled to them and not trained yet.

    Labels say how loud features should be; not of pictures, whose features are still to change.
    """
    if "picture" not in options:
        branch = _metric_branch(part.x.shape[1], options)
        if isinstance(branch.inputs, ScaledInputs):
            scale_by_labels(branch.inputs, part.x, part.y, several=several)
        return branch
    picture = _picture_branch(options, pretrained=True)
    if isinstance(picture.head.inputs, ScaledInputs):
        few = part.x[evenly(len(part), SCALING_ROWS)]
        width = picture.head.n_features
        pooled = in_blocks(picture.pooled, few, width, as_input=as_input, block=_block(few))
        set_scaling(picture.head.inputs, pooled)
    return picture


def _picture_branch(options: JsonDict, *, pretrained: bool) -> PictureBranch:
    """A branch for pictures, its head not scaled yet."""
    picture = options["picture"]
    backbone = load_backbone(picture["backbone"], picture["crop"], pretrained=pretrained)
    if picture["freeze"] >= len(backbone.stages):
        raise InputError(
            f"freeze: {picture['backbone']} has {len(backbone.stages)} stages, got "
            f"{picture['freeze']}. Leave at least one to train, or take its features as they are."
        )
    return PictureBranch(
        backbone.stages,
        _metric_branch(backbone.width, options),
        centre=backbone.centre,
        scale=backbone.scale,
        **{key: picture[key] for key in ("side", "crop", "freeze")},
    ).eval()


def _metric_branch(n_features: int, options: JsonDict) -> MetricBranch:
    settings = {k: v for k, v in options.items() if k not in ("hidden", "dim", "picture")}
    return MetricBranch(n_features, options["hidden"], options["dim"], **settings)


def restore_branch(n_features: int, options: JsonDict, arrays: Mapping[str, AnyArray]) -> nn.Module:
    """A trained branch from its arrays, which hold all its weights: none are fetched."""
    branch: nn.Module
    if "picture" in options:
        branch = _picture_branch(options, pretrained=False)
    else:
        branch = _metric_branch(n_features, options)
    return with_arrays(branch, arrays)


def settings_for(job: Mapping[str, Any], n_rows: int) -> Settings:
    """Batch size and epochs, from the number of rows where the caller left them open."""
    batch = job["batch_size"] or int(np.clip(n_rows // 8, 32, 64))
    steps = max(1, n_rows // batch)
    width = max(_width(part.x) for part in job["parts"].values())
    passes = job["effort"] * passes_for(
        width, steps, at_1024=PASSES_AT_1024, passes=PASSES, within=STEPS
    )
    return Settings(
        epochs=job["epochs"] or max(1, round(passes)),
        batch_size=batch,
        betas=job["betas"],
        weight_decay=job["weight_decay"],
        schedule=job["schedule"],
    )


def embed(branch: nn.Module, x: AnyArray, dim: int) -> Float32Array:
    """Vectors of all rows, shape (n, dim), in blocks."""
    return in_blocks(branch, x, dim, as_input=as_input, block=_block(x))


def as_input(x: AnyArray) -> Tensor:
    """Rows as a tensor: features as float32, pixels as they are."""
    return torch.from_numpy(np.ascontiguousarray(x)) if x.dtype == np.uint8 else as_tensor(x)


def backbone_of(name: str) -> str:
    """What the loop calls the trained stages behind a modality's branch."""
    return f"{name}/backbone"


def _block(x: AnyArray) -> int:
    """Rows at once: few where they are pictures, whose maps are large."""
    return PICTURE_ROWS if x.dtype == np.uint8 else FORWARD_ROWS


def _width(x: AnyArray) -> int:
    return PICTURE_WIDTH if x.dtype == np.uint8 else int(x.shape[1])


def _several(rows: AnyArray) -> AnyArray:
    """A batch of one row, which has no spread to normalise by, holds it twice."""
    return np.repeat(rows, 2) if len(rows) == 1 else rows


def _streams(parts: Mapping[str, Part]) -> dict[str, str]:
    """For each modality the first one with the same items in the same order: they share batches."""
    out: dict[str, str] = {}
    for name, part in parts.items():
        same = (n for n in out.values() if np.array_equal(parts[n].items, part.items))
        out[name] = next(same, name)
    return out
