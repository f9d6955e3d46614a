"""How features are scaled: by hand, and by every kind of method that learns from labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

import commonspace as cs
from commonspace.methods import (
    CCA,
    GMLDA,
    GSSSL,
    JRL,
    MLCCA,
    MSDMML,
    SM,
    SPDQ,
    CorrAE,
    DeepSM,
    MvDA,
    Ridge,
    ThreeViewCCA,
)
from commonspace.methods.scaling import loud_standardization, scale_by_labels
from commonspace.networks import ScaledInputs

TINY = {"hidden": (8,), "epochs": 1}


def embedding(n: int = 400, *, several: bool = False):
    """Four loud features tell the classes, sixty faint ones tell nothing."""
    rng = np.random.default_rng(0)
    y = np.eye(3)[rng.integers(3, size=n)]
    if several:
        y = np.maximum(y, np.eye(3)[rng.integers(3, size=n)])
    tells = 4 * (y @ rng.normal(size=(3, 4)) + 0.7 * rng.normal(size=(n, 4)))
    x = np.column_stack([tells, 0.2 * rng.normal(size=(n, 60))]) + 5
    return x.astype(np.float32), y.astype(np.float32)


def loud_by_hand(x):
    spread = x.std(axis=0)
    return spread / np.sqrt(np.square(spread).mean())


@pytest.mark.parametrize("several", [False, True])
def test_for_a_linear_map_loudness_is_part_of_the_scale(several):
    x, y = embedding(several=several)
    mean, scale = loud_standardization(x, y, several=several)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale, loud_by_hand(x) / x.std(axis=0), rtol=1e-4)
    assert np.ptp(scale) < 1e-5 * scale.max()  # one factor for all: as loud as they were
    alike = x / x.std(axis=0)
    np.testing.assert_allclose(loud_standardization(alike, y, several=several)[1], 1, rtol=1e-3)


def test_outliers_are_cut_off_before_features_become_loud():
    layer = ScaledInputs(2)
    layer.mean.copy_(torch.tensor([1.0, 0.0]))
    layer.scale.copy_(torch.tensor([2.0, 1.0]))
    layer.loudness.copy_(torch.tensor([3.0, 0.5]))
    out = layer(torch.tensor([[2.0, 4.0], [100.0, -100.0]]))
    assert out.tolist() == [[6.0, 2.0], [30.0, -5.0]]


def test_only_rows_that_are_said_to_tell_do():
    """Labels of the other rows are shuffled: they would say that no feature tells anything."""
    x, y = embedding(800)
    rng = np.random.default_rng(1)
    wrong = y.copy()
    wrong[400:] = y[400 + rng.permutation(400)]
    layer = ScaledInputs(64)
    scale_by_labels(layer, x, wrong, several=False, use=np.arange(800) < 400)
    assert float(layer.loudness[0]) > 2
    scale_by_labels(layer, x, wrong, several=False, use=np.arange(800) >= 400)
    assert (layer.loudness == 1).all()
    wrong[400:] = 0  # as of rows without a label
    scale_by_labels(layer, x, sparse.csr_array(wrong), several=False)
    assert float(layer.loudness[0]) > 2
    scale_by_labels(layer, x, np.zeros_like(y), several=False)
    assert (layer.loudness == 1).all()


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", [DeepSM, MSDMML, SPDQ])
def test_networks_that_learn_from_labels_leave_an_embedding_loud(kind, several, tmp_path):
    x, y = embedding(several=several)
    data = cs.Dataset.from_arrays({"a": x, "b": x / x.std(axis=0)}, labels=y)
    model = kind(**TINY, validation_fraction=0.0).fit(data)
    inputs = {name: model._module(name) for name in ("a", "b")}
    layers = {
        name: next(m for m in module.modules() if isinstance(m, ScaledInputs))
        for name, module in inputs.items()
    }
    np.testing.assert_allclose(layers["a"].loudness, loud_by_hand(x), rtol=1e-4)
    assert (layers["b"].loudness == 1).all()
    cs.save(model, tmp_path / "model")
    again = cs.load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform("a", x), model.transform("a", x))


@pytest.mark.parametrize("kind", [SM, Ridge, MLCCA, GMLDA, MvDA, ThreeViewCCA, JRL, GSSSL])
def test_linear_ones_do_so_too(kind):
    x, y = embedding()
    model = kind().fit(cs.Dataset.from_arrays({"a": x, "b": x / x.std(axis=0)}, labels=y))
    np.testing.assert_allclose(
        model.parts_["a"]["scale"], loud_by_hand(x) / x.std(axis=0), rtol=1e-4
    )
    np.testing.assert_allclose(model.parts_["b"]["scale"], 1, rtol=1e-3)


def test_what_learns_without_labels_has_all_features_alike():
    x, y = embedding()
    data = cs.Dataset.from_arrays({"a": x, "b": x}, labels=y)
    network = CorrAE(**TINY).fit(data).networks_["a"]
    assert (network.inputs.loudness == 1).all()
    scale = CCA(dim=2).fit(data).parts_["a"]["scale"]
    np.testing.assert_allclose(scale, 1 / x.std(axis=0), rtol=1e-4)
