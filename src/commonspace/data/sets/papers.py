"""The papers' own data sets, in the layouts in which they were released.

Which rows are "valid" and which "test" follows the code released with [1]: of the published test
part of PKU XMedia the first half is test, the second half validation; of the others the *first*
rows are validation. Sizes are compared with table 1 of [1].

References:
    [1] Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal Retrieval.
        SIGIR 2019. doi:10.1145/3331184.3331213
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from commonspace.checks import as_features
from commonspace.data.dataset import Dataset
from commonspace.data.folder import Splits
from commonspace.data.formats.containers import ArrayFile, open_arrays
from commonspace.data.sets.compact import cut, wikipedia_splits
from commonspace.errors import InputError
from commonspace.types import AnyArray, JsonDict

Sizes = Mapping[str, tuple[int, int, int]]

WIKIPEDIA_CLASSES = (
    "art biology geography history literature media music royalty sport warfare".split()
)
_XMEDIA_KEYS = {  # features, then the name in the category keys
    "image": ("I_{}_CNN", "Img"),
    "text": ("T_{}_BOW", "Txt"),
    "audio": ("A_{}", "Aud"),
    "model3d": ("d3_{}", "3d"),
    "video": ("V_{}_CNN", "Vid"),
}
XMEDIA_SIZES: Sizes = {
    "image": (4000, 500, 500),
    "text": (4000, 500, 500),
    "audio": (800, 100, 100),
    "model3d": (400, 50, 50),
    "video": (969, 87, 87),
}
WIKIPEDIA_SIZES: Sizes = dict.fromkeys(("image", "text"), (2173, 231, 462))
NUS_WIDE_SIZES: Sizes = dict.fromkeys(("image", "text"), (42941, 5000, 23661))
MS_COCO_SIZES: Sizes = dict.fromkeys(("image", "text"), (82081, 10000, 30137))


def load_wikipedia_release(
    folder: Path, provenance: JsonDict, *, sizes: Sizes | None = WIKIPEDIA_SIZES
) -> Splits:
    """Load Wikipedia as Rasiwasia et al. (2010) released it.

    Args:
        folder: Holds raw_features.mat (I_tr, I_te, T_tr, T_te), trainset_txt_img_cat.list and
            testset_txt_img_cat.list (text id, image id, category from 1, by tabs).
        provenance: Kept in the splits.
        sizes: Rows that must come out; None checks nothing.
    """
    file = open_arrays(folder / "raw_features.mat")
    parts = {}
    for split, end in (("train", "tr"), ("test", "te")):
        texts, categories = _read_list(folder / f"{split}set_txt_img_cat.list")
        x = {m: _features(file, f"{m[0].upper()}_{end}") for m in ("image", "text")}
        if len(texts) != len(x["image"]):
            raise InputError(
                f"{folder / f'{split}set_txt_img_cat.list'}: expected {len(x['image'])} lines, one "
                f"a row of raw_features.mat, got {len(texts)}."
            )
        parts[split] = Dataset.from_arrays(
            x, categories - 1, classes=WIKIPEDIA_CLASSES, items=texts
        )
    splits = wikipedia_splits(parts["train"], parts["test"], provenance)
    _check_sizes(splits, sizes, folder)
    return splits


def _read_list(path: Path) -> tuple[list[str], AnyArray]:
    texts, categories = [], []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != 3 or not cells[2].isdigit() or int(cells[2]) < 1:
                raise InputError(
                    f"{path}, line {number}: expected text id, image id and category (from 1), "
                    f"got {line.strip()!r}. Is this the list of the release?"
                )
            texts.append(cells[0])
            categories.append(int(cells[2]))
    return texts, np.array(categories, np.int64)


def load_deep_pairs(
    path: Path,
    provenance: JsonDict,
    *,
    name: str,
    valid_rows: int,
    sizes: Sizes | None,
) -> Splits:
    """Load image-text features as [1] read them: VGG19 fc7 and doc2vec in one HDF5 file.

    Differs from the released code: class numbers of the test part are shifted by the smallest of
    the training part rather than by their own.

    Args:
        path: HDF5 with train_imgs_deep, train_text, train_imgs_labels, train_texts_labels and the
            same for test.
        provenance: Kept in the splits.
        name: What the data set is called.
        valid_rows: How many first rows of the published test part are validation.
        sizes: Rows that must come out; None checks nothing.
    """
    file = open_arrays(path)
    keys = {"image": ("imgs_deep", "imgs_labels"), "text": ("text", "texts_labels")}
    tables = {
        (split, m): _labels(file[f"{split}_{label}"])
        for split in ("train", "test")
        for m, (_, label) in keys.items()
    }
    n_classes, lowest = _class_range([tables["train", m] for m in keys])
    parts = {}
    for split in ("train", "test"):
        x = {m: _features(file, f"{split}_{feature}") for m, (feature, _) in keys.items()}
        labels = {m: _shifted(tables[split, m], lowest) for m in keys}
        parts[split] = _dataset(split, x, labels, [str(k) for k in range(n_classes)])
    valid, test = cut(parts["test"], valid_rows)
    splits = Splits({"train": parts["train"], "valid": valid, "test": test}, name, provenance)
    _check_sizes(splits, sizes, path)
    return splits


def load_xmedia(path: Path, provenance: JsonDict, *, sizes: Sizes | None = XMEDIA_SIZES) -> Splits:
    """Load PKU XMedia: five modalities of different counts, images and texts in pairs.

    Args:
        path: XMediaFeatures.mat with I_tr_CNN, T_tr_BOW, A_tr, d3_tr, V_tr_CNN, their categories
            trImgCat, trTxtCat, trAudCat, tr3dCat, trVidCat (from 1), and the same for "te".
        provenance: Kept in the splits.
        sizes: Rows that must come out; None checks nothing.
    """
    file = open_arrays(path)
    parts = {}
    for split, end in (("train", "tr"), ("test", "te")):
        x = {m: _features(file, key.format(end)) for m, (key, _) in _XMEDIA_KEYS.items()}
        labels = {
            m: _labels(file[f"{end}{category}Cat"]) - 1 for m, (_, category) in _XMEDIA_KEYS.items()
        }
        parts[split] = _dataset(split, x, labels, [str(k + 1) for k in range(20)])
    published = parts["test"]
    half = {m: len(part) // 2 for m, part in published.items()}
    test = published.take({m: np.arange(half[m]) for m in published})
    valid = published.take({m: np.arange(half[m], len(published[m])) for m in published})
    splits = Splits({"train": parts["train"], "valid": valid, "test": test}, "xmedia", provenance)
    _check_sizes(splits, sizes, path)
    return splits


def _features(file: ArrayFile, key: str) -> AnyArray:
    values = file[key]
    dense = values.toarray() if sparse.issparse(values) else values
    return as_features(dense, where=f"{file.path}, key {key!r}")


def _labels(values: Any) -> AnyArray:
    """Return class numbers (n,) or a multi-hot matrix (n, c)."""
    array = np.asarray(values.toarray() if sparse.issparse(values) else values)
    return array.ravel().astype(np.int64) if 1 in array.shape or array.ndim == 1 else array


def _class_range(tables: list[AnyArray]) -> tuple[int, int]:
    if tables[0].ndim == 2:
        return tables[0].shape[1], 0
    lowest = min(int(table.min()) for table in tables)
    return max(int(table.max()) for table in tables) - lowest + 1, lowest


def _shifted(table: AnyArray, lowest: int) -> AnyArray:
    return table if table.ndim == 2 else table - lowest


def _dataset(
    split: str, x: Mapping[str, AnyArray], labels: Mapping[str, AnyArray], classes: list[str]
) -> Dataset:
    """Pair images and texts where row by row they have the same labels."""
    paired = np.array_equal(labels["image"], labels["text"])
    items = {
        m: [f"{split}-{row}" for row in range(len(values))]
        if paired and m in ("image", "text")
        else [f"{m}-{split}-{row}" for row in range(len(values))]
        for m, values in x.items()
    }
    return Dataset.from_arrays(x, labels, classes=classes, items=items)


def _check_sizes(splits: Splits, sizes: Sizes | None, path: Path) -> None:
    for modality, expected in (sizes or {}).items():
        got = tuple(len(splits[split][modality]) for split in ("train", "valid", "test"))
        if got != expected:
            raise InputError(
                f"{path}: expected {expected} rows of {modality!r} in train, valid and test (Hu et "
                f"al. 2019, table 1), got {got}. This is another version of the data: its results "
                "do not compare. Import it under a name of your own with import_file."
            )
