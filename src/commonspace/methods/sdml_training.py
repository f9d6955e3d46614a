"""How one modality of SDML trains: the published autoencoder, and the calibrated posterior.

A part holds one modality's rows and the networks trained on them; `PartsTask` is the sum of some
parts, so one part is SDML-2 and SDML-3, and all of them together are SDML-1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from commonspace.data import Labels
from commonspace.methods.calibration import calibrated_error, calibrated_errors, fit_temperature
from commonspace.methods.jobs import FORWARD_ROWS, as_tensor, evenly, passes_for, set_scaling
from commonspace.methods.kernel_machine import TAUGHT, solve_kernel_machine
from commonspace.networks import KernelMachine, PosteriorEncoder, SupervisedAutoencoder
from commonspace.objectives import log_loss, reconstruction_loss, supervised_loss
from commonspace.training import History, Settings, compute_settings, derive_seed, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, JsonDict

STEPS, PASSES, PASSES_AT_1024 = (300, 6000), (15, 50), 20  # fewest and most of each
COMPONENT_ROWS = 1024  # are enough to find a few dozen principal components


class Part(Protocol):
    """One modality in training."""

    name: str
    networks: dict[str, nn.Module]
    n_rows: dict[str, int]
    rate: float

    def loss(self, rows: Rows) -> Tensor:
        """Loss of one batch for each of the networks, summed."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Validation loss of each network, NaN without validation rows."""
        ...

    def row_losses(self) -> Mapping[str, FloatArray]:
        """See `Doubting`; nothing where the best epoch is taken as it is."""
        ...

    def finish(self) -> nn.Module:
        """The encoder, from raw features to the common space, after training."""
        ...


class PartsTask:
    """The sum of the losses of some parts, one batch of each a step."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        named = {key: module for part in parts for key, module in part.networks.items()}
        self.networks = Networks(named)
        self.n_rows = {key: n for part in parts for key, n in part.n_rows.items()}

    def learning_rates(self) -> Mapping[str, float]:
        """The rate of each part's networks."""
        return {key: part.rate for part in self.parts for key in part.networks}

    def loss(self, rows: Rows) -> Tensor:
        """Sum over the parts."""
        return torch.stack([part.loss(rows) for part in self.parts]).sum()

    def validate(self) -> Mapping[str, float]:
        """Of every network of every part."""
        return {key: value for part in self.parts for key, value in part.validate().items()}

    def row_losses(self) -> Mapping[str, FloatArray]:
        """Of every network of every part that doubts."""
        return {key: value for part in self.parts for key, value in part.row_losses().items()}


