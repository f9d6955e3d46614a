"""MS-DMML: deep multi-modal metric learning with multi-scale correlation.

One branch a modality, all trained together, and pairs of items as the only signal: two items are
drawn to each other in proportion to the cosine of their label vectors, and pushed apart up to a
margin where they share no label. That holds across modalities and within each of them [1].

References:
    [1] Hua, Yang, Du. Deep Multi-Modal Metric Learning with Multi-Scale Correlation for
        Image-Text Retrieval. Electronics 2020, 9(3), 466. doi:10.3390/electronics9030466
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from torch import nn

from commonspace.data import Dataset, Modality
from commonspace.errors import UnsupportedError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.methods.jobs import arrays_of, digest_of, learned_digest
from commonspace.methods.msdmml_job import check_attraction, make_job, similarity
from commonspace.methods.msdmml_settings import (
    RATE,
    as_pixel_rows,
    check_branches,
    check_pictures,
    check_settings,
    names_without_modality,
)
from commonspace.methods.msdmml_training import embed, fit_branches, restore_branch
from commonspace.methods.parts import Part
from commonspace.space import Space
from commonspace.training import Run, run_all
from commonspace.types import AnyArray, Float32Array, JsonDict

logger = logging.getLogger(__name__)


class MSDMML(Method):
    """Deep multi-modal metric learning with multi-scale correlation [1].

    For unit vectors f and label vectors y of items m, n, with S = yₘᵀyₙ / (‖yₘ‖ ‖yₙ‖)::

        loss = α d² S  +  β max(0, c − d²) [S = 0],     d² = ‖fₘ − fₙ‖²
        L    = λ1 · mean over pairs of different modalities
             + λ2 · mean over pairs within the first modality  + λ3 · ... the second   (eqs. 3-11)

    Labels are all it needs: one, several or graded a row; items need no pairs. With more than two
    modalities λ1 is spread evenly over all pairs of modalities, and λ2 + λ3 over the modalities, in
    the proportion of λ2 for the first to λ3 for each other one.

    The default standardises its inputs and regularises; `MSDMML.paper` sets everything as
    published, and `MSDMML.bin`, `inter` and `intra` are its ablations.

    Args:
        dim: Dimensions of the common space.
        hidden: Widths of the hidden layers.
        members: Networks side by side in each branch, of dim / members dimensions each, that learn
            apart from one another; cosines are the means of theirs.
        alpha: α, weight of attraction.
        beta: β, weight of repulsion.
        margin: c, squared distance (0 to 4) from which items without a common label are left alone.
        lambdas: λ1, λ2, λ3.
        ablation: "bin": S is 1 where any label is shared; with single labels, as in the paper, only
            where the two rows are one item. "inter": λ = (1, 0, 0), "intra": λ = (0, ½, ½).
        reduction: Each loss is the "mean" over its pairs, or their "sum" (the paper does not say);
            or "rows": as "mean", but every row weighs alike, however rare its labels are.
        final_relu: A ReLU on the output as well, before it is scaled to unit length.
        init_std: Weights start from a normal distribution of this spread; None: torch's own.
        standardize: Scale every feature to mean 0 and variance 1 over the training rows, then
            leave them as loud as labels say, see `loudness`.
        batch_norm: Normalise hidden units over the batch.
        input_dropout: Share of the features dropped in training.
        dropout: Share of the hidden units dropped in training.
        epochs: Passes over the rows of the largest modality; None takes 10 to 25, the more the
            fewer features, within 150 to 3000 steps.
        effort: Multiplies the passes and steps that ``epochs=None`` takes.
        batch_size: Rows of each modality a step; None takes an eighth of the rows, 32 to 64.
        learning_rate: Of Adam; one number, or one a modality with "*" for all others.
        betas: Of Adam.
        weight_decay: Of AdamW.
        schedule: "one-cycle" or "constant" learning rate.
        branches: Modalities of pictures, whose features are pixels as `PixelEncoder` makes them:
            for each a mapping with the "backbone" to fine-tune ("efficientnet-lite0" or
            "resnet101"), the "crop" that is seen of them in pixels (else 7/8 of the side), how
            many stages to "freeze" from the stem on (else 0), and the backbone's "learning_rate"
            (else 4e-4, or the branch's where that is less, as in the paper).
        anchors: How many vectors of the training rows to keep, evenly from each modality, for
            `fit_modality` to train a new branch against; 0 keeps none.
        validation_fraction: Share of the training rows held back to choose the epoch when `fit`
            gets no validation set; 0 holds none back: every row trains, and the last epoch stays.
        random_state: Seed of initial weights, batches, and which anchors are kept.

    Attributes:
        networks_: The trained branch of each modality.
        anchors_: Vectors, label weights and item ids kept.

    Differs from the paper: where there are validation rows, an earlier epoch than the last is kept
    that retrieved clearly better among them. A row that is all zero after a final ReLU has no
    direction and stays zero; their share among the anchors is logged. A new modality trains against
    the anchors, while all that is there stays as it is.

    Example:
        >>> data = Dataset.from_arrays(
        ...     {"image": np.eye(4, 6), "text": np.eye(4, 3)}, labels=["a", "b", "a", "b"])
        >>> model = MSDMML(dim=8, hidden=(16,), epochs=2).fit(data)
        >>> model.transform("text", np.eye(4, 3)).shape
        (4, 8)
    """

    can_add_modality: ClassVar[bool] = True

    networks_: dict[str, nn.Module]
    options_: dict[str, JsonDict]
    anchors_: dict[str, AnyArray]

    def __init__(
        self,
        *,
        dim: int = 256,
        hidden: Sequence[int] = (512,),
        members: int = 2,
        alpha: float = 0.67,
        beta: float = 0.33,
        margin: float = 1.8,
        lambdas: tuple[float, float, float] = (0.6, 0.2, 0.2),
        ablation: Literal["bin", "inter", "intra"] | None = None,
        reduction: Literal["rows", "mean", "sum"] = "rows",
        final_relu: bool = False,
        init_std: float | None = None,
        standardize: bool = True,
        batch_norm: bool = True,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        epochs: int | None = None,
        effort: float = 1.0,
        batch_size: int | None = None,
        learning_rate: float | Mapping[str, float] = RATE,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.05,
        schedule: Literal["one-cycle", "constant"] = "one-cycle",
        branches: Mapping[str, Mapping[str, Any]] | None = None,
        anchors: int = 1024,
        validation_fraction: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.hidden = hidden
        self.members = members
        self.alpha = alpha
        self.beta = beta
        self.margin = margin
        self.lambdas = lambdas
        self.ablation = ablation
        self.reduction = reduction
        self.final_relu = final_relu
        self.init_std = init_std
        self.standardize = standardize
        self.batch_norm = batch_norm
        self.input_dropout = input_dropout
        self.dropout = dropout
        self.epochs = epochs
        self.effort = effort
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.betas = betas
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.branches = branches
        self.anchors = anchors
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The settings as published, on features: raw inputs, one hidden layer of 1024, ReLU last.

        α = 0.4, β = 0.6, c = 1, λ = (0.6, 0.2, 0.2), weights from N(0, 0.02²), Adam at 1e-4,
        20 epochs of batches of 64 (section 4.2). The last epoch stays.
        """
        published: dict[str, Any] = {
            "hidden": (1024,),
            "members": 1,
            "alpha": 0.4,
            "beta": 0.6,
            "margin": 1.0,
            "reduction": "mean",
            "final_relu": True,
            "init_std": 0.02,
            "standardize": False,
            "batch_norm": False,
            "input_dropout": 0.0,
            "dropout": 0.0,
            "epochs": 20,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "betas": (0.9, 0.999),
            "weight_decay": 0.0,
            "schedule": "constant",
            "validation_fraction": 0.0,
        }
        return cls(**{**published, **changes})

    @classmethod
    def bin(cls, **changes: Any) -> Self:
        """The ablation of section 4.5: similarity is yes or no."""
        return cls(**{"ablation": "bin", **changes})

    @classmethod
    def inter(cls, **changes: Any) -> Self:
        """The ablation of section 4.5: pairs of different modalities alone."""
        return cls(**{"ablation": "inter", **changes})

    @classmethod
    def intra(cls, **changes: Any) -> Self:
        """The ablation of section 4.5: pairs within each modality alone."""
        return cls(**{"ablation": "intra", **changes})

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        check_settings(self)
        absent = names_without_modality(self, train.modalities)
        if absent:
            logger.warning("no modality yet for settings of %s.", ", ".join(map(repr, absent)))
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        several = train.label_kind != "single"
        job = make_job(self, "joint", train, valid, several)
        check_attraction(job)
        networks, history = self._train(job, train, valid, run)
        self.networks_, self.options_ = networks, job["options"]
        self.history_ = dict.fromkeys(networks, history)
        self.several_ = several
        learned = learned_digest(networks)
        self.space_ = Space.learned(self.dim, train.classes, learned_from=learned)
        self.anchors_ = self._choose_anchors(job["parts"], train)
        self._warn_of_zeros()

    def _train(
        self, job: JsonDict, train: Dataset, valid: Dataset | None, run: Run, *more: str
    ) -> tuple[dict[str, nn.Module], Any]:
        digest = "" if run.checkpoints is None else self._digest(train, valid, *more)
        call = {"job": job, "checkpoint": run.checkpoint(job["name"], digest)}
        return run_all(fit_branches, {job["name"]: call}, run, epochs=self.epochs or 1)[job["name"]]

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        check_settings(self)
        self._check_anchors(modality)
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        job = make_job(self, modality, train, valid, self.several_)
        rows = np.arange(len(self.anchors_["vectors"]))
        job["anchors"] = Part(self.anchors_["vectors"], self.anchors_["labels"], -1 - rows)
        networks, history = self._train(job, train, valid, run, self.space_.fingerprint)
        self.networks_ = {**self.networks_, **networks}
        self.options_ = {**self.options_, **job["options"]}
        self.history_[modality] = history

    def _check_anchors(self, modality: str) -> None:
        if not len(self.anchors_["vectors"]):
            raise UnsupportedError(
                f"modality {modality!r}: this MSDMML keeps no vectors to train a new branch "
                "against (anchors=0). Fit again with all modalities, or with anchors."
            )
        if similarity(self, self.several_) == "item":
            raise UnsupportedError(
                f"modality {modality!r}: with single labels and ablation='bin' only pairs of one "
                "item attract, and the vectors kept have none. Fit again with all modalities."
            )

    def _read(self, modality: str, x: Any, n_features: int | None) -> AnyArray:
        """Pixels stay bytes; they would take four times the memory as numbers."""
        check_branches(self.branches)
        if modality not in (self.branches or {}):
            return super()._read(modality, x, n_features)
        return as_pixel_rows(modality, x, n_features)

    def _check_part(self, modality: str, data: Dataset, n_features: int | None = None) -> Modality:
        if n_features is None:  # to learn from
            present = {**dict.fromkeys(data), **getattr(self, "inputs_", {})}
            check_pictures(modality, data[modality].x, self.branches, present)
        part: Modality = super()._check_part(modality, data, n_features)
        return part

    def _choose_anchors(self, parts: Mapping[str, Part], train: Dataset) -> dict[str, AnyArray]:
        """Vectors of seeded training rows, the same number of each modality."""
        vectors, labels = [np.empty((0, self.dim), np.float32)], [_no_rows(train)]
        generator = np.random.default_rng(self.random_state)
        for name, part in parts.items():
            count = min(self.anchors // len(parts), len(part))
            rows = np.sort(generator.permutation(len(part))[:count])
            vectors.append(embed(self.networks_[name], part.x[rows], self.dim))
            labels.append(part.y[rows])
        return {"vectors": np.concatenate(vectors), "labels": np.concatenate(labels)}

    def _warn_of_zeros(self) -> None:
        vectors = self.anchors_["vectors"]
        zero = int((~vectors.any(axis=1)).sum())
        if zero:
            logger.warning(
                "%d of %d rows kept as anchors have no direction: every output is zero "
                "after the final ReLU. Try final_relu=False.",
                zero,
                len(vectors),
            )

    def _digest(self, train: Dataset, valid: Dataset | None, *more: str) -> str:
        """Identity of a training, so that only the same one is resumed."""
        return digest_of(self.get_params(deep=False), train, valid, *more)

    def _transform(self, modality: str, x_ND: AnyArray) -> Float32Array:
        return embed(self.networks_[modality], x_ND, self.space_.dim)

    def _module(self, modality: str) -> nn.Module:
        return self.networks_[modality]

    def _state(self) -> MethodState:
        parts = {
            name: PartState(arrays_of(network), {"network": self.options_[name]})
            for name, network in self.networks_.items()
        }
        return MethodState(parts, dict(self.anchors_), {"several": self.several_})

    def _restore(self, state: MethodState) -> None:
        self.networks_, self.options_ = {}, {}
        self.several_, self.anchors_ = bool(state.info["several"]), dict(state.shared)
        for name, part in state.parts.items():
            self.options_[name] = part.info["network"]
            self.networks_[name] = restore_branch(
                self.inputs_[name], part.info["network"], part.arrays
            )


def _no_rows(data: Dataset) -> Float32Array:
    return np.empty((0, len(data.classes)), np.float32)
