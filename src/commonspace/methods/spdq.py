"""SPDQ: shared predictive cross-modal deep quantization, learned together with its codes.

Each modality has a network with a shared and a private representation. Shared ones of a class are
drawn together over the modalities, private ones pushed apart, both classify, and the shared ones
are turned by an orthogonal map C onto prototypes of the labels, which codebooks quantise [1].

References:
    [1] Yang, Deng, Li, Liu, Li, Tao. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS
        2018. arXiv:1904.07488
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from torch import nn

from commonspace.checks import (
    check_betas,
    check_flag,
    check_one_of,
    check_range,
    check_rates,
    check_widths,
)
from commonspace.data import Dataset, Labels
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.methods.jobs import arrays_of, identity, in_blocks, with_arrays
from commonspace.methods.spdq_quantizer import LabelQuantizer
from commonspace.methods.spdq_training import SPDQTask, build, fit_spdq, make_job, make_options
from commonspace.networks.spdq import SharedPrivateNetwork
from commonspace.quantization import Assigner, Quantizer, pack
from commonspace.space import Space
from commonspace.training import Run, run_all
from commonspace.types import AnyArray, Float32Array, JsonDict, UInt8Array


class SPDQ(Method):
    """Shared predictive cross-modal deep quantization [1].

    With shared and private representations S and R of every modality, the objective (eq. 9) is::

        O   = L1 + α L2 + λ (L3 + β L4)
        L1  = Σ_k  MMD²(shared of class k)  −  MMD²(private of class k)
        L2  = classification of [s; r]
        L3  = Σ_m ‖C_m S_m − Z L_m‖²,  C_m C_mᵀ = I          L4 = ‖Z L − D B‖²

    `transform` answers C s, compared by cosine or inner product; `encode` the code of C s by the
    item's own network, no label needed; `decode` the sum of its codewords.

    Args:
        bits: Of a code, 8 to 128.
        bits_per_word: 8, or 4.
        shared: Width of the shared representation and dimensions of the space.
        private: Width of the private representation.
        hidden: Widths of the hidden layers of each network.
        alpha: α, weight of the classification; 0 is the first ablation.
        private_term: Push private representations apart; False is the second ablation.
        label_alignment: Targets are sums of label prototypes; False is the third ablation, where
            every item has a target of its own, between its modalities and, by β, its code.
        beta: β, weight of the quantisation error.
        lam: λ, weight of the quantiser in the training of the networks, in means over rows.
        gamma: Weight of L1, 1 in the paper.
        orthogonal: Keep the prototypes orthogonal and of one length (more classes than dimensions
            leave them free).
        sigmoid: Classify by sigmoids as published; None does where a row has several labels, and
            else by softmax.
        estimator: Of the MMD, "quadratic" or, as published, "linear".
        class_reduction: "mean" of L1 over the classes, or the "sum" as published.
        codebooks: "vectors" learns the final codebooks on C s of the training rows by `Quantizer`;
            "labels" takes those of L4, which have seen prototypes alone, as published.
        input_dropout: Share of the inputs dropped in training.
        dropout: Share of the hidden units dropped in training.
        weight_decay: Of AdamW.
        batch_norm: Normalise hidden units over the batch.
        standardize: Scale every feature to mean 0 and variance 1 over the training rows, then
            leave them as loud as labels say, see `loudness`.
        rounds: Of the steps C, Z, D, B before each epoch.
        epochs: Passes over the rows; None takes as many as `SDML` does.
        effort: Multiplies the passes that ``epochs=None`` takes.
        batch_size: Rows of each modality a step; None as `SDML`.
        schedule: "one-cycle" or "constant".
        learning_rate: Of Adam.
        betas: Of Adam.
        validation_fraction: Share of the rows held back to choose the epoch, when `fit` gets no
            validation set; 0 holds none back and takes the last epoch.
        random_state: Seed of weights, batches, prototypes and codebooks.

    Attributes:
        networks_: The trained network of each modality; its buffer ``C`` is C_m.
        Z_: Prototypes, shape (n_classes, shared); of items without label alignment.
        quantizer_: The codebooks, a fitted `Quantizer`.

    Differs from the paper: features in place of raw pictures; square C, for which Procrustes is
    exact; the quantiser is updated once an epoch, not once a batch; any number of modalities, with
    rows of their own; AdamW in place of SGD. `SPDQ.paper` sets the rest as published.
    """

    emits_codes: ClassVar[bool] = True

    networks_: dict[str, SharedPrivateNetwork]
    Z_: AnyArray
    quantizer_: Quantizer

    def __init__(
        self,
        *,
        bits: int = 32,
        bits_per_word: int = 8,
        shared: int = 256,
        private: int = 48,
        hidden: Sequence[int] = (512, 512),
        alpha: float = 1.0,
        private_term: bool = True,
        label_alignment: bool = True,
        beta: float = 1.0,
        lam: float = 0.5,
        gamma: float = 1.0,
        orthogonal: bool = True,
        sigmoid: bool | None = None,
        estimator: Literal["quadratic", "linear"] = "quadratic",
        class_reduction: Literal["mean", "sum"] = "mean",
        codebooks: Literal["vectors", "labels"] = "vectors",
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        weight_decay: float = 0.1,
        batch_norm: bool = True,
        standardize: bool = True,
        rounds: int = 1,
        epochs: int | None = None,
        effort: float = 1.0,
        batch_size: int | None = None,
        schedule: Literal["one-cycle", "constant"] = "one-cycle",
        learning_rate: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        validation_fraction: float = 0.1,
        random_state: int = 0,
    ) -> None:
        self.bits = bits
        self.bits_per_word = bits_per_word
        self.shared = shared
        self.private = private
        self.hidden = hidden
        self.alpha = alpha
        self.private_term = private_term
        self.label_alignment = label_alignment
        self.beta = beta
        self.lam = lam
        self.gamma = gamma
        self.orthogonal = orthogonal
        self.sigmoid = sigmoid
        self.estimator = estimator
        self.class_reduction = class_reduction
        self.codebooks = codebooks
        self.input_dropout = input_dropout
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.batch_norm = batch_norm
        self.standardize = standardize
        self.rounds = rounds
        self.epochs = epochs
        self.effort = effort
        self.batch_size = batch_size
        self.schedule = schedule
        self.learning_rate = learning_rate
        self.betas = betas
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The published networks, weights, free prototypes and codebooks.

        Where even this differs, beside what the class says: terms are means over the rows of a
        batch where the paper has sums, so that α and λ stand on another scale; L1 is a mean over
        pairs of modalities; classes of fewer than 4 rows in a batch take no part in it; 10 % of the
        rows are held out, and the epoch is the one whose C s have the highest cosine to Z l there;
        epoch 0 has no L3; items of a database are coded by their network, and not by their labels;
        the widths of the kernels, the learning rate and the number of epochs are ours.
        """
        published: dict[str, Any] = {
            "hidden": (4096, 4096),
            "lam": 0.001,
            "orthogonal": False,
            "sigmoid": True,
            "estimator": "linear",
            "class_reduction": "sum",
            "codebooks": "labels",
            "input_dropout": 0.0,
            "dropout": 0.0,
            "weight_decay": 5e-4,
            "batch_norm": False,
            "standardize": False,
            "batch_size": 128,
            "schedule": "constant",
            "learning_rate": 1e-4,
        }
        return cls(**{**published, **changes})

    def encode(
        self,
        modality: str,
        x: Any,
        *,
        db_coding: Literal["encoder", "label"] = "encoder",
        labels: Any = None,
    ) -> UInt8Array:
        """Return the codes of items, shape (n, bits / 8), uint8.

        Args:
            modality: One of `modalities`.
            x: Features, shape (n, n_features).
            db_coding: "encoder" codes C s, from the features alone. "label" is transductive: it
                codes ``Z l`` from ``labels``, as the paper does with its training rows. All items
                of one label set get one code then, and a figure made with it is an upper bound,
                not a result.
            labels: Of the items, for "label" alone.

        Raises:
            InputError: As `transform`; or labels missing, or given to "encoder".
        """
        check_one_of("db_coding", db_coding, ("encoder", "label"))
        if (labels is None) != (db_coding == "encoder"):
            raise InputError(
                "labels: expected with db_coding='label' and only there: codes of the encoder "
                "know no labels."
            )
        z_NE = self.transform(modality, x)
        return self.quantizer_.encode(z_NE) if labels is None else self._label_codes(labels, z_NE)

    def decode(self, codes: Any) -> Float32Array:
        """Return the vectors that codes stand for, shape (n, dim)."""
        self.check_fitted()
        return self.quantizer_.decode(codes)

    def _label_codes(self, labels: Any, z_NE: Float32Array) -> UInt8Array:
        if not self.label_alignment:
            raise InputError("db_coding='label' needs prototypes of labels: label_alignment=True.")
        table = Labels.from_any(labels, classes=self.space_.classes)
        if len(table) != len(z_NE):
            raise InputError(f"labels: expected {len(z_NE)} rows, got {len(table)}.")
        if not table.labelled.all():
            row = int(np.argmin(table.labelled))
            raise InputError(
                f"labels: expected a class for every row, got none at row {row}. Use "
                "db_coding='encoder', or leave such rows out."
            )
        wanted = np.asarray(table.dense() @ self.Z_, np.float32)
        words = Assigner(self.quantizer_.D_).assign(wanted, beam=4)
        return pack(words, bits_per_word=self.quantizer_.bits_per_word)

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        several = train.label_kind != "single"
        if several and self.sigmoid is False:
            raise InputError(
                "sigmoid: False takes a softmax, which needs exactly one class a row, and the "
                f"training labels are {train.label_kind} (or known to be of no class). Set "
                "sigmoid=None or True."
            )
        jobs = {
            name: make_job(name, part, None if valid is None else valid.parts.get(name), several)
            for name, part in train.items()
        }
        options = make_options(self.get_params(), len(train.classes), several)
        call = {"jobs": jobs, "options": options, "checkpoint": self._checkpoint(jobs, run)}
        found = run_all(fit_spdq, {"joint": call}, run, epochs=self.epochs or 1)["joint"]
        task, label_quantizer, history = found
        self.networks_, self.options_ = dict(task.parts), options
        self.history_ = dict.fromkeys(self.networks_, history)
        self.Z_ = label_quantizer.Z.astype(np.float32)
        self.quantizer_ = self._quantizer(task, label_quantizer)
        self.space_ = Space.learned(
            self.shared, train.classes, learned_from=self._digest(train.classes)
        )

    def _checkpoint(self, jobs: JsonDict, run: Run) -> Any:
        if run.checkpoints is None:
            return None
        digests = [identity({"name": name, **job}) for name, job in jobs.items()]
        options = repr(sorted(self.get_params().items()))
        return run.checkpoint("joint", sha256_bytes(*(d.encode() for d in [*digests, options])))

    def _quantizer(self, task: SPDQTask, found: LabelQuantizer) -> Quantizer:
        quantizer = self._empty_quantizer()
        if self.codebooks == "labels":
            return quantizer.restore({"D": found.D, "weight": np.zeros(1)})
        return quantizer.fit(*task.vectors(), valid=task.valid_vectors())

    def _empty_quantizer(self) -> Quantizer:
        return Quantizer(self.bits, self.bits_per_word, random_state=self.random_state)

    def _digest(self, classes: Sequence[str]) -> str:
        arrays = [self.Z_, *self.quantizer_.state().values()]
        for network in self.networks_.values():
            arrays += arrays_of(network).values()
        names = "\0".join(classes).encode()
        return sha256_bytes(names, *(np.ascontiguousarray(a).tobytes() for a in arrays))

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        return in_blocks(self.networks_[modality], x_ND, self.space_.dim)

    def _module(self, modality: str) -> nn.Module:
        return self.networks_[modality]

    def _state(self) -> MethodState:
        parts = {name: PartState(arrays_of(network)) for name, network in self.networks_.items()}
        shared = {"Z": self.Z_, **{f"q/{k}": v for k, v in self.quantizer_.state().items()}}
        return MethodState(parts, shared, {"network": self.options_})

    def _restore(self, state: MethodState) -> None:
        self.options_ = state.info["network"]
        self.networks_ = {}
        for name, part in state.parts.items():
            network = build(self.inputs_[name], self.options_)
            self.networks_[name] = with_arrays(network, part.arrays)
        self.Z_ = state.shared["Z"]
        arrays = {k[2:]: v for k, v in state.shared.items() if k.startswith("q/")}
        sizes = self.options_["bits"], self.options_["bits_per_word"]
        self.quantizer_ = Quantizer(*sizes, random_state=self.random_state).restore(arrays)

    def _check_arguments(self) -> None:
        self._empty_quantizer()._check_arguments()
        for name in ("shared", "private", "rounds"):
            check_range(name, getattr(self, name), low=1, integer=True)
        for name in ("alpha", "beta", "lam", "gamma", "weight_decay"):
            check_range(name, getattr(self, name), low=0)
        for name in ("input_dropout", "dropout"):
            check_range(name, getattr(self, name), low=0, high=0.99)
        check_one_of("estimator", self.estimator, ("quadratic", "linear"))
        check_one_of("class_reduction", self.class_reduction, ("mean", "sum"))
        check_one_of("codebooks", self.codebooks, ("vectors", "labels"))
        check_one_of("schedule", self.schedule, ("one-cycle", "constant"))
        check_range("effort", self.effort, low=0.01, high=100)
        check_rates(self.learning_rate)
        check_betas(self.betas)
        if self.sigmoid is not None:
            check_flag("sigmoid", self.sigmoid)
        for name in ("private_term", "label_alignment", "orthogonal", "batch_norm", "standardize"):
            check_flag(name, getattr(self, name))
        check_range("validation_fraction", self.validation_fraction, low=0, high=0.9)
        for name in ("epochs", "batch_size"):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), low=1, integer=True)
        check_widths(self.hidden)