class AutoencoderPart:
    """The published objective: λ reconstruction + (1 − λ) ‖Pᵀh − y‖."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        options: JsonDict = job["options"]
        self.name, self.rate, self.lam = job["name"], job["rate"], float(options["lam"])
        self.x, self.labels = job["x"], job["labels"]
        self.valid_x, self.valid_labels = _labelled(job["valid_x"], job["valid_labels"])
        self.n_rows = {self.name: len(self.x)}
        self.squared = bool(options["squared"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(job["seed"], self.name, "initial weights"))
            self.network: SupervisedAutoencoder = build(self.x.shape[1], options, job["basis"])
            if options["standardize"]:
                set_scaling(self.network.inputs, self.x)
        self.p = torch.tensor(job["basis"][:, : self.labels.shape[1]])
        self.networks: dict[str, nn.Module] = {self.name: self.network}

    def loss(self, rows: Rows) -> Tensor:
        """One batch of J_i, eqs. 1-2."""
        index = rows[self.name]
        x_BD = self.network.inputs(as_tensor(self.x[index]))
        h_BE = self.network.encode(x_BD)
        supervised: Tensor = self._supervised(h_BE, self.labels[index])
        if self.lam == 0:
            return supervised
        decoded_BD = self.network.decode(h_BE)
        kept = reconstruction_loss(decoded_BD, x_BD, squared=self.squared)
        return self.lam * kept + (1 - self.lam) * supervised

    def validate(self) -> Mapping[str, float]:
        """Mean supervised loss of the labelled validation rows."""
        total = 0.0
        for rows in _blocks(self.valid_x):
            h_BE = self.network(as_tensor(self.valid_x[rows]))
            loss = self._supervised(h_BE, self.valid_labels[rows])
            total += float(loss) * len(h_BE)
        n = len(self.valid_x)
        return {self.name: total / n if n else float("nan")}

    def row_losses(self) -> Mapping[str, FloatArray]:
        """None: the best epoch is kept, as released."""
        return {}

    def finish(self) -> nn.Module:
        """The autoencoder; called as a function it encodes."""
        return self.network

    def _supervised(self, h_BE: Tensor, y: sparse.csr_array) -> Tensor:
        return supervised_loss(h_BE, self.p, torch.from_numpy(y.toarray()), squared=self.squared)


class PosteriorPart:
    """The default recipe: networks of different regularisation, each on the log loss.

    Without validation rows of the caller's, each network holds back rows of its own.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        options: JsonDict = job["options"]
        held: BoolArray | None = job["held"]
        self.name, self.rate = job["name"], job["rate"]
        self.several = bool(options["several"])
        self.x, self.labels = job["x"], job["labels"]
        self.use = _to_use(job)
        use = job["valid_known"] if self.several else None
        self.valid_x, self.valid_labels = _labelled(job["valid_x"], job["valid_labels"], use)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(job["seed"], self.name, "initial weights"))
            self.encoder: PosteriorEncoder = build(self.x.shape[1], options, job["basis"])
        set_scaling(self.encoder.inputs, self.x)
        experts = self.encoder.experts
        self.networks: dict[str, nn.Module] = {
            f"{self.name}/{key}": expert for key, expert in experts.items()
        }
        rows_of = [] if held is None else [np.flatnonzero(mask & self.use) for mask in held]
        self.held = dict(zip(self.networks, rows_of, strict=False))
        self.rows = dict(zip(self.networks, _rows_to_learn(job), strict=True))
        self.n_rows = {key: len(rows) for key, rows in self.rows.items()}

    def loss(self, rows: Rows) -> Tensor:
        """Log loss of one batch for every expert, each with a batch of its own."""
        losses = []
        for key, expert in self.networks.items():
            index = self.rows[key][rows[key]]
            if len(index) == 1:  # a batch of one has no spread to normalise by
                index = np.repeat(index, 2)
            scaled_BD = self.encoder.standardized(as_tensor(self.x[index]))
            y_BC = torch.from_numpy(self.labels[index].toarray())
            losses.append(log_loss(expert(scaled_BD), y_BC, several=self.several))
        return torch.stack(losses).sum()

    def validate(self) -> Mapping[str, float]:
        """Squared error of every expert's posteriors on its validation rows, calibrated.

        A network grows too sure of itself long before it stops getting better. The temperature
        takes that back, and the squared error does not let a few sure mistakes outweigh the rest
        as the log loss does: either would choose too early an epoch.
        """
        return {
            key: calibrated_error(logits, y, several=self.several)
            for key, logits, y in self._validation()
        }

    def row_losses(self) -> Mapping[str, FloatArray]:
        """What `validate` takes the mean of."""
        return {
            key: calibrated_errors(logits, y, several=self.several)
            for key, logits, y in self._validation()
            if len(y)
        }

    def finish(self) -> nn.Module:
        """Calibrate the experts, find the principal components and solve the kernel machine."""
        encoder = self.encoder
        squared = self.labels[np.flatnonzero(self.use)].power(2).sum(axis=1)
        encoder.length.fill_(max(1.0, float(np.mean(squared))))
        with torch.inference_mode():
            temperatures = [
                fit_temperature(logits, y, several=self.several)
                for _, logits, y in self._validation()
            ]
        encoder.temperature.copy_(torch.tensor(temperatures))
        if encoder.components.numel():
            some = evenly(len(self.x), COMPONENT_ROWS)
            encoder.set_components(encoder.standardized(as_tensor(self.x[some])))
        if encoder.kernel is not None:
            with torch.inference_mode():
                self._solve(encoder.kernel)
        return encoder

    def _solve(self, kernel: KernelMachine) -> None:
        """On all rows, for it holds none back."""
        rows = np.flatnonzero(self.use)
        rows = rows[evenly(len(rows), TAUGHT)]

        def scaled(some: IntArray) -> Tensor:
            return self.encoder.standardized(as_tensor(self.x[rows[some]]))

        solve_kernel_machine(kernel, scaled, self.labels[rows])

    def _validation(self) -> Iterator[tuple[str, FloatArray, FloatArray]]:
        """Of each expert: its key, and logits and labels of its validation rows."""
        for key, expert in self.networks.items():
            held = self.held.get(key)
            x, labels = self.valid_x, self.valid_labels
            if held is not None:
                x, labels = self.x[held], self.labels[held]
            out = [expert(self.encoder.standardized(as_tensor(x[rows]))) for rows in _blocks(x)]
            logits = torch.cat(out) if out else torch.empty(0, labels.shape[1])
            yield key, logits.double().numpy(), labels.toarray().astype(np.float64)


