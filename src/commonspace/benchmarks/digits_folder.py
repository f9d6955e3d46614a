"""A real folder of files in four modalities that show the ten digits.

::

    python -m commonspace.benchmarks.digits_folder digit-files --items 1000
    commonspace train digit-files --out model && commonspace index model digit-files --out found
    commonspace evaluate model digit-files
    commonspace search found --text seven -k 5
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import require
from commonspace.data.catalog import find_root
from commonspace.errors import InputError, NotFoundError
from commonspace.types import AnyArray, BoolArray, IntArray

_FILES = ("digits.npz", "digits_audio_raw.npz")
Write = Callable[[Path], object]


def build_folder(
    out: str | Path, *, items: int | None = None, root: str | Path | None = None
) -> dict[str, int]:
    """Write handwritten digits and hand signs (PNG), spoken digits (WAV) and number words (text).

    Files stand at ``train|test/GROUP/DIGIT/ROW.SUFFIX`` and are unpaired, as their sources are.

    Args:
        out: A new folder.
        items: Of each group at most, spread over its rows; None is all of them.
        root: Where digits.npz and digits_audio_raw.npz lie; see `load_dataset`.

    Returns:
        How many files each group has.

    Raises:
        NotFoundError: The two files are not there.
        InputError: The folder exists.
    """
    out, source = Path(out), find_root(root)
    if out.exists():
        raise InputError(f"{out} is there already. Name a new folder.")
    if source is None or not all((source / name).is_file() for name in _FILES):
        raise NotFoundError(f"{' and '.join(_FILES)} are not in {source or 'any known folder'}.")
    arrays = {**np.load(source / _FILES[0]), **np.load(source / _FILES[1])}
    counts = {}
    for group, (label, is_train, suffix, write) in _groups(arrays).items():
        rows = np.arange(len(label))
        chosen = rows if items is None or items >= len(rows) else _spread(len(rows), items)
        for row in chosen.tolist():
            split = "train" if is_train[row] else "test"
            path = out / split / group / str(label[row]) / f"{row}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(row)(path)
        counts[group] = len(chosen)
    return counts


def _spread(n: int, count: int) -> IntArray:
    return np.unique(np.random.default_rng(0).permutation(n)[:count])


def _groups(
    arrays: dict[str, AnyArray],
) -> dict[str, tuple[IntArray, BoolArray, str, Callable[[int], Write]]]:
    """Labels, which rows train, the suffix and what writes a row, for each group."""

    def part(name: str) -> tuple[IntArray, BoolArray]:
        return arrays[f"{name}_label"], arrays[f"{name}_is_train"]

    start, rate = arrays["offset"], int(arrays["sample_rate"])
    sounds = (arrays["label"], arrays["is_train"], ".wav")
    return {
        "handwritten": (*part("image_mnist"), ".png", lambda r: _png(arrays["image_mnist"][r])),
        "signs": (*part("sign_image"), ".png", lambda r: _png(arrays["sign_image"][r])),
        "spoken": (*sounds, lambda r: _wav(arrays["pcm"][start[r] : start[r + 1]], rate)),
        "words": (*part("word_char"), ".txt", lambda r: _txt(str(arrays["word_raw"][r]))),
    }


def _png(pixels: AnyArray) -> Write:
    image: Any = require("PIL.Image", extra="image", what="writing pictures").fromarray(pixels)
    return lambda path: image.save(path)


def _wav(pcm: AnyArray, rate: int) -> Write:
    from scipy.io import wavfile

    return lambda path: wavfile.write(path, rate, pcm)


def _txt(text: str) -> Write:
    return lambda path: path.write_bytes(text.encode())


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Write a folder of digits in four modalities.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--items", type=int, help="of each group at most")
    parser.add_argument("--data-root", type=Path)
    given = parser.parse_args()
    counts = build_folder(given.out, items=given.items, root=given.data_root)
    print(f"{given.out}: " + ", ".join(f"{n} {group}" for group, n in counts.items()))


if __name__ == "__main__":
    main()
