from __future__ import annotations

import numpy as np
import pytest

from commonspace.data import Dataset, concatenate
from commonspace.errors import InputError, NotFoundError


def pair(n=12, classes=3, seed=0) -> Dataset:
    rng = np.random.default_rng(seed)
    x = {"image": rng.normal(size=(n, 4)), "text": rng.normal(size=(n, 2))}
    return Dataset.from_arrays(x, np.arange(n) % classes)


def test_one_label_array_pairs_equal_rows():
    data = pair()
    first, second = data.pairs("image", "text")
    assert first.tolist() == second.tolist() == list(range(12))
    assert data["image"].labels is data["text"].labels
    assert data.label_kind == "single" and data.modalities == ("image", "text")


def test_labels_by_modality_pair_nothing():
    x = {"image": np.zeros((3, 2)), "audio": np.zeros((2, 5))}
    data = Dataset.from_arrays(x, {"image": ["b", "a", None], "audio": ["c", "a"]})
    assert data.classes == ("a", "b", "c")
    assert data.labels("audio").codes.tolist() == [2, 0]
    assert data.labels("image").codes.tolist() == [1, 0, -1]
    assert len(data.pairs("image", "audio")[0]) == 0


def test_items_pair_what_they_say():
    x = {"image": np.zeros((3, 2)), "audio": np.zeros((2, 5))}
    labels = {"image": [0, 1, 0], "audio": [0, 1]}
    items = {"image": ["p", "q", "r"], "audio": ["r", "q"]}
    data = Dataset.from_arrays(x, labels, items=items)
    first, second = data.pairs("image", "audio")
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 1), (2, 0)]


def test_missing_labels_are_unknown():
    data = Dataset.from_arrays({"image": np.zeros((3, 2))}, None)
    assert not data.labels("image").known.any() and data.classes == ()
    x = {"image": np.zeros((3, 2)), "text": np.zeros((2, 2))}
    data = Dataset.from_arrays(x, {"image": [0, 1, 1]})
    assert not data.labels("text").known.any() and data.classes == ("0", "1")


def test_a_modality_of_unknown_labels_says_nothing_of_their_kind():
    x = {"image": np.zeros((2, 1)), "text": np.zeros((3, 1))}
    unknown = np.full((3, 2), np.nan)
    data = Dataset.from_arrays(x, {"image": [0, 1], "text": unknown}, classes=["a", "b"])
    assert data.label_kind == "single"


def test_rows_are_appended_by_the_names_of_their_classes():
    first = Dataset.from_arrays({"a": np.zeros((1, 1))}, ["x"], classes=["x", "y"])
    other = Dataset.from_arrays(
        {"a": np.ones((2, 1))}, ["y", "x"], classes=["y", "x"], items=["p", "q"]
    )
    both = concatenate(first, other)
    assert both.classes == ("x", "y") and both.labels("a").codes.tolist() == [0, 1, 0]


def test_numbered_classes_of_modalities_keep_their_order():
    x = {"a": np.zeros((1, 1)), "b": np.zeros((1, 1))}
    data = Dataset.from_arrays(x, {"a": [11], "b": [2]})
    assert data.classes == tuple(str(k) for k in range(12))
    assert data.labels("a").codes.tolist() == [11] and data.labels("b").codes.tolist() == [2]


def test_multi_hot_with_names_and_raw_texts():
    x = {"text": np.array(["a cat", "a cat and a dog"])}
    data = Dataset.from_arrays(x, np.array([[1, 0], [1, 1]]), classes=["cat", "dog"])
    assert data.label_kind == "multi" and data.x("text").dtype.kind == "U"


@pytest.mark.parametrize(
    ("x", "labels", "options", "error", "words"),
    [
        ({}, [], {}, InputError, "at least one modality"),
        ({"a": np.zeros((3, 1))}, [0, 1], {}, InputError, "'a'.*expected 3 labels.*got 2"),
        ({"a": np.zeros((2, 1))}, {"b": [0, 1]}, {}, NotFoundError, "'b'.*labels"),
        ({"a": [[1], [1, 2]]}, [0, 1], {}, InputError, "equal length"),
        ({"a": np.zeros((2, 1))}, [0, 1], {"items": ["p", "p"]}, InputError, "'p'"),
        ({"a": np.zeros((2, 1))}, [0, 1], {"items": ["p"]}, InputError, "expected 2 ids"),
        ({"a": np.zeros((2, 1))}, [0, 1], {"items": {"b": "pq"}}, NotFoundError, "items"),
        ({"a": np.zeros((2, 1))}, [0, 1], {"items": "pq"}, InputError, "one id a row, got 'pq'"),
        ({"a": np.zeros((2, 1))}, [0, 1], {"classes": "pq"}, InputError, "list of names"),
        ({"a": np.zeros((2, 1))}, [0, 1], {"encoders": "pq"}, InputError, "encoders.* got str"),
        (np.zeros((2, 1)), [0, 1], {}, InputError, "x: expected a mapping .* got ndarray"),
    ],
)
def test_what_does_not_fit_is_refused(x, labels, options, error, words):
    with pytest.raises(error, match=words):
        Dataset.from_arrays(x, labels, **options)


