"""What Sequential checks of its arguments, and of changes to them between stages."""

from __future__ import annotations

from typing import Any

from commonspace.checks import check_flag, check_one_of, check_range, check_widths
from commonspace.errors import InputError
from commonspace.methods.sequential_training import REMEMBERING, RULES
from commonspace.space import Space


def check_settings(model: Any) -> None:
    """Raise `InputError` for an argument of Sequential that is out of range."""
    check_one_of("strategy", model.strategy, tuple(RULES))
    check_one_of("adapter", model.adapter, ("rotate", "pca", "jl"))
    for name in ("second_order", "learn_rates", "last_layer"):
        check_flag(name, getattr(model, name))
    for name in ("dim", "width", "batch_size"):
        check_range(name, getattr(model, name), low=1, integer=True)
    for name in ("steps", "inner_steps", "memory"):
        if getattr(model, name) is not None:
            check_range(name, getattr(model, name), low=1, integer=True)
    if model.recall is not None:
        check_range("recall", model.recall, low=1, high=model.batch_size, integer=True)
    check_range("gate", model.gate, low=0, high=0.95)
    for name in ("dropout", "input_dropout"):
        check_range(name, getattr(model, name), low=0, high=0.95)
    for name in ("keep", "strength", "weight_decay"):
        check_range(name, getattr(model, name), low=0, high=1e12)
    check_range("learning_rate", model.learning_rate, low=1e-12, high=10)
    if model.inner_rate is not None:
        check_range("inner_rate", model.inner_rate, low=0, high=10)
    if model.space is not None and not isinstance(model.space, Space):
        raise InputError(f"space: expected a Space or None, got {type(model.space).__name__}.")
    check_range("random_state", model.random_state, low=0, integer=True)
    check_widths(model.hidden)
    if not model.hidden:
        raise InputError("hidden: expected one width at least, got none: its units are gated.")


def check_change(model: Any) -> None:
    """Raise `InputError` where a strategy chosen since needs what was not kept."""
    by_vectors = any(key.startswith("rows-fisher/") for key in model.penalty_)
    missing = {
        **{name: "rows" for name in REMEMBERING if not len(model.memory_)},
        **({} if by_vectors else {"hold": "Fisher information, as vectors,"}),
        **({} if model.penalty_ and not by_vectors else {"ewc": "whole Fisher information"}),
    }
    if model.strategy in missing:
        raise InputError(
            f"strategy: {model.strategy!r} goes on from {missing[model.strategy]} of the "
            "modalities before, and this model, learned with another strategy, has kept none. "
            "Set the strategy it was fitted with, or fit again."
        )