def trainings_of(job: Mapping[str, Any]) -> dict[str, JsonDict]:
    """The trainings of one modality that need nothing of each other, by name.

    One for each network of the default recipe, with a seed and held-back rows of its own and the
    passes and batches of all. The first also finds what the networks share, see `assemble`.
    """
    experts = job["options"].get("experts")
    if experts is None:
        return {job["name"]: dict(job)}
    settings = settings_for(job, max(map(len, _rows_to_learn(job))))
    out: dict[str, JsonDict] = {}
    for number, (key, expert) in enumerate(experts.items()):
        alone = {} if number == 0 else {"own": [0, 0], "landmarks": 0}
        out[f"{job['name']}/{key}"] = {
            **job,
            "options": {**job["options"], "experts": {key: expert}, **alone},
            "held": None if job["held"] is None else job["held"][number : number + 1],
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "seed": derive_seed(job["seed"], key),
        }
    return out


def assemble(
    job: Mapping[str, Any], done: Mapping[str, tuple[nn.Module, History]]
) -> tuple[nn.Module, History]:
    """Put what `fit_network` made of each of `trainings_of` a modality together."""
    if "experts" not in job["options"]:
        return next(iter(done.values()))
    networks = [network for network, _ in done.values()]
    state = networks[0].state_dict()
    for network in networks[1:]:
        experts = network.state_dict().items()
        state |= {key: value for key, value in experts if key.startswith("experts.")}
    state["temperature"] = torch.cat([network.state_dict()["temperature"] for network in networks])
    encoder: nn.Module = build(job["x"].shape[1], job["options"], job["basis"])
    encoder.load_state_dict(state)
    return encoder.eval(), _of_all({key: history for key, (_, history) in done.items()})


def _of_all(histories: Mapping[str, History]) -> History:
    """One history of trainings side by side, as if they were one."""
    out = []
    for rows in zip(*histories.values(), strict=True):
        row = {"epoch": rows[0]["epoch"], "train_loss": sum(each["train_loss"] for each in rows)}
        measured = {
            key: each["valid_loss"]
            for key, each in zip(histories, rows, strict=True)
            if "valid_loss" in each
        }
        if measured:
            row["valid_loss"] = sum(measured.values()) / len(measured)
        out.append(row | {f"valid_loss/{key}": value for key, value in measured.items()})
    return out


