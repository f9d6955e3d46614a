from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from commonspace.data import Labels
from commonspace.data.labels import concatenate_labels
from commonspace.errors import InputError, NotFoundError

names = st.lists(st.text("abcdé ", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


@st.composite
def weight_matrices(draw):
    n, c = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    grade = st.sampled_from([0.0, 0.0, 1.0, 0.5, 0.25])
    rows = draw(st.lists(st.lists(grade, min_size=c, max_size=c), min_size=n, max_size=n))
    unknown = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    matrix = np.array(rows, np.float32)
    matrix[np.array(unknown)] = np.nan
    return matrix


def same(a: Labels, b: Labels) -> bool:
    return (
        a.classes == b.classes
        and np.array_equal(a.known, b.known)
        and np.array_equal(a.dense(), b.dense())
    )


def test_class_numbers_with_unknown():
    labels = Labels.from_any([2, 0, -1, 1], classes=["a", "b", "c"])
    assert labels.codes.tolist() == [2, 0, -1, 1]
    assert labels.known.tolist() == [True, True, False, True]
    assert labels.kind == "single" and labels.n_classes == 3 and len(labels) == 4
    assert labels.dense()[2].tolist() == [0, 0, 0]


def test_class_numbers_as_floats_with_nan():
    assert Labels.from_any(np.array([1.0, np.nan, 0.0])).codes.tolist() == [1, -1, 0]
    with pytest.raises(InputError, match=r"whole class numbers.*row 1"):
        Labels.from_any(np.array([1.0, 0.5]))


def test_class_names_with_none():
    labels = Labels.from_any(["dog", None, "cat"])
    assert labels.classes == ("cat", "dog")
    assert labels.codes.tolist() == [1, -1, 0]


def test_multi_hot_empty_row_is_known_and_nan_row_is_not():
    labels = Labels.from_any(np.array([[1, 1], [0, 0], [np.nan, np.nan]]))
    assert labels.kind == "multi"
    assert labels.known.tolist() == [True, True, False]
    assert labels.labelled.tolist() == [True, False, False]
    with pytest.raises(InputError, match="multi"):
        _ = labels.codes


def test_graded_and_sparse_agree():
    dense = np.array([[0.5, 0], [0, 1]], np.float32)
    assert Labels.from_any(dense).kind == "graded"
    assert same(Labels.from_any(dense), Labels.from_any(sparse.csc_array(dense)))


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 3], ["a", "b"], "row 1"),
        ([0, -2], ["a", "b"], "-2 at row 1"),
        ([True, False], None, "booleans"),
        (np.array([[0.5, 2.0]]), None, r"\[0, 1\].*row 0, class '1'"),
        (np.array([[0.5, np.nan]]), None, "row 0"),
        (np.zeros((2, 2, 2)), None, "shape"),
        (np.zeros((2, 3)), ["a", "b"], "one column for each of the 2"),
        (sparse.csr_array([[2.0]]), None, "weights"),
        ([[0], [0, 1]], None, "equal length"),
        ([0], ["a", "a"], "named twice"),
    ],
)
def test_wrong_labels_say_what_and_where(labels, classes, words):
    with pytest.raises(InputError, match=words):
        Labels.from_any(labels, classes=classes)


def test_unknown_class_name_is_named_with_a_guess():
    with pytest.raises(NotFoundError, match=r"'dgo'.*Did you mean 'dog'.*row 0"):
        Labels.from_any(["dgo"], classes=["cat", "dog"])


@given(weight_matrices())
@settings(max_examples=60, deadline=None)
def test_matrix_round_trip(matrix):
    labels = Labels.from_any(matrix)
    unknown = np.isnan(matrix).all(axis=1)
    assert np.array_equal(labels.known, ~unknown)
    assert np.array_equal(labels.dense(), np.nan_to_num(matrix))


@given(weight_matrices())
@settings(max_examples=60, deadline=None)
def test_arrays_round_trip_take_and_stack(matrix):
    labels = Labels.from_any(matrix)
    again = Labels.from_arrays(labels.arrays(), labels.classes)
    assert same(labels, again) and again.kind == labels.kind
    half = len(labels) // 2
    parts = [labels.take(np.arange(half)), labels.take(np.arange(half, len(labels)))]
    assert same(concatenate_labels(parts), labels)


@given(names, st.data())
@settings(max_examples=60, deadline=None)
def test_names_round_trip_and_class_order(classes, data):
    rows = data.draw(st.lists(st.sampled_from([*classes, None]), min_size=1, max_size=9))
    labels = Labels.from_any(rows, classes=classes)
    read = [None if k < 0 else classes[k] for k in labels.codes]
    assert read == rows
    moved = labels.with_classes(classes[::-1])
    assert np.array_equal(moved.dense(), labels.dense()[:, ::-1])
    assert same(moved.with_classes(classes), labels)


def test_with_classes_refuses_to_lose_a_class_in_use():
    labels = Labels.from_any([0, 2], classes=["a", "b", "c"])
    assert labels.with_classes(["c", "a"]).codes.tolist() == [1, 0]
    with pytest.raises(NotFoundError, match="'c'"):
        labels.with_classes(["a", "b"])


def test_a_row_of_no_class_makes_labels_multi():
    assert Labels.from_any(np.array([[1, 0], [0, 1]])).kind == "single"
    assert Labels.from_any(np.array([[1, 0], [0, 0]])).kind == "multi"


def test_unknown_rows():
    labels = Labels.unknown(3, ["a"])
    assert not labels.known.any() and labels.codes.tolist() == [-1, -1, -1]
