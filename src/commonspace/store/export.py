"""Models as ONNX: one file a modality, that runs without this library and without torch.

Layout::

    export.json            method, space, classes, modalities with their files, SHA-256
    image.onnx             features (n, n_features) → vectors (n, dim), n is free

A file holds what `transform` does to one modality, scaling included. How raw items become features
is not in it: its metadata name the encoder. Every file is run once and held against `transform`.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from commonspace.disk import atomic_file, read_json, safe_name, sha256_bytes, write_json
from commonspace.errors import InputError, MissingExtraError
from commonspace.types import JsonDict

if TYPE_CHECKING:
    from torch import nn

    from commonspace.methods.base import Method

KIND = "commonspace-export"
FORMAT_VERSION = 1
INPUT, OUTPUT = "features", "vectors"
TOLERANCE = 1e-4  # of a difference from transform, for vectors whose largest value is 1
_ROWS = 8  # that a file is tried on


def export_onnx(
    model: Method, folder: str | Path, *, modalities: Sequence[str] | None = None
) -> JsonDict:
    """Write each modality's network as ONNX, and a manifest.

    Args:
        model: A fitted method.
        folder: Where to; made if absent. An earlier export there is replaced.
        modalities: Which; None is all.

    Returns:
        The manifest.

    Raises:
        InputError: The folder holds something else.
        MissingExtraError: The packages of the extra "onnx" are not installed.
        NotFoundError: No such modality.
        UnsupportedError: The method cannot be exported.
        StorageError: The disk refuses.
    """
    folder = Path(folder)
    _check_target(folder)
    names = model.modalities if modalities is None else tuple(modalities)
    modules = {name: model.module(name) for name in names}
    entries = {}
    for name, module in modules.items():
        content = to_onnx(module, model.n_features(name), _metadata(model, name))
        difference = _check_equal(model, name, content)
        path = folder / f"{safe_name(name)}.onnx"
        with atomic_file(path) as file:
            file.write(content)
        entries[name] = {
            "file": path.name,
            "sha256": sha256_bytes(content),
            "n_features": model.n_features(name),
            "encoder": model.encoders_.get(name),
            "largest_difference": difference,
        }
    manifest = _manifest(model, entries)
    write_json(folder / "export.json", manifest)
    return manifest


def to_onnx(module: nn.Module, n_features: int, properties: dict[str, str]) -> bytes:
    """Return a module as an ONNX file, from rows of any number to what it makes of them.

    Args:
        module: Takes a float32 batch of shape (n, n_features).
        n_features: Width of the input.
        properties: Texts to keep in the file.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch needs it, and says so badly
        import torch
    except ImportError as error:
        raise MissingExtraError("export to ONNX", str(error.name), "onnx") from error

    with _quiet():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, n_features),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, properties)
    proto.producer_name = "commonspace"
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def read_export(folder: str | Path) -> JsonDict:
    """Read and check the manifest of an export.

    Raises:
        NotFoundError: The folder holds none.
        StorageError: It is damaged or of a newer format.
    """
    return read_json(Path(folder) / "export.json", kind=KIND, max_version=FORMAT_VERSION)


def _manifest(model: Method, entries: JsonDict) -> JsonDict:
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "library_version": metadata.version("commonspace"),
        "format": "onnx",
        "method": type(model).__name__,
        "space": model.space_.fingerprint,
        "dim": model.space_.dim,
        "classes": list(model.space_.classes),
        "input": INPUT,
        "output": OUTPUT,
        "modalities": entries,
    }


def _metadata(model: Method, modality: str) -> dict[str, str]:
    told = {
        "library_version": metadata.version("commonspace"),
        "method": type(model).__name__,
        "modality": modality,
        "space": model.space_.fingerprint,
        "encoder": json.dumps(model.encoders_.get(modality)),
        "classes": json.dumps(list(model.space_.classes)),
    }
    return {f"commonspace.{key}": value for key, value in told.items()}


def _check_equal(model: Method, modality: str, content: bytes) -> float:
    """Largest difference between what the file and the model say, relative to the largest value."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("export to ONNX", "onnxruntime", "onnx") from error

    rng = np.random.default_rng(0)
    # Small whole numbers are features to some methods, pixels to others.
    x = rng.integers(0, 4, (_ROWS, model.n_features(modality)), dtype=np.uint8)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected = model.transform(modality, x)
    found: Any = session.run(None, {INPUT: x.astype(np.float32)})[0]
    difference = float(np.abs(found - expected).max(initial=0))
    relative = difference / max(1.0, float(np.abs(expected).max(initial=0)))
    if not relative <= TOLERANCE:
        raise RuntimeError(
            f"modality {modality!r}: the ONNX file differs from transform by {relative:.2g}, more "
            f"than {TOLERANCE:g}. It was not written."
        )
    return relative


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Name a folder for the export.")
    if (folder / "export.json").exists():
        read_export(folder)  # what is of another kind, damaged or newer is not ours to replace
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} is not empty and holds no export. Name a new folder, or an earlier export's."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about itself, such as packages it does not need, from view."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
