"""How fast training is, against the loop released with the SDML paper.

The loop is stated again from its description: plain PyTorch, Adam as it comes, one Python step
after the other. It starts from our weights and sees our batches, so that both have to show the
same losses; everything is timed in turn in one process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.checks import check_range
from commonspace.data import Dataset
from commonspace.errors import CommonspaceError
from commonspace.machine import available_cores, describe_machine
from commonspace.methods import SDML
from commonspace.methods.sdml_settings import RELEASED_RATES
from commonspace.space import Space
from commonspace.training import History, Run, compute_settings, derive_seed
from commonspace.types import JsonDict

RELEASED_EPOCHS = 200
BATCH = 100
TOLERANCE = 1e-3  # of losses of about 1, float32 rounding over some epochs


@dataclass(frozen=True)
class Problem:
    """Two splits and the shape of the published networks."""

    train: Dataset
    valid: Dataset
    dim: int
    hidden: tuple[int, ...]
    epochs: int
    seed: int


@dataclass
class Clock:
    """Wall and CPU seconds after each epoch of each training; a callback."""

    at: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def on_epoch(self, name: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Note the time."""
        self.at.setdefault(name, []).append((time.perf_counter(), time.process_time()))

    def seconds_per_epoch(self) -> tuple[float, float]:
        """Wall and CPU seconds of all trainings: (end − end of epoch 1) / (epochs − 1)."""
        ends = [(np.array(t[0]), np.array(t[-1]), len(t) - 1) for t in self.at.values()]
        wall, cpu = sum((last - first) / n for first, last, n in ends)
        return float(wall), float(cpu)


def bench_train(
    *,
    n_rows: int = 2173,
    n_valid: int = 231,
    dims: Mapping[str, int] | None = None,
    n_classes: int = 10,
    dim: int = 512,
    hidden: Sequence[int] = (1024, 1024),
    epochs: int = 3,
    repeats: int = 1,
    effort: float = 1.0,
    seed: int = 0,
) -> JsonDict:
    """Time an epoch as published and our default's whole fit, against the released loop.

    Args:
        n_rows: Training rows of each modality.
        n_valid: Validation rows.
        dims: Features of each modality; None: {"image": 128, "text": 10}, the classic Wikipedia.
        n_classes: Classes; one a row.
        dim: Dimensions of the common space.
        hidden: Hidden widths of the published networks.
        epochs: At least 2; the first is not counted.
        repeats: Rounds, each running everything in turn; the fastest of each counts.
        effort: Of the default's fit; 1 is the default itself.
        seed: Of features, weights and batches.

    Returns:
        The form of all benchmarks. Modalities train one after the other, here and there. A ratio
        is theirs over ours; theirs is the best of one thread and of all. ``wall_default_fit``
        compares `SDML` as it comes with 200 epochs of the released loop, which are *extrapolated*
        from the measured epochs. ``share_of_gemm_peak`` is floating point operations of the
        matrix products a CPU second, over what one large product reaches on one thread.

    Raises:
        CommonspaceError: The losses differ, so that the timing means nothing.
    """
    check_range("epochs", epochs, low=2, integer=True)
    check_range("repeats", repeats, low=1, integer=True)
    widths = dict(dims) if dims is not None else {"image": 128, "text": 10}
    train, valid = (_draw(n, widths, n_classes, seed, k) for k, n in enumerate((n_rows, n_valid)))
    problem = Problem(train, valid, dim, tuple(hidden), epochs, seed)
    rows, gap = _epoch_rows(problem, repeats)
    default = _default_row(problem, effort)
    best = {key: min(row[key] for row in rows[1:]) for key in ("wall_seconds", "cpu_seconds")}
    whole = {key: RELEASED_EPOCHS * seconds for key, seconds in best.items()}
    whole_row = {"method": f"released, {RELEASED_EPOCHS} epochs (extrapolated)", "unit": "fit"}
    ratios = {f"{k.split('_')[0]}_epoch": best[k] / rows[0][k] for k in best}
    ratios |= {f"{k.split('_')[0]}_default_fit": whole[k] / default[k] for k in best}
    return {
        "bench": "train",
        "machine": describe_machine(),
        "rows": [*rows, default, {**whole_row, **whole}],
        "ratios": {**ratios, "max_loss_difference": gap},
    }


def _draw(n: int, widths: Mapping[str, int], n_classes: int, seed: int, split: int) -> Dataset:
    rng = np.random.default_rng([seed, split])
    y = rng.integers(n_classes, size=n)
    x = {}
    for number, (name, width) in enumerate(widths.items()):
        centres = np.random.default_rng([seed, 2, number]).normal(size=(n_classes, width))
        x[name] = (centres[y] + 2 * rng.normal(size=(n, width))).astype(np.float32)
    return Dataset.from_arrays(x, y, classes=[f"class-{k}" for k in range(n_classes)])


