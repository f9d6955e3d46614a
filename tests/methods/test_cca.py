"""CCA, multiset CCA and three-view CCA against the eigenproblems as papers pose them."""

from __future__ import annotations

import numpy as np
import pytest
from cca_zoo import linear as reference
from directions import (
    cosines,
    same_up_to_sign,
    side_by_side,
    standardized,
    with_standardized_features,
)
from scipy.linalg import block_diag, eigh

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import CCA, MCCA, MLCCA, ThreeViewCCA, ZeroShot

DIMS = {"image": 7, "text": 5, "audio": 6}


@pytest.fixture(scope="module")
def data():
    return make_dataset(n_items=100, n_classes=4, noise=1.0, dims=DIMS)


def covariance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)).T @ (y - y.mean(axis=0)) / (len(x) - 1)


def shrunk(x: np.ndarray, c: float) -> np.ndarray:
    return (1 - c) * covariance(x, x) + c * np.eye(x.shape[1])


@pytest.mark.parametrize("power", [0.0, 1.5])
@pytest.mark.parametrize("c", [0.0, 0.1, 0.7])
def test_two_modalities_solve_the_eigenproblem_of_cca(data, c, power):
    """(C_yy + .)⁻¹ C_yx (C_xx + .)⁻¹ C_xy b = ρ² b, a = (C_xx + .)⁻¹ C_xy b / ρ; times ρ^p."""
    train = data["train"].select(["image", "text"])
    x, y = (standardized(train.x(name)) for name in train)
    to_a = np.linalg.solve(shrunk(x, c), covariance(x, y))
    roots, b = np.linalg.eig(np.linalg.solve(shrunk(y, c), covariance(y, x)) @ to_a)
    order = np.argsort(-roots.real)[:4]
    roots, b = roots.real[order], b.real[:, order]
    b = b / np.sqrt(np.diag(b.T @ shrunk(y, c) @ b))
    model = CCA(dim=4, c=c, power=power).fit(train)
    for name, w in (("image", to_a @ b / np.sqrt(roots)), ("text", b)):
        new, w = data["test"].x(name), w * roots ** (power / 2)
        same_up_to_sign(model.transform(name, new), standardized(new, train.x(name)) @ w)
    z = [model.transform(name, train.x(name)) for name in train]
    assert ((z[0] * z[1]).sum(axis=0) > 0).all()


def test_one_modality_that_is_a_map_of_the_other_gets_the_same_vectors():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4))
    train = Dataset.from_arrays({"image": x, "text": x @ rng.normal(size=(4, 4)) + 2}, None)
    for model in (CCA(c=0).fit(train), MCCA(c=0).fit(train)):
        z = [model.transform(name, train.x(name)) for name in train]
        np.testing.assert_allclose(z[0], z[1], atol=1e-4)


def test_unregularised_it_does_not_blow_up_rounding():
    """Shares add up to 1, but for what float32 rounds."""
    x = np.abs(np.random.default_rng(0).normal(size=(60, 5)))
    shares = x / x.sum(axis=1, keepdims=True)
    train = Dataset.from_arrays({"image": x, "text": shares}, None)
    for model in (CCA(c=0).fit(train), MCCA(c=0).fit(train)):
        assert model.space_.dim == 4
        assert all(np.abs(part["weights"]).max() < 100 for part in model.parts_.values())


def test_items_without_a_partner_take_no_part(data):
    train = data["train"].select(["image", "text"])
    some = train.take({"image": np.arange(5, 60), "text": np.arange(40)[::-1]})
    pairs = train.take({"image": np.arange(5, 40), "text": np.arange(5, 40)})
    first, second = (CCA(dim=3).fit(d) for d in (some, pairs))
    x = data["test"].x("text")
    np.testing.assert_array_equal(first.transform("text", x), second.transform("text", x))


@pytest.mark.parametrize("c", [0.0, 0.1, 1.0])
def test_multiset_cca_is_that_of_cca_zoo(data, c):
    train = data["train"]
    views = [standardized(part.x) for part in train.values()]
    weights = reference.MCCA(n_components=4, shrinkage=c).fit(views).weights_
    model = MCCA(dim=4, c=c, power=0).fit(train)
    found = [model.transform(name, data["test"].x(name)) for name in train]
    new = [standardized(data["test"].x(name), part.x) for name, part in train.items()]
    expected = [x @ w for x, w in zip(new, weights, strict=True)]
    same_up_to_sign(np.vstack(found), np.vstack(expected))


@pytest.mark.parametrize("settings", [{}, {"c": 0.05, "power": 0.0}, {"c": 0.5, "power": 1.5}])
def test_of_two_modalities_multiset_cca_is_cca(data, settings):
    train, test = data["train"].select(["image", "text"]), data["test"]
    first, second = (method(**{"dim": 4, **settings}).fit(train) for method in (CCA, MCCA))
    z = [[m.transform(name, test.x(name)) for name in train] for m in (first, second)]
    np.testing.assert_allclose(cosines(*z[0]), cosines(*z[1]), atol=1e-4)


