"""A folder of files as a data set: classes are folders, modalities are types of files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from commonspace.data.assemble import USUAL_SPLITS, Rows, class_order, make_splits, split_name
from commonspace.data.folder import Splits
from commonspace.data.labels import Labels
from commonspace.errors import InputError, NotFoundError
from commonspace.media import KIND_OF_SUFFIX, MediaKind, media_kind
from commonspace.types import AnyArray, JsonDict

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 24  # of a text or a vector
_NAMED = 5  # files that a warning names


@dataclass(frozen=True)
class _File:
    path: Path
    kind: MediaKind
    split: str
    group: str | None
    label: str | None
    stem: str  # path in the folder without the suffix
    content: str | AnyArray | None = None


@dataclass
class _Found:
    files: list[_File] = field(default_factory=list)
    skipped: list[JsonDict] = field(default_factory=list)

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append({"item": path, "reason": reason})


def import_folder(path: str | Path, *, name: str | None = None) -> Splits:
    """Read a folder of pictures, sounds, films, 3D models, texts and vectors.

    A file stands at ``[SPLIT/][GROUP/]CLASS/NAME.SUFFIX``, such as ``pictures/cat/1.png`` or
    ``test/cat/1.wav``; right in the folder its class is unknown. SPLIT is train, valid or test, and
    everything is "train" without. The modality is the type of the file: image, audio, video, mesh,
    text (.txt, UTF-8) or vector (.npy, all of one length); where one type stands in several groups,
    each is a modality with the group's name.

    Files of the same name next to each other (``cat/1.png``, ``cat/1.txt``) are one item: a pair.
    Hidden files are passed over. Files of another type, texts that cannot be read and vectors that
    do not fit are left out: a warning is logged, and ``provenance["left_out"]`` names each and why.
    Pictures, sounds, films and 3D models are not opened.

    Args:
        path: The folder.
        name: What to call the data set; None takes the folder's name.

    Raises:
        NotFoundError: No such folder, or nothing in it that can be read.
        InputError: A file stands deeper than that.
    """
    root = Path(path)
    if not root.is_dir():
        raise NotFoundError(f"there is no folder {root}.")
    found = _find(root)
    if not found.files:
        raise NotFoundError(
            f"{root} is no data set: it has no dataset.json, and no file of a known type "
            f"({', '.join(KIND_OF_SUFFIX)})."
        )
    _warn(root, found.skipped)
    provenance: JsonDict = {"imported_from": root.resolve().name}
    if found.skipped:
        provenance["left_out"] = found.skipped
    rows = _rows(found.files)
    return make_splits(
        rows, name=name or root.resolve().name, provenance=provenance, where=str(root)
    )


def _find(root: Path) -> _Found:
    found = _Found()
    width: int | None = None
    for path in _walk(root):
        inside = path.relative_to(root)
        kind = media_kind(path)
        if kind is None:
            found.skip(inside.as_posix(), f"unknown type {path.suffix!r}")
            continue
        file = _placed(root, inside, kind)
        if kind in ("text", "vector"):
            try:
                content = _text(path) if kind == "text" else _vector(path, width)
            except (OSError, ValueError) as error:
                found.skip(inside.as_posix(), str(error))
                continue
            width = len(content) if kind == "vector" else width
            file = _File(**{**vars(file), "content": content})
        found.files.append(file)
    return found


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _placed(root: Path, inside: Path, kind: MediaKind) -> _File:
    folders = list(inside.parts[:-1])
    split = split_name(folders[0]) if folders else ""
    split = split if split in USUAL_SPLITS and folders.pop(0) else "train"
    if len(folders) > 2:
        raise InputError(
            f"{root}: expected files at [SPLIT/][GROUP/]CLASS/NAME, got {inside.as_posix()}. Move "
            "them, or write a table with a column of paths and one of labels."
        )
    label = folders[-1] if folders else None
    group = folders[0] if len(folders) == 2 else None
    stem = inside.with_suffix("").as_posix()
    return _File(root.resolve() / inside, kind, split, group, label, stem)


def _text(path: Path) -> str:
    _check_size(path)
    text = path.read_text(encoding="utf-8-sig").strip()
    if not text or "\0" in text:
        raise ValueError("an empty text, or one with a NUL character")
    return text


def _vector(path: Path, width: int | None) -> AnyArray:
    _check_size(path)
    x: AnyArray = np.load(path, allow_pickle=False)
    if not isinstance(x, np.ndarray) or x.ndim != 1 or x.dtype.kind not in "iuf" or not len(x):
        raise ValueError("expected one vector of numbers")
    if width is not None and len(x) != width:
        raise ValueError(f"expected {width} numbers, as in the first vector, got {len(x)}")
    if not np.isfinite(x).all():
        raise ValueError("numbers that are not finite")
    return x.astype(np.float32)


def _check_size(path: Path) -> None:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")


def _rows(files: list[_File]) -> dict[str, Rows]:
    classes = class_order({file.label for file in files if file.label is not None})
    parts: dict[str, list[_File]] = {}
    names = _modalities(files)
    for file in files:
        parts.setdefault(names[file.kind, file.group], []).append(file)
    return {name: _one_modality(part, classes) for name, part in parts.items()}


def _modalities(files: list[_File]) -> dict[tuple[MediaKind, str | None], str]:
    """Name of the modality of each type and group."""
    pairs = list(dict.fromkeys((file.kind, file.group) for file in files))
    groups = Counter(kind for kind, _ in pairs)
    kinds = Counter(group for _, group in pairs)
    names = {}
    for kind, group in pairs:
        own = group if kinds[group] == 1 else f"{group}-{kind}"
        names[kind, group] = kind if groups[kind] == 1 or group is None else str(own)
    return names


def _one_modality(files: list[_File], classes: tuple[str, ...]) -> Rows:
    contents = [file.content if file.content is not None else str(file.path) for file in files]
    seen = Counter(file.stem for file in files)
    # Two files of one name and type are two items: their suffix tells them apart.
    items = [f.stem + f.path.suffix if seen[f.stem] > 1 else f.stem for f in files]
    labels = Labels.from_any([file.label for file in files], classes=classes)
    return Rows(np.array(contents), labels, np.array(items), np.array([f.split for f in files]))


def _warn(root: Path, skipped: list[JsonDict]) -> None:
    if skipped:
        shown = "; ".join(f"{entry['item']}: {entry['reason']}" for entry in skipped[:_NAMED])
        more = f"; and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
        logger.warning("%s: %d files left out: %s%s", root, len(skipped), shown, more)
