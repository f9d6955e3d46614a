"""What a training of MS-DMML is given: rows, settings of branches and losses, rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from commonspace.data import Dataset, Modality
from commonspace.errors import InputError
from commonspace.methods.msdmml_settings import BACKBONE_RATE, RATE, picture_options
from commonspace.methods.msdmml_training import backbone_of
from commonspace.methods.parts import Part, item_ids, labelled_part
from commonspace.types import AnyArray, JsonDict

LAMBDAS = {"inter": (1.0, 0.0, 0.0), "intra": (0.0, 0.5, 0.5)}


def make_job(
    model: Any, name: str, train: Dataset, valid: Dataset | None, several: bool
) -> dict[str, Any]:
    """Settings and rows of a training, see `fit_branches`.

    Args:
        model: An `MSDMML`, for its settings.
        name: Of the training.
        train: Rows to learn from.
        valid: Rows to choose the epoch on.
        several: Whether a row may have several labels.
    """
    held = {} if valid is None else dict(valid)
    known = item_ids(train, valid)
    parts = {modality: _labelled(modality, part, known) for modality, part in train.items()}
    return {
        "name": name,
        "parts": parts,
        "valid": {m: labelled_part(p, known) for m, p in held.items() if p.labels.labelled.any()},
        "anchors": None,
        "options": {m: _network_options(model, m, part.x) for m, part in parts.items()},
        "rates": _rates(model, list(parts)),
        "several": several,
        "similarity": similarity(model, several),
        "members": int(model.members),
        "alpha": float(model.alpha),
        "beta": float(model.beta),
        "margin": float(model.margin),
        "lambdas": LAMBDAS.get(model.ablation or "", tuple(map(float, model.lambdas))),
        "reduction": model.reduction,
        "epochs": model.epochs,
        "effort": float(model.effort),
        "batch_size": model.batch_size,
        "betas": tuple(model.betas),
        "weight_decay": float(model.weight_decay),
        "schedule": model.schedule,
        "seed": int(model.random_state),
    }


def similarity(model: Any, several: bool) -> str:
    """Of rows: "graded" by their labels, 1 where one is "shared", or where they are one "item"."""
    if model.ablation != "bin":
        return "graded"
    return "shared" if several else "item"


def check_attraction(job: Mapping[str, Any]) -> None:
    """Raise `InputError` where only pairs of one item attract, and no item is there twice."""
    items = np.concatenate([part.items for part in job["parts"].values()])
    if job["similarity"] == "item" and len(np.unique(items)) == len(items):
        raise InputError(
            "ablation='bin' with single labels draws an item only to its counterpart in another "
            "modality, and no labelled item is in two of them: nothing would attract. Give the "
            "rows that show one item the same id, or take another ablation."
        )


def _network_options(model: Any, modality: str, x: AnyArray) -> JsonDict:
    options: JsonDict = {
        "hidden": [int(width) for width in model.hidden],
        "dim": int(model.dim),
        "members": int(model.members),
        "final_relu": bool(model.final_relu),
        "init_std": model.init_std,
        "standardize": bool(model.standardize),
        "batch_norm": bool(model.batch_norm),
        "input_dropout": float(model.input_dropout),
        "dropout": float(model.dropout),
    }
    branch = (model.branches or {}).get(modality)
    if branch is None:
        return options
    return {**options, "picture": picture_options(modality, branch, x)}


def _rates(model: Any, modalities: Sequence[str]) -> dict[str, float]:
    """Of each branch, and of the backbone of each that has one."""
    rates = model.learning_rate
    out = {}
    for name in modalities:
        rate = rates.get(name, rates.get("*", RATE)) if isinstance(rates, Mapping) else rates
        out[name] = float(rate)
        branch = (model.branches or {}).get(name)
        if branch is not None:
            slow = min(BACKBONE_RATE, out[name])
            out[backbone_of(name)] = float(branch.get("learning_rate", slow))
    return out


def _labelled(name: str, part: Modality, known: AnyArray) -> Part:
    if not part.labels.labelled.any():
        raise InputError(
            f"modality {name!r}: MSDMML learns from labels, and none of its {len(part)} rows has "
            "one. Label some rows, or leave the modality out."
        )
    return labelled_part(part, known)
