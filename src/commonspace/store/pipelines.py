"""From data through a model: features, vectors, a searchable collection, and queries.

Each function is one step that the command line offers, for use from Python::

    data = load_dataset("photos.csv")                         # texts and paths, as they are
    train = encode_raw(data["train"], {"text": HashTextEncoder().spec(), "image": ...})
    model = SDML().fit(train)
    with index_dataset(model, data, "photos", model_folder="model") as collection:
        hits = collection.search(query_vector(model, text="a dog in the snow"))
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commonspace.checks import as_ids, check_finite, check_range
from commonspace.data import Dataset, Labels, Modality, Splits, read_folder
from commonspace.data.folder import FORMAT_VERSION as DATASET_VERSION
from commonspace.data.folder import KIND as DATASET_KIND
from commonspace.data.formats.cells import MEDIA_SUFFIXES
from commonspace.disk import check_file, read_json, sha256_file
from commonspace.encoders import Encoder, encoder_from_spec
from commonspace.errors import CommonspaceError, InputError, NotFoundError, StorageError
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.models import load, read_manifest
from commonspace.types import AnyArray, Float32Array, JsonDict

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_LEARN_CODES_FROM = 20_000  # rows of all modalities together
_BLOCK = 1 << 24  # bytes read at once where a whole array is digested
_RAW_DATA = "Import the data set again."


def encode_raw(data: Dataset, encoders: Mapping[str, JsonDict | None]) -> Dataset:
    """Turn texts and pictures into features; modalities that hold features stay as they are.

    Args:
        data: Some of its modalities may hold raw items: texts, paths, or arrays of pixels.
        encoders: The encoder of each raw modality, as `Encoder.spec` writes it. Others are ignored.

    Returns:
        The same rows; the modalities remember their encoders.

    Raises:
        InputError: A modality holds raw items and ``encoders`` does not name it, or an item is
            not what its encoder reads.
    """
    parts = {name: _features(name, part, encoders) for name, part in data.items()}
    return Dataset(parts, data.classes)


def model_inputs(model: Any, data: Dataset) -> Dataset:
    """Return the modalities that a model knows, raw items encoded as they were for training.

    Raises:
        InputError: Model and data share no modality, or raw items have no recorded encoder.
    """
    return encode_raw(data.select(_shared(model, data.modalities)), model.encoders_)


def encode_dataset(model: Any, splits: Splits) -> Splits:
    """Bring a whole data set into the common space of a model.

    Args:
        model: A fitted method.
        splits: Features or raw items of some of its modalities; others are left out.

    Returns:
        Splits of the same rows, labels and ids, whose features are vectors of shape (n, dim).

    Raises:
        InputError: Model and data share no modality, or the features do not fit.
    """
    shared = _shared(model, splits.modalities)
    origin = {"kind": "commonspace-model", "method": type(model).__name__}
    origin["space"] = model.space_.fingerprint
    parts = {}
    for split, data in splits.items():
        names = [name for name in shared if name in data]
        inputs = encode_raw(data.select(names), model.encoders_)
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
    index: str | None = None,
    bits: int | None = None,
    memory: int | None = None,
    recall: float | None = None,
) -> Collection:
    """Add every item of a data set to a collection, in batches that survive a crash.

    Called again with the same data and model it continues after the last committed batch, so that
    a run that was killed loses nothing that was acknowledged. Items of other data with the same id
    and modality are replaced, as `Collection.add` does.

    The payload of an item holds "split"; "classes", a list of names, where its labels are known;
    and "text" or "path" where the data set holds that raw item itself, or one paired with it.

    Args:
        model: A fitted method.
        splits: Features or raw items of some of its modalities; others are left out.
        folder: A collection of the model's space, or a folder for a new one.
        model_folder: Where the model is stored, so that `model_of` finds it later.
        batch: Items a transaction.
        progress: Called with the rows done and their total, at first and after every batch.
        index: Kind of the search index, see `Collection.create`; None leaves the one there is, or
            "auto". "codes" and "codes4" learn their codebooks here, from the training split and its
            labels.
        bits: Of a code, where the index has codes.
        memory: Bytes that an "auto" index may take.
        recall: Share of true neighbours that the index is tuned to find.

    Returns:
        The collection, open for writing. Its metadata holds "model" and "indexed".

    Raises:
        InputError: Nothing in common, an id stands in two splits, or the collection holds vectors
            that another model made of a modality, or this one before it learned more.
        SpaceMismatchError: The collection is of another space.
        StorageError: Another process writes to the collection, or the disk refuses.
    """
    check_range("batch", batch, low=1, integer=True)
    shared = _shared(model, splits.modalities)
    _check_distinct(splits, shared)
    collection = _open_or_create(Path(folder), model.space_)
    try:
        _record_model(collection, model, shared, model_folder)
        _add_parts(collection, model, splits, shared, batch, progress or (lambda done, total: None))
        if index is not None or memory is not None or recall is not None or bits is not None:
            collection.set_index(
                index or "auto",
                memory=memory,
                recall=recall,
                **_codes(model, splits, shared, index, bits),
            )
    except BaseException:
        collection.close()
        raise
    return collection


def model_of(collection: Collection, *, model_folder: str | Path | None = None) -> Any:
    """Load the model behind a collection; it logs a warning where it has changed since.

    Args:
        collection: As `index_dataset` made it.
        model_folder: Where the model is; None looks where the collection says, first relative to
            it (both may have moved together), then at the absolute path.

    Raises:
        NotFoundError: There is no model at any of these places.
        SpaceMismatchError: The model is of another space.
    """
    if model_folder is not None:
        model = load(model_folder)
    else:
        model = load(_model_folder(collection))
    collection.space.check_same(model.space_, where=f"collection {collection.folder}")
    if _has_learned_since(collection, model):
        logger.warning(
            "%s: this model has learned since the vectors were made, which changes them: results "
            "are less good than they could be. Index into a new folder.",
            collection.folder,
        )
    return model


def query_vector(
    model: Any,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    features: Any = None,
    modality: str | None = None,
) -> Float32Array:
    """Bring one query, or several rows of features, into the common space.

    Args:
        model: A fitted method.
        text: A text, encoded as the model's training texts were.
        image: Path of a picture, encoded likewise.
        features: Instead of these: features of ``modality``, shape (n, n_features) or
            (n_features,).
        modality: Which modality the query is of; None takes the only one that reads such items.

    Returns:
        Shape (n, dim), float32.

    Raises:
        InputError: Not exactly one query; no modality, or several, read such items; or the model
            does not know how this modality's features were made.

    Example:
        >>> from commonspace import SDML
        >>> from commonspace.encoders import HashTextEncoder
        >>> raw = Dataset.from_arrays({"text": np.array(["dog", "cat"])}, labels=["a", "b"])
        >>> data = encode_raw(raw, {"text": HashTextEncoder(dim=64).spec()})
        >>> model = SDML(dim=4, hidden=(8,), epochs=1, validation_fraction=0).fit(data)
        >>> query_vector(model, text="a dog").shape
        (1, 4)
    """
    given = {"text": text, "image": image, "features": features}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise InputError(f"query: expected one of text, image or features, got {got}.")
    if text is not None or image is not None:
        kind: Literal["text", "image"] = "text" if text is not None else "image"
        modality, encoder = _encoder_for(model, kind, modality)
        return _vectors(model, modality, encoder.encode([text if kind == "text" else image]))
    if modality is None:
        raise InputError(f"query: name the modality of the features: {_listed(model.modalities)}.")
    return _vectors(model, modality, np.atleast_2d(np.asarray(features)))


def item_vector(collection: Collection, item: str, modality: str | None = None) -> Float32Array:
    """Return the stored vector of an item, shape (1, dim), to search for its like.

    Args:
        collection: Where the item is.
        item: Its id.
        modality: None takes the only modality that has the id.

    Raises:
        NotFoundError: There is no such item.
        InputError: Several modalities have it.
    """
    if modality is not None:
        return collection.vectors([item], modality)
    found = {}
    for name in collection.modalities:
        try:
            found[name] = collection.vectors([item], name)
        except NotFoundError:
            continue
    if not found:
        raise NotFoundError(f"{collection.folder}: no item {item!r} in any modality.")
    if len(found) > 1:
        raise InputError(
            f"item {item!r}: several modalities have it: {_listed([*found])}. Name one."
        )
    return next(iter(found.values()))


def modality_digests(folder: str | Path) -> dict[str, str]:
    """Return the SHA-256 of each modality's file of a stored model, read from the files."""
    entries = read_manifest(folder)["modalities"]
    return {name: sha256_file(Path(folder) / entry["file"]) for name, entry in entries.items()}


