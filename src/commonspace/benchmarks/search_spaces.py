"""Which settings of each method are worth searching, and where.

A table by the name of the method. Every range was set to hold the method's default and the values
that papers and their code use. What buys a better score with a longer training, such as ``effort``
and ``members``, is left out. A method without an entry has nothing to search.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from commonspace.checks import not_found
from commonspace.errors import InputError
from commonspace.methods.base import Method


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, evenly or, with ``log``, evenly in their logarithm."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether the value is a number of this range."""
        kinds = (int,) if self.whole else (int, float)
        plain = isinstance(value, kinds) and not isinstance(value, bool)
        return plain and self.low <= value <= self.high

    def widened(self, value: Any) -> Range:
        """The range that holds the value too, where there is one."""
        number = isinstance(value, int if self.whole else int | float)
        if not number or isinstance(value, bool) or (self.log and value <= 0):
            return self
        return replace(self, low=min(self.low, value), high=max(self.high, value))


@dataclass(frozen=True, init=False)
class Choice:
    """One of the values given: anything that JSON has a form for."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as JSON."""
        return tuple(json.dumps(value) for value in self.values)

    def holds(self, value: Any) -> bool:
        """Whether the value is one of them; a list is equal to a tuple."""
        return _is_json(value) and json.dumps(value) in self.texts

    def widened(self, value: Any) -> Choice:
        """The choice that holds the value too."""
        return self if self.holds(value) or not _is_json(value) else Choice(*self.values, value)


Setting = Range | Choice
SearchSpace = Mapping[str, Setting]

RATE = Range(1e-4, 2e-2, log=True)
DECAY = Choice(0.0, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1)
DROPOUT = Range(0.0, 0.7)
INPUT_DROPOUT = Range(0.0, 0.5)
DIM = Choice(8, 16, 32, 64, 128, 256)
WIDTHS = Choice([256], [512], [1024], [256, 256], [512, 512])
BATCH = Choice(None, 32, 64, 128)  # None: as the method sees fit for so many rows
SHRINKAGE = Range(1e-4, 0.9, log=True)
RIDGE = Range(1e-4, 10.0, log=True)
POWER = Choice(0.0, 0.5, 1.0, 2.0, 4.0)
WEIGHT = Range(1e-2, 1e2, log=True)
NEIGHBOURS = Range(5, 200, log=True, whole=True)
SCALING: dict[str, Setting] = {  # of what learns without labels: nothing else can say
    "standardize": Choice(True, False)
}

NETWORK: dict[str, Setting] = {
    "learning_rate": RATE,
    "hidden": WIDTHS,
    "dropout": DROPOUT,
    "input_dropout": INPUT_DROPOUT,
    "weight_decay": DECAY,
    "batch_size": BATCH,
}
JOINT: dict[str, Setting] = {**NETWORK, "batch_norm": Choice(False, True)}