def fit_network(
    *, job: Mapping[str, Any], checkpoint: Checkpoint | None, callbacks: Sequence[Callback] = ()
) -> tuple[nn.Module, History]:
    """Train one of `trainings_of` a modality alone; runs in a worker process."""
    with compute_settings():
        part = make_part(job)
    history = train(
        PartsTask([part]),
        settings_for(job, max(part.n_rows.values())),
        name=next(iter(part.networks)),
        seed=job["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    with compute_settings():
        return part.finish(), history


def fit_jointly(
    *,
    jobs: Sequence[Mapping[str, Any]],
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback] = (),
) -> tuple[dict[str, nn.Module], History]:
    """SDML-1: all modalities in one training, one batch of each a step."""
    with compute_settings():
        parts = [make_part(job) for job in jobs]
    sizes = [max(part.n_rows.values()) for part in parts]
    largest = int(np.argmax(sizes))
    settings = settings_for(jobs[largest], sizes[largest])
    history = train(
        PartsTask(parts),
        _with_all_decays(settings, jobs),
        name="joint",
        seed=jobs[0]["seed"],
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    with compute_settings():
        return {part.name: part.finish() for part in parts}, history


def make_part(job: Mapping[str, Any]) -> Part:
    """The training of one modality, as its options say."""
    return PosteriorPart(job) if "experts" in job["options"] else AutoencoderPart(job)


def build(n_features: int, options: JsonDict, basis: Float32Array) -> Any:
    """An untrained network: also what a stored one is loaded into."""
    if "experts" in options:
        return PosteriorEncoder(
            n_features,
            options["hidden"],
            {
                key: {k: v for k, v in expert.items() if k != "weight_decay"}
                for key, expert in options["experts"].items()
            },
            basis=basis,
            n_classes=options["n_classes"],
            several=options["several"],
            own=options["own"],
            landmarks=options.get("landmarks", 0),
        )
    scaling = np.zeros(n_features, np.float32), np.ones(n_features, np.float32)
    return SupervisedAutoencoder(
        n_features,
        options["hidden"],
        options["dim"],
        normalize_encoder=options["normalize_encoder"],
        normalize_decoder=options["normalize_decoder"],
        standardize=scaling if options["standardize"] else None,
    )


def settings_for(job: Mapping[str, Any], n_rows: int) -> Settings:
    """Batch size and epochs, from the number of rows where the caller left them open.

    Small sets get small batches, an eighth of the rows, 16 to 128, and 15 to 50 passes within
    300 to 6000 steps, see `passes_for`.
    """
    batch = job["batch_size"] or int(np.clip(n_rows // 8, 16, 128))
    steps = max(1, n_rows // batch)
    passes = job["effort"] * passes_for(
        job["x"].shape[1], steps, at_1024=PASSES_AT_1024, passes=PASSES, within=STEPS
    )
    return Settings(
        epochs=job["epochs"] or max(1, round(passes)),
        batch_size=batch,
        betas=job["betas"],
        weight_decay=_decays(job),
        schedule=job["schedule"],
    )


def _decays(job: Mapping[str, Any]) -> float | dict[str, float]:
    experts = job["options"].get("experts")
    if experts is None:
        return 0.0
    return {f"{job['name']}/{key}": expert["weight_decay"] for key, expert in experts.items()}


def _with_all_decays(settings: Settings, jobs: Sequence[Mapping[str, Any]]) -> Settings:
    decays = [_decays(job) for job in jobs]
    merged = {
        key: value for each in decays if isinstance(each, dict) for key, value in each.items()
    }
    return Settings(**{**vars(settings), "weight_decay": merged or 0.0})


def _labelled(
    x: Float32Array | None, labels: sparse.csr_array | None, use: AnyArray | None = None
) -> tuple[Float32Array, sparse.csr_array]:
    """Validation rows that carry a label (or those to ``use``)."""
    if x is None or labels is None:
        return np.empty((0, 1), np.float32), sparse.csr_array((0, 1), dtype=np.float32)
    rows = np.flatnonzero(_has_label(labels) if use is None else use)
    return x[rows], labels[rows]


def _to_use(job: Mapping[str, Any]) -> AnyArray:
    """Which rows carry what is learned: a label, or of several labels perhaps none."""
    return job["known"] if job["options"]["several"] else _has_label(job["labels"])


def count_to_use(labels: Labels, several: bool) -> int:
    """How many rows of a modality the default recipe learns from."""
    return int((labels.known if several else labels.labelled).sum())


def _rows_to_learn(job: Mapping[str, Any]) -> list[IntArray]:
    """Of each network of the default recipe: the rows that it does not hold back."""
    use = _to_use(job)
    held = job["held"]
    if held is None:
        held = np.zeros((len(job["options"]["experts"]), len(use)), bool)
    return [np.flatnonzero(use & ~mask) for mask in held]


def _has_label(labels: sparse.csr_array) -> AnyArray:
    return np.asarray(np.diff(labels.indptr) > 0)


def _blocks(x: Float32Array) -> Iterator[slice]:
    return (slice(start, start + FORWARD_ROWS) for start in range(0, len(x), FORWARD_ROWS))
