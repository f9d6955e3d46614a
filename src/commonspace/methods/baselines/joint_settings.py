"""What a `JointMethod` checks of its arguments, and how long it trains where they leave it open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from commonspace.checks import (
    check_betas,
    check_flag,
    check_one_of,
    check_range,
    check_rates,
    check_widths,
    not_found,
)
from commonspace.methods.baselines.joint_draw import Draw
from commonspace.methods.jobs import passes_for
from commonspace.networks import ACTIVATIONS
from commonspace.training import Settings

if TYPE_CHECKING:
    from commonspace.methods.baselines.joint import JointMethod

RATE = 1e-3
STEPS, PASSES, PASSES_AT_1024 = (200, 3000), (10, 30), 15  # fewest and most of each


def check_settings(method: JointMethod) -> None:
    """Raise `InputError` for an argument that is out of range."""
    dim = vars(method).get("dim")
    if dim is not None:
        check_range("dim", dim, low=1, integer=True)
    check_widths(method.hidden)
    check_one_of("activation", method.activation, tuple(ACTIVATIONS))
    check_flag("batch_norm", method.batch_norm)
    for name in ("input_dropout", "dropout"):
        check_range(name, getattr(method, name), low=0, high=0.99)
    for name in ("epochs", "batch_size"):
        if getattr(method, name) is not None:
            check_range(name, getattr(method, name), low=1, integer=True)
    check_range("effort", method.effort, low=0.01, high=100)
    check_rates(method.learning_rate)
    check_betas(method.betas)
    check_range("weight_decay", method.weight_decay, low=0)
    if method.clip is not None:
        check_range("clip", method.clip, low=1e-12)
    check_one_of("schedule", method.schedule, ("one-cycle", "constant"))
    check_range("validation_fraction", method.validation_fraction, low=0, high=0.9)
    check_range("random_state", method.random_state, low=0, integer=True)


def check_known_rates(rates: Any, names: Sequence[str]) -> None:
    """Raise `NotFoundError` for a rate of what is not there: a slip of the pen would not count."""
    for name in rates if isinstance(rates, Mapping) else ():
        if name not in (*names, "*"):
            raise not_found("network", name, [*names, "*"], hint="It stands in learning_rate.")


def settings_for(method: JointMethod, draw: Draw) -> Settings:
    """Batch size and epochs, from the number of rows where the caller left them open."""
    n_rows = max(draw.n_rows.values())
    batch = method.batch_size or int(np.clip(n_rows // 8, *method.batch_sizes))
    steps = max(max(1, n // batch) for n in draw.n_rows.values())
    width = max(part.x.shape[1] for part in draw.parts.values())
    passes = method.effort * passes_for(
        width, steps, at_1024=PASSES_AT_1024, passes=PASSES, within=STEPS
    )
    return Settings(
        epochs=method.epochs or max(1, round(passes)),
        batch_size=batch,
        betas=method.betas,
        weight_decay=method.weight_decay,
        schedule=method.schedule,
        steps=steps,
        clip=method.clip,
    )
