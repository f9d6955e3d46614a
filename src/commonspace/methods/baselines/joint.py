"""What all baselines share that train one network a modality, together, by one loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.data import Dataset
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.methods.baselines.joint_draw import Draw, Rule
from commonspace.methods.baselines.joint_settings import (
    RATE,
    check_known_rates,
    check_settings,
    settings_for,
)
from commonspace.methods.baselines.joint_training import (
    Affine,
    Batch,
    JointTask,
    Sizes,
    embed,
    fit_jointly,
    shared_key,
)
from commonspace.methods.baselines.pairing import Pairing
from commonspace.methods.jobs import arrays_of, digest_of, learned_digest, with_arrays
from commonspace.methods.parts import Part, item_ids, validation_parts
from commonspace.methods.scaling import scale_by_labels, set_scaling
from commonspace.networks import Branch, FunctionOf, LinearMap
from commonspace.space import Space
from commonspace.training import Run, Settings, derive_seed, run_all
from commonspace.types import AnyArray, Float32Array, JsonDict


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
      has that of its partner; and labels say how loud features are, see `loudness`. Else unlabelled
      rows take part, with label weights of zero, and all features are alike.
    - ``balanced``: every class is drawn as often as the largest one.
    - ``unit``, ``final``: outputs have unit length; end in "tanh", "sigmoid" or "relu".
    - ``keeps``: the modules of `_make` that `_embedding` uses, stored with the networks.
    - ``aligns``: it has `_align`.
    - ``batch_sizes``: an eighth of the rows within these, where ``batch_size`` is None.

    and as methods: `_loss` (the only one it must have), `_make` (further modules to train: a
    classifier, decoders, a discriminator), `_embedding` (from a network's output to the vector
    that is searched, if that is not the same), `_align` (a linear step after training, such as
    CCA), `_check_own` (its own arguments). In `_loss` everything stands in the `Batch`.

    Rows of inputs are standardised by the training rows. Where there are validation rows, the last
    epoch stays unless those of an earlier one retrieved clearly better across modalities (average
    precision; among rows without labels: of their own item), see `Doubting`. A modality that
    learns alone keeps its last epoch.

    Args:
        hidden: Widths of the hidden layers; none makes networks linear.
        activation: "relu", "tanh" or "sigmoid" after each hidden layer.
        batch_norm: Normalise hidden units over the batch.
        input_dropout: Share of the features dropped in training.
        dropout: Share of the hidden units dropped in training.
        epochs: Passes over the rows of the largest modality; None takes 10 to 30, the more the
            fewer features, within 200 to 3000 steps.
        effort: Multiplies the passes and steps that ``epochs=None`` takes.
        batch_size: Rows of each modality a step; None takes an eighth of the rows, 32 to 64.
        learning_rate: Of Adam; one number, or one a modality or module with "*" for all others.
        betas: Of Adam.
        weight_decay: Of AdamW.
        clip: Largest gradient norm; None does not clip.
        schedule: "one-cycle" or "constant" learning rate.
        validation_fraction: Share of the training rows held back to choose the epoch when `fit`
            gets no validation set; 0 holds none back: every row trains, and the last epoch stays.
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
    batch_sizes: ClassVar[tuple[int, int]] = (32, 64)

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
    validation_fraction: float = 0.0
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
        if valid is None and self.validation_fraction > 0 and len(train) > 1:
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
        rule = Rule(
            pairing=vars(self)["pairing"] if self._draws_pairs() else None,
            labelled=self.needs_labels,
            balance=self.balanced,
            seed=self.random_state,
            who=type(self).__name__,
        )
        return rule.draw(train, known)

    def _draws_pairs(self) -> bool:
        """Whether batches are matched rows; a subclass may have an argument say so."""
        return self.batches == "pairs"

    def _settings(self, draw: Draw) -> Settings:
        """Batch size and epochs, from the number of rows where the caller left them open."""
        return settings_for(self, draw)

    def _build(self, name: str, part: Part) -> Branch:
        """An untrained network, scaled to these rows; labels say how loud features should be."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, name, "initial weights"))
            branch = self._branch(part.x.shape[1]).eval()
        if self.needs_labels:
            scale_by_labels(branch.inputs, part.x, part.y, several=self.sizes_.several)
        else:
            set_scaling(branch.inputs, part.x)
        return branch

    def _branch(self, n_features: int) -> Branch:
        return Branch(
            n_features,
            self.hidden,
            self._output_width(),
            activation=self.activation,
            final=self.final,
            unit=self.unit,
            input_dropout=self.input_dropout,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
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
        check_known_rates(rates, list(keys.values()))
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

    def _module(self, modality: str) -> nn.Module:
        branch, modules = self.networks_[modality], self.modules_

        def vectors(x_BD: Tensor) -> Tensor:
            return self._embedding(modality, branch(x_BD), modules)

        whole = FunctionOf(vectors, [branch, *modules.values()])
        if modality not in self.maps_:
            return whole
        last = self.maps_[modality]
        return nn.Sequential(whole, LinearMap(last.mean, np.ones(len(last.mean)), last.map))

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
            width = len(learned["inputs.mean"])
            self.networks_[name] = with_arrays(self._branch(width), learned)
            found = _under("map", part.arrays)
            if found:
                self.maps_[name] = Affine(**found)

    def _check_arguments(self) -> None:
        check_settings(self)
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
