"""Sequential cross-modal learning: one network that learns modality after modality.

Most methods train all modalities together, or give each a network of its own. Here one network of
constant size brings every modality into the space, and meets them one at a time, as a system does
whose sources change: at stage t only the labelled rows of modality t are there. Nothing needs
pairs. What has to be prevented is forgetting.

Song and Tan [1, 2] posed this problem and met it by meta-learning. Their method section, losses and
code are not public: the problem is theirs, everything below is a design of our own.

References:
    [1] Song, Tan. Sequential Learning for Cross-Modal Retrieval. ICCV Workshops (CroMoL) 2019.
    [2] Song, Tan. Real-World Cross-Modal Retrieval via Sequential Learning. IEEE TMM 2020.
    [3] Masse, Grant, Freedman. Alleviating catastrophic forgetting using context-dependent gating
        and synaptic stabilization. PNAS 2018. doi:10.1073/pnas.1803839115
    [4] Kirkpatrick et al. Overcoming catastrophic forgetting in neural networks. PNAS 2017.
    [5] Buzzega et al. Dark Experience for General Continual Learning. NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import nn

from commonspace.data import Dataset, Modality
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError, UnsupportedError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.methods.jobs import arrays_of, identity, in_blocks, with_arrays
from commonspace.methods.memory import Memory
from commonspace.methods.sequential_rows import (
    label_info,
    make_adapter,
    make_frequencies,
    prepared,
    remembered,
    under,
    usable_rows,
    vectors_of,
)
from commonspace.methods.sequential_settings import check_change, check_settings
from commonspace.methods.sequential_stage import (
    make_job,
    trunk_options,
    with_fisher,
    with_rows,
)
from commonspace.methods.sequential_training import (
    EPOCHS,
    HOLDING,
    REMEMBERING,
    build_trunk,
    fit_stage,
)
from commonspace.networks import Adapter, UnifiedTrunk
from commonspace.space import Space
from commonspace.training import History, Run, compute_settings, derive_seed, run_all
from commonspace.types import AnyArray, Float32Array, JsonDict

Strategy = Literal[
    "hold",
    "distill",
    "lookahead",
    "replay",
    "mer",
    "agem",
    "ewc",
    "lwf",
    "finetune",
    "joint",
]


class Sequential(Method):
    """One unified model, learned modality after modality, unpaired.

    Every modality has a fixed adapter that nothing trains: standardised features, their leading
    principal components, turned into R^width by a random rotation of its own. All share one trunk;
    each opens its own random ``1 - gate`` of the hidden units [3]. The trunk's output h gives the
    class logits Pᵀh, for the columns P of the space, fixed before anything is learned. Vectors are
    those of `SDML`: z = P q(x), with q the posterior of the classes, and a share of the missing
    length in columns of the modality's own.

    Stage 1 is ordinary training. Later stages, by default, learn on rows of the new modality alone
    while weights are held that mattered to those before [4]::

        L(b; θ) + strength/2 · Σ F (θ − θ*)²

    with θ* the weights at the start of the stage and F the summed empirical Fisher
    information of the modalities learned, each on at most 256 of its rows, kept as two vectors a
    weight matrix. No row is remembered. The look-ahead that meta-learning suggests takes, for
    batches b of the new modality and m of a memory, the gradient of the mean over j of::

        Q(θ_j) = L(b; θ_j)/t + (t−1)/t · (L(m; θ_j) + keep · mean_m ‖Pᵀh(θ_j) − stored‖² / C)
        θ_0 = θ,   θ_j = θ_{j−1} − inner_rate · ∇ L(b_j; θ_{j−1}),   b = b_1 … b_{inner_steps}

    so that what is low is the loss *after* steps on the new modality; inner steps are then
    discarded. "distill" is Q(θ) itself, i.e. DER++ [5]. At equal work the default ends best and
    look-ahead behind "distill", see the page on this method: that is why it is not the default.

    Args:
        dim: Dimensions of the common space.
        width: Of the trunk's input; the most principal components a modality keeps.
        hidden: Widths of the trunk's hidden layers.
        gate: Share of the hidden units that is closed to each modality, in [0, 0.95].
        adapter: "rotate" as above; "pca" leaves out the rotation, so that the components of all
            modalities meet in the same first inputs; "jl" is a random projection alone.
        strategy: The rule of an update: "hold" and "lookahead" as above; "ewc" (as "hold", with the
            whole Fisher information); "distill"; "replay"; "mer"; "agem"; "lwf"; "finetune", which
            does nothing against forgetting; and "joint", the upper bound, which needs all
            modalities at once. `sequential_training.RULES` has them.
        memory: The most rows remembered, all modalities together, balanced over modalities and
            classes; None is 50 a class. For those that remember: "distill", "lookahead", "replay",
            "mer", "agem".
        keep: Weight of the distance to stored logits ("lookahead", "distill") or to the old
            network's on new rows ("lwf").
        inner_steps: Inner steps of "lookahead" and "mer"; None is 1 and 8.
        inner_rate: Their learning rate; None is 0.05 and 0.2.
        second_order: Differentiate through the inner steps ("lookahead").
        learn_rates: Learn an inner rate for each weight, as La-MAML does ("lookahead").
        last_layer: Inner steps move the trunk's last layer alone, as in OML ("lookahead").
        strength: Of the penalty of "hold" and "ewc".
        steps: Work of a stage, in steps of replay: so many times two batches are differentiated.
            Rules whose steps cost more take fewer, so that all do equal work. None is 25 passes
            over the new rows, within 300 to 6000.
        batch_size: Rows of the new modality a step.
        recall: Rows of the memory a step, at most ``batch_size``; None is as many as that.
        learning_rate: Of Adam, under a one-cycle schedule.
        weight_decay: Of Adam.
        dropout: Of hidden units.
        input_dropout: Of the adapted inputs.
        space: The space to train towards; None makes `Space.create(dim, classes)`.
        random_state: Seed of everything random.

    Attributes:
        trunk_: The network that all modalities share.
        adapters_: The fixed adapter of each.
        memory_: Rows that are remembered, adapted; they are part of the stored model.
        penalty_: Fisher information, likewise.
        evaluations_: Examples differentiated in each stage.

    Note:
        `fit` learns the modalities of ``train`` in their order, and is the same, to the bit, as
        adding them one by one, with saving and loading in between, given the same list of classes:
        where the first modality lacks a class of a later one, make the ``space`` with all of them,
        since classes count in the logits of every stage. Adding one *changes the vectors*
        of those before (``keeps_vectors`` is False): encode stored items again. Validation data are
        not used: every stage takes all its steps.

    Example:
        >>> data = Dataset.from_arrays(
        ...     {"image": np.eye(4, 6), "text": np.eye(4, 3)}, labels=["a", "b", "a", "b"])
        >>> model = Sequential(dim=8, width=8, hidden=(16,), steps=20).fit(data)
        >>> model.transform("text", np.eye(4, 3)).shape
        (4, 8)
    """

    can_add_modality: ClassVar[bool] = True
    can_add_classes: ClassVar[bool] = True
    keeps_vectors: ClassVar[bool] = False

    trunk_: UnifiedTrunk
    adapters_: dict[str, Adapter]
    memory_: Memory
    evaluations_: dict[str, int]
    infos_: dict[str, JsonDict]
    penalty_: dict[str, AnyArray]

    def __init__(
        self,
        *,
        dim: int = 256,
        width: int = 256,
        hidden: Sequence[int] = (512, 512),
        gate: float = 0.75,
        adapter: Literal["rotate", "pca", "jl"] = "rotate",
        strategy: Strategy = "hold",
        memory: int | None = None,
        keep: float = 1.0,
        inner_steps: int | None = None,
        inner_rate: float | None = None,
        second_order: bool = False,
        learn_rates: bool = False,
        last_layer: bool = False,
        strength: float = 1e6,
        steps: int | None = None,
        batch_size: int = 64,
        recall: int | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        space: Space | None = None,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.width = width
        self.hidden = hidden
        self.gate = gate
        self.adapter = adapter
        self.strategy = strategy
        self.memory = memory
        self.keep = keep
        self.inner_steps = inner_steps
        self.inner_rate = inner_rate
        self.second_order = second_order
        self.learn_rates = learn_rates
        self.last_layer = last_layer
        self.strength = strength
        self.steps = steps
        self.batch_size = batch_size
        self.recall = recall
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.space = space
        self.random_state = random_state

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        check_settings(self)
        space = self.space if self.space is not None else Space.create(self.dim, train.classes)
        if space.dim != self.dim:
            raise InputError(f"space: expected dim={self.dim} dimensions, got {space.dim}.")
        self.space_ = space.with_classes(train.classes).with_modalities(train)
        data = train.with_classes(self.space_.classes)
        with compute_settings(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, "initial weights"))
            self.trunk_ = build_trunk(trunk_options(self))
        self.adapters_, self.infos_, self.evaluations_ = {}, {}, {}
        self.memory_ = Memory.empty(self.width, self.space_.n_classes)
        self.penalty_ = {}
        seed = derive_seed(self.random_state, "identity")
        self.frequencies_ = make_frequencies(self.width, self.dim, seed=seed)
        if self.strategy == "joint":
            self._learn(dict(data.items()), self.space_, run)
        else:
            for name, part in data.items():
                self._learn({name: part}, self.space_, run)

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        check_settings(self)
        if self.strategy == "joint":
            raise UnsupportedError(
                "Sequential(strategy='joint') needs all modalities at once: it is the upper bound "
                "of the others. Fit again, or choose another strategy."
            )
        check_change(self)
        self._learn(dict(train.items()), space, run)

    def _learn(self, parts: dict[str, Modality], space: Space, run: Run) -> None:
        """One stage; the model changes when it has succeeded."""
        usable = {name: usable_rows(name, part) for name, part in parts.items()}
        with compute_settings():
            made = {name: self._make_adapter(name, part.x) for name, part in usable.items()}
            new = {name: prepared(made[name], part) for name, part in usable.items()}
        adapters = {**self.adapters_, **made}
        infos = {**self.infos_, **{name: label_info(part) for name, part in usable.items()}}
        memory = self.memory_.with_classes(space.n_classes)
        job = make_job(self, new, remembered(memory, adapters, infos), space)
        trunk, history = self._run(job, run)
        with compute_settings():
            if self.strategy in REMEMBERING:
                memory = with_rows(self, memory, trunk, new, space)
            if self.strategy in HOLDING:
                self.penalty_ = with_fisher(self, trunk, new, space)
        self.trunk_, self.adapters_, self.infos_, self.memory_ = trunk, adapters, infos, memory
        for name in parts:
            self.history_[name] = history
            self.evaluations_[name] = job["evaluations"] // len(parts)

    def _run(self, job: JsonDict, run: Run) -> tuple[UnifiedTrunk, History]:
        digest = sha256_bytes(identity(job).encode()) if run.checkpoints is not None else ""
        call = {"job": job, "checkpoint": run.checkpoint(job["name"], digest)}
        here = replace(run, jobs=1)  # a stage cannot begin before the one before it has ended
        return run_all(fit_stage, {job["name"]: call}, here, epochs=EPOCHS)[job["name"]]

    def _make_adapter(self, name: str, x: Float32Array) -> Adapter:
        return make_adapter(
            x,
            self.width,
            self.hidden,
            kind=self.adapter,
            gate=self.gate,
            seed=derive_seed(self.random_state, name, "adapter"),
        )

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        return in_blocks(self._module(modality).eval(), x_ND, self.dim)

    def _module(self, modality: str) -> nn.Module:
        return vectors_of(
            self.trunk_,
            self.adapters_[modality],
            self.infos_[modality],
            self.space_,
            own=self.space_.place(modality),
            frequencies=self.frequencies_,
        )

    def parameter_counts(self) -> dict[str, int]:
        """Numbers that the model holds: "learned" by training, and "fixed" in its adapters."""
        self.check_fitted()
        fixed = (buffer.numel() for each in self.adapters_.values() for buffer in each.buffers())
        learned = (value.numel() for value in self.trunk_.parameters())
        return {"learned": sum(learned), "fixed": sum(fixed)}

    @property
    def memory_bytes(self) -> int:
        """Bytes kept beside the network for learning on: remembered rows, Fisher information."""
        return self.memory_.n_bytes + sum(array.nbytes for array in self.penalty_.values())

    def _state(self) -> MethodState:
        parts = {
            name: PartState(
                arrays_of(adapter),
                {**self.infos_[name], "evaluations": self.evaluations_[name]},
            )
            for name, adapter in self.adapters_.items()
        }
        trunk = {f"trunk/{key}": value for key, value in arrays_of(self.trunk_).items()}
        memory = {f"memory/{key}": value for key, value in self.memory_.arrays().items()}
        shared = {**trunk, **memory, **self.penalty_, "frequencies": self.frequencies_}
        return MethodState(parts, shared)

    def _restore(self, state: MethodState) -> None:
        shared = state.shared
        self.trunk_ = with_arrays(build_trunk(trunk_options(self)), dict(under(shared, "trunk/")))
        self.memory_ = Memory.from_arrays(dict(under(shared, "memory/")))
        self.frequencies_ = shared["frequencies"]
        self.penalty_ = {k: v for k, v in shared.items() if "fisher/" in k}
        self.adapters_, self.infos_, self.evaluations_ = {}, {}, {}
        for name, part in state.parts.items():
            adapter = Adapter(self.inputs_[name], self.width, sum(self.hidden))
            self.adapters_[name] = with_arrays(adapter, part.arrays)
            info = dict(part.info)
            self.evaluations_[name] = info.pop("evaluations")
            self.infos_[name] = info
