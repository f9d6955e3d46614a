"""What a training of SDML is given: one modality's rows, settings, and columns of the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from commonspace.data import Dataset, Modality
from commonspace.errors import InputError
from commonspace.methods.sdml_rows import count_to_use
from commonspace.methods.sdml_settings import EXPERTS, RATE, SCHEDULE
from commonspace.space import Space
from commonspace.training import derive_seed
from commonspace.types import BoolArray, Float32Array, JsonDict


def make_jobs(
    model: Any, train: Dataset, valid: Dataset | None, space: Space, *, several: bool
) -> dict[str, JsonDict]:
    """Rows and settings of each modality's training, see `trainings_of`.

    Args:
        model: An `SDML`, for its settings.
        train: Rows to learn from.
        valid: Rows to choose the epoch on; None holds rows back, as the model says.
        space: With a place for each modality.
        several: Whether a row may have several labels.
    """
    held: dict[str, BoolArray] = {}
    if valid is None and model.validation_fraction > 0:
        if model.variant == "posterior":
            held = _held_back(model, train)
        else:
            train, valid = train.split(model.validation_fraction, seed=model.random_state)
    known = valid.with_classes(space.classes) if valid is not None else {}
    return {
        name: _job(model, name, part, known.get(name), space, several, held.get(name))
        for name, part in train.items()
    }


def basis_of(space: Space, n_classes: int) -> Float32Array:
    """The basis, or the frame where more classes than dimensions own a direction."""
    return space.basis if n_classes <= space.dim else space.directions(n_classes)


def _held_back(model: Any, train: Dataset) -> dict[str, BoolArray]:
    """Of each modality, a row a network: what it does not see, other items for each."""
    share, seed = model.validation_fraction, model.random_state
    masks = [
        train.held_back(share, seed=derive_seed(seed, "held back", key)) for key in _experts(model)
    ]
    return {name: np.stack([mask[name] for mask in masks]) for name in train}


def _experts(model: Any) -> dict[str, JsonDict]:
    """Regularisation of each network of a modality."""
    keys = EXPERTS if model.regularization == "both" else (model.regularization,)
    return {f"{key}{i}": EXPERTS[key] for i in range(model.members) for key in keys}


def _job(
    model: Any,
    name: str,
    part: Modality,
    valid: Modality | None,
    space: Space,
    several: bool,
    held: BoolArray | None,
) -> JsonDict:
    rates = model.learning_rate
    rate = rates.get(name, rates.get("*", RATE)) if isinstance(rates, Mapping) else rates
    if model.variant == "posterior" and not part.labels.labelled.any():
        raise InputError(
            f"modality {name!r}: SDML learns from labels, and none of its {len(part)} rows "
            "has one. Label some rows, or leave the modality out."
        )
    return {
        "name": name,
        "x": part.x,
        "labels": part.labels.weights,
        "known": part.labels.known,
        "valid_x": None if valid is None else valid.x,
        "valid_labels": None if valid is None else valid.labels.weights,
        "valid_known": None if valid is None else valid.labels.known,
        "held": held,
        "basis": basis_of(space, space.n_classes),
        "options": _network_options(model, name, part, space, several),
        "rate": float(rate),
        "schedule": SCHEDULE if model.variant == "posterior" else "constant",
        "epochs": model.epochs,
        "effort": float(model.effort),
        "batch_size": model.batch_size,
        "betas": tuple(model.betas),
        "seed": int(model.random_state),
    }


def _network_options(
    model: Any, name: str, part: Modality, space: Space, several: bool
) -> JsonDict:
    shared: JsonDict = {
        "hidden": [int(width) for width in model.hidden],
        "dim": int(model.dim),
        "n_classes": space.n_classes,
    }
    if model.variant == "posterior":
        return {
            **shared,
            "several": several,
            "own": list(space.place(name)),
            "experts": _experts(model),
            "landmarks": min(model.landmarks, count_to_use(part.labels, several)),
        }
    code = model.variant == "code"
    return {
        **shared,
        "lam": float(model.lam),
        "standardize": model.standardize,
        "normalize_encoder": code if model.normalize_encoder is None else model.normalize_encoder,
        "normalize_decoder": code if model.normalize_decoder is None else model.normalize_decoder,
        "squared": (not code) if model.squared is None else model.squared,
    }
