"""What a collection of codes learns its codebooks from: labelled vectors of its own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from commonspace.data import Dataset, Splits
from commonspace.encoders import EncodeRun
from commonspace.quantization import Quantizer
from commonspace.store.collection import Collection
from commonspace.store.raw import encode_raw
from commonspace.types import AnyArray, JsonDict

_LEARN_CODES_FROM = 20_000  # rows of all modalities together


def codes_of(
    collection: Collection,
    model: Any,
    splits: Splits,
    shared: Sequence[str],
    index: str | None,
    bits: int | None,
    run: EncodeRun | None,
) -> JsonDict:
    """Options of a kind that has codes, with a quantizer learned from labelled vectors."""
    if index not in ("codes", "codes4") or not collection.learns_codes:
        return {} if bits is None else {"bits": bits}
    split = "train" if "train" in splits else next(iter(splits))
    names = [name for name in shared if name in splits[split]]
    each = max(1, _LEARN_CODES_FROM // max(1, len(names)))
    found = _some_vectors(model, splits[split], names, each, run)
    vectors, labels = (np.concatenate(part) for part in zip(*found.values(), strict=True))
    valid = None
    if split == "train" and any(name in splits.get("valid", ()) for name in names):
        valid = _some_vectors(model, splits["valid"], names, each, run)
    quantizer = Quantizer(bits or 32, 8 if index == "codes" else 4)
    return {"quantizer": quantizer.fit(vectors, labels, valid=valid)}


def _some_vectors(
    model: Any, data: Dataset, names: Sequence[str], each: int, run: EncodeRun | None
) -> dict[str, tuple[AnyArray, AnyArray]]:
    """Unit vectors and labels of so many rows of each modality."""
    # What is broken was reported when the items were added.
    again = None if run is None else replace(run, progress=None, broken=[])
    parts = encode_raw(data.select([n for n in names if n in data]), model.encoders_, run=again)
    out = {}
    for name, part in parts.items():
        rows = np.random.default_rng(0).permutation(len(part))[:each]
        taken = part.take(np.sort(rows))
        out[name] = _unit(model.transform(name, taken.x)), taken.labels.dense()
    return out


def _unit(x: AnyArray) -> AnyArray:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1))
