"""Models as folders: a manifest, and one safetensors file a modality.

Layout::

    model.json                       method, arguments, space, modalities, data, scores, SHA-256
    space.safetensors                the basis of the space
    modality-image-1f3a9c04.safetensors   what one modality learned; the name carries its digest
    shared-....safetensors           what belongs to no modality, if anything

A file is written once and never changed: adding a modality writes new files and then, atomically, a
new manifest. Reading checks every SHA-256 and executes nothing.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import not_found
from commonspace.disk import (
    atomic_file,
    check_file,
    read_json,
    safe_name,
    sha256_bytes,
    write_json,
)
from commonspace.errors import CommonspaceError, InputError, StorageError
from commonspace.space import Space
from commonspace.types import AnyArray, JsonDict

KIND = "commonspace-model"
FORMAT_VERSION = 1
_KEYS = ("method", "params", "space", "modalities", "info", "training")
_OURS = re.compile(r"(space|shared|modality-.*)-[0-9a-f]{8}\.safetensors")
_RESTORE = "Restore it from a copy, or train again."


def save(
    model: Any, folder: str | Path, *, scores: JsonDict | None = None, replace: bool = False
) -> None:
    """Write a fitted method to a folder, atomically.

    A folder that holds an older state of the model is brought up to date: files whose content has
    not changed keep their bytes, and files no longer named are removed last.

    Args:
        model: A fitted method.
        folder: Where to; made if absent.
        scores: Figures to keep in the manifest, such as `Report.to_dict`.
        replace: Let a modality go that the folder has and this model lacks.

    Raises:
        InputError: This is no method, the folder holds something else, or a modality that this
            model lacks (another process may have added it), or ``scores`` are no JSON.
        StorageError: The disk refuses, or a ``model.json`` there is of another kind, damaged or of
            a newer format; what stood there before is still whole.
    """
    _check_method(model)
    folder = Path(folder)
    _check_target(folder)
    state = model.state()
    if not replace:
        _check_keeps(folder, set(state.parts))
    space = _write(folder, "space", {"basis": model.space_.basis})
    modalities = {
        name: {
            "n_features": model.inputs_[name],
            "encoder": model.encoders_.get(name),
            "info": part.info,
            "history": model.history_.get(name, []),
            **_write(folder, f"modality-{name}", part.arrays),
        }
        for name, part in state.parts.items()
    }
    manifest: JsonDict = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "library_version": metadata.version("commonspace"),
        "method": type(model).__name__,
        "params": {k: _plain(v) for k, v in model.get_params(deep=False).items()},
        "space": {**model.space_.manifest(), **space},
        "modalities": modalities,
        "info": state.info,
        "training": model.training_,
        "scores": scores or {},
    }
    if state.shared:
        manifest["shared"] = _write(folder, "shared", state.shared)
    write_json(folder / "model.json", manifest)
    _remove_unnamed(folder, manifest)


def load(folder: str | Path) -> Any:
    """Read a model that `save` wrote: it answers as before, to the bit.

    Raises:
        NotFoundError: The folder holds no model.
        StorageError: A file is damaged or missing (the message names it), or of a newer format.
    """
    from commonspace import methods

    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest["method"] not in methods.__all__:
        raise not_found("method", manifest["method"], methods.__all__)
    try:
        return _rebuild(folder, manifest)
    except CommonspaceError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0] if str(error) else ""
        raise StorageError(
            f"{folder / 'model.json'} is damaged or of another version "
            f"({type(error).__name__}: {what}). {_RESTORE}"
        ) from error


def _rebuild(folder: Path, manifest: JsonDict) -> Any:
    from commonspace import methods
    from commonspace.methods.base import Method, MethodState, PartState

    basis = _read(folder, manifest["space"])["basis"]
    space = Space.from_manifest(manifest["space"], basis)
    parts = {
        name: PartState(_read(folder, entry), entry["info"])
        for name, entry in manifest["modalities"].items()
    }
    shared = _read(folder, manifest["shared"]) if "shared" in manifest else {}
    params = {k: _unplain(v, space) for k, v in manifest["params"].items()}
    model: Method = getattr(methods, manifest["method"])(**params)
    entries = manifest["modalities"]
    meta = {
        "inputs": {name: entry["n_features"] for name, entry in entries.items()},
        "encoders": {name: entry["encoder"] for name, entry in entries.items()},
        "history": {name: entry["history"] for name, entry in entries.items() if entry["history"]},
        "training": manifest["training"],
    }
    return model.restore(MethodState(parts, shared, manifest["info"]), space=space, meta=meta)


def read_manifest(folder: str | Path) -> JsonDict:
    """Read and check the manifest alone: what the model is, without its weights."""
    path = Path(folder) / "model.json"
    manifest = read_json(path, kind=KIND, max_version=FORMAT_VERSION)
    missing = [key for key in _KEYS if key not in manifest]
    if missing:
        raise StorageError(f"{path} is damaged: it lacks {missing[0]!r}. {_RESTORE}")
    return manifest


def _check_keeps(folder: Path, ours: set[str]) -> None:
    if not (folder / "model.json").exists():
        return
    lost = [name for name in read_manifest(folder)["modalities"] if name not in ours]
    if lost:
        raise InputError(
            f"{folder} holds modality {lost[0]!r}, which this model lacks: it may have been added "
            "meanwhile. Load the folder again and add to that, save elsewhere, or replace it."
        )


def _check_method(model: Any) -> None:
    from commonspace.methods.base import Method

    if not isinstance(model, Method):
        raise InputError(
            "save: expected a fitted method, such as SDML().fit(data), then a folder; "
            f"got {type(model).__name__}."
        )


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Name a folder for the model.")
    if (folder / "model.json").exists():
        read_manifest(folder)  # what is of another kind, damaged or newer is not ours to replace
    elif folder.exists() and any(p for p in folder.iterdir() if not p.name.startswith(".")):
        raise InputError(
            f"{folder} is not empty and holds no model. Name a new folder, or an earlier model's."
        )


def _write(folder: Path, stem: str, arrays: dict[str, AnyArray]) -> JsonDict:
    """Write arrays to a file named after their digest, unless it is there already."""
    from safetensors.numpy import save as to_bytes

    content = to_bytes({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    digest = sha256_bytes(content)
    path = folder / f"{safe_name(stem)}-{digest[:8]}.safetensors"
    if not (path.exists() and sha256_bytes(path.read_bytes()) == digest):
        with atomic_file(path) as file:
            file.write(content)
    return {"file": path.name, "sha256": digest}


def _read(folder: Path, entry: JsonDict) -> dict[str, AnyArray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / Path(entry["file"]).name
    check_file(path, entry["sha256"], restore=_RESTORE)
    try:
        arrays: dict[str, AnyArray] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise StorageError(f"{path} is damaged: {error}. {_RESTORE}") from error
    return arrays


def _remove_unnamed(folder: Path, manifest: JsonDict) -> None:
    entries = [manifest["space"], manifest.get("shared", {}), *manifest["modalities"].values()]
    named = {entry.get("file") for entry in entries}
    for path in folder.glob("*.safetensors"):
        if path.name not in named and _OURS.fullmatch(path.name):
            path.unlink()


def _plain(value: Any) -> Any:
    if isinstance(value, Space):
        return {"$space": value.fingerprint}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _unplain(value: Any, space: Space) -> Any:
    if isinstance(value, dict) and "$space" in value:
        return space
    return tuple(value) if isinstance(value, list) else value