def check_dataset(folder: str | Path) -> list[str]:
    """Look for everything that can be wrong with a data set folder.

    Compares every file with its SHA-256, and checks shapes, labels, ids, and that numbers are
    finite.

    Returns:
        One sentence a problem; none if all is well.

    Raises:
        NotFoundError: The folder is not a data set.
    """
    folder = Path(folder)
    problems: list[str] = []
    try:
        manifest = read_json(
            folder / "dataset.json", kind=DATASET_KIND, max_version=DATASET_VERSION
        )
        problems += _damaged_files(folder, manifest)
        splits = read_folder(folder)
    except StorageError as error:
        return list(dict.fromkeys([*problems, str(error)]))
    for split, data in splits.items():
        for name, part in data.items():
            problems += _wrong_content(f"{split}/{name}", part)
    return problems


def _damaged_files(folder: Path, manifest: JsonDict) -> Iterator[str]:
    try:
        modalities = [entry for split in manifest["splits"].values() for entry in split.values()]
        files = [file for entry in modalities for file in entry["files"].values()]
        named = [(folder / file["path"], str(file["sha256"])) for file in files]
    except (KeyError, TypeError, AttributeError):
        return  # reading the folder says what its manifest lacks
    for path, digest in named:
        try:
            check_file(path, digest, restore=_RAW_DATA)
        except StorageError as error:
            yield str(error)


