"""What every method refuses before it learns anything."""

from __future__ import annotations

import numpy as np
import pytest

from commonspace.errors import InputError, NotFoundError
from commonspace.methods import SM, DeepSM

X, Y = np.random.default_rng(0).normal(size=(8, 4)), np.arange(8) % 3


@pytest.fixture
def fitted(train):
    return SM().fit(train)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": 5}, "'audio': expected rows of features, got 5"),
        ({"x": None}, "got None"),
        ({"x": np.array(5.0)}, r"got array\(5"),
        ({"labels": 3}, r"labels: expected \(n,\) classes .* got shape \(\)"),
        ({"valid": X}, r"valid: expected a pair \(features, labels\), got ndarray"),
        ({"modality": 3}, "modality: expected a name, got 3"),
        ({"modality": ""}, "modality: expected a name, got ''"),
        ({"run": {"jobs": 2}}, r"run: expected a Run such as Run\(jobs=2\), got dict"),
    ],
)
def test_a_modality_that_cannot_join_is_named_and_changes_nothing(fitted, arguments, words):
    with pytest.raises(InputError, match=words):
        fitted.fit_modality(**{"modality": "audio", "x": X, "labels": Y, **arguments})
    assert fitted.modalities == ("image", "text")


def test_any_iterable_is_a_list_of_labels(fitted):
    names = [str(fitted.space_.classes[k]) for k in Y]
    first = fitted.fit_modality("audio", X, tuple(names)).transform("audio", X)
    second = fitted.fit_modality("video", X, np.array(names)).transform("video", X)
    np.testing.assert_array_equal(first, second)


def test_a_fit_needs_a_run_and_a_transform_a_name(train, fitted):
    with pytest.raises(InputError, match="run: expected a Run"):
        SM().fit(train, run=2)
    with pytest.raises(NotFoundError, match=r"no modality named \['image'\]"):
        fitted.transform(["image"], train.x("image"))


def test_a_learning_rate_of_nothing_that_is_there_is_refused(train):
    with pytest.raises(NotFoundError, match=r"Did you mean 'image'.*learning_rate"):
        DeepSM(epochs=1, learning_rate={"imgae": 1e-3, "*": 1e-2}).fit(train)
