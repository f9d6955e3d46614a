from __future__ import annotations

import numpy as np
import pytest

from commonspace.benchmarks.digits_folder import build_folder
from commonspace.data import load_dataset
from commonspace.errors import InputError, NotFoundError

pytest.importorskip("PIL")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    label, is_train = np.arange(8) % 2, np.arange(8) < 6
    arrays = {
        "image_mnist": rng.integers(0, 256, (8, 28, 28), np.uint8),
        "sign_image": rng.integers(0, 256, (8, 48, 48), np.uint8),
        "word_raw": np.array(["one", "two"] * 4),
    }
    for name in ("image_mnist", "sign_image", "word_char"):
        arrays |= {f"{name}_label": label, f"{name}_is_train": is_train}
    np.savez(tmp_path / "digits.npz", **arrays)
    pcm, offset = rng.integers(-99, 99, 800).astype(np.int16), np.arange(9) * 100
    sounds = {"pcm": pcm, "offset": offset, "label": label, "is_train": is_train}
    np.savez(tmp_path / "digits_audio_raw.npz", sample_rate=8000, **sounds)
    return tmp_path


def test_the_folder_reads_as_four_modalities(root, tmp_path):
    counts = build_folder(tmp_path / "out", root=root)
    assert counts == {"handwritten": 8, "signs": 8, "spoken": 8, "words": 8}
    splits = load_dataset(tmp_path / "out")
    assert set(splits["train"].modalities) == {"handwritten", "signs", "audio", "text"}
    assert {len(part) for part in splits["train"].values()} == {6}
    assert {len(part) for part in splits["test"].values()} == {2}
    assert splits.classes == ("0", "1")
    assert build_folder(tmp_path / "few", items=3, root=root)["spoken"] == 3


def test_refuses(root, tmp_path):
    with pytest.raises(InputError, match="is there already"):
        build_folder(root, root=root)
    with pytest.raises(NotFoundError, match=r"digits\.npz"):
        build_folder(tmp_path / "out", root=tmp_path / "nothing")