@pytest.mark.parametrize("method", [CCA, MCCA])
@pytest.mark.parametrize("n_items", [120, 400])
def test_where_encoders_share_a_space_it_is_not_below_comparing_features(method, n_items):
    """Few pairs for as many features: most directions hardly correlate, and must not drown some."""
    rng = np.random.default_rng(0)
    y = np.arange(2 * n_items) % 8
    shown = (rng.normal(size=(8, 12))[y] + rng.normal(size=(len(y), 12))) @ rng.normal(
        size=(12, 96)
    )
    own = rng.normal(size=(4, 96))  # what a modality says of no other
    x = {
        name: shown + 2 * rng.normal(size=(len(y), 4)) @ own + 2 * rng.normal(size=shown.shape)
        for name in ("one", "two")
    }
    train, test = (
        Dataset.from_arrays({name: rows[part] for name, rows in x.items()}, y[part])
        for part in (slice(n_items), slice(n_items, None))
    )
    scores = [cs.evaluate(m.fit(train), test).mean_ap for m in (method(), ZeroShot())]
    assert scores[0] > scores[1] > 0.2


def test_more_dimensions_than_the_narrowest_modality_has(data):
    model = MCCA(dim=8, c=0.2).fit(data["train"])
    assert model.space_.dim == 8
    alone = MCCA(dim=9, c=0.2).fit(data["train"].select(["image", "text"]))
    assert alone.space_.dim == 5  # what two modalities can share


@pytest.mark.parametrize("label_kind", ["single", "multi"])
@pytest.mark.parametrize("power", [0.0, 1.5, 4.0])
def test_three_view_cca_solves_its_eigenproblem(label_kind, power):
    """C_all v = λ C_diag v over features and labels, embedded by X_i V_i Λ^p."""
    splits = make_dataset(n_items=90, n_classes=5, noise=1.0, label_kind=label_kind)
    train, dim, c = splits["train"], 6, 0.2
    x, t = (standardized(train.x(name)) for name in train)
    y = train.labels("image").dense().astype(float)
    views = (x, t, y)
    diagonal = [shrunk(x, c), shrunk(t, c), shrunk(y, 1e-4)]
    whole = side_by_side(
        [
            [diagonal[i] if i == j else covariance(views[i], views[j]) for j in range(3)]
            for i in range(3)
        ]
    )
    roots, v = eigh(whole, block_diag(*diagonal))
    roots, v = roots[::-1][:dim], v[:, ::-1][:, :dim]
    weights = v * (roots / roots[0]) ** power
    model = ThreeViewCCA(dim=dim, c=c, power=power).fit(with_standardized_features(train))
    ends = {"image": (0, 32), "text": (32, 48)}
    for name, (start, stop) in ends.items():
        new = standardized(splits["test"].x(name), train.x(name)).astype(np.float32)
        expected = new @ weights[start:stop]
        same_up_to_sign(model.transform(name, new), expected)


def test_matched_rows_take_the_labels_of_either_modality(data):
    train = data["train"].select(["image", "text"])
    codes = train.labels("image").codes
    x = {name: part.x for name, part in train.items()}
    halves = {"image": codes.copy(), "text": codes.copy()}
    halves["image"][::2] = -1
    halves["text"][1::2] = -1
    items = dict.fromkeys(x, train["image"].items)
    both = Dataset.from_arrays(x, halves, classes=train.classes, items=items)
    first, second = (ThreeViewCCA(dim=3).fit(d) for d in (train, both))
    new = data["test"].x("text")
    np.testing.assert_array_equal(first.transform("text", new), second.transform("text", new))


def test_rows_without_any_label_are_left_out(data):
    train = data["train"].select(["image", "text"])
    codes = train.labels("image").codes.copy()
    codes[:20] = -1
    some = Dataset.from_arrays({k: p.x for k, p in train.items()}, codes, classes=train.classes)
    rest = train.take(dict.fromkeys(train, np.arange(20, len(codes))))
    first, second = (ThreeViewCCA(dim=3).fit(d) for d in (some, rest))
    new = data["test"].x("text")
    np.testing.assert_array_equal(first.transform("text", new), second.transform("text", new))


def test_labels_of_one_class_are_refused(data):
    rows = np.flatnonzero(data["train"].labels("image").codes == 0)
    alone = data["train"].take(dict.fromkeys(data["train"], rows))
    with pytest.raises(InputError, match=r"two classes or more, got .* of 1 classes"):
        ThreeViewCCA().fit(alone)


def test_labels_help():
    splits = make_dataset(n_items=200, n_classes=6, noise=1.0)
    methods = (CCA, ThreeViewCCA, MLCCA)
    cca, *supervised = (
        cs.evaluate(method(dim=16).fit(splits["train"]), splits["test"]).mean_ap
        for method in methods
    )
    assert min(supervised) > cca + 0.05
