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

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from torch import nn

from commonspace.data import Dataset
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.methods.jobs import arrays_of, identity, in_blocks, with_arrays
from commonspace.methods.sdml_job import basis_of, make_jobs
from commonspace.methods.sdml_settings import RATE, RELEASED_RATES, check_settings
from commonspace.methods.sdml_training import (
    assemble,
    build,
    fit_jointly,
    fit_network,
    trainings_of,
)
from commonspace.space import Space
from commonspace.training import Run, run_all
from commonspace.types import Float32Array, JsonDict


class SDML(Method):
    """Scalable deep multimodal learning [1], with a recipe of our own as the default.

    The default, ``variant="posterior"``, learns what the paper's ``Pᵀh ≈ y`` asks for in the form
    that ranks best: ``Pᵀz`` is the calibrated posterior of the classes, so that the inner product
    of two vectors is the probability of a match; `PosteriorEncoder` has the formula. Each modality
    averages a few networks, strongly and lightly regularised ones, each selected and calibrated on
    rows that it has not seen, and a kernel machine that validates by leaving one out.

    The published objective, for features x, labels y, encoder output h, decoder output x̂::

        J_i = mean_j  λ ‖x̂_j − x_j‖  +  (1 − λ) ‖Pᵀ h_j − y_j‖

    is ``variant="code"`` (h and x̂ at unit length, un-squared norms, as released) or ``"paper"``
    (raw outputs, squared norms, eqs. 1-2). `SDML.paper` sets everything as published.

    Args:
        dim: Dimensions of the common space (the paper's u).
        hidden: Widths of the encoder's hidden layers; a decoder mirrors them.
        variant: "posterior", "code" or "paper", see above.
        lam: λ in [0, 1], weight of the reconstruction in the published objectives. Rows without
            labels enter it alone.
        normalize_encoder: Overrides what the published variant says of h.
        normalize_decoder: Overrides what the published variant says of x̂.
        squared: Overrides what the published variant says of the norms.
        standardize: Scale every feature to mean 0 and variance 1 over the training rows
            (published variants; "posterior" always does, and leaves features as loud as labels
            say, see `loudness`).
        schedule: How modalities train, section 4.6 of the paper: "joint" (SDML-1: one optimiser
            step on the sum of all J_i), "serial" (SDML-2: one after the other), "parallel"
            (SDML-3: in processes). The last two give the same bits.
        epochs: Passes over the training rows; None takes 15 to 50, the more the
            fewer features, within 300 to 6000 steps.
        effort: Multiplies the passes and steps that ``epochs=None`` takes.
        batch_size: Rows a step, the last, incomplete batch is dropped; None takes an eighth of the
            rows, 16 to 128.
        learning_rate: Of Adam; one number, or one a modality with "*" for all others.
        betas: Of Adam.
        members: Networks of each regularisation ("posterior"), averaged.
        regularization: "both", or networks of the "strong" or of the "light" one alone: with
            ``members=1``, one network a modality.
        landmarks: Training rows at most, per modality, that the kernel machine beside the networks
            compares items with ("posterior"), up to 8192; the model holds them. 0 does without.
        validation_fraction: Share of the training rows held back for model selection and
            calibration when `fit` gets no validation set; 0 holds none back. Each network of
            "posterior" holds back other rows, so that every row trains most of them.
        space: The space to train towards; None makes `Space.create(dim, classes)`, which does not
            depend on ``random_state``: refitting keeps stored vectors comparable.
        random_state: Seed of initial weights and batches.

    Attributes:
        networks_: The trained encoder of each modality.

    Differs from the paper: the last epoch is replaced by the one with the smallest supervised loss
    on validation data, as in the released code ("posterior": only where that is smaller by more
    than a standard error); a batch without labels has supervised term 0.

    Example:
        >>> data = Dataset.from_arrays(
        ...     {"image": np.eye(4, 6), "text": np.eye(4, 3)}, labels=["a", "b", "a", "b"])
        >>> model = SDML(dim=8, hidden=(16,), epochs=2).fit(data)
        >>> model.transform("text", np.eye(4, 3)).shape
        (4, 8)
    """

    can_add_modality: ClassVar[bool] = True
    can_add_classes: ClassVar[bool] = True

    networks_: dict[str, nn.Module]

    def __init__(
        self,
        *,
        dim: int = 512,
        hidden: Sequence[int] = (512, 512),
        variant: Literal["posterior", "code", "paper"] = "posterior",
        lam: float = 0.5,
        normalize_encoder: bool | None = None,
        normalize_decoder: bool | None = None,
        squared: bool | None = None,
        standardize: bool = True,
        schedule: Literal["parallel", "serial", "joint"] = "parallel",
        epochs: int | None = None,
        effort: float = 1.0,
        batch_size: int | None = None,
        learning_rate: float | Mapping[str, float] = RATE,
        betas: tuple[float, float] = (0.9, 0.99),
        members: int = 2,
        regularization: Literal["both", "strong", "light"] = "both",
        landmarks: int = 1024,
        validation_fraction: float = 0.1,
        space: Space | None = None,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.hidden = hidden
        self.variant = variant
        self.lam = lam
        self.normalize_encoder = normalize_encoder
        self.normalize_decoder = normalize_decoder
        self.squared = squared
        self.standardize = standardize
        self.schedule = schedule
        self.epochs = epochs
        self.effort = effort
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.betas = betas
        self.members = members
        self.regularization = regularization
        self.landmarks = landmarks
        self.validation_fraction = validation_fraction
        self.space = space
        self.random_state = random_state

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The settings as published and released: raw inputs, released losses, 200 epochs."""
        published: dict[str, Any] = {
            "variant": "code",
            "hidden": (1024, 1024),
            "standardize": False,
            "epochs": 200,
            "batch_size": 100,
            "learning_rate": RELEASED_RATES,
            "betas": (0.5, 0.999),
        }
        return cls(**{**published, **changes})

    @classmethod
    def fast(cls, **changes: Any) -> Self:
        """Fewer and narrower networks and fewer steps: for trying things out."""
        light = {"hidden": (256, 256), "effort": 0.5, "learning_rate": 5e-3, "members": 1}
        return cls(**{**light, **changes})

    @classmethod
    def best(cls, **changes: Any) -> Self:
        """Five networks of each regularisation instead of two, averaged."""
        return cls(**{"members": 5, **changes})

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        check_settings(self)
        space = self.space if self.space is not None else Space.create(self.dim, train.classes)
        if space.dim != self.dim:
            raise InputError(f"space: expected dim={self.dim} dimensions, got {space.dim}.")
        space = space.with_classes(train.classes).with_modalities(train)
        train, several = train.with_classes(space.classes), train.label_kind != "single"
        jobs = make_jobs(self, train, valid, space, several=several)
        if self.schedule == "joint":
            networks, history = self._fit_jointly(jobs, run)
            self.networks_, self.history_ = networks, dict.fromkeys(networks, history)
        else:
            serial = Run(**{**vars(run), "jobs": 1}) if self.schedule == "serial" else run
            trained = self._fit_apart(jobs, serial)
            self.networks_ = {name: network for name, (network, _) in trained.items()}
            self.history_ = {name: history for name, (_, history) in trained.items()}
        self.space_ = space
        self.options_ = {name: job["options"] for name, job in jobs.items()}

    def _fit_apart(self, jobs: dict[str, JsonDict], run: Run) -> dict[str, Any]:
        apart = {name: trainings_of(job) for name, job in jobs.items()}
        calls, bars = {}, {}
        for name, trainings in apart.items():
            digest = _digest(run, [jobs[name]])
            for key, job in trainings.items():
                calls[key] = {"job": job, "checkpoint": run.checkpoint(key, f"{digest} {key}")}
                bars[key] = name
        done = run_all(fit_network, calls, run, epochs=self.epochs or 1, bars=bars)
        return {
            name: assemble(jobs[name], {key: done[key] for key in trainings})
            for name, trainings in apart.items()
        }

    def _fit_jointly(self, jobs: dict[str, JsonDict], run: Run) -> tuple[dict[str, Any], Any]:
        parts = list(jobs.values())
        call = {"jobs": parts, "checkpoint": run.checkpoint("joint", _digest(run, parts))}
        return run_all(fit_jointly, {"joint": call}, run, epochs=self.epochs or 1)["joint"]

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        several = any(options.get("several", False) for options in self.options_.values())
        several = several or train.label_kind != "single"
        job = make_jobs(self, train, valid, space, several=several)[modality]
        network, history = self._fit_apart({modality: job}, run)[modality]
        self.options_[modality] = job["options"]
        self.networks_[modality] = network
        self.history_[modality] = history

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        return in_blocks(self.networks_[modality], x_ND, self.space_.dim)

    def _module(self, modality: str) -> nn.Module:
        return self.networks_[modality]

    def _state(self) -> MethodState:
        parts = {
            name: PartState(arrays_of(network), {"network": self.options_[name]})
            for name, network in self.networks_.items()
        }
        return MethodState(parts)

    def _restore(self, state: MethodState) -> None:
        self.networks_, self.options_ = {}, {}
        for name, part in state.parts.items():
            options = self.options_[name] = part.info["network"]
            basis = basis_of(self.space_, options["n_classes"])
            network = build(self.inputs_[name], options, basis)
            self.networks_[name] = with_arrays(network, part.arrays)


def _digest(run: Run, jobs: Sequence[JsonDict]) -> str:
    """Identity of a training; not computed where nothing is saved."""
    if run.checkpoints is None:
        return ""
    return sha256_bytes(*(identity(job).encode() for job in jobs))
