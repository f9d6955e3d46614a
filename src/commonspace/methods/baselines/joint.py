"""What all baselines share that train one network a modality, together, by one loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.checks import (
    check_betas,
    check_flag,
    check_one_of,
    check_range,
    check_rates,
    check_widths,
)
from commonspace.data import Dataset
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState, standardization
from commonspace.methods.baselines.joint_training import (
    Affine,
    Batch,
    Draw,
    JointTask,
    Sizes,
    balanced,
    embed,
    fit_jointly,
    shared_key,
)
from commonspace.methods.baselines.pairing import Pairing, matched_rows
from commonspace.methods.jobs import arrays_of, digest_of, learned_digest, passes_for, with_arrays
from commonspace.methods.parts import Part, item_ids, validation_parts
from commonspace.networks import ACTIVATIONS, Branch
from commonspace.space import Space
from commonspace.training import Run, Settings, derive_seed, run_all
from commonspace.types import AnyArray, Float32Array, JsonDict

RATE = 1e-3
STEPS, PASSES, PASSES_AT_1024 = (200, 3000), (10, 30), 15  # fewest and most of each


@dataclass(eq=False, repr=False, kw_only=True)
class JointMethod(Method):
    """One network a modality, all trained together by the one loop; a subclass says the loss.

    A subclass is a dataclass, decorated as this one is: its fields are the arguments of its
    constructor, those below among them, so that it names only what it adds and what has another
    default. It adds ``dim``, the width of the networks' outputs, or overrides `_output_width`.
    Learned attributes are fields with ``init=False``. It says, as class attributes:

    - ``batches``: "own" rows of each modality, or "pairs", rows that `pairing.matched_rows` puts
      together (then it derives from `PairedMethod`, which has the argument ``pairing``): row i of
      every modality of a batch is one item.
    - ``needs_labels``: batches hold labelled rows alone; of matched rows, a row without a label
      has that of its partner. Else unlabelled rows take part, with label weights of zero.
    - ``balanced``: every class is drawn as often as the largest one.
    - ``unit``, ``final``: outputs have unit length; end in "tanh", "sigmoid" or "relu".
    - ``keeps``: the modules of `_make` that `_embedding` uses, stored with the networks.
    - ``aligns``: it has `_align`.
    - ``batch_sizes``: an eighth of the rows within these, where ``batch_size`` is None.

    and as methods: `_loss` (the only one it must have), `_make` (further modules to train: a
    classifier, decoders, a discriminator), `_embedding` (from a network's output to the vector
    that is searched, if that is not the same), `_align` (a linear step after training, such as
    CCA), `_check_own` (its own arguments). In `_loss` everything stands in the `Batch`.

    Rows of inputs are standardised by the training rows. The epoch is the one whose validation
    rows retrieve best (mean average precision; among rows without labels: of their own item).

    Args:
        hidden: Widths of the hidden layers; none makes networks linear.
        activation: "relu", "tanh" or "sigmoid" after each hidden layer.
        batch_norm: Normalise hidden units over the batch.
        input_dropout: Share of the features dropped in training.
        dropout: Share of the hidden units dropped in training.
        epochs: Passes over the rows of the largest modality; None takes 10 to 30, the more the
            fewer features, within 200 to 3000 steps.
        effort: Multiplies the passes and steps that ``epochs=None`` takes.
        batch_size: Rows of each modality a step; None takes an eighth of the rows, 32 to 256.
        learning_rate: Of Adam; one number, or one a modality or module with "*" for all others.
        betas: Of Adam.
        weight_decay: Of AdamW.
        clip: Largest gradient norm; None does not clip.
        schedule: "one-cycle" or "constant" learning rate.
        validation_fraction: Share of the training rows held back to choose the epoch when `fit`
            gets no validation set; 0 holds none back, and the last epoch stays.
        random_state: Seed of initial weights, batches and dropout.

    Attributes:
        networks_: The trained network of each modality.
        modules_: The modules kept.
        maps_: The linear map of each modality after its network, where there is one.
        sizes_: For what the modules were made.
    """

    batches: ClassVar[Literal["own", "pairs"]] = "own"
    balanced: ClassVar[bool] = False
    unit: ClassVar[bool] = False
    final: ClassVar[str | None] = None
    keeps: ClassVar[tuple[str, ...]] = ()
    aligns: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, int]] = (32, 256)

    hidden: Sequence[int] = (512,)
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    batch_norm: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.0
    epochs: int | None = None
    effort: float = 1.0
    batch_size: int | None = None
    learning_rate: float | Mapping[str, float] = RATE
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float | None = None
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    validation_fraction: float = 0.1
    random_state: int = 0

    networks_: dict[str, Branch] = field(init=False)
    modules_: dict[str, nn.Module] = field(init=False)
    maps_: dict[str, Affine] = field(init=False)
    sizes_: Sizes = field(init=False)

    @abstractmethod
    def _loss(self, batch: Batch) -> Tensor:
        """Return the loss of one batch, a scalar."""

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        """Return the modules that are trained beside the networks, by name."""
        return {}

    def _embedding(self, modality: str, z_BE: Tensor, modules: Mapping[str, nn.Module]) -> Tensor:
        """Return the vectors that are searched, from a network's outputs."""
        return z_BE

    def _align(
        self, z: Mapping[str, Float32Array], y: Mapping[str, Float32Array]
    ) -> Mapping[str, Affine]:
        """Return a linear map for each modality, from the vectors and labels of training rows."""
        return {}

    def _check_own(self) -> None:
        """Raise `InputError` for an argument of the subclass that is out of range."""

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._start(train)
        learned = self._learn("joint", train, valid, run)
        self.networks_, self.maps_ = dict(learned.branches), dict(learned.maps())
        self.modules_ = {key: learned.modules[key] for key in self.keeps}
        self.history_ = dict.fromkeys(train, learned.history)
        digest = learned_digest({**self.networks_, **self.modules_})
        dim = self._width(next(iter(train)))
        self.space_ = Space.learned(dim, train.classes, learned_from=digest)

    def _start(self, train: Dataset) -> None:
        self._check_arguments()
        several = train.label_kind != "single"
        features = {name: int(part.x.shape[1]) for name, part in train.items()}
        self.sizes_ = Sizes(features, len(train.classes), several)

    def _learn(self, name: str, train: Dataset, valid: Dataset | None, run: Run) -> JointTask:
        """Train these modalities together."""
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        known = item_ids(train, valid)
        draw = self._draw(train, known)
        digest = "" if run.checkpoints is None else self._digest(train, valid)
        call = {
            "method": self,
            "name": name,
            "draw": draw,
            "valid": validation_parts(valid, known),
            "checkpoint": run.checkpoint(name, digest),
        }
        epochs = self._settings(draw).epochs
        return run_all(fit_jointly, {name: call}, run, epochs=epochs)[name]

    def _digest(self, train: Dataset, valid: Dataset | None) -> str:
        return digest_of(self.get_params(deep=False), train, valid, repr(self.sizes_))

    def _draw(self, train: Dataset, known: AnyArray) -> Draw:
        parts = {
            name: Part(part.x, part.labels.dense(), np.searchsorted(known, part.items))
            for name, part in train.items()
        }
        if self._draws_pairs():
            return self._draw_pairs(train, parts)
        order, streams = {}, {}
        for name, part in parts.items():
            rows = np.arange(len(part))
            if self.needs_labels:
                rows = self._labelled(name, part.y)
            order[name] = rows[balanced(part.y[rows], self.random_state)] if self.balanced else rows
            streams[name] = name
        return Draw(parts, order, streams)

    def _draws_pairs(self) -> bool:
        """Whether batches are matched rows; a subclass may have an argument say so."""
        return self.batches == "pairs"

    def _draw_pairs(self, train: Dataset, parts: Mapping[str, Part]) -> Draw:
        pairing: Pairing = getattr(self, "pairing", "items")
        order = matched_rows(train, pairing=pairing, seed=self.random_state)
        pooled = np.max([parts[name].y[rows] for name, rows in order.items()], axis=0)
        for name, rows in order.items():  # a row without a label has that of its partner
            empty = ~parts[name].y[rows].any(axis=1)
            parts[name].y[rows[empty]] = pooled[empty]
        chosen = np.arange(len(pooled))
        if self.needs_labels:
            chosen = self._labelled(", ".join(parts), pooled)
        if self.balanced:
            chosen = chosen[balanced(pooled[chosen], self.random_state)]
        order = {name: rows[chosen] for name, rows in order.items()}
        return Draw(parts, order, dict.fromkeys(parts, "pairs"))

    def _labelled(self, name: str, y_NC: Float32Array) -> AnyArray:
        rows = np.flatnonzero(y_NC.any(axis=1))
        if not len(rows):
            raise InputError(
                f"modality {name!r}: {type(self).__name__} learns from labels, and none of its "
                f"{len(y_NC)} rows has one. Label some rows, or leave the modality out."
            )
        return rows

    def _settings(self, draw: Draw) -> Settings:
        """Batch size and epochs, from the number of rows where the caller left them open."""
        n_rows = max(draw.n_rows.values())
        batch = self.batch_size or int(np.clip(n_rows // 8, *self.batch_sizes))
        steps = max(max(1, n // batch) for n in draw.n_rows.values())
        width = max(part.x.shape[1] for part in draw.parts.values())
        passes = self.effort * passes_for(
            width, steps, at_1024=PASSES_AT_1024, passes=PASSES, within=STEPS
        )
        return Settings(
            epochs=self.epochs or max(1, round(passes)),
            batch_size=batch,
            betas=self.betas,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            steps=steps,
            clip=self.clip,
        )

    def _build(self, name: str, x_ND: AnyArray) -> Branch:
        """An untrained network, scaled to these rows."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, name, "initial weights"))
            return self._branch(standardization(x_ND)).eval()

    def _branch(self, scaling: tuple[AnyArray, AnyArray]) -> Branch:
        return Branch(
            len(scaling[0]),
            self.hidden,
            self._output_width(),
            activation=self.activation,
            final=self.final,
            unit=self.unit,
            input_dropout=self.input_dropout,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
            standardize=scaling,
        )

    def _output_width(self) -> int:
        """Width of the networks' outputs: the argument ``dim``, if a subclass says nothing else."""
        return int(vars(self)["dim"])

    def _build_modules(self) -> dict[str, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, "modules", "initial weights"))
            return {key: module.eval() for key, module in self._make(self.sizes_).items()}

    def _rates(self, networks: Sequence[str], modules: Sequence[str]) -> dict[str, float]:
        rates = self.learning_rate
        keys = {**{name: name for name in networks}, **{shared_key(k): k for k in modules}}
        if not isinstance(rates, Mapping):
            return dict.fromkeys(keys, float(rates))
        return {key: float(rates.get(k, rates.get("*", RATE))) for key, k in keys.items()}

    def _width(self, modality: str) -> int:
        """Dimensions of the vectors."""
        row = np.zeros((1, len(self.networks_[modality].inputs.mean)), np.float32)
        return int(self._vectors(modality, row).shape[1])

    def _vectors(self, modality: str, x_ND: AnyArray) -> Float32Array:
        z_NE = embed(self, modality, self.networks_[modality], self.modules_, x_ND)
        return self.maps_[modality](z_NE) if modality in self.maps_ else z_NE

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        return self._vectors(modality, x_ND)

    def _state(self) -> MethodState:
        parts = {}
        for name, network in self.networks_.items():
            maps = self.maps_[name].arrays() if name in self.maps_ else {}
            arrays = _prefixed("network", arrays_of(network)) | _prefixed("map", maps)
            parts[name] = PartState(arrays)
        shared: dict[str, AnyArray] = {}
        for key, module in self.modules_.items():
            shared |= _prefixed(key, arrays_of(module))
        sizes: JsonDict = {
            "features": dict(self.sizes_.features),
            "n_classes": self.sizes_.n_classes,
            "several": self.sizes_.several,
        }
        return MethodState(parts, shared, {"sizes": sizes})

    def _restore(self, state: MethodState) -> None:
        self.sizes_ = Sizes(**state.info["sizes"])
        made = self._build_modules() if self.keeps else {}
        self.modules_ = {
            key: with_arrays(made[key], _under(key, state.shared)) for key in self.keeps
        }
        self.networks_, self.maps_ = {}, {}
        for name, part in state.parts.items():
            learned = _under("network", part.arrays)
            scaling = learned["inputs.mean"], learned["inputs.scale"]
            self.networks_[name] = with_arrays(self._branch(scaling), learned)
            found = _under("map", part.arrays)
            if found:
                self.maps_[name] = Affine(**found)

    def _check_arguments(self) -> None:
        if vars(self).get("dim") is not None:
            check_range("dim", vars(self)["dim"], low=1, integer=True)
        check_widths(self.hidden)
        check_one_of("activation", self.activation, tuple(ACTIVATIONS))
        check_flag("batch_norm", self.batch_norm)
        for name in ("input_dropout", "dropout"):
            check_range(name, getattr(self, name), low=0, high=0.99)
        for name in ("epochs", "batch_size"):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), low=1, integer=True)
        check_range("effort", self.effort, low=0.01, high=100)
        check_rates(self.learning_rate)
        check_betas(self.betas)
        check_range("weight_decay", self.weight_decay, low=0)
        if self.clip is not None:
            check_range("clip", self.clip, low=1e-12)
        check_one_of("schedule", self.schedule, ("one-cycle", "constant"))
        check_range("validation_fraction", self.validation_fraction, low=0, high=0.9)
        check_range("random_state", self.random_state, low=0, integer=True)
        self._check_own()


@dataclass(eq=False, repr=False, kw_only=True)
class PairedMethod(JointMethod):
    """A `JointMethod` whose batches are rows matched across modalities.

    Args:
        pairing: What is matched: "items" with the same id, or, where nothing is paired, items of
            one "classes".
    """

    needs_pairs: ClassVar[bool] = True
    batches: ClassVar[Literal["own", "pairs"]] = "pairs"

    pairing: Pairing = "items"


def _prefixed(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {f"{prefix}.{key}": array for key, array in arrays.items()}


def _under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{prefix}."
    return {k[len(start) :]: value for k, value in arrays.items() if k.startswith(start)}
