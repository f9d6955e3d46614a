"""From data through a model: features, vectors, a searchable collection, and queries.

Each function is one step that the command line offers, for use from Python::

    data = load_dataset("photos.csv")                         # texts and paths, as they are
    train = encode_raw(data["train"], raw_encoders(data["train"]))
    model = SDML().fit(train)
    with index_dataset(model, data, "photos", model_folder="model") as collection:
        hits = collection.search(query_vector(model, text="a dog in the snow"))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import check_range
from commonspace.data import Dataset, Labels, Modality, Splits
from commonspace.disk import sha256_file
from commonspace.encoders import EncodeRun
from commonspace.errors import InputError, NotFoundError
from commonspace.space import Space
from commonspace.store.coding import codes_of
from commonspace.store.collection import Collection
from commonspace.store.models import read_manifest
from commonspace.store.origin import model_of, record_model
from commonspace.store.queries import item_modality, item_vector, query_modality, query_vector
from commonspace.store.raw import (
    check_encoder,
    encode_part,
    encode_raw,
    is_path,
    model_inputs,
    raw_encoders,
    shared_modalities,
)
from commonspace.store.versions import model_digests
from commonspace.types import JsonDict

__all__ = [
    "Progress",
    "encode_dataset",
    "encode_raw",
    "index_dataset",
    "item_modality",
    "item_vector",
    "modality_digests",
    "model_inputs",
    "model_of",
    "query_modality",
    "query_vector",
    "raw_encoders",
]

Progress = Callable[[int, int], None]

_BLOCK = 1 << 24  # bytes read at once where a whole array is digested


def encode_dataset(model: Any, splits: Splits, *, run: EncodeRun | None = None) -> Splits:
    """Bring a whole data set into the common space of a model.

    Args:
        model: A fitted method.
        splits: Features or raw items of some of its modalities; others are left out.
        run: See `encode_raw`.

    Returns:
        Splits of the same rows, labels and ids, whose features are vectors of shape (n, dim).

    Raises:
        InputError: Model and data share no modality, or the features do not fit.
    """
    shared = shared_modalities(model, splits.modalities)
    origin = {"kind": "commonspace-model", "method": type(model).__name__}
    origin["space"] = model.space_.fingerprint
    parts = {}
    for split, data in splits.items():
        names = [name for name in shared if name in data]
        inputs = model_inputs(model, data.select(names), run=run)
        vectors = {
            name: replace(part, x=model.transform(name, part.x), encoder=origin)
            for name, part in inputs.items()
        }
        parts[split] = Dataset(vectors, data.classes)
    return Splits(parts, splits.name, {**splits.provenance, "encoded_by": origin})


def index_dataset(
    model: Any,
    splits: Splits,
    folder: str | Path,
    *,
    model_folder: str | Path | None = None,
    batch: int = 1024,
    progress: Progress | None = None,
    run: EncodeRun | None = None,
    index: str | None = None,
    bits: int | None = None,
    memory: int | None = None,
    recall: float | None = None,
) -> Collection:
    """Add every item of a data set to a collection, in batches that survive a crash.

    Called again with the same data and model it continues after the last committed batch, so that
    a run that was killed loses nothing that was acknowledged. A model whose encoders were trained
    again for the same space continues too: vectors that are there stay valid, and which version
    made each is on record (`Collection.stale`, `reencoding.reencode`). Items of other data with
    the same id and modality are replaced, as `Collection.add` does.

    The payload of an item holds "split"; "classes", a list of names, where its labels are known;
    and "text" or "path" where the data set holds that raw item itself, or one paired with it.

    Args:
        model: A fitted method.
        splits: Features or raw items of some of its modalities; others are left out.
        folder: A collection of the model's space, or a folder or an address for a new one.
        model_folder: Where the model is stored, so that `model_of` finds it later; an address does
            not keep it.
        batch: Items a transaction.
        progress: Called with the rows done and their total, at first and after every batch.
        run: How raw items are encoded; see `encode_raw`.
        index: Kind of the search index, see `Collection.create`; None leaves the one there is, or
            "auto". "codes" and "codes4" learn their codebooks here, from the training split and its
            labels; those of Milvus are its own.
        bits: Of a code, where the index has codes.
        memory: Bytes that an "auto" index may take.
        recall: Share of true neighbours that the index is tuned to find.

    Returns:
        The collection, open for writing. Its metadata holds "model" and "indexed".

    Raises:
        InputError: Nothing in common, an id stands in two splits, or the collection holds vectors
            that this model made before it learned more, which changed them all; or features were
            made by another encoder than those the model learned from.
        SpaceMismatchError: The collection is of another space.
        StorageError: Another process writes to the collection, or the disk refuses.
    """
    check_range("batch", batch, low=1, integer=True)
    shared = shared_modalities(model, splits.modalities)
    _check_distinct(splits, shared)
    for data in splits.values():
        for name in (name for name in shared if name in data):
            check_encoder(name, data[name], model)
    collection = _open_or_create(folder, model.space_)
    try:
        record_model(collection, model, shared, model_folder)
        tell = progress or (lambda done, total: None)
        _add_parts(collection, model, splits, shared, batch, tell, run)
        if index is not None or memory is not None or recall is not None or bits is not None:
            collection.set_index(
                index or "auto",
                memory=memory,
                recall=recall,
                **codes_of(collection, model, splits, shared, index, bits, run),
            )
    except BaseException:
        collection.close()
        raise
    return collection


def modality_digests(folder: str | Path) -> dict[str, str]:
    """Return the SHA-256 of each modality's file of a stored model, read from the files."""
    entries = read_manifest(folder)["modalities"]
    return {name: sha256_file(Path(folder) / entry["file"]) for name, entry in entries.items()}


