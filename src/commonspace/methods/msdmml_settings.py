"""What MS-DMML checks of its arguments, and of branches that look at pixels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

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
from commonspace.encoders import BACKBONES
from commonspace.errors import InputError
from commonspace.types import AnyArray, JsonDict

RATE, BACKBONE_RATE = 5e-3, 4e-4


def check_settings(model: Any) -> None:
    """Raise `InputError` for an argument of MSDMML that is out of range."""
    check_range("dim", model.dim, low=1, integer=True)
    check_range("members", model.members, low=1, high=64, integer=True)
    if model.dim % model.members:
        raise InputError(f"dim: expected a multiple of members={model.members}, got {model.dim}.")
    check_range("alpha", model.alpha, low=0)
    check_range("beta", model.beta, low=0)
    check_range("margin", model.margin, low=0, high=4)
    check_one_of("ablation", model.ablation, (None, "bin", "inter", "intra"))
    check_one_of("reduction", model.reduction, ("rows", "mean", "sum"))
    check_one_of("schedule", model.schedule, ("one-cycle", "constant"))
    for name in ("final_relu", "standardize", "batch_norm"):
        check_flag(name, getattr(model, name))
    check_range("input_dropout", model.input_dropout, low=0, high=0.99)
    check_range("dropout", model.dropout, low=0, high=0.99)
    check_range("effort", model.effort, low=0.01, high=100)
    check_range("weight_decay", model.weight_decay, low=0)
    check_range("anchors", model.anchors, low=0, integer=True)
    check_range("validation_fraction", model.validation_fraction, low=0, high=0.9)
    check_range("random_state", model.random_state, low=0, integer=True)
    for name in ("epochs", "batch_size"):
        if getattr(model, name) is not None:
            check_range(name, getattr(model, name), low=1, integer=True)
    if model.init_std is not None:
        check_range("init_std", model.init_std, low=1e-12)
    check_rates(model.learning_rate)
    check_betas(model.betas)
    check_widths(model.hidden)
    _check_lambdas(model.lambdas)
    check_branches(model.branches)


def _check_lambdas(lambdas: Any) -> None:
    if isinstance(lambdas, str) or not isinstance(lambdas, Sequence) or len(lambdas) != 3:
        raise InputError(f"lambdas: expected three weights as [0.6, 0.2, 0.2], got {lambdas!r}.")
    for weight in lambdas:
        check_range("lambdas", weight, low=0)


def check_branches(branches: Any) -> None:
    """Raise `InputError` unless ``branches`` is None, or one mapping of settings a modality."""
    if branches is not None and not isinstance(branches, Mapping):
        raise InputError(
            'branches: expected a mapping from modalities to settings, as {"image": {"crop": 64}}, '
            f"got {branches!r}."
        )
    for name, branch in (branches or {}).items():
        _check_branch(name, branch)


def check_pictures(modality: str, x: Any, branches: Any, present: Collection[str]) -> None:
    """Refuse pixels without a branch where a branch has no modality: the name is wrong."""
    check_branches(branches)
    absent = [name for name in branches or {} if name not in present]
    if absent and modality not in branches and _are_pixels(x):
        raise InputError(
            f"branches: there is one for {', '.join(map(repr, absent))}, which is no modality of "
            f"the data ({', '.join(present)}), and none for {modality!r}, which holds pixels. Name "
            "the branch as the modality is named."
        )


def names_without_modality(model: Any, present: Collection[str]) -> list[str]:
    """What ``branches`` and ``learning_rate`` name beside the modalities that are there."""
    rates = model.learning_rate if isinstance(model.learning_rate, Mapping) else {}
    return [name for name in {**(model.branches or {}), **rates} if name not in {*present, "*"}]


def _check_branch(name: str, branch: Any) -> None:
    keys = ("backbone", "crop", "freeze", "learning_rate")
    if not isinstance(branch, Mapping):
        raise InputError(f"branches: expected a mapping for {name!r}, got {branch!r}.")
    for key in branch:
        if key not in keys:
            raise not_found(f"setting of the branch {name!r}", key, keys)
    check_one_of("backbone", branch.get("backbone", BACKBONES[0]), BACKBONES)
    check_range("freeze", branch.get("freeze", 0), low=0, integer=True)
    check_range("learning_rate", branch.get("learning_rate", BACKBONE_RATE), low=0, high=10)
    if "crop" in branch:
        check_range("crop", branch["crop"], low=8, integer=True)


def picture_options(name: str, branch: Mapping[str, Any], x: AnyArray) -> JsonDict:
    """Settings of a branch for pictures of that size, its defaults filled in."""
    side = _side(x.shape[1])
    crop = int(branch.get("crop", max(8, side * 7 // 8)))
    if crop > side:
        raise InputError(
            f"branch {name!r}: expected a crop of at most {side} pixels, the side of its pictures, "
            f"got {crop}."
        )
    return {
        "backbone": branch.get("backbone", BACKBONES[0]),
        "side": side,
        "crop": crop,
        "freeze": int(branch.get("freeze", 0)),
    }


def as_pixel_rows(modality: str, x: Any, n_features: int | None) -> AnyArray:
    """Check rows of pixels; they stay the bytes they are."""
    array = np.asarray(x)
    fits = array.ndim == 2 and array.dtype == np.uint8 and 3 * _side(array.shape[1]) ** 2
    if not fits or fits != array.shape[1] or n_features not in (None, array.shape[1]):
        wanted = "3 * side * side" if n_features is None else str(n_features)
        raise InputError(
            f"modality {modality!r}: expected pixels of shape (n, {wanted}), uint8, as "
            f"PixelEncoder makes them, got shape {array.shape} of dtype {array.dtype}."
        )
    return array


def _are_pixels(x: Any) -> bool:
    array = np.asarray(x)
    pixels = array.ndim == 2 and array.dtype == np.uint8 and array.shape[1] >= 3 * 8**2
    return pixels and 3 * _side(array.shape[1]) ** 2 == array.shape[1]


def _side(n_features: int) -> int:
    side: float = (n_features / 3) ** 0.5
    return round(side)
