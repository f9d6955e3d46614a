"""NUS-WIDE and MIRFlickr-25k as they were released: pictures of Flickr, their tags and concepts.

The papers drew their splits at random and published none, so splits here are drawn by a seed, with
the papers' sizes: [1] takes pairs with a label and a tag, training and validation rows from the
official training list and test rows from the official test list (NUS-WIDE), [2] all pairs of the
ten most frequent concepts (NUS-WIDE) or with a tag that is not rare (MIRFlickr), a few thousand of
them queries, all others the gallery, and a part of the gallery for training.

Neither release has features of a deep network. Where ``image_features.npy`` lies beside it, one row
a picture in the order of the release, it is the image modality; else the low-level features of
NUS-WIDE are, or the paths of MIRFlickr's pictures, as raw items for an encoder.

References:
    [1] Hua, Yang, Du. Deep Multi-Modal Metric Learning with Multi-Scale Correlation for
        Image-Text Retrieval. Electronics 2020, 9(3), 466. doi:10.3390/electronics9030466
    [2] Yang, Deng, Li, Liu, Li, Tao. Shared Predictive Cross-Modal Deep Quantization.
        IEEE TNNLS 2018. arXiv:1904.07488
    [3] Chua, Tang, Hong, Li, Luo, Zheng. NUS-WIDE: A Real-World Web Image Database. CIVR 2009.
    [4] Huiskes, Lew. The MIR Flickr Retrieval Evaluation. MIR 2008.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commonspace.data.dataset import Dataset
from commonspace.data.folder import Splits
from commonspace.errors import InputError
from commonspace.types import AnyArray, BoolArray, Float32Array, IntArray, JsonDict

Sizes = Mapping[str, int]
NUS_WIDE_81: Sizes = {"train": 20_000, "valid": 2_000, "test": 10_000}
NUS_WIDE_10: Sizes = {"train": 10_000, "retrieval": 184_711, "test": 1_866}
MIRFLICKR_38: Sizes = {"train": 9_093, "valid": 2_000, "test": 10_000}
MIRFLICKR_24: Sizes = {"train": 10_000, "retrieval": 18_015, "test": 2_000}
MIRFLICKR_PICTURES = 25_000
FEATURES = "image_features.npy"
_LOW_LEVEL = ("CH", "CM55", "CORR", "EDH", "WT")


@dataclass(frozen=True, eq=False)
class Release:
    """All pictures of a release.

    Attributes:
        x: Image and text rows.
        y: Concepts of each picture, shape (n, n_concepts).
        concepts: Their names.
        items: Name of each picture.
        official_test: Whether each picture is in an official test list.
    """

    x: Mapping[str, AnyArray]
    y: BoolArray
    concepts: tuple[str, ...]
    items: Sequence[str]
    official_test: BoolArray

    @property
    def has_text(self) -> BoolArray:
        """Whether each picture has a tag of the vocabulary."""
        return np.asarray(self.x["text"].any(axis=1))


def load_nus_wide_81(
    folder: Path, provenance: JsonDict, *, sizes: Sizes = NUS_WIDE_81, seed: int = 0
) -> Splits:
    """Load NUS-WIDE with 81 concepts, split by a seed as [1] describes.

    Args:
        folder: Holds Groundtruth/TrainTestLabels, NUS_WID_Tags, ImageList and Low_Level_Features
            as the release has them.
        provenance: Kept in the splits.
        sizes: Rows of train, valid and test.
        seed: Of the draw.

    Raises:
        InputError: Files disagree with each other, or hold too few pairs.
    """
    release = read_nus_wide(folder)
    kept = release.has_text & release.y.any(axis=1)
    learn = _drawn(kept & ~release.official_test, sizes["train"] + sizes["valid"], seed, folder)
    test = _drawn(kept & release.official_test, sizes["test"], seed, folder)
    rows = {"train": learn[: sizes["train"]], "valid": learn[sizes["train"] :], "test": test}
    return _splits(release, rows, "nus_wide_81", provenance, seed)


def load_nus_wide_10(
    folder: Path, provenance: JsonDict, *, sizes: Sizes | None = NUS_WIDE_10, seed: int = 0
) -> Splits:
    """Load NUS-WIDE with its ten most frequent concepts, split by a seed as [2] describes.

    The split "retrieval" is the gallery of all items that are no queries, those of "train" among
    them: ``evaluate(model, data["test"], gallery=data["retrieval"])``.

    Args:
        folder: As for `load_nus_wide_81`.
        provenance: Kept in the splits.
        sizes: Rows that must come out; None takes a hundredth as queries and checks nothing.
        seed: Of the draw.
    """
    release = read_nus_wide(folder)
    top = np.sort(np.argsort(-release.y.sum(axis=0), kind="stable")[:10])
    concepts = tuple(release.concepts[k] for k in top)
    some = Release(release.x, release.y[:, top], concepts, release.items, release.official_test)
    return _query_splits(
        some, np.asarray(some.y.any(axis=1)), sizes, "nus_wide_10", provenance, seed, folder
    )


def load_mirflickr_38(
    folder: Path,
    provenance: JsonDict,
    *,
    sizes: Sizes | None = MIRFLICKR_38,
    seed: int = 0,
    n_pictures: int = MIRFLICKR_PICTURES,
) -> Splits:
    """Load MIRFlickr-25k with 24 potential and 14 relevant concepts and 2000 tags, as [1] has it.

    Args:
        folder: Holds mirflickr/meta/tags, mirflickr/im*.jpg and mirflickr25k_annotations_v080.
        provenance: Kept in the splits.
        sizes: Rows of train, valid and test, which take all pairs with a label and a tag; None
            takes the papers' shares of however many there are.
        seed: Of the draw.
        n_pictures: How many there must be.
    """
    release = read_mirflickr(folder, strict=True, n_tags=2000, min_count=1, n_pictures=n_pictures)
    kept = release.has_text & release.y.any(axis=1)
    n = int(kept.sum())
    if sizes is not None:
        _check_count("pairs with a label and a tag", n, sum(sizes.values()), folder)
    wanted = sizes or {"train": n - 2 * (n // 3), "valid": n // 3, "test": n // 3}
    order = _drawn(kept, n, seed, folder)
    ends = np.cumsum([wanted[split] for split in ("train", "valid", "test")])
    rows = dict(zip(("train", "valid", "test"), np.split(order, ends[:-1]), strict=True))
    return _splits(release, rows, "mirflickr_38", provenance, seed)


def load_mirflickr_24(
    folder: Path,
    provenance: JsonDict,
    *,
    sizes: Sizes | None = MIRFLICKR_24,
    seed: int = 0,
    n_pictures: int = MIRFLICKR_PICTURES,
    min_count: int = 20,
) -> Splits:
    """Load MIRFlickr-25k with its 24 potential concepts and all tags of 20 pictures, as [2] has it.

    Args:
        folder: As for `load_mirflickr_38`.
        provenance: Kept in the splits.
        sizes: Rows that must come out; None takes a hundredth as queries and checks nothing.
        seed: Of the draw.
        n_pictures: How many there must be.
        min_count: Pictures that a tag of the vocabulary must have.
    """
    release = read_mirflickr(
        folder, strict=False, n_tags=None, min_count=min_count, n_pictures=n_pictures
    )
    kept = release.has_text & release.y.any(axis=1)
    return _query_splits(release, kept, sizes, "mirflickr_24", provenance, seed, folder)


def read_nus_wide(folder: Path) -> Release:
    """Read lists, 81 concepts, 1000 tags and picture features, training list first."""
    items: list[str] = []
    tags, truth, counts = [], [], []
    concepts = _nus_wide_concepts(folder)
    for part in ("Train", "Test"):
        names = _lines(folder / "ImageList" / f"{part}Imagelist.txt")
        items += [name.replace("\\", "/") for name in names]
        counts.append(len(names))
        labels = folder / "Groundtruth" / "TrainTestLabels"
        columns = [_numbers(labels / f"Labels_{c}_{part}.txt", len(names)) for c in concepts]
        truth.append(np.hstack(columns) > 0)
        tags.append(_numbers(folder / "NUS_WID_Tags" / f"{part}_Tags1k.dat", len(names)))
    y = np.concatenate(truth)
    x = {"image": _nus_wide_pictures(folder, counts), "text": np.concatenate(tags)}
    official_test = np.repeat([False, True], counts)
    return Release(x, y, concepts, items, official_test)


def read_mirflickr(
    folder: Path, *, strict: bool, n_tags: int | None, min_count: int, n_pictures: int
) -> Release:
    """Read concepts, tags and pictures; ``strict`` adds the 14 concepts of relevant pictures."""
    notes = folder / "mirflickr25k_annotations_v080"
    names = sorted(path.stem for path in notes.glob("*.txt") if path.stem.lower() != "readme")
    concepts = tuple(name for name in names if strict or not name.endswith("_r1"))
    expected = 38 if strict else 24
    if len(concepts) != expected:
        raise InputError(f"{notes}: expected {expected} concepts, got {len(concepts)}.")
    y = np.zeros((n_pictures, len(concepts)), dtype=np.bool_)
    for column, concept in enumerate(concepts):
        rows = _numbers(notes / f"{concept}.txt", None).astype(np.int64).ravel()
        if len(rows) and not (1 <= rows.min() and rows.max() <= n_pictures):
            raise InputError(
                f"{notes / f'{concept}.txt'}: expected picture numbers from 1 to {n_pictures}, "
                f"got {rows.min()} to {rows.max()}."
            )
        y[rows - 1, column] = True
    texts = [
        _lines(folder / "mirflickr" / "meta" / "tags" / f"tags{number}.txt")
        for number in range(1, n_pictures + 1)
    ]
    text = _tag_counts(texts, n_tags, min_count)
    x = {"image": _mirflickr_pictures(folder, n_pictures), "text": text}
    items = [f"im{number}" for number in range(1, n_pictures + 1)]
    return Release(x, y, concepts, items, np.zeros(n_pictures, dtype=np.bool_))


def _nus_wide_concepts(folder: Path) -> tuple[str, ...]:
    labels = folder / "Groundtruth" / "TrainTestLabels"
    found = [path.name for path in labels.glob("Labels_*_Train.txt")]
    concepts = tuple(sorted(name[len("Labels_") : -len("_Train.txt")] for name in found))
    if len(concepts) != 81:
        raise InputError(
            f"{labels}: expected Labels_*_Train.txt of 81 concepts, got {len(concepts)}."
        )
    return concepts


def _nus_wide_pictures(folder: Path, counts: Sequence[int]) -> AnyArray:
    if (folder / FEATURES).is_file():
        return _features(folder, sum(counts))
    low = folder / "Low_Level_Features"
    parts = []
    for part, n in zip(("Train", "Test"), counts, strict=True):
        blocks = [_numbers(low / f"{part}_Normalized_{kind}.dat", n) for kind in _LOW_LEVEL]
        parts.append(np.hstack(blocks))
    return np.concatenate(parts)


def _mirflickr_pictures(folder: Path, n: int) -> AnyArray:
    if (folder / FEATURES).is_file():
        return _features(folder, n)
    paths = [folder / "mirflickr" / f"im{number}.jpg" for number in range(1, n + 1)]
    return np.array([str(path) for path in paths], dtype=np.str_)


def _features(folder: Path, n: int) -> AnyArray:
    try:
        values = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(
            f"{folder / FEATURES}: not an array as numpy.save writes it, or damaged ({error}). "
            "Write it again, or remove it to read what the release itself holds."
        ) from error
    if values.ndim != 2 or len(values) != n:
        raise InputError(
            f"{folder / FEATURES}: expected one row for each of {n} pictures, got shape "
            f"{values.shape}."
        )
    array: AnyArray = values
    return array


def _tag_counts(texts: Sequence[Sequence[str]], n_tags: int | None, min_count: int) -> Float32Array:
    """One column a tag, the most frequent first of all, ties by alphabet."""
    held = [set(tags) for tags in texts]
    counts = Counter(tag for tags in held for tag in tags)
    common = [tag for tag, count in counts.items() if count >= min_count]
    ranked = sorted(common, key=lambda tag: (-counts[tag], tag))
    column = {tag: at for at, tag in enumerate(ranked[:n_tags])}
    out = np.zeros((len(texts), max(1, len(column))), np.float32)
    for row, tags in enumerate(held):
        out[row, [column[tag] for tag in tags if tag in column]] = 1
    return out


def _query_splits(
    release: Release,
    kept: BoolArray,
    sizes: Sizes | None,
    name: str,
    provenance: JsonDict,
    seed: int,
    folder: Path,
) -> Splits:
    """Queries, everything else as the gallery, and a part of that for training."""
    n = int(kept.sum())
    if sizes is not None:
        _check_count("pairs", n, sizes["test"] + sizes["retrieval"], folder)
    n_test = sizes["test"] if sizes else max(1, n // 100)
    n_train = sizes["train"] if sizes else (n - n_test) // 2
    order = _drawn(kept, n, seed, folder)
    rows = {
        "train": order[n_test : n_test + n_train],
        "test": order[:n_test],
        "retrieval": np.sort(order[n_test:]),
    }
    return _splits(release, rows, name, provenance, seed)


def _drawn(kept: BoolArray, count: int, seed: int, folder: Path) -> IntArray:
    """Seeded rows among those that are kept."""
    rows = np.flatnonzero(kept)
    if len(rows) < count:
        raise InputError(
            f"{folder}: expected at least {count} pairs to draw from, got {len(rows)}."
        )
    return np.random.default_rng(seed).permutation(rows)[:count].astype(np.int64)


def _splits(
    release: Release,
    rows: Mapping[str, IntArray],
    name: str,
    provenance: JsonDict,
    seed: int,
) -> Splits:
    parts = {}
    for split, some in rows.items():
        parts[split] = Dataset.from_arrays(
            {modality: values[some] for modality, values in release.x.items()},
            release.y[some].astype(np.float32),
            classes=release.concepts,
            items=[release.items[row] for row in some],
        )
    return Splits(parts, name, {**provenance, "split_seed": seed})


def _check_count(what: str, got: int, expected: int, folder: Path) -> None:
    if got != expected:
        raise InputError(
            f"{folder}: expected {expected} {what}, as in the paper, got {got}. This is another "
            "version of the data, or was read another way: its results do not compare. Import it "
            "under a name of your own with import_file."
        )


def _numbers(path: Path, n: int | None) -> Float32Array:
    """A table of numbers, one line a row; numpy reads it, for it may have 10⁸ of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how older numpy says "no number"
            values = np.fromfile(path, dtype=np.float32, sep=" ")
        with path.open("rb") as file:
            lines = sum(1 for line in file if line.strip())
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; the release has one.") from error
    except (OSError, ValueError, DeprecationWarning) as error:
        raise InputError(f"{path}: expected a table of numbers ({error}).") from error
    if (n is not None and lines != n) or (lines and len(values) % lines):
        raise InputError(
            f"{path}: expected {n or lines} lines of equally many numbers, one a picture of the "
            f"list, got {lines} lines and {len(values)} numbers."
        )
    return values.reshape(lines, -1) if lines else np.zeros((0, 1), np.float32)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; the release has one.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