OURS: dict[str, dict[str, Setting]] = {
    "SDML": {
        "learning_rate": RATE,
        "hidden": WIDTHS,
        "batch_size": BATCH,
    },
    "MSDMML": {
        **NETWORK,
        "alpha": Range(0.1, 1.0),
        "beta": Range(0.1, 1.0),
        "margin": Range(0.5, 2.5),
    },
    "SPDQ": {
        **NETWORK,
        "alpha": Range(0.1, 10.0, log=True),
        "beta": Range(0.1, 10.0, log=True),
        "lam": Range(1e-3, 2.0, log=True),
    },
    "Sequential": {
        "learning_rate": RATE,
        "hidden": WIDTHS,
        "gate": Range(0.0, 0.9),
        "strength": Range(1e3, 1e8, log=True),
        "weight_decay": DECAY,
        "dropout": DROPOUT,
    },
}
CLOSED_FORM: dict[str, dict[str, Setting]] = {
    "SM": {"C": Range(1e-4, 10.0, log=True)},
    "Ridge": {"alphas": Choice(*[[10.0 ** (k / 2)] for k in range(-2, 11)])},
    "CCA": {"dim": DIM, "c": SHRINKAGE, "power": POWER, **SCALING},
    "PLS": {"dim": DIM, "form": Choice("svd", "canonical"), **SCALING},
    "CFA": {"dim": DIM, **SCALING},
    "KCCA": {
        "dim": DIM,
        "c": SHRINKAGE,
        "kernel": Choice("rbf", "linear"),
        "gamma": Choice(None, *[4.0**k for k in range(-7, 1)]),
        **SCALING,
    },
    "MCCA": {"dim": DIM, "c": SHRINKAGE, "power": POWER, **SCALING},
    "ThreeViewCCA": {"dim": DIM, "c": SHRINKAGE, "power": Choice(0.0, 1.0, 2.0, 3.0, 4.0)},
    "MLCCA": {
        "dim": DIM,
        "neighbours": NEIGHBOURS,
        "sigma": Range(0.1, 10.0, log=True),
        "ridge": SHRINKAGE,
    },
    "GMLDA": {"alpha": Range(0.1, 1e3, log=True), "shrinkage": SHRINKAGE},
    "MvDA": {"view_consistency": Range(1e-4, 10.0, log=True), "shrinkage": SHRINKAGE},
    "JRL": {
        "gamma": Range(0.1, 1e3, log=True),
        "sigma": Range(1e-2, 1e3, log=True),
        "lam": WEIGHT,
        "mu": WEIGHT,
        "neighbours": NEIGHBOURS,
    },
    "GSSSL": {"eta": WEIGHT, "gamma": Range(0.1, 1e3, log=True), "neighbours": NEIGHBOURS},
}
DEEP: dict[str, dict[str, Setting]] = {
    "DeepSM": JOINT,
    "DCCA": {**JOINT, "dim": DIM, "ridge": RIDGE},
    "DCCAE": {**JOINT, "dim": DIM, "ridge": RIDGE, "reconstruction": Range(0.0, 0.9)},
    "CorrAE": {**JOINT, "dim": DIM, "tie": Range(0.1, 0.95)},
    "CMPM": {**JOINT, "dim": DIM},
    "Recipe": {
        **JOINT,
        "dim": DIM,
        "margin": Range(0.0, 0.5),
        "semantic": Range(1e-3, 0.4, log=True),
    },
    "AdaMine": {
        **JOINT,
        "dim": DIM,
        "margin": Range(0.05, 1.0),
        "semantic": Range(1e-2, 10.0, log=True),
    },
    "SupCon": {**JOINT, "dim": DIM, "temperature": Range(0.02, 1.0, log=True)},
    "ACMR": {
        **JOINT,
        "dim": DIM,
        "alpha": Range(0.1, 1e3, log=True),
        "beta": Range(0.1, 50.0, log=True),
        "mu": Range(1e-2, 10.0, log=True),
    },
    "MvDN": {**JOINT, "dim": DIM},
    "MvLDAN": {**JOINT, "ridge": RIDGE, "threshold": Range(0.1, 5.0, log=True)},
    "CDQ": {**JOINT, "dim": DIM, "lam": Range(1e-4, 0.1, log=True)},
    "CCLLite": {**JOINT, "dim": DIM, "margin": Range(0.2, 2.0), "tie": Range(0.1, 0.9)},
    "CBTLite": {**JOINT, "alpha": Range(1e-2, 1.0, log=True), "inter": Range(0.0, 1.0)},
}
SPACES: dict[str, dict[str, Setting]] = {**OURS, **CLOSED_FORM, **DEEP}


def search_space(
    default: Method, space: SearchSpace | None = None, *, fixed: Collection[str] = ()
) -> SearchSpace:
    """Return what to search for a method, wide enough to hold the settings it has.

    Empty for a method that has no settings.

    Args:
        default: The method with the settings that count as its defaults.
        space: What to search; None takes the method's entry of `SPACES`, empty without one.
        fixed: Arguments to leave out.

    Raises:
        NotFoundError: The space names an argument that the method does not have.
        InputError: All that there is to search is fixed.
    """
    name, values = type(default).__name__, default.get_params(deep=False)
    if space is None:
        space = SPACES.get(name, {})
    for key in space:
        if key not in values:
            raise not_found(f"argument of {name}", key, values)
    free = {key: setting for key, setting in space.items() if key not in fixed}
    if space and not free:
        raise InputError(f"{name}: nothing is left to search. Fix less, or name ranges in space.")
    return {key: setting.widened(values[key]) for key, setting in free.items()}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
