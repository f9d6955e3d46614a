"""Raw items of a data set as the features that a model learned from, or is to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from commonspace.data import Dataset, Modality
from commonspace.encoders import (
    EncodeRun,
    default_spec,
    encode_items,
    encoder_from_spec,
    fitted_spec,
    identity,
    same_encoder,
)
from commonspace.errors import InputError
from commonspace.media import MEDIA_SUFFIXES, MediaKind, media_kind
from commonspace.types import AnyArray, JsonDict


def raw_encoders(
    data: Dataset, named: Mapping[str, JsonDict | None] | None = None
) -> dict[str, JsonDict]:
    """Settle which encoder reads each modality of raw items; those that learn do so now.

    Args:
        data: Training items; modalities of features are passed over.
        named: Encoders by modality, as `fitted_spec` takes them. Others are chosen by what the
            items are: texts, or files by their suffix.

    Returns:
        The spec of an encoder of each raw modality.

    Raises:
        InputError: Items of a modality are of different kinds, or of none that is read.
        NotFoundError: There is no such encoder.
    """
    named = named or {}
    specs = {}
    for name, part in data.items():
        spec = named.get(name)
        if spec is None and _is_raw(part.x) and len(part):
            spec = default_spec(_kind_of(name, part.x))
        if spec is not None:
            specs[name] = fitted_spec(spec, part.x)
    return specs


def encode_raw(
    data: Dataset, encoders: Mapping[str, JsonDict | None], *, run: EncodeRun | None = None
) -> Dataset:
    """Turn raw items into features; modalities that hold features stay as they are.

    Args:
        data: Some of its modalities may hold raw items: texts, paths, or arrays of pixels.
        encoders: The encoder of each raw modality, as `Encoder.spec` writes it. Others are ignored.
        run: Cache, processes, and what to do about broken items; by default the first is an error.

    Returns:
        The same rows, but for broken items that ``run`` leaves out; the modalities remember their
        encoders.

    Raises:
        InputError: A modality holds raw items and ``encoders`` does not name it, or an item is
            not what its encoder reads.
    """
    parts = {name: encode_part(name, part, encoders, run) for name, part in data.items()}
    return Dataset(parts, data.classes)


def model_inputs(model: Any, data: Dataset, *, run: EncodeRun | None = None) -> Dataset:
    """Return the modalities that a model knows, raw items encoded as they were for training.

    Raises:
        InputError: Model and data share no modality, raw items have no recorded encoder, or
            features were made by another encoder than those the model learned from.
    """
    shared = data.select(shared_modalities(model, data.modalities))
    for name, part in shared.items():
        check_encoder(name, part, model)
    return encode_raw(shared, model.encoders_, run=run)


def _is_raw(x: AnyArray) -> bool:
    return x.ndim != 2 or x.dtype.kind not in "fiub"


def _kind_of(name: str, x: AnyArray) -> MediaKind:
    """What raw items are: by suffix where the first one has a known one, else texts or pictures."""
    if x.dtype.kind not in "US":
        return "image"
    kinds = {media_kind(item) if is_path(x) else "text" for item in x.tolist()}
    if len(kinds) > 1 or None in kinds:
        found = listed(sorted(str(kind) for kind in kinds if kind is not None))
        raise InputError(
            f"modality {name!r}: expected files of one kind, got {found}"
            f"{' and others' if None in kinds else ''}. Give each kind a column of its own."
        )
    return next(kind for kind in kinds if kind is not None)


def is_path(x: AnyArray) -> bool:
    """Whether raw items are paths of files rather than texts."""
    first = str(x[0]) if x.dtype.kind in "US" and x.ndim == 1 and len(x) else ""
    return Path(first).suffix.lower() in MEDIA_SUFFIXES


def encode_part(
    name: str,
    part: Modality,
    encoders: Mapping[str, JsonDict | None],
    run: EncodeRun | None,
) -> Modality:
    """One modality of `encode_raw`."""
    if not _is_raw(part.x):
        return part
    spec = encoders.get(name)
    if spec is None:
        raise InputError(
            f"modality {name!r}: expected features, got raw items (dtype {part.x.dtype}, shape "
            f"{part.x.shape}) and no encoder for them. Name one, such as text-hash for texts or "
            "image-efficientnet-lite0 for pictures, when training."
        )
    items = part.x.tolist() if part.x.dtype.kind in "US" else list(part.x)
    encoder = encoder_from_spec(spec)
    encoded = encode_items(encoder, items, run)
    kept = part if len(encoded.rows) == len(part) else part.take(encoded.rows)
    return replace(kept, x=encoded.x, encoder=identity(encoder))


def check_encoder(name: str, part: Modality, model: Any) -> None:
    """Refuse features of another encoder than those that the model learned from."""
    learned = model.encoders_.get(name)
    if _is_raw(part.x) or part.encoder is None or learned is None:
        return
    if not same_encoder(part.encoder, learned):
        made, expected = (_encoder_name(record) for record in (part.encoder, learned))
        raise InputError(
            f"modality {name!r}: expected features of the encoder {expected}, which the model "
            f"learned from, got those of {made}. Encode the raw items again with it."
        )


def _encoder_name(record: Mapping[str, Any]) -> str:
    settings = {key: value for key, value in record.items() if key != "kind"}
    return str(record.get("id") or f"{record.get('kind')} {settings}"[:200])


def shared_modalities(model: Any, modalities: Sequence[str]) -> list[str]:
    """The modalities that the model knows, or an error if it knows none."""
    shared = [name for name in modalities if name in model.modalities]
    if not shared:
        raise InputError(
            f"the data has modalities {listed(modalities)}, the model "
            f"{listed(model.modalities)}: none in common. Name them alike, or add one with "
            "fit_modality."
        )
    return shared


def listed(names: Sequence[str]) -> str:
    """Names as a message shows them."""
    return ", ".join(map(repr, names)) or "none"
