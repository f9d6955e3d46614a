"""What linear methods share: standardising, principal components, one matrix a modality."""

from __future__ import annotations

import numpy as np
import pytest
from directions import standardized
from sklearn.decomposition import PCA

from commonspace import methods
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods.baselines.projection import coordinates, principal_components, whitening

NAMES = ["CCA", "CFA", "KCCA", "MCCA", "MLCCA", "PLS", "ThreeViewCCA"]
every = pytest.mark.parametrize("name", NAMES)


def correlated(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ (rng.normal(size=(d, d)) * np.linspace(1, 0.01, d) ** 2)
    return (x + 3).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(40, 15), (15, 40)])
@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_components_are_the_fewest_that_hold_the_share(n, d, keep):
    x = standardized(correlated(n, d))
    basis = principal_components(x, keep=keep)
    expected = PCA(n_components=keep, svd_solver="full").fit(x).components_.T
    np.testing.assert_allclose(basis @ basis.T, expected @ expected.T, atol=1e-8)
    assert basis.shape == expected.shape


@pytest.mark.parametrize("standardize", [True, False])
def test_wide_features_become_components_and_stay_one_matrix(standardize):
    x = correlated(12, 30)
    view = coordinates("image", x, standardize=standardize)
    assert view.basis is not None and view.width < 12
    weights = np.random.default_rng(0).normal(size=(view.width, 3))
    part = view.projection(weights)
    assert part["weights"].shape == (30, 3)
    z = ((x - part["mean"]) * part["scale"]) @ part["weights"]
    np.testing.assert_allclose(z, view.rows @ weights, atol=1e-4)


def test_features_become_components_only_where_they_are_many():
    assert coordinates("image", correlated(40, 30)).basis is None
    assert coordinates("image", correlated(30, 30)).basis is None
    assert coordinates("image", correlated(29, 30)).basis is not None


def test_one_scale_for_all_keeps_their_proportions_in_any_unit():
    x = correlated(40, 5)
    first, second = (coordinates("image", x * unit, standardize=False) for unit in (1, 1000))
    np.testing.assert_allclose(first.rows, second.rows, rtol=1e-3, atol=1e-4)
    spread, own = first.rows.std(axis=0), x.std(axis=0)
    np.testing.assert_allclose(spread / spread[0], own / own[0], rtol=1e-4)
    assert np.square(spread).mean() == pytest.approx(1)


@pytest.mark.parametrize("c", [0.0, 0.3, 1.0])
def test_whitening_leaves_out_what_does_not_vary(c):
    x = standardized(correlated(40, 4))
    covariance = np.cov(np.hstack([x, x[:, :1]]).T)
    w = whitening(covariance, c)
    assert w.shape == (5, 4)
    shrunk = (1 - c) * covariance + c * np.eye(5)
    np.testing.assert_allclose(w.T @ shrunk @ w, np.eye(4), atol=1e-8)


def of(image: np.ndarray, text: np.ndarray) -> Dataset:
    arrays = {"image": image.astype(np.float32), "text": text.astype(np.float32)}
    return Dataset.from_arrays(arrays, np.arange(len(image)) % 2, classes=["a", "b"])


@every
@pytest.mark.parametrize("n", [2, 3, 5])
def test_very_few_rows_of_many_features(name, n):
    rng = np.random.default_rng(n)
    data = of(rng.normal(size=(n, 20)), rng.normal(size=(n, 1)))
    model = getattr(methods, name)().fit(data)
    for modality, part in data.items():
        z = model.transform(modality, part.x)
        assert np.isfinite(z).all() and z.any()


@every
@pytest.mark.parametrize("c", [0.0, None, 1.0])
def test_features_that_depend_on_each_other(name, c):
    if c is not None and not hasattr(getattr(methods, name)(), "c"):
        return
    x = np.abs(correlated(30, 6))
    x[:, 1] = 7
    shares = x / x.sum(axis=1, keepdims=True)
    data = of(np.hstack([x, x]), shares)
    model = getattr(methods, name)(**({} if c is None else {"c": c})).fit(data)
    for modality, part in data.items():
        z = model.transform(modality, part.x)
        assert np.isfinite(z).all() and 1e-3 < np.abs(z).max() < 1e3


@every
def test_scale_and_offset_of_features_do_not_matter(name):
    data = make_dataset(n_items=60, n_classes=3, noise=1.0)["train"]
    x = {"image": data.x("image") * 1e6 + 3e6, "text": data.x("text") * 1e-6}
    other = Dataset.from_arrays(x, data.labels("image"), items=data["image"].items)
    first, second = (getattr(methods, name)(dim=4).fit(d) for d in (data, other))
    z, moved = first.transform("text", data.x("text")), second.transform("text", x["text"])
    np.testing.assert_allclose(np.abs(moved), np.abs(z), atol=2e-3 * np.abs(z).max())


@every
def test_a_modality_that_does_not_vary_is_named(name):
    with pytest.raises(InputError, match="'text': no feature varies"):
        getattr(methods, name)().fit(of(correlated(20, 3), np.ones((20, 3))))


@every
def test_one_modality_alone_shares_nothing(name):
    data = make_dataset(n_items=20, n_classes=2, dims={"image": 4})["train"]
    with pytest.raises(InputError, match=f"{name} learns what modalities share.* image alone"):
        getattr(methods, name)().fit(data)


@every
def test_it_beats_chance_and_learns_from_unpaired_rows_of_one_class(name):
    import commonspace as cs

    for paired in (True, False):
        data = make_dataset(n_items=120, n_classes=4, noise=0.5, paired=paired)
        settings = {"dim": 6}
        if not paired and getattr(methods, name).needs_pairs:
            with pytest.raises(InputError, match="pairing='classes'"):
                getattr(methods, name)(**settings).fit(data["train"])
            settings["pairing"] = "classes"
        model = getattr(methods, name)(**settings).fit(data["train"])
        assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.25


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *[(name, {"dim": 0}) for name in NAMES],
        ("CCA", {"standardize": "yes"}),
        ("CCA", {"c": 1.5}),
        ("CCA", {"pairing": "rows"}),
        ("PLS", {"form": "nipals"}),
        ("MCCA", {"power": -1}),
        ("MCCA", {"c": -0.1}),
        ("KCCA", {"kernel": "cosine"}),
        ("KCCA", {"gamma": 0}),
        ("KCCA", {"landmarks": 1}),
        ("MLCCA", {"neighbours": 0}),
        ("MLCCA", {"sigma": 0}),
        ("MLCCA", {"ridge": 0}),
    ],
)
def test_arguments_out_of_range_are_named(name, arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        getattr(methods, name)(**arguments).fit(data)


@pytest.mark.parametrize(("name", "what"), [("CCA", "CCA"), ("PLS", "PLS")])
def test_a_missing_library_is_named(name, what, monkeypatch):
    import sys

    from commonspace.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "cca_zoo.linear", None)
    with pytest.raises(MissingExtraError, match=rf"{what}.*'cca_zoo'.*commonspace\[baselines\]"):
        getattr(methods, name)().fit(make_dataset(n_items=20, n_classes=2)["train"])