def _wrong_content(where: str, part: Modality) -> Iterator[str]:
    checks: list[Callable[[], Any]] = [lambda: as_ids(part.items, where=f"items of {where}")]
    if part.x.ndim == 2 and part.x.dtype.kind == "f":
        checks.append(lambda: check_finite(part.x, where=where))
    for check in checks:
        try:
            check()
        except InputError as error:
            yield str(error)


def _shared(model: Any, modalities: Sequence[str]) -> list[str]:
    shared = [name for name in modalities if name in model.modalities]
    if not shared:
        raise InputError(
            f"the data has modalities {_listed(modalities)}, the model "
            f"{_listed(model.modalities)}: none in common. Name them alike, or add one with "
            "fit_modality."
        )
    return shared


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _is_raw(x: AnyArray) -> bool:
    return x.ndim != 2 or x.dtype.kind not in "fiub"


def _features(name: str, part: Modality, encoders: Mapping[str, JsonDict | None]) -> Modality:
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
    return replace(part, x=encoder_from_spec(spec).encode(items), encoder=dict(spec))


def _vectors(model: Any, modality: str, x: AnyArray) -> Float32Array:
    vectors: Float32Array = model.transform(modality, x)
    return vectors


def _encoder_for(
    model: Any, kind: Literal["text", "image"], modality: str | None
) -> tuple[str, Encoder]:
    """Return the modality to read a raw query as, and its encoder."""
    if modality is not None:
        model.n_features(modality)
        spec = model.encoders_.get(modality)
        if spec is None:
            raise InputError(
                f"modality {modality!r}: the model does not know which encoder made its features. "
                "Encode the query with it yourself and pass the features (--vector)."
            )
        encoder = encoder_from_spec(spec)
        if encoder.modality_kind != kind:
            raise InputError(
                f"modality {modality!r}: its encoder {encoder.id} reads {encoder.modality_kind}, "
                f"not {kind}."
            )
        return modality, encoder
    readers = _readers(model)
    fitting = [name for name, encoder in readers.items() if encoder.modality_kind == kind]
    if len(fitting) == 1:
        return fitting[0], readers[fitting[0]]
    if fitting:
        raise InputError(f"{kind}: several modalities read it: {_listed(fitting)}. Name one.")
    raise InputError(
        f"{kind}: no modality of this model ({_listed(model.modalities)}) has an encoder on record "
        f"that reads {kind}. Encode the query yourself and pass the features (--vector)."
    )


def _readers(model: Any) -> dict[str, Encoder]:
    readers = {}
    for name, spec in model.encoders_.items():
        try:
            if spec is not None:
                readers[name] = encoder_from_spec(spec)
        except CommonspaceError:
            continue  # made by an encoder of somebody else's, or of another version
    return readers


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


def _open_or_create(folder: Path, space: Space) -> Collection:
    try:
        collection = Collection.open(folder)
    except NotFoundError:
        return Collection.create(folder, space=space)
    try:
        collection.space.check_same(space, where=f"collection {folder}")
    except BaseException:
        collection.close()
        raise
    return collection


def _codes(
    model: Any, splits: Splits, shared: Sequence[str], index: str | None, bits: int | None
) -> JsonDict:
    """Options of a kind that has codes, with a quantizer learned from labelled vectors."""
    if index not in ("codes", "codes4"):
        return {} if bits is None else {"bits": bits}
    split = splits["train"] if "train" in splits else next(iter(splits.values()))
    names = [name for name in shared if name in split]
    parts = encode_raw(split.select(names), model.encoders_)
    each = max(1, _LEARN_CODES_FROM // max(1, len(names)))
    vectors, labels = [], []
    for name, part in parts.items():
        rows = np.random.default_rng(0).permutation(len(part))[:each]
        taken = part.take(np.sort(rows))
        vectors.append(_vectors(model, name, taken.x))
        labels.append(taken.labels.dense())
    quantizer = Quantizer(bits or 32, 8 if index == "codes" else 4)
    return {"quantizer": quantizer.fit(_unit(np.concatenate(vectors)), np.concatenate(labels))}


def _unit(x: AnyArray) -> AnyArray:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1))


