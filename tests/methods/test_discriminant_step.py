"""MvDN and MvLDAN: the step that ends them against scikit-learn and SciPy, and what they need."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from small_sets import of_few_classes

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import MvDN, MvLDAN
from commonspace.methods.baselines.discriminant_step import discriminant_maps

TINY = {"hidden": (16,), "epochs": 6, "batch_size": 16, "learning_rate": 5e-3}
DIMS = {"image": 8, "text": 6}


def rows(n: int, dim: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = 2 * rng.normal(size=(classes, dim))[y] + rng.normal(size=(n, dim)) @ rng.normal(
        size=(dim, dim)
    )
    return x.astype(np.float32), y


def cosines(z: np.ndarray) -> np.ndarray:
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    return unit @ unit.T


def test_of_one_modality_it_is_the_discriminant_analysis_of_scikit_learn():
    x, y = rows(90, 5, 4, seed=0)
    found = discriminant_maps({"a": x}, {"a": np.eye(4, dtype=np.float32)[y]}, dim=9, ridge=0.0)[
        "a"
    ]
    expected = LinearDiscriminantAnalysis().fit(x, y).transform(x)
    assert found(x).shape == (90, 3)
    np.testing.assert_allclose(cosines(found(x)), cosines(expected), atol=1e-4)


def test_of_two_it_is_the_generalised_eigenproblem():
    (a, y_a), (b, y_b) = rows(40, 4, 3, seed=1), rows(31, 3, 3, seed=2)
    tables = {"a": np.eye(3, dtype=np.float32)[y_a], "b": np.eye(3, dtype=np.float32)[y_b]}
    found = discriminant_maps({"a": a, "b": b}, tables, dim=2, ridge=0.0)
    z = np.zeros((71, 7))
    z[:40, :4] = (a - a.mean(axis=0)) / a.std(axis=0)
    z[40:, 4:] = (b - b.mean(axis=0)) / b.std(axis=0)
    y = np.concatenate([y_a, y_b])
    mean = np.stack([z[y == c].mean(axis=0) for c in range(3)])
    within = (z - mean[y]).T @ (z - mean[y])
    between = sum((y == c).sum() * np.outer(mean[c], mean[c]) for c in range(3))
    between = between - 71 * np.outer(z.mean(axis=0), z.mean(axis=0))
    _, vectors = eigh(between, within)
    expected = z @ vectors[:, ::-1][:, :2]
    ours = np.concatenate([found["a"](a), found["b"](b)])
    signs = np.sign((ours * expected).sum(axis=0))
    np.testing.assert_allclose(ours, expected * signs, atol=1e-3)


def test_rows_without_labels_take_no_part_in_it():
    x, y = rows(40, 4, 3, seed=3)
    table = np.eye(3, dtype=np.float32)[y]
    table[30:] = 0
    some = discriminant_maps({"a": x}, {"a": table}, dim=2)["a"]
    known = discriminant_maps({"a": x[:30]}, {"a": table[:30]}, dim=2)["a"]
    np.testing.assert_array_equal(some.map, known.map)


@pytest.mark.parametrize(
    "model",
    [
        MvDN(dim=8, width=12, **TINY),
        MvDN(dim=8, width=12, criterion="trace", **TINY),
        MvLDAN(**TINY),
        MvLDAN(correlation=1e-3, **TINY),
    ],
    ids=["share", "trace", "own rows", "pairs"],
)
def test_it_beats_chance_with_three_modalities(model):
    dims = {**DIMS, "audio": 5}
    data = make_dataset(n_items=160, n_classes=4, noise=0.5, dims=dims)
    model.fit(data["train"])
    assert model.modalities == ("image", "text", "audio") and model.space_.dim == 3
    assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.25


def unpaired() -> Dataset:
    data = make_dataset(n_items=60, n_classes=3, dims=DIMS)["train"]
    parts = {name: (part.x, part.labels.codes) for name, part in data.items()}
    return Dataset.from_arrays(
        {name: x for name, (x, _) in parts.items()}, {name: y for name, (_, y) in parts.items()}
    )


def test_only_correlation_needs_pairs():
    data, settings = unpaired(), {**TINY, "epochs": 1}
    assert np.isfinite(MvLDAN(**settings).fit(data).transform("image", data.x("image"))).all()
    with pytest.raises(InputError, match="at least two items"):
        MvLDAN(correlation=0.1, **settings).fit(data)
    MvLDAN(correlation=0.1, pairing="classes", **settings).fit(data)


@pytest.mark.parametrize("model", [MvDN(width=4, **TINY), MvLDAN(**TINY)], ids=["MvDN", "MvLDAN"])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_and_constant_features(model, n_classes):
    data = of_few_classes(n_classes)
    z = model.set_params(epochs=2).fit(data).transform("text", data.x("text"))
    assert z.shape == (12, 1) and np.isfinite(z).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MvDN(criterion="ratio"), "criterion"),
        (MvDN(common=(0,)), "hidden"),
        (MvLDAN(ridge=-1.0), "ridge"),
        (MvLDAN(dim=0), "dim"),
    ],
)
def test_arguments_out_of_range_are_named(model, message):
    data = make_dataset(n_items=20, n_classes=2, dims=DIMS)["train"]
    with pytest.raises(InputError, match=message):
        model.fit(data)
