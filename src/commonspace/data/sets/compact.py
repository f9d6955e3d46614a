"""Real labelled feature sets, each in one compact .npz file.

A loader takes the path of the file and the provenance that the catalogue keeps of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from commonspace.checks import as_features
from commonspace.data.assemble import Rows, make_splits
from commonspace.data.dataset import Dataset
from commonspace.data.folder import Splits
from commonspace.data.formats.containers import ArrayFile, open_arrays
from commonspace.data.labels import Labels
from commonspace.types import AnyArray, JsonDict, StrArray

WIKIPEDIA_VALID_ROWS = 231  # Hu et al. 2019, table 1: 2173 / 231 / 462
_DIGITS = ("image_mnist", "pen_strokes", "audio_logmel", "sign_effnet", "word_char")
_EMOJI = {
    "image_twemoji": "image_twemoji_effnet",
    "image_openmoji": "image_openmoji_effnet",
    "text_en": "text_en_minilm",
    **{f"text_{language}": f"text_{language}_char" for language in ("fr", "de", "es", "ru")},
    **{f"text_{language}": f"text_{language}_char" for language in ("ja", "hi")},
}
EMOJI_ALL = tuple(_EMOJI)
EMOJI_FIVE = ("image_twemoji", "text_en", "text_fr", "text_ru", "text_ja")


def load_wikipedia(path: Path, provenance: JsonDict) -> Splits:
    """Load the classic Wikipedia features: 128-d SIFT words and 10-d topics, 2173/231/462."""
    file = open_arrays(path)
    parts = {}
    for split in ("train", "test"):
        parts[split] = Dataset.from_arrays(
            {m: _features(file, f"{m}_{split}") for m in ("image", "text")},
            file[f"label_{split}"],
            classes=_names(file["class_names"]),
            items=file[f"text_id_{split}"].tolist(),
        )
    return wikipedia_splits(parts["train"], parts["test"], provenance)


def wikipedia_splits(train: Dataset, published_test: Dataset, provenance: JsonDict) -> Splits:
    """Take the first 231 rows of the published test part as "valid", the rest as "test"."""
    head, tail = cut(published_test, WIKIPEDIA_VALID_ROWS)
    return Splits({"train": train, "valid": head, "test": tail}, "wikipedia", provenance)


def cut(data: Dataset, rows: int) -> tuple[Dataset, Dataset]:
    """Return the first rows of every modality, and the others."""
    first = {name: np.arange(min(rows, len(part))) for name, part in data.items()}
    others = {name: np.arange(min(rows, len(part)), len(part)) for name, part in data.items()}
    return data.take(first), data.take(others)


def load_ucm_captions(path: Path, provenance: JsonDict) -> Splits:
    """Load UC Merced: three hand-made image views side by side, the first caption's embedding."""
    file = open_arrays(path)
    views = [_features(file, f"image_view{width}") for width in (20, 59, 40)]
    captions = np.asarray(file["caption_minilm"], np.float32)
    x = {"image": np.concatenate(views, axis=1), "text": captions[:, 0]}
    return _paired(file, "ucm_captions", x, "image_name", provenance)


def load_pascal_sentences(path: Path, provenance: JsonDict) -> Splits:
    """Load Pascal Sentences: the captions of five annotators as five text modalities."""
    file = open_arrays(path)
    captions = np.asarray(file["caption_minilm"], np.float32)
    x = {f"text_{k + 1}": np.ascontiguousarray(captions[:, k]) for k in range(5)}
    return _paired(file, "pascal_sentences", x, "image_name", provenance)


def load_mfeat(path: Path, provenance: JsonDict) -> Splits:
    """Load Multiple Features: six views of the same handwritten digits."""
    file = open_arrays(path)
    x = {
        view: _features(file, f"view_{view}") for view in ("fac", "fou", "kar", "mor", "pix", "zer")
    }
    return _paired(file, "mfeat", x, None, provenance, classes=[str(k) for k in range(10)])


def load_digits(path: Path, provenance: JsonDict) -> Splits:
    """Load the digits in five modalities that nothing pairs."""
    return _load_digits(path, provenance, "digits", _DIGITS)


def load_digits_all(path: Path, provenance: JsonDict) -> Splits:
    """Load the digits in six modalities: a second set of images too."""
    return _load_digits(path, provenance, "digits_all", ("image_optical8x8", *_DIGITS))


