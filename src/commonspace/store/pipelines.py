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
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import as_ids, check_finite, check_range
from commonspace.data import Dataset, Labels, Modality, Splits, read_folder
from commonspace.data.folder import FORMAT_VERSION as DATASET_VERSION
from commonspace.data.folder import KIND as DATASET_KIND
from commonspace.disk import check_file, read_json, sha256_file
from commonspace.encoders import (
    Encoder,
    EncodeRun,
    encoder_class,
    kept_encoder,
)
from commonspace.errors import CommonspaceError, InputError, NotFoundError, StorageError
from commonspace.media import MediaKind
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.milvus import is_address
from commonspace.store.models import load, read_manifest
from commonspace.store.raw import (
    check_encoder,
    encode_part,
    encode_raw,
    is_path,
    listed,
    model_inputs,
    raw_encoders,
    shared_modalities,
)
from commonspace.store.versions import model_digests
from commonspace.types import AnyArray, Float32Array, JsonDict

__all__ = [
    "Progress",
    "check_dataset",
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

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_LEARN_CODES_FROM = 20_000  # rows of all modalities together
_BLOCK = 1 << 24  # bytes read at once where a whole array is digested
_RAW_DATA = "Import the data set again."


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
        model_folder: Where the model is stored, so that `model_of` finds it later.
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
        _record_model(collection, model, shared, model_folder)
        tell = progress or (lambda done, total: None)
        _add_parts(collection, model, splits, shared, batch, tell, run)
        if index is not None or memory is not None or recall is not None or bits is not None:
            collection.set_index(
                index or "auto",
                memory=memory,
                recall=recall,
                **_codes(collection, model, splits, shared, index, bits, run),
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
    collection.space.check_same(model.space_, where=f"collection {collection.place}")
    if _has_learned_since(collection, model):
        logger.warning(
            "%s: this model has learned since the vectors were made, which changes them: results "
            "are less good than they could be. Index into a new folder.",
            collection.place,
        )
    return model


def query_vector(
    model: Any,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    audio: str | Path | None = None,
    video: str | Path | None = None,
    mesh: str | Path | None = None,
    features: Any = None,
    modality: str | None = None,
) -> Float32Array:
    """Bring one query, or several rows of features, into the common space.

    Args:
        model: A fitted method.
        text: A text, encoded as the model's training texts were.
        image: Path of a picture, encoded likewise.
        audio: Path of a sound.
        video: Path of a film.
        mesh: Path of a 3D model.
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
    raw: dict[MediaKind, Any] = {
        "text": text,
        "image": image,
        "audio": audio,
        "video": video,
        "mesh": mesh,
    }
    named = [kind for kind, value in raw.items() if value is not None]
    if len(named) + (features is not None) != 1:
        got = " and ".join([*named, *(["features"] if features is not None else [])]) or "none"
        raise InputError(f"query: expected one of {', '.join(raw)} or features, got {got}.")
    if named:
        modality, encoder = _encoder_for(model, named[0], modality)
        return _vectors(model, modality, encoder.encode([raw[named[0]]]))
    if modality is None:
        raise InputError(f"query: name the modality of the features: {listed(model.modalities)}.")
    return _vectors(model, modality, np.atleast_2d(np.asarray(features)))


def query_modality(model: Any, raw: Mapping[Any, Any], modality: str | None = None) -> str | None:
    """Return which modality `query_vector` reads a query as; None where nothing says.

    Args:
        model: A fitted method.
        raw: Raw queries by kind, of which one is given, or none.
        modality: What the caller says.
    """
    named = [kind for kind, value in raw.items() if value is not None]
    if modality is not None or not named:
        return modality
    return _encoder_for(model, named[0], None)[0]


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
    return collection.vectors([item], modality or item_modality(collection, item))


def item_modality(collection: Collection, item: str) -> str:
    """Return the only modality that has an id.

    Raises:
        NotFoundError: There is no such item.
        InputError: Several modalities have it.
    """
    found = [name for name in collection.modalities if _has(collection, item, name)]
    if not found:
        raise NotFoundError(f"{collection.place}: no item {item!r} in any modality.")
    if len(found) > 1:
        raise InputError(f"item {item!r}: several modalities have it: {listed(found)}. Name one.")
    return found[0]


def _has(collection: Collection, item: str, modality: str) -> bool:
    try:
        return bool(len(collection.payloads([item], modality)))
    except NotFoundError:
        return False


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


def _vectors(model: Any, modality: str, x: AnyArray) -> Float32Array:
    vectors: Float32Array = model.transform(modality, x)
    return vectors


def _encoder_for(model: Any, kind: MediaKind, modality: str | None) -> tuple[str, Encoder]:
    """Return the modality to read a raw query as, and its encoder."""
    if modality is not None:
        model.n_features(modality)
        spec = model.encoders_.get(modality)
        if spec is None:
            raise InputError(
                f"modality {modality!r}: the model does not know which encoder made its features. "
                "Encode the query with it yourself and pass the features (--vector)."
            )
        encoder = kept_encoder(spec)
        if encoder.modality_kind != kind:
            raise InputError(
                f"modality {modality!r}: its encoder {encoder.id} reads {encoder.modality_kind}, "
                f"not {kind}."
            )
        return modality, encoder
    fitting = _readers(model, kind)
    if len(fitting) == 1:
        name, spec = next(iter(fitting.items()))
        return name, kept_encoder(spec)
    if fitting:
        raise InputError(f"{kind}: several modalities read it: {listed([*fitting])}. Name one.")
    raise InputError(
        f"{kind}: no modality of this model ({listed(model.modalities)}) has an encoder on record "
        f"that reads {kind}. Encode the query yourself and pass the features (--vector)."
    )


def _readers(model: Any, kind: MediaKind) -> dict[str, JsonDict]:
    """Encoders on record that read such items, by modality."""
    found: dict[str, JsonDict] = {}
    for name, spec in model.encoders_.items():
        try:
            if spec is not None and encoder_class(spec.get("kind")).modality_kind == kind:
                found[name] = spec
        except CommonspaceError:
            continue  # an encoder of somebody else's that is not installed
    return found


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
        collection.space.check_same(space, where=f"collection {folder}")
    except BaseException:
        collection.close()
        raise
    return collection


def _codes(
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
        out[name] = _unit(_vectors(model, name, taken.x)), taken.labels.dense()
    return out


def _unit(x: AnyArray) -> AnyArray:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1))


def _record_model(
    collection: Collection, model: Any, shared: Sequence[str], model_folder: str | Path | None
) -> None:
    """Store who makes the vectors, unless they do not go with those that are there."""
    digests = model_digests(model, shared)
    known = _digests_on_record(collection)
    if _has_learned_since(collection, model):
        raise InputError(
            f"{collection.place}: this model has learned since its vectors were made, which "
            f"changes them all (keeps_vectors of {type(model).__name__} is False). Index into a "
            "new folder, with the items of every modality."
        )
    record: JsonDict = {
        "method": type(model).__name__,
        "space": model.space_.fingerprint,
        "modalities": {**known, **digests},
    }
    if model_folder is not None:
        path = Path(model_folder).resolve()
        record["path"] = str(path)
        if not is_address(collection.place):
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
    now = model_digests(model, [name for name in known if name in model.modalities])
    return any(known[name] != digest for name, digest in now.items())


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
        f"{collection.place} does not say where its model is.{looked} Name the model's folder "
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
