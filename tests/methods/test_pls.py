"""PLS and CFA against scikit-learn, and by what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from directions import same_up_to_sign, standardized
from scipy.stats import ortho_group
from sklearn.cross_decomposition import PLSSVD, PLSCanonical

from commonspace.data import Dataset, make_dataset
from commonspace.methods import CCA, CFA, PLS


@pytest.fixture(scope="module")
def data():
    return make_dataset(n_items=100, n_classes=4, noise=1.0, dims={"image": 7, "text": 5})


@pytest.mark.parametrize("model", [PLS(dim=4), CFA(dim=4), CCA(dim=4, c=1, power=0)])
def test_the_singular_vectors_of_the_cross_covariance(data, model):
    train, test = data["train"], data["test"]
    x, y = (standardized(part.x) for part in train.values())
    expected = PLSSVD(n_components=4, scale=False).fit(x, y)
    new = [standardized(test.x(name), part.x) for name, part in train.items()]
    model.fit(train)
    for name, z in zip(train, expected.transform(*new), strict=True):
        same_up_to_sign(model.transform(name, test.x(name)), z)


def test_one_direction_at_a_time(data):
    train, test = data["train"], data["test"]
    x, y = (standardized(part.x) for part in train.values())
    expected = PLSCanonical(4, scale=False, algorithm="svd").fit(x, y)
    new = [standardized(test.x(name), part.x) for name, part in train.items()]
    model = PLS(dim=4, form="canonical").fit(train)
    for name, z in zip(train, expected.transform(*new), strict=True):
        same_up_to_sign(model.transform(name, test.x(name)), z, atol=1e-2)  # NIPALS iterates
        scores = model.transform(name, train.x(name)).astype(np.float64)
        gram = scores.T @ scores
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-2 * gram.max())
    first = PLS(dim=1).fit(train).transform("text", test.x("text"))
    same_up_to_sign(model.transform("text", test.x("text"))[:, :1], first, atol=1e-2)


def test_one_at_a_time_there_are_no_more_directions_than_the_rank():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 6)).astype(np.float32)
    y = np.abs(x[:, :3]) / np.abs(x[:, :3]).sum(axis=1, keepdims=True)
    model = PLS(form="canonical").fit(Dataset.from_arrays({"image": x, "text": y}, None))
    assert model.space_.dim == 2 and np.isfinite(model.transform("text", y)).all()


def test_no_orthogonal_maps_bring_pairs_closer_than_cfa():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = x @ ortho_group.rvs(4, random_state=1) + 0.3 * rng.normal(size=(60, 4))
    train = Dataset.from_arrays({"image": x, "text": y}, None)
    model = CFA(standardize=False).fit(train)
    a, b = (model.parts_[name]["weights"].astype(np.float64) for name in train)
    for w in (a, b):
        np.testing.assert_allclose(w.T @ w, np.eye(4), atol=1e-5)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    best = np.linalg.norm(x @ a - y @ b)
    for seed in range(20):
        near = ortho_group.rvs(4, random_state=seed)
        assert np.linalg.norm(x @ a - y @ b @ near) >= best


def test_rows_without_partner_or_label_are_no_hindrance(data):
    train = data["train"]
    some = train.take({"image": np.arange(40), "text": np.arange(10, 60)[::-1]})
    pairs = train.take(dict.fromkeys(train, np.arange(10, 40)))
    for method in (PLS, CFA):
        first, second = (method(dim=3).fit(d) for d in (some, pairs))
        x = data["test"].x("text")
        np.testing.assert_array_equal(first.transform("text", x), second.transform("text", x))
