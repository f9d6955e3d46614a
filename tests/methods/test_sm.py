from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError


def logistic_regression(C: float) -> LogisticRegression:
    return LogisticRegression(C=C, tol=1e-8, max_iter=5000)


def scaled(x, other):
    scaler = StandardScaler().fit(x.astype(np.float64))
    return scaler.transform(x.astype(np.float64)), scaler.transform(other.astype(np.float64))


@pytest.mark.parametrize("C", [0.02, 1.0])
def test_posteriors_are_those_of_scikit_learn(C):
    data = make_dataset(n_items=150, n_classes=4, noise=2.0)
    model = cs.SM(C=C).fit(data["train"])
    for name in model.modalities:
        z, z_test = scaled(data["train"].x(name), data["test"].x(name))
        reference = logistic_regression(C).fit(z, data["train"].labels(name).codes)
        posterior = model.transform(name, data["test"].x(name))
        np.testing.assert_allclose(posterior, reference.predict_proba(z_test), atol=1e-3)
        np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-5)


def test_one_vs_rest_posteriors_are_those_of_scikit_learn():
    data = make_dataset(n_items=150, n_classes=4, noise=1.0, label_kind="multi")
    model = cs.SM(C=0.1).fit(data["train"])
    for name in model.modalities:
        z, z_test = scaled(data["train"].x(name), data["test"].x(name))
        y = data["train"].labels(name).dense().astype(int)
        reference = OneVsRestClassifier(logistic_regression(0.1)).fit(z, y)
        posterior = model.transform(name, data["test"].x(name))
        np.testing.assert_allclose(posterior, reference.predict_proba(z_test), atol=1e-3)


def test_half_a_label_is_half_a_row():
    """A graded weight w counts as w of a row with the label and 1 − w of one without."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    x /= x.std(axis=0)  # one spread: with more rows others would more surely be told apart
    hot = (x[:, :1] + rng.normal(size=(40, 2)) > 0).astype(np.float32)
    graded = np.vstack([0.75 * hot + 0.25 * (1 - hot)])
    counted = np.vstack([hot, hot, hot, 1 - hot])
    first = cs.SM(C=0.4).fit(Dataset.from_arrays({"a": x}, graded))
    second = cs.SM(C=0.1).fit(Dataset.from_arrays({"a": np.vstack([x] * 4)}, counted))
    np.testing.assert_allclose(first.transform("a", x), second.transform("a", x), atol=1e-3)


def test_rows_without_labels_are_left_out():
    data = make_dataset(n_items=60, n_classes=3)["train"]
    x, codes = data.x("image"), data.labels("image").codes.copy()
    codes[::3] = -1
    known = codes >= 0
    some = cs.SM().fit(Dataset.from_arrays({"image": x}, codes))
    only = cs.SM().fit(Dataset.from_arrays({"image": x[known]}, codes[known]))
    np.testing.assert_array_equal(some.transform("image", x), only.transform("image", x))


def test_a_modality_without_any_label_is_named():
    data = make_dataset(n_items=60, n_classes=3)["train"]
    x = {name: part.x for name, part in data.items()}
    with pytest.raises(InputError, match="'text': SM learns from labels, and no row has one"):
        cs.SM().fit(Dataset.from_arrays(x, {"image": data.labels("image")}))


def test_a_class_without_rows_and_a_constant_feature_do_no_harm():
    data = make_dataset(n_items=60, n_classes=3)["train"]
    x = data.x("image").copy()
    x[:, 4] = 7
    model = cs.SM().fit(
        Dataset.from_arrays({"image": x}, data.labels("image").codes, classes=list("abcd"))
    )
    posterior = model.transform("image", x)
    assert np.isfinite(posterior).all() and posterior[:, 3].max() < 0.01


def test_it_finds_what_is_there():
    data = make_dataset(n_items=200, n_classes=5)
    assert cs.evaluate(cs.SM().fit(data["train"]), data["test"]).mean_ap > 0.8  # chance: 0.2


@pytest.mark.parametrize("settings", [{"C": 0}, {"C": "1"}, {"max_iter": 0}])
def test_wrong_arguments_are_named(settings, train):
    with pytest.raises(InputError, match=next(iter(settings))):
        cs.SM(**settings).fit(train)