def _epoch_rows(problem: Problem, repeats: int) -> tuple[list[JsonDict], float]:
    """A row of ours, one a configuration of the released loop; the largest loss difference."""
    gap, peak, flops = 0.0, 0.0, sum(_flops(problem, name) for name in problem.train)
    seconds: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repeats):
        peak = max(peak, _gemm_peak())
        ours = _ours(problem, clock := Clock())
        seconds.setdefault("SDML.paper, threads=1", []).append(clock.seconds_per_epoch())
        for n in sorted({1, available_cores()}):
            gap = max(gap, _difference(ours, _released(problem, n, clock := Clock())))
            seconds.setdefault(f"released, threads={n}", []).append(clock.seconds_per_epoch())
    if not gap <= TOLERANCE:
        raise CommonspaceError(f"bench train: the losses differ from the released by {gap:g}.")
    rows = []
    for name, found in seconds.items():
        wall, cpu = (min(values) for values in zip(*found, strict=True))
        row = {"method": name, "unit": "epoch", "wall_seconds": wall, "cpu_seconds": cpu}
        rows.append({**row, "share_of_gemm_peak": flops / cpu / peak})
    return rows, gap


def _ours(problem: Problem, clock: Clock) -> dict[str, History]:
    shape = {"dim": problem.dim, "hidden": problem.hidden, "epochs": problem.epochs}
    model = SDML.paper(**shape, schedule="serial", random_state=problem.seed)
    run = Run(jobs=1, callbacks=(clock,))
    return model.fit(problem.train, problem.valid, run=run).history_


def _default_row(problem: Problem, effort: float) -> JsonDict:
    wall, cpu = time.perf_counter(), time.process_time()
    model = SDML(dim=problem.dim, effort=effort, schedule="serial", random_state=problem.seed)
    model.fit(problem.train, problem.valid, run=Run(jobs=1))
    return {
        "method": "SDML, as it comes" if effort == 1 else f"SDML, effort {effort:g}",
        "unit": "fit",
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def _released(problem: Problem, threads: int, clock: Clock) -> dict[str, History]:
    with compute_settings(threads=threads):
        torch.set_float32_matmul_precision("highest")  # as torch comes
        return {name: _released_training(problem, name, clock) for name in problem.train}


def _released_training(problem: Problem, name: str, clock: Clock) -> History:
    """The released loop of one modality, as such loops are written."""
    X, Y = problem.train.x(name), problem.train.labels(name).dense()
    valid_x = torch.tensor(problem.valid.x(name))
    valid_y = torch.tensor(problem.valid.labels(name).dense())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(problem.seed, name, "initial weights"))
        encoder, decoder = _networks(problem, X.shape[1])
    parameters = [*encoder.parameters(), *decoder.parameters()]
    rate = RELEASED_RATES.get(name, RELEASED_RATES["*"])
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999))
    P = torch.tensor(Space.create(problem.dim, problem.train.classes).P)
    history: History = []
    for epoch in range(problem.epochs):
        seed = derive_seed(problem.seed, name, epoch)  # our loop's order
        order = np.random.default_rng(seed).permutation(len(X))
        total = 0.0
        for step in range(len(X) // BATCH):
            index = order[step * BATCH : (step + 1) * BATCH]
            x, y = torch.tensor(X[index]), torch.tensor(Y[index])
            optimizer.zero_grad()
            h = _unit(encoder(x))
            decoded = _unit(decoder(h))
            loss: Any = 0.5 * _distance(decoded, x) + 0.5 * _distance(h.mm(P), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            valid = _distance(_unit(encoder(valid_x)).mm(P), valid_y).item()
        history.append({"train_loss": total / (len(X) // BATCH), "valid_loss": valid})
        clock.on_epoch(name, epoch + 1, problem.epochs, history[-1])
    return history


def _networks(problem: Problem, width: int) -> tuple[nn.Module, nn.Module]:
    def stack(sizes: Sequence[int]) -> nn.Module:
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1])

    sizes = [width, *problem.hidden, problem.dim]
    return stack(sizes), stack(sizes[::-1])


def _unit(x: Tensor) -> Tensor:
    return torch.div(x, torch.linalg.vector_norm(x, dim=1, keepdim=True))


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).sum(1).sqrt().mean()


def _difference(ours: Mapping[str, History], theirs: Mapping[str, History]) -> float:
    pairs = [p for name in theirs for p in zip(ours[name], theirs[name], strict=True)]
    return max(abs(row[key] - other[key]) for row, other in pairs for key in other)


def _flops(problem: Problem, name: str) -> float:
    """Of the matrix products of an epoch: forward, and two products backward but for the input."""
    X = problem.train.x(name)
    sizes = [X.shape[1], *problem.hidden, problem.dim, *problem.hidden[::-1], X.shape[1]]
    products = 3 * sum(a * b for a, b in pairwise(sizes)) - sizes[0] * sizes[1]
    return float(2 * products * BATCH * (len(X) // BATCH))


def _gemm_peak() -> float:
    """Floating point operations a CPU second of one large float32 product on one thread."""
    n = 1024
    a, times = torch.ones(n, n), [time.process_time()]
    with compute_settings(), torch.inference_mode():
        for _ in range(6):
            nn.functional.linear(a, a)
            times.append(time.process_time())
    return float(2 * n**3 / np.diff(times).min())