def test_unknown_modality_has_a_guess():
    with pytest.raises(NotFoundError, match="Did you mean 'image'"):
        pair()["imgae"]
    with pytest.raises(NotFoundError, match=r"no modality named \['image'\]"):
        pair()[["image"]]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda data: data.select("image"), InputError, "modalities: expected a list of names"),
        (lambda data: data.take({"imgae": [0]}), NotFoundError, "Did you mean 'image'"),
        (lambda data: data.take({"image": [999]}), InputError, "rows of 'image': index 999"),
        (lambda data: data.take({"image": "abc"}), InputError, "rows of 'image': only integers"),
        (lambda data: data.split(0.1, seed=None), InputError, "seed"),
    ],
)
def test_rows_and_names_that_are_not_there(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(pair())


def test_a_modality_asked_of_all_splits_says_to_choose_one(splits):
    with pytest.raises(NotFoundError, match=r"as data\['train'\]\['image'\]"):
        splits["image"]
    with pytest.raises(InputError, match="list of names"):
        splits.select("image")


def test_split_is_stratified_and_whole():
    data = pair(n=100, classes=4)
    stay, held = data.split(0.2, seed=0)
    assert np.bincount(held.labels("image").codes).tolist() == [5, 5, 5, 5]
    for name in data:
        both = sorted([*stay[name].items, *held[name].items])
        assert both == sorted(data[name].items)
    assert held["image"].items.tolist() == held["text"].items.tolist()
    other = data.split(0.2, seed=1)[1]
    assert other["image"].items.tolist() != held["image"].items.tolist()


def test_split_depends_on_neither_row_order_nor_other_modalities():
    data = pair(n=60)
    held = set(data.split(0.25, seed=3)[1]["text"].items)
    shuffled = np.random.default_rng(1).permutation(60)
    turned = data.take({"text": shuffled})
    assert set(turned.split(0.25, seed=3)[1]["text"].items) == held
    assert set(data.select(["text"]).split(0.25, seed=3)[1]["text"].items) == held


def test_split_never_holds_back_a_whole_class():
    data = Dataset.from_arrays({"a": np.zeros((3, 1))}, [0, 1, 1])
    stay, _ = data.split(0.9, seed=0)
    assert set(stay.labels("a").codes) == {0, 1}
    with pytest.raises(InputError, match="fraction"):
        data.split(1.5, seed=0)


def test_take_and_concatenate_give_the_same_back():
    data = pair()
    half = {name: np.arange(6) for name in data}
    rest = {name: np.arange(6, 12) for name in data}
    again = concatenate(data.take(half), data.take(rest))
    assert again.fingerprint() == data.fingerprint()
    with pytest.raises(InputError, match="more than one row"):
        concatenate(data, data)


def test_fingerprint_sees_every_part():
    data = pair()
    x = data.x("image").copy()
    x[0, 0] += 1
    changed = Dataset.from_arrays({"image": x, "text": data.x("text")}, np.arange(12) % 3)
    assert changed.fingerprint() != data.fingerprint()
    assert data.with_classes([*data.classes, "new"]).fingerprint() != data.fingerprint()
    same = {name: part.x for name, part in data.items()}
    other_labels = Dataset.from_arrays(same, (np.arange(12) + 1) % 3)
    other_items = Dataset.from_arrays(same, np.arange(12) % 3, items=range(1, 13))
    other_name = Dataset.from_arrays(
        {"image": same["image"], "word": same["text"]}, np.arange(12) % 3
    )
    every = [data, other_labels, other_items, other_name]
    assert len({each.fingerprint() for each in every}) == len(every)


def test_inputs_are_neither_copied_nor_changed():
    x = np.zeros((2, 3), np.float32)
    data = Dataset.from_arrays({"a": x}, [0, 1])
    assert data.x("a") is x