def _load_digits(path: Path, provenance: JsonDict, name: str, modalities: Sequence[str]) -> Splits:
    file = open_arrays(path)
    classes = _names(file["class_names"])
    rows = {}
    for modality in modalities:
        values = np.asarray(file[modality], np.float32).reshape(len(file[modality]), -1)
        if modality.startswith("image_"):
            values = values / (255.0 if modality == "image_mnist" else 16.0)  # their white
        labels = Labels.from_any(file[f"{modality}_label"], classes=classes)
        ids = np.array([f"{modality}-{row}" for row in range(len(values))], dtype=np.str_)
        x = as_features(values, where=f"{path}, key {modality!r}")
        rows[modality] = Rows(x, labels, ids, _train_test(file[f"{modality}_is_train"]))
    return make_splits(rows, name=name, provenance=provenance, where=str(path))


def load_emoji(path: Path, provenance: JsonDict) -> Splits:
    """Load emoji in five modalities: pictures, English, French, Russian, Japanese; 9 groups."""
    return _load_emoji(path, "emoji", EMOJI_FIVE, provenance)


def load_emoji_all(path: Path, provenance: JsonDict) -> Splits:
    """Load emoji in nine modalities: two picture styles, seven languages; 9 groups."""
    return _load_emoji(path, "emoji_all", EMOJI_ALL, provenance)


def load_emoji_subgroups(path: Path, provenance: JsonDict) -> Splits:
    """Load emoji in five modalities, with the 97 subgroups as classes."""
    return _load_emoji(path, "emoji_subgroups", EMOJI_FIVE, provenance, sub=True)


def _load_emoji(
    path: Path, name: str, modalities: Sequence[str], provenance: JsonDict, *, sub: bool = False
) -> Splits:
    file = open_arrays(path)
    x = {modality: _features(file, _EMOJI[modality]) for modality in modalities}
    label, classes = ("sublabel", "subclass_names") if sub else ("label", "class_names")
    return _paired(file, name, x, "hexcode", provenance, label=label, classes=_names(file[classes]))


def load_emoji_raw(path: Path, provenance: JsonDict) -> Splits:
    """Load emoji as raw items: pictures of 40 pixels and English words; 9 groups."""
    file = open_arrays(path)
    x = {"image": file["image_twemoji"], "text": file["text_en_raw"]}
    return _paired(file, "emoji_raw", x, "hexcode", provenance)


def load_coco_raw(path: Path, provenance: JsonDict) -> Splits:
    """Load 238 COCO photos of 96 pixels with five captions as one text, 80 categories."""
    file = open_arrays(path)
    texts = np.array([" ".join(captions) for captions in file["caption_raw"]], dtype=np.str_)
    x = {"image": file["image_thumb"], "text": texts}
    return _paired(file, "coco_raw", x, "coco_id", provenance, label="label_multihot")


def load_mdi_icons(path: Path, provenance: JsonDict) -> Splits:
    """Load Material Design icons: picture and name, one or more of 56 tags."""
    file = open_arrays(path)
    x = {"image": _features(file, "image_effnet"), "text": _features(file, "text_minilm")}
    names = _names(file["tag_names"])
    return _paired(file, "mdi_icons", x, "name", provenance, label="label_multihot", classes=names)


def load_coco_mini(path: Path, provenance: JsonDict) -> Splits:
    """Load 238 COCO photos with the mean embedding of their five captions, 80 categories."""
    file = open_arrays(path)
    captions = np.asarray(file["caption_minilm"], np.float32)
    x = {"image": _features(file, "image_effnet"), "text": captions.mean(axis=1)}
    return _paired(file, "coco_mini", x, "coco_id", provenance, label="label_multihot")


def _paired(
    file: ArrayFile,
    name: str,
    x: Mapping[str, AnyArray],
    ids: str | None,
    provenance: JsonDict,
    *,
    label: str = "label",
    classes: Sequence[str] | None = None,
) -> Splits:
    names = classes if classes is not None else _names(file["class_names"])
    labels = Labels.from_any(file[label], classes=names, where=f"{file.path}, key {label!r}")
    keys = file[ids].tolist() if ids is not None else range(len(labels))
    items = np.array([str(key) for key in keys], dtype=np.str_)
    splits = _train_test(file["is_train"])
    rows = {modality: Rows(values, labels, items, splits) for modality, values in x.items()}
    return make_splits(rows, name=name, provenance=provenance, where=str(file.path))


def _features(file: ArrayFile, key: str) -> AnyArray:
    return as_features(file[key], where=f"{file.path}, key {key!r}")


def _names(values: AnyArray) -> list[str]:
    return [str(value) for value in values]


def _train_test(is_train: AnyArray) -> StrArray:
    return np.where(is_train, "train", "test").astype(np.str_)
