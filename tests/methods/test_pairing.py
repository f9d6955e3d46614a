"""Which rows count as one: against plain loops over ids and labels."""

from __future__ import annotations

import doctest
from collections import Counter

import numpy as np
import pytest

from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods.baselines import pairing
from commonspace.methods.baselines.pairing import matched_rows


def shuffled(data: Dataset, keep: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    rows = {
        name: rng.permutation(len(part))[: keep + 3 * k]
        for k, (name, part) in enumerate(data.items())
    }
    return data.take(rows)


def of_classes(**codes) -> Dataset:
    x = {name: np.arange(2.0 * len(c)).reshape(-1, 2) for name, c in codes.items()}
    return Dataset.from_arrays(x, codes, classes=list("abc"))


@pytest.mark.parametrize("seed", range(3))
def test_items_that_every_modality_has_in_the_order_of_the_first(seed):
    dims = {"image": 3, "text": 2, "audio": 4}
    data = shuffled(make_dataset(n_items=60, n_classes=3, dims=dims)["train"], 25, seed)
    rows = matched_rows(data, pairing="items", seed=0)
    shared = [i for i in data["image"].items if all(i in p.items for p in data.values())]
    assert 2 <= len(shared) < 25
    for name, part in data.items():
        assert part.items[rows[name]].tolist() == shared and rows[name].dtype == np.int64


def test_items_need_no_labels_and_no_seed():
    x = {"image": np.eye(5), "text": np.eye(5)[:, :2]}
    data = Dataset.from_arrays(x, None)
    for seed in (0, 1):
        rows = matched_rows(data, pairing="items", seed=seed)
        assert rows["image"].tolist() == rows["text"].tolist() == [0, 1, 2, 3, 4]


def test_rows_of_a_class_are_repeated_up_to_the_largest_count():
    data = of_classes(image=[0, 0, 0, 0, 0, 1, -1], text=[1, 1, 0, 0, 2, 1, -1])
    rows = matched_rows(data, pairing="classes", seed=0)
    codes = {name: part.labels.codes[rows[name]] for name, part in data.items()}
    np.testing.assert_array_equal(codes["image"], codes["text"])
    assert Counter(codes["image"].tolist()) == {0: 5, 1: 3}  # class 2 has no image
    times = {name: Counter(rows[name].tolist()) for name in data}
    assert times["image"] == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 3}
    assert sorted(times["text"].values()) == [1, 1, 1, 2, 3]  # 5 over two rows, 3 over three
    assert set(times["text"]) == {0, 1, 2, 3, 5}


def test_classes_are_drawn_by_the_seed():
    data = make_dataset(n_items=60, n_classes=3, paired=False)["train"]
    first, again, other = (matched_rows(data, pairing="classes", seed=s) for s in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in data)
    assert not np.array_equal(first["text"], other["text"])


def test_a_row_of_several_classes_counts_under_one_of_them():
    data = make_dataset(n_items=80, n_classes=4, label_kind="multi")["train"]
    seen = set()
    for seed in range(20):
        rows = matched_rows(data, pairing="classes", seed=seed)
        y = {name: part.labels.dense()[rows[name]] for name, part in data.items()}
        assert (y["image"] * y["text"]).any(axis=1).all()
        assert set(rows["image"]) == set(range(len(data["image"])))
        seen.add(len(rows["image"]))
    assert len(seen) > 1


def test_a_graded_class_is_drawn_in_proportion_to_its_weight():
    y = np.tile([[0.9, 0.3, 0.0]], (4000, 1))
    only = np.array([[1.0, 0.0, 0.0]] * 4000)
    data = Dataset.from_arrays(
        {"image": np.ones((4000, 1)), "text": np.ones((4000, 1))}, {"image": y, "text": only}
    )
    rows = matched_rows(data, pairing="classes", seed=0)
    assert abs(len(np.unique(rows["image"])) / 4000 - 0.75) < 0.03


@pytest.mark.parametrize(
    ("data", "pairing", "message"),
    [
        (of_classes(image=[0, 1], text=[0, 1]), "items", "got 0. Give .* pairing='classes'"),
        (of_classes(image=[0, 1], text=[2, 2]), "classes", "classes that every modality .* got 0"),
        (of_classes(image=[-1, -1], text=[-1, -1]), "classes", "labelled rows .* got 0"),
        (of_classes(image=[0, 1], text=[0, 2]), "classes", "got 1"),
        (of_classes(image=[0, 1]), "items", "two modalities or more .* image alone"),
        (of_classes(image=[0, 1], text=[0, 1]), "pairs", "expected one of 'items', 'classes'"),
    ],
)
def test_too_little_to_match_is_said(data, pairing, message):
    with pytest.raises(InputError, match=message):
        matched_rows(data, pairing=pairing, seed=0)


def test_the_example_is_true():
    assert doctest.testmod(pairing).attempted == 3 and doctest.testmod(pairing).failed == 0
