"""SDML: scalable deep multimodal learning, one supervised autoencoder a modality.

A matrix P with orthonormal columns is fixed *before* any training. Every modality then learns, on
its own, an encoder whose output h satisfies Pᵀh ≈ y, and a decoder that keeps what the input said.
Nothing else is shared, so modalities train in parallel, on unpaired data, or years apart, and still
meet in one space [1].

References:
    [1] Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal Retrieval.
        SIGIR 2019. doi:10.1145/3331184.3331213
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from commonspace.checks import check_one_of, check_range
from commonspace.data import Dataset, Labels, Modality
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState, standardization
from commonspace.networks import SupervisedAutoencoder
from commonspace.objectives import reconstruction_loss, supervised_loss
from commonspace.space import Space
from commonspace.training import (
    History,
    Networks,
    Run,
    Settings,
    compute_settings,
    derive_seed,
    run_all,
)
from commonspace.training import train as run_training
from commonspace.training.loop import Callback, Rows
from commonspace.types import AnyArray, Float32Array, IntArray, JsonDict

TRANSFORM_ROWS = 4096
RELEASED_RATES = {"image": 1e-4, "*": 2e-4}


class SDML(Method):
    """Scalable deep multimodal learning [1].

    For modality i with features x, label vectors y, encoder output h and decoder output x̂::

        J_i = mean_j  λ ‖x̂_j − x_j‖  +  (1 − λ) ‖Pᵀ h_j − y_j‖

    The defaults are the authors' settings with standardised inputs; `SDML.paper` are these
    settings as they were, with raw inputs.

    Args:
        dim: Dimensions of the common space (the paper's u).
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        lam: λ, weight of the reconstruction in [0, 1]. Rows without labels enter it alone.
        variant: "code": un-squared norms, h and x̂ at unit length, as the authors' released code;
            "paper": squared norms of raw outputs, eqs. 1-2.
        normalize_encoder: Overrides what ``variant`` says of h.
        normalize_decoder: Overrides what ``variant`` says of x̂.
        squared: Overrides what ``variant`` says of the norms.
        standardize: Scale every feature to mean 0 and variance 1 over the training rows.
        schedule: How modalities train, section 4.6 of the paper: "joint" (SDML-1: one optimiser
            step on the sum of all J_i), "serial" (SDML-2: one after the other), "parallel"
            (SDML-3: in processes). The last two give the same bits.
        epochs: Passes over the training rows.
        batch_size: Rows a step; the last, incomplete batch is dropped.
        learning_rate: Of Adam; one number, or one a modality with "*" for all others.
        betas: Of Adam.
        validation_fraction: Share of the training rows held back for model selection when `fit`
            gets no validation set; 0 holds none back and keeps the last epoch.
        space: The space to train towards; None makes `Space.create(dim, classes)`, which does not
            depend on ``random_state``: refitting keeps stored vectors comparable.
        random_state: Seed of initial weights and batches.

    Attributes:
        networks_: The trained autoencoder of each modality.

    Differs from the paper: the last epoch is replaced by the one with the smallest supervised loss
    on validation data, as in the released code; a batch without labels has supervised term 0.

    Example:
        >>> data = Dataset.from_arrays(
        ...     {"image": np.eye(4, 6), "text": np.eye(4, 3)}, labels=["a", "b", "a", "b"])
        >>> model = SDML(dim=8, hidden=(16,), epochs=2).fit(data)
        >>> model.transform("text", np.eye(4, 3)).shape
        (4, 8)
    """

    needs_labels: ClassVar[bool] = False
    can_add_modality: ClassVar[bool] = True

    networks_: dict[str, SupervisedAutoencoder]

    def __init__(
        self,
        *,
        dim: int = 512,
        hidden: Sequence[int] = (1024, 1024),
        lam: float = 0.5,
        variant: Literal["code", "paper"] = "code",
        normalize_encoder: bool | None = None,
        normalize_decoder: bool | None = None,
        squared: bool | None = None,
        standardize: bool = True,
        schedule: Literal["parallel", "serial", "joint"] = "parallel",
        epochs: int = 200,
        batch_size: int = 100,
        learning_rate: float | Mapping[str, float] | None = None,
        betas: tuple[float, float] = (0.5, 0.999),
        validation_fraction: float = 0.1,
        space: Space | None = None,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.hidden = hidden
        self.lam = lam
        self.variant = variant
        self.normalize_encoder = normalize_encoder
        self.normalize_decoder = normalize_decoder
        self.squared = squared
        self.standardize = standardize
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.betas = betas
        self.validation_fraction = validation_fraction
        self.space = space
        self.random_state = random_state

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The settings as published and released: raw inputs, released losses, 200 epochs."""
        return cls(**{"standardize": False, **changes})

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        space = self.space if self.space is not None else Space.create(self.dim, train.classes)
        if space.dim != self.dim:
            raise InputError(f"space: expected dim={self.dim} dimensions, got {space.dim}.")
        space = space.with_classes(train.classes)
        jobs = self._jobs(train.with_classes(space.classes), valid, space, run)
        if self.schedule == "joint":
            trained = _fit_jointly(list(jobs.values()), run)
        else:
            serial = Run(**{**vars(run), "jobs": 1}) if self.schedule == "serial" else run
            trained = run_all(_fit_network, jobs, serial, epochs=self.epochs)
        self.space_ = space
        self.networks_ = {name: network for name, (network, _) in trained.items()}
        self.history_ = {name: history for name, (_, history) in trained.items()}

    def fit_modality(
        self,
        modality: str,
        x: Any,
        labels: Any,
        *,
        items: Any = None,
        valid: tuple[Any, Any] | None = None,
        encoder: JsonDict | None = None,
        run: Run | None = None,
    ) -> Self:
        """Add a modality: one more network towards the same P; no other network is touched.

        With the same items, labels and ``random_state`` the network is the same, to the bit, as if
        the modality had been there from the start. Arguments as in `Method.fit_modality`.
        """
        self.check_fitted()
        if modality in self.networks_:
            raise InputError(
                f"modality {modality!r} is there already. Stored vectors of it would go stale; "
                "to replace it, fit a new model with space=model.space_ and encode again."
            )
        start = time.perf_counter()
        space, table = self._labels_in_space(labels, n=len(x))
        data = Dataset.from_arrays({modality: x}, table, items=items, encoders={modality: encoder})
        part = self._check_part(modality, data)
        held = None
        if valid is not None:
            held_table = Labels.from_any(valid[1], classes=space.classes, where="valid labels")
            held = Dataset.from_arrays({modality: valid[0]}, held_table)
            held = Dataset(
                {modality: self._check_part(modality, held, part.x.shape[1])}, space.classes
            )
        train = Dataset({modality: part}, space.classes)
        jobs = self._jobs(train, held, space, run or Run())
        network, history = run_all(_fit_network, jobs, run or Run(), epochs=self.epochs)[modality]
        self.space_ = space
        self.networks_[modality] = network
        self.history_[modality] = history
        self.inputs_[modality] = int(part.x.shape[1])
        self.encoders_[modality] = encoder
        added = {
            "data": train.fingerprint(),
            "seconds": round(time.perf_counter() - start, 3),
        }
        self.training_ = {**self.training_, f"added {modality}": added}
        return self

    def _labels_in_space(self, labels: Any, n: int) -> tuple[Space, Labels]:
        if labels is None:
            return self.space_, Labels.unknown(n, self.space_.classes)
        if sparse.issparse(labels):
            return self.space_, Labels.from_any(labels, classes=self.space_.classes)
        if isinstance(labels, Labels):
            space = self.space_.with_classes(labels.classes)
            return space, labels.with_classes(space.classes)
        values = labels if isinstance(labels, np.ndarray) else list(labels)
        if any(isinstance(value, str) for value in values):
            return self._labels_in_space(Labels.from_any(values), n)
        return self.space_, Labels.from_any(values, classes=self.space_.classes)

    def _jobs(
        self, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> dict[str, dict[str, Any]]:
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        p_EC = space.P
        jobs = {}
        for name, part in train.items():
            held = valid.with_classes(space.classes)[name] if valid and name in valid else None
            jobs[name] = {"x": part.x, **self._job(name, part, held, p_EC, run)}
        return jobs

    def _job(
        self, name: str, part: Modality, held: Modality | None, p_EC: Float32Array, run: Run
    ) -> dict[str, Any]:
        options = self._network_options()
        settings = Settings(self.epochs, self.batch_size, betas=self.betas)
        rates = RELEASED_RATES if self.learning_rate is None else self.learning_rate
        rate = rates.get(name, rates.get("*", 2e-4)) if isinstance(rates, Mapping) else rates
        job: dict[str, Any] = {
            "name": name,
            "labels": part.labels.weights,
            "valid_x": None if held is None else held.x,
            "valid_labels": None if held is None else held.labels.weights,
            "p": p_EC,
            "options": options,
            "lam": self.lam,
            "rate": float(rate),
            "settings": settings,
            "seed": self.random_state,
        }
        if run.checkpoints is not None:
            job["checkpoint"] = run.checkpoint(name, _identity(part.x, job))
        return job

    def _network_options(self) -> JsonDict:
        code = self.variant == "code"
        return {
            "hidden": [int(width) for width in self.hidden],
            "dim": int(self.dim),
            "standardize": self.standardize,
            "normalize_encoder": code if self.normalize_encoder is None else self.normalize_encoder,
            "normalize_decoder": code if self.normalize_decoder is None else self.normalize_decoder,
            "squared": (not code) if self.squared is None else self.squared,
        }

    def _check_arguments(self) -> None:
        check_range("dim", self.dim, low=1, integer=True)
        check_range("lam", self.lam, low=0, high=1)
        check_one_of("variant", self.variant, ("code", "paper"))
        check_one_of("schedule", self.schedule, ("parallel", "serial", "joint"))
        check_range("epochs", self.epochs, low=1, integer=True)
        check_range("batch_size", self.batch_size, low=1, integer=True)
        check_range("validation_fraction", self.validation_fraction, low=0, high=0.9)
        check_range("random_state", self.random_state, low=0, integer=True)
        for width in self.hidden:
            check_range("hidden", width, low=1, integer=True)

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        network = self.networks_[modality]
        out = np.empty((len(x_ND), self.space_.dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(x_ND), TRANSFORM_ROWS):
                rows = slice(start, start + TRANSFORM_ROWS)
                out[rows] = network(_tensor(x_ND[rows])).numpy()
        return out

    def _state(self) -> MethodState:
        parts = {
            name: PartState(
                {key: tensor.numpy() for key, tensor in network.state_dict().items()},
                {"network": self._network_options()},
            )
            for name, network in self.networks_.items()
        }
        return MethodState(parts)

    def _restore(self, state: MethodState) -> None:
        self.networks_ = {}
        for name, part in state.parts.items():
            network = _build(self.inputs_[name], part.info["network"], None)
            network.load_state_dict({k: torch.from_numpy(v) for k, v in part.arrays.items()})
            self.networks_[name] = network.eval()


class _Task:
    """J_i of one modality, or the sum of several."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self.parts = {part.name: part for part in parts}
        self.networks = Networks({part.name: part.network for part in parts})
        self.n_rows = {part.name: len(part.x) for part in parts}

    def learning_rates(self) -> Mapping[str, float]:
        return {name: part.rate for name, part in self.parts.items()}

    def loss(self, rows: Rows) -> Tensor:
        losses = [part.loss(rows[name]) for name, part in self.parts.items()]
        return torch.stack(losses).sum()

    def validate(self) -> Mapping[str, float]:
        return {name: part.validation_loss() for name, part in self.parts.items()}


class _Part:
    """One modality in training: its rows, its network, its loss."""

    def __init__(
        self,
        *,
        name: str,
        x: Float32Array,
        labels: sparse.csr_array,
        valid_x: Float32Array | None,
        valid_labels: sparse.csr_array | None,
        p: Float32Array,
        options: JsonDict,
        lam: float,
        rate: float,
        seed: int,
    ) -> None:
        self.name, self.x, self.labels, self.lam, self.rate = name, x, labels, lam, rate
        self.valid_x, self.valid_labels = valid_x, valid_labels
        self.p = torch.tensor(p)
        self.squared = bool(options["squared"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, name, "initial weights"))
            scaling = standardization(x) if options["standardize"] else None
            self.network = _build(x.shape[1], options, scaling)

    def loss(self, rows: IntArray) -> Tensor:
        x_BD = self.network.inputs(_tensor(self.x[rows]))
        h_BE = self.network.encode(x_BD)
        supervised = self._supervised(h_BE, self.labels[rows])
        if self.lam == 0:
            return supervised
        decoded_BD = self.network.decode(h_BE)
        kept = reconstruction_loss(decoded_BD, x_BD, squared=self.squared)
        return self.lam * kept + (1 - self.lam) * supervised

    def validation_loss(self) -> float:
        """Mean supervised loss of the labelled validation rows; NaN where there are none."""
        if self.valid_x is None or self.valid_labels is None or not self.valid_labels.nnz:
            return float("nan")
        total, count = 0.0, 0
        for start in range(0, len(self.valid_x), TRANSFORM_ROWS):
            rows = slice(start, start + TRANSFORM_ROWS)
            y = self.valid_labels[rows]
            labelled = int((np.diff(y.indptr) > 0).sum())
            h_BE = self.network(_tensor(self.valid_x[rows]))
            total += float(self._supervised(h_BE, y)) * labelled
            count += labelled
        return total / count

    def _supervised(self, h_BE: Tensor, y: sparse.csr_array) -> Tensor:
        return supervised_loss(h_BE, self.p, torch.from_numpy(y.toarray()), squared=self.squared)


def _fit_network(
    *,
    settings: Settings,
    checkpoint: Any = None,
    callbacks: Sequence[Callback] = (),
    **part: Any,
) -> tuple[SupervisedAutoencoder, History]:
    """Train one modality alone; runs in a worker process."""
    with compute_settings():
        trained = _Part(**part)
    history = run_training(
        _Task([trained]),
        settings,
        name=trained.name,
        seed=part["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    return trained.network, history


def _fit_jointly(
    jobs: Sequence[dict[str, Any]], run: Run
) -> dict[str, tuple[SupervisedAutoencoder, History]]:
    """SDML-1: all modalities in one training, one batch of each a step."""
    keep = ("settings", "checkpoint")
    with compute_settings():
        parts = [_Part(**{k: v for k, v in job.items() if k not in keep}) for job in jobs]
    identity = sha256_bytes(*(_identity(job["x"], job).encode() for job in jobs))
    name = "joint"

    def fit(callbacks: Sequence[Callback] = ()) -> History:
        return run_training(
            _Task(parts),
            jobs[0]["settings"],
            name=name,
            seed=jobs[0]["seed"],
            checkpoint=run.checkpoint(name, identity),
            callbacks=callbacks,
        )

    history = run_all(fit, {name: {}}, run, epochs=jobs[0]["settings"].epochs)[name]
    return {part.name: (part.network, history) for part in parts}


def _build(
    n_features: int, options: JsonDict, scaling: tuple[AnyArray, AnyArray] | None
) -> SupervisedAutoencoder:
    if options["standardize"] and scaling is None:
        scaling = np.zeros(n_features, np.float32), np.ones(n_features, np.float32)
    return SupervisedAutoencoder(
        n_features,
        options["hidden"],
        options["dim"],
        normalize_encoder=options["normalize_encoder"],
        normalize_decoder=options["normalize_decoder"],
        standardize=scaling,
    )


def _tensor(x: AnyArray) -> Tensor:
    array = np.ascontiguousarray(x, dtype=np.float32)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _identity(x: AnyArray, job: Mapping[str, Any]) -> str:
    """Digest of all a training depends on, so that only the same training is resumed."""
    chunks = [np.ascontiguousarray(x).tobytes()]
    for key in ("labels", "valid_labels"):
        if job[key] is not None:
            chunks += [job[key].data.tobytes(), job[key].indices.tobytes()]
            chunks += [job[key].indptr.tobytes()]
    if job["valid_x"] is not None:
        chunks.append(np.ascontiguousarray(job["valid_x"]).tobytes())
    chunks.append(job["p"].tobytes())
    plain = [job[key] for key in ("name", "options", "lam", "rate", "settings", "seed")]
    return sha256_bytes(*chunks, repr(plain).encode())
