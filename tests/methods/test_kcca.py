"""Kernel CCA against cca-zoo, linear CCA, and a problem that no linear map solves."""

from __future__ import annotations

import numpy as np
import pytest
from cca_zoo import nonparametric as reference
from directions import cosines, same_up_to_sign, standardized

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import CCA, KCCA, MCCA
from commonspace.methods.baselines import kcca


@pytest.fixture(scope="module")
def data():
    dims = {"image": 7, "text": 5, "audio": 6}
    return make_dataset(n_items=80, n_classes=4, noise=1.0, dims=dims)


def vectors(model, data):
    return [model.transform(name, data.x(name)) for name in model.modalities]


@pytest.mark.parametrize("names", [["image", "text"], ["image", "text", "audio"]])
@pytest.mark.parametrize("c", [0.02, 0.1])
def test_with_every_row_a_landmark_it_is_that_of_cca_zoo(data, names, c):
    train, test = data["train"].select(names), data["test"]
    views = [standardized(part.x) for part in train.values()]
    expected = reference.KCCA(4, kernel="rbf", gamma=0.05, shrinkage=c).fit(views)
    new = [standardized(test.x(name), part.x) for name, part in train.items()]
    model = KCCA(dim=4, gamma=0.05, c=c).fit(train)
    same_up_to_sign(np.vstack(vectors(model, test)), np.vstack(expected.transform(new)), 1e-3)


def test_a_linear_kernel_is_linear(data):
    models = [
        KCCA(dim=4, kernel="linear", landmarks=20).fit(data["train"]),
        MCCA(dim=4, c=0.1, power=0).fit(data["train"]),
    ]
    z = [np.vstack(vectors(model, data["test"])) for model in models]
    same_up_to_sign(*z)


def test_gamma_is_one_over_the_median_squared_distance(data):
    train = data["train"].select(["image", "text"])
    model = KCCA(dim=4).fit(train)
    for name, part in train.items():
        x = standardized(part.x)
        squares = [((a - b) ** 2).sum() for k, a in enumerate(x) for b in x[:k]]
        assert model.parts_[name]["gamma"][0] == pytest.approx(1 / np.median(squares))


def test_gamma_where_most_rows_are_alike():
    x = np.zeros((20, 2), np.float32)
    x[:4] = np.random.default_rng(0).normal(size=(4, 2))
    model = KCCA().fit(Dataset.from_arrays({"image": x, "text": x}, None))
    squared = ((standardized(x)[:, None] - standardized(x)) ** 2).sum(axis=-1)
    assert model.parts_["text"]["gamma"][0] == pytest.approx(1 / squared.mean())
    assert np.isfinite(model.transform("text", x)).all()


def test_many_landmarks_come_near_to_all_rows():
    splits = make_dataset(n_items=300, n_classes=4, noise=1.0)
    train, test = splits["train"], splits["test"]
    exact, half, few = (
        cosines(*vectors(KCCA(dim=4, landmarks=n).fit(train), test)) for n in (1000, 150, 15)
    )
    errors = [np.abs(approximate - exact).mean() for approximate in (half, few)]
    assert errors[0] < 0.1 and errors[0] < errors[1] / 2


def test_rows_pass_in_blocks(data, monkeypatch):
    model = KCCA(dim=4, landmarks=30).fit(data["train"])
    whole = vectors(model, data["test"])
    monkeypatch.setattr(kcca, "BLOCK", 7)
    again = KCCA(dim=4, landmarks=30).fit(data["train"])
    for z, other in zip(whole, vectors(again, data["test"]), strict=True):
        np.testing.assert_allclose(np.abs(other), np.abs(z), atol=1e-4)


def test_wide_features_pass_through_components():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(40, 3))
    x = {name: latent @ rng.normal(size=(3, d)) for name, d in (("image", 60), ("text", 50))}
    train = Dataset.from_arrays(x, None)
    model = KCCA(dim=3).fit(train)
    assert model.parts_["image"]["basis"].shape == (60, 3)
    z = cosines(*vectors(model, train))
    assert (z.argmax(axis=1) == np.arange(40)).mean() > 0.9


def test_it_finds_what_no_linear_map_finds():
    """Distance from the origin in one modality, the same distance as a sign in the other."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    angle = rng.uniform(0, 2 * np.pi, size=300)
    ring = (1 + 2 * y + 0.1 * rng.normal(size=300))[:, None]
    x = np.column_stack([np.cos(angle), np.sin(angle)]) * ring
    data = Dataset.from_arrays({"image": x, "text": (2.0 * y - 1)[:, None]}, y, classes=["a", "b"])
    train, test = data.split(0.4, seed=0)
    linear, curved = (cs.evaluate(method(dim=1).fit(train), test).mean_ap for method in (CCA, KCCA))
    assert curved > 0.95 and linear < 0.75


def test_landmarks_that_are_all_alike_are_refused():
    x = np.zeros((50, 2), np.float32)
    x[7] = 1
    data = Dataset.from_arrays({"image": x, "text": x}, None)
    with pytest.raises(InputError, match="'image': the 3 landmarks drawn are all alike"):
        KCCA(landmarks=3).fit(data)
