"""What SDML checks of its arguments, and how long and in what batches it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from commonspace.checks import (
    check_betas,
    check_flag,
    check_one_of,
    check_range,
    check_rates,
    check_widths,
)
from commonspace.errors import InputError
from commonspace.methods.jobs import passes_for
from commonspace.methods.kernel_machine import TAUGHT
from commonspace.space import Space
from commonspace.training import Settings
from commonspace.types import JsonDict

STEPS, PASSES, PASSES_AT_1024 = (300, 6000), (15, 50), 20  # fewest and most of each
RATE = 2e-3
RELEASED_RATES = {"image": 1e-4, "*": 2e-4}
SCHEDULE = "one-cycle"
EXPERTS: dict[str, JsonDict] = {
    "strong": {"input_dropout": 0.2, "dropout": 0.5, "weight_decay": 0.1},
    "light": {"input_dropout": 0.0, "dropout": 0.3, "weight_decay": 0.01},
}


def check_settings(model: Any) -> None:
    """Raise `InputError` for an argument of SDML that is out of range."""
    check_range("dim", model.dim, low=1, integer=True)
    check_range("lam", model.lam, low=0, high=1)
    check_one_of("variant", model.variant, ("posterior", "code", "paper"))
    check_range("effort", model.effort, low=0.01, high=100)
    check_range("members", model.members, low=1, high=64, integer=True)
    check_one_of("regularization", model.regularization, ("both", *EXPERTS))
    check_range("landmarks", model.landmarks, low=0, high=TAUGHT, integer=True)
    check_flag("standardize", model.standardize)
    for name in ("normalize_encoder", "normalize_decoder", "squared"):
        if getattr(model, name) is not None:
            check_flag(name, getattr(model, name))
    if model.space is not None and not isinstance(model.space, Space):
        raise InputError(
            f"space: expected a Space, as Space.create makes, got {type(model.space).__name__}."
        )
    check_one_of("schedule", model.schedule, ("parallel", "serial", "joint"))
    if model.epochs is not None:
        check_range("epochs", model.epochs, low=1, integer=True)
    if model.batch_size is not None:
        check_range("batch_size", model.batch_size, low=1, integer=True)
    check_range("validation_fraction", model.validation_fraction, low=0, high=0.9)
    check_range("random_state", model.random_state, low=0, integer=True)
    check_rates(model.learning_rate)
    check_betas(model.betas)
    check_widths(model.hidden)


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
        weight_decay=weight_decays(job),
        schedule=job["schedule"],
    )


def weight_decays(job: Mapping[str, Any]) -> float | dict[str, float]:
    """Of the optimiser: one for all, or one a network."""
    experts = job["options"].get("experts")
    if experts is None:
        return 0.0
    return {f"{job['name']}/{key}": expert["weight_decay"] for key, expert in experts.items()}


def with_all_decays(settings: Settings, jobs: Sequence[Mapping[str, Any]]) -> Settings:
    """The settings, with the weight decays of the networks of all jobs."""
    decays = [weight_decays(job) for job in jobs]
    merged = {
        key: value for each in decays if isinstance(each, dict) for key, value in each.items()
    }
    return Settings(**{**vars(settings), "weight_decay": merged or 0.0})