def _record_model(
    collection: Collection, model: Any, shared: Sequence[str], model_folder: str | Path | None
) -> None:
    """Store who makes the vectors, unless somebody else made those that are there."""
    digests = _model_digests(model, shared)
    known = _digests_on_record(collection)
    if _has_learned_since(collection, model):
        raise InputError(
            f"{collection.folder}: this model has learned since its vectors were made, which "
            f"changes them all (keeps_vectors of {type(model).__name__} is False). Index into a "
            "new folder, with the items of every modality."
        )
    for name in shared:
        if known.get(name, digests[name]) != digests[name]:
            raise InputError(
                f"{collection.folder}: its vectors of modality {name!r} were made by another model "
                "of the same space. Index into a new folder, or use the model they were made by."
            )
    record: JsonDict = {
        "method": type(model).__name__,
        "space": model.space_.fingerprint,
        "modalities": {**known, **digests},
    }
    if model_folder is not None:
        path = Path(model_folder).resolve()
        record["path"] = str(path)
        record["relative"] = os.path.relpath(path, collection.folder.resolve())
    collection.set_metadata("model", {**collection.metadata.get("model", {}), **record})


def _digests_on_record(collection: Collection) -> dict[str, str]:
    digests: dict[str, str] = collection.metadata.get("model", {}).get("modalities", {})
    return digests


def _has_learned_since(collection: Collection, model: Any) -> bool:
    """Whether a model whose vectors change as it learns is not as it was when they were made."""
    if model.keeps_vectors:
        return False
    known = _digests_on_record(collection)
    now = _model_digests(model, [name for name in known if name in model.modalities])
    return any(known[name] != digest for name, digest in now.items())


def _model_digests(model: Any, names: Sequence[str]) -> dict[str, str]:
    """Digest of what makes the vectors of each modality."""
    state = model.state()
    digests = {}
    for name in names:
        arrays = {**state.shared, **state.parts[name].arrays}
        hasher = hashlib.sha256()
        for key in sorted(arrays):
            hasher.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape} ".encode())
            hasher.update(np.ascontiguousarray(arrays[key]).tobytes())
        digests[name] = hasher.hexdigest()
    return digests


def _model_folder(collection: Collection) -> Path:
    record: JsonDict = collection.metadata.get("model", {})
    places: list[Path] = []
    if "relative" in record:
        places.append((collection.folder / record["relative"]).resolve())
    if "path" in record:
        places.append(Path(record["path"]))
    for place in places:
        if (place / "model.json").is_file():
            return place
    looked = f" There is none at {places[-1]}." if places else ""
    raise NotFoundError(
        f"{collection.folder} does not say where its model is.{looked} Name the model's folder "
        "(--model)."
    )


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
) -> None:
    indexed: JsonDict = collection.metadata.get("indexed", {})
    parts = list(_parts(splits, shared, indexed))
    total = sum(len(part.rows) for part in parts)
    done = sum(part.done for part in parts)
    progress(done, total)
    for part in parts:
        companions = _raw_items(splits[part.split], first=part.name)
        for start in range(part.done, len(part.rows), batch):
            rows = part.rows.take(np.arange(start, min(start + batch, len(part.rows))))
            inputs = _features(part.name, rows, model.encoders_)
            vectors = model.transform(part.name, inputs.x)
            payloads = _payloads(rows, part.split, companions)
            collection.add(rows.items, vectors, modality=part.name, payloads=payloads)
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
    """SHA-256 of the rows of a modality, a memory map read by blocks."""
    hasher = hashlib.sha256(f"{part.x.shape} {part.x.dtype.str} {part.encoder}".encode())
    step = max(1, _BLOCK // max(1, part.x[:1].nbytes))
    for start in range(0, len(part.x), step):
        hasher.update(np.ascontiguousarray(part.x[start : start + step]).tobytes())
    hasher.update("\0".join([*part.labels.classes, "", *part.items.tolist()]).encode())
    for array in part.labels.arrays().values():
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def _raw_items(data: Dataset, *, first: str) -> list[tuple[str, dict[str, str]]]:
    """Texts and paths by item id, each with the payload field it goes to, the own ones first."""
    names = [first, *(name for name in data if name != first)]
    found = []
    for name in names:
        x = data[name].x
        if x.dtype.kind == "U" and x.ndim == 1 and len(x):
            is_path = Path(str(x[0])).suffix.lower() in MEDIA_SUFFIXES
            by_item = dict(zip(data[name].items.tolist(), x.tolist(), strict=True))
            found.append(("path" if is_path else "text", by_item))
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