def _check_distinct(splits: Splits, shared: Sequence[str]) -> None:
    for name in shared:
        seen: dict[str, str] = {}
        for split, data in splits.items():
            for item in data[name].items.tolist() if name in data else ():
                if seen.setdefault(item, split) != split:
                    raise InputError(
                        f"modality {name!r}: id {item!r} stands in split {seen[item]!r} and again "
                        f"in {split!r}, where it would replace the other. Index one split, or give "
                        "the rows ids of their own."
                    )


def _open_or_create(folder: str | Path, space: Space) -> Collection:
    try:
        collection = Collection.open(folder)
    except NotFoundError:
        return Collection.create(folder, space=space)
    try:
        collection.space.check_same(space, where=f"collection {collection.place}")
    except BaseException:
        collection.close()
        raise
    return collection


@dataclass(frozen=True)
class _Part:
    """One modality of one split, and how far it is indexed."""

    split: str
    name: str
    rows: Modality
    data: str
    done: int

    @property
    def key(self) -> str:
        return f"{self.split}/{self.name}"


def _add_parts(
    collection: Collection,
    model: Any,
    splits: Splits,
    shared: Sequence[str],
    batch: int,
    progress: Progress,
    run: EncodeRun | None,
) -> None:
    indexed: JsonDict = collection.metadata.get("indexed", {})
    parts = list(_parts(splits, shared, indexed))
    total = sum(len(part.rows) for part in parts)
    done = sum(part.done for part in parts)
    progress(done, total)
    digests = model_digests(model, shared)
    for part in parts:
        companions = _raw_items(splits[part.split], first=part.name)
        for start in range(part.done, len(part.rows), batch):
            rows = part.rows.take(np.arange(start, min(start + batch, len(part.rows))))
            inputs = encode_part(part.name, rows, model.encoders_, run)
            vectors = model.transform(part.name, inputs.x)
            payloads = _payloads(inputs, part.split, companions)
            collection.add(
                inputs.items,
                vectors,
                modality=part.name,
                payloads=payloads,
                encoder=digests[part.name],
            )
            # Written after the items: a crash in between repeats one batch, and loses none.
            indexed[part.key] = {"data": part.data, "rows": start + len(rows)}
            collection.set_metadata("indexed", indexed)
            done += len(rows)
            progress(done, total)


def _parts(splits: Splits, shared: Sequence[str], indexed: JsonDict) -> Iterator[_Part]:
    for split, data in splits.items():
        for name in (name for name in shared if name in data):
            digest = _digest(data[name])
            record = indexed.get(f"{split}/{name}", {})
            done = int(record["rows"]) if record.get("data") == digest else 0
            yield _Part(split, name, data[name], digest, done)


def _digest(part: Modality) -> str:
    """SHA-256 of the rows of a modality, a memory map read by blocks; of files, their state."""
    hasher = hashlib.sha256(f"{part.x.shape} {part.x.dtype.str} {part.encoder}".encode())
    step = max(1, _BLOCK // max(1, part.x[:1].nbytes))
    for start in range(0, len(part.x), step):
        hasher.update(np.ascontiguousarray(part.x[start : start + step]).tobytes())
    if is_path(part.x):
        hasher.update(" ".join(map(_file_state, part.x.tolist())).encode())
    hasher.update("\0".join([*part.labels.classes, "", *part.items.tolist()]).encode())
    for array in part.labels.arrays().values():
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def _file_state(path: str) -> str:
    """Size and time of a file, so that one that changed is told from what it was."""
    try:
        state = Path(path).stat()
    except OSError:
        return "none"
    return f"{state.st_size}-{state.st_mtime_ns}"


def _raw_items(data: Dataset, *, first: str) -> list[tuple[str, dict[str, str]]]:
    """Texts and paths by item id, each with the payload field it goes to, the own ones first."""
    names = [first, *(name for name in data if name != first)]
    found = []
    for name in names:
        x = data[name].x
        if x.dtype.kind == "U" and x.ndim == 1 and len(x):
            by_item = dict(zip(data[name].items.tolist(), x.tolist(), strict=True))
            found.append(("path" if is_path(x) else "text", by_item))
    return found


def _payloads(
    rows: Modality, split: str, companions: Sequence[tuple[str, dict[str, str]]]
) -> list[JsonDict]:
    payloads: list[JsonDict] = []
    classes = _class_lists(rows.labels)
    for item, names in zip(rows.items.tolist(), classes, strict=True):
        payload: JsonDict = {"split": split}
        if names is not None:
            payload["classes"] = names
        for field, by_item in companions:
            if item in by_item:
                payload.setdefault(field, by_item[item])
        payloads.append(payload)
    return payloads


def _class_lists(labels: Labels) -> list[list[str] | None]:
    """Names of the classes of each row; None where they are unknown."""
    weights = labels.weights
    lists: list[list[str] | None] = []
    for row, known in enumerate(labels.known):
        columns = weights.indices[weights.indptr[row] : weights.indptr[row + 1]]
        lists.append([labels.classes[k] for k in columns] if known else None)
    return lists
