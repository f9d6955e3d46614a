"""DCCA and DCCAE against the closed form, and its linear step against cca-zoo."""

from __future__ import annotations

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import DCCA, DCCAE
from commonspace.methods.baselines.dcca import linear_cca

LINEAR = {"hidden": (), "input_dropout": 0.0, "dropout": 0.0, "validation_fraction": 0.0}


def views(n=200, widths=(8, 6), seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 3)) * [3.0, 1.5, 0.7]
    out = [shared @ rng.normal(size=(3, w)) + rng.normal(size=(n, w)) for w in widths]
    return [x.astype(np.float32) for x in out]


def correlations(a, b):
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)])


def test_the_linear_step_finds_the_directions_of_cca_zoo():
    from cca_zoo.linear import CCA

    x, y = views()
    first, second = linear_cca(x, y, ridge=1e-9)
    expected = CCA(n_components=6).fit([x, y]).transform([x, y])
    found = first(x)[:, :6], second(y)[:, :6]
    np.testing.assert_allclose(correlations(*found), correlations(*expected), atol=1e-4)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.abs(correlations(ours, theirs)), 1, atol=1e-3)
        np.testing.assert_allclose(np.cov(ours.T), np.eye(6), atol=1e-3)


def test_the_ridge_is_that_of_the_linear_step_too():
    z = dict(zip("ab", views(widths=(6, 6)), strict=True))
    for name, found in DCCA(dim=6, ridge=2.0)._align(z, {}).items():
        solid = np.cov(z[name].astype(np.float64).T) + 2.0 * np.eye(6)
        np.testing.assert_allclose(found.map.T @ solid @ found.map, np.eye(6), atol=1e-6)


def test_linear_networks_reach_the_correlations_of_cca():
    """No linear map has more than the closed form, and training comes to within 2 % of it."""
    from cca_zoo.linear import CCA

    x, y = views()
    model = DCCA(dim=3, epochs=50, batch_size=200, learning_rate=0.1, ridge=1e-6, **LINEAR)
    model.fit(Dataset.from_arrays({"a": x, "b": y}, None))
    best = correlations(*CCA(n_components=3).fit([x, y]).transform([x, y])).sum()
    found = correlations(model.transform("a", x), model.transform("b", y)).sum()
    assert 0.98 * best < found < best + 1e-3


def test_every_dimension_correlates_with_its_own_and_no_other():
    data = make_dataset(n_items=200, n_classes=4)
    model = DCCA(dim=4, hidden=(32,), epochs=10, validation_fraction=0.0).fit(data["train"])
    a, b = (model.transform(name, data["train"].x(name)) for name in model.modalities)
    cross = np.corrcoef(a.T, b.T)
    found = np.diag(cross[:4, 4:])
    assert found.max() > 0.6 and found.min() > 0
    np.testing.assert_allclose(cross[:4, 4:] - np.diag(found), 0, atol=1e-4)


@pytest.mark.parametrize("kind", [DCCA, DCCAE])
def test_without_a_label_it_retrieves_counterparts(kind):
    data = make_dataset(n_items=300, n_classes=4, noise=1.0)
    x = {name: part.x for name, part in data["train"].items()}
    model = kind(dim=8, hidden=(64,), epochs=10, validation_fraction=0.1)
    model.fit(Dataset.from_arrays(x, None))
    assert cs.evaluate(model, data["test"]).mean_ap > 0.35  # chance: 0.25
    losses = [row["valid_loss"] for row in model.history_["image"]]
    assert all(0 < loss < 1 for loss in losses)  # 1 - mAP of the rows' own items


def test_reconstruction_is_a_share_of_the_loss():
    data = make_dataset(n_items=60, n_classes=3)["train"]
    same = {"dim": 4, "hidden": (16,), "epochs": 2, "batch_size": 20}
    plain, without = DCCA(**same).fit(data), DCCAE(reconstruction=0.0, **same).fit(data)
    x = data.x("image")
    np.testing.assert_array_equal(plain.transform("image", x), without.transform("image", x))
    only = DCCAE(reconstruction=1.0, **same).fit(data)
    assert only.history_["image"][0]["train_loss"] > 0  # squared errors, not correlations


@pytest.mark.parametrize("arguments", [{"ridge": 0}, {"reconstruction": 2}, {"dim": 0}])
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        DCCAE(**arguments).fit(data)


def test_three_modalities_are_refused():
    dims = {"a": 4, "b": 4, "c": 4}
    with pytest.raises(InputError, match="DCCA takes 2 modalities, got 3"):
        DCCA().fit(make_dataset(n_items=20, n_classes=2, dims=dims)["train"])
