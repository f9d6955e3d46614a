from __future__ import annotations

import time

import numpy as np
import pytest

from commonspace.data import make_dataset
from commonspace.errors import InputError


def nearest_mean_accuracy(data, modality):
    train, test = data["train"][modality], data["test"][modality]
    means = np.stack([train.x[train.labels.codes == k].mean(axis=0) for k in range(5)])
    guess = ((test.x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    return (guess == test.labels.codes).mean()


@pytest.mark.parametrize("paired", [True, False])
def test_every_modality_shows_the_classes(paired):
    data = make_dataset(paired=paired)
    for modality in ("image", "text"):
        assert nearest_mean_accuracy(data, modality) > 0.9
        assert data["train"].x(modality).dtype == np.float32
    pairs = data["train"].pairs("image", "text")
    assert len(pairs[0]) == (len(data["train"]["text"]) if paired else 0)


def test_noise_makes_it_harder():
    assert nearest_mean_accuracy(make_dataset(noise=4.0), "image") < 0.7


def test_same_seed_same_bits_and_one_more_modality_changes_nothing():
    dims = {"image": 8, "text": 4}
    for paired in (True, False):
        one = make_dataset(dims=dims, paired=paired)
        more = make_dataset(dims={**dims, "audio": 3}, paired=paired)
        other = make_dataset(dims=dims, paired=paired, seed=1)
        for split in one:
            assert one[split].fingerprint() == more[split].select(list(dims)).fingerprint()
            assert one[split].fingerprint() != other[split].fingerprint()


def test_multi_label_is_stratified_by_first_class():
    data = make_dataset(label_kind="multi", n_classes=4)
    assert data["train"].label_kind == "multi"
    counts = np.diff(data["train"].labels("image").weights.indptr)
    assert counts.min() == 1 and 1 < counts.max() <= 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_classes": 1}, "n_classes"),
        ({"n_items": 5}, "n_items"),
        ({"dims": {}}, "dims"),
        ({"dims": {"image": 0}}, "image"),
        ({"label_kind": "graded"}, "label_kind"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_numbers_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        make_dataset(**options)


def test_it_is_quick():
    start = time.perf_counter()
    make_dataset(n_items=2000, n_classes=10)
    assert time.perf_counter() - start < 5
