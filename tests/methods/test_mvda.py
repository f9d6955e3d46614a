"""MvDA against loops, linear discriminant analysis of another library, and Fisher's formula."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import commonspace as cs
from commonspace.data import Dataset, Labels, make_dataset
from commonspace.errors import InputError
from commonspace.methods import MvDA
from commonspace.methods.baselines import mvda
from commonspace.methods.baselines.discriminant import ClassMoments, leading_directions
from commonspace.methods.baselines.mvda import DUAL_RIDGE, disagreement, scatter


def unpaired(counts: dict[str, int], n_classes: int = 3, seed: int = 0) -> Dataset:
    """Classes that differ in all features, in modalities of 4 and 3 features."""
    rng = np.random.default_rng(seed)
    x, y = {}, {}
    for width, (name, n) in zip((4, 3), counts.items(), strict=True):
        y[name] = np.arange(n) % n_classes
        centres = rng.normal(size=(n_classes, width))
        x[name] = (centres[y[name]] + rng.normal(size=(n, width))).astype(np.float32)
    return Dataset.from_arrays(x, y, classes=[f"c{k}" for k in range(n_classes)])


def embedded(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Standardised rows of all modalities, each in the place of its own features, else zero."""
    widths = [part.x.shape[1] for part in data.values()]
    rows, labels = [], []
    for at, part in enumerate(data.values()):
        x = part.x.astype(np.float64)
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        before, after = sum(widths[:at]), sum(widths[at + 1 :])
        rows.append(np.pad(z, ((0, 0), (before, after))))
        labels.append(part.labels.codes)
    return np.vstack(rows), np.concatenate(labels)


def stacked(model: cs.methods.Method) -> np.ndarray:
    return np.vstack([part["weights"] for part in model.parts_.values()])


def aligned(directions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine between columns, whatever their sign."""
    lengths = np.linalg.norm(directions, axis=0) * np.linalg.norm(others, axis=0)
    return np.abs((directions * others).sum(axis=0)) / lengths


def test_the_scatter_is_that_of_loops_over_rows():
    data = unpaired({"image": 23, "text": 10})
    x, y = embedded(data)
    within, between = np.zeros((7, 7)), np.zeros((7, 7))
    for k in range(3):
        mean = x[y == k].mean(axis=0)
        for row in x[y == k]:
            within += np.outer(row - mean, row - mean)
        centre = mean - x.mean(axis=0)
        between += (y == k).sum() * np.outer(centre, centre)
    codes = {name: part.labels for name, part in data.items()}
    cut = {"image": x[:23, :4], "text": x[23:, 4:]}
    moments = [ClassMoments.of(cut[name], codes[name]) for name in data]
    found = scatter(moments)
    np.testing.assert_allclose(found[0], between, atol=1e-9)
    np.testing.assert_allclose(found[1], within, atol=1e-9)
    assert found[2] == 3


def test_class_moments_by_loops():
    rng = np.random.default_rng(1)
    z, codes = rng.normal(size=(9, 2)), np.array([0, 0, 2, 2, 2, 0, 2, 0, 0])
    moments = ClassMoments.of(z, Labels.from_any(codes, classes=["a", "none", "c"]))
    np.testing.assert_array_equal(moments.counts, [5, 0, 4])
    np.testing.assert_array_equal(moments.means[1], [0, 0])
    within = np.zeros((2, 2))
    for row, k in zip(z, codes, strict=True):
        difference = row - z[codes == k].mean(axis=0)
        within += np.outer(difference, difference)
    np.testing.assert_allclose(moments.within, within)


def test_it_is_linear_discriminant_analysis_of_the_embedded_rows():
    """Rows in the place of their modality are what MvDA's scatter matrices speak of."""
    data = unpaired({"image": 40, "text": 31}, n_classes=4)
    model = MvDA(view_consistency=0.0, shrinkage=0.0).fit(data)
    x, y = embedded(data)
    other = LinearDiscriminantAnalysis(solver="eigen").fit(x, y)
    assert model.space_.dim == 3
    np.testing.assert_allclose(aligned(stacked(model), other.scalings_[:, :3]), 1, atol=1e-6)


def test_with_two_classes_it_is_fishers_formula():
    """w is proportional to S_W⁻¹ (μ_a - μ_b)."""
    data = unpaired({"image": 20, "text": 14}, n_classes=2)
    x, y = embedded(data)
    means = [x[y == k].mean(axis=0) for k in range(2)]
    within = sum(np.cov(x[y == k].T, bias=True) * (y == k).sum() for k in range(2))
    expected = np.linalg.solve(within, means[0] - means[1])[:, None]
    model = MvDA(view_consistency=0.0, shrinkage=0.0).fit(data)
    np.testing.assert_allclose(aligned(stacked(model), expected), 1, atol=1e-6)


def test_two_features_by_hand():
    """Image rows (-1, -1, 1, 1) and text rows (1, 1, -1, -1): the classes lie opposite.

    Embedded, class a holds (-1, 0) twice and (0, 1) twice: its mean is (-½, ½), that of b (½, -½).
    S_W = [[2, 2], [2, 2]], singular along (1, -1), which is where the classes differ.
    """
    x = {"image": [[-1.0], [-1.0], [1.0], [1.0]], "text": [[1.0], [1.0], [-1.0], [-1.0]]}
    data = Dataset.from_arrays(x, ["a", "a", "b", "b"])
    model = MvDA(view_consistency=0.0).fit(data)
    image, text = model.parts_["image"]["weights"].item(), model.parts_["text"]["weights"].item()
    assert image == pytest.approx(-text)
    np.testing.assert_allclose(model.transform("image", x["image"]), -image * np.array(x["text"]))


def test_disagreement_is_the_distance_of_the_dual_coefficients():
    rng = np.random.default_rng(0)
    views = [rng.normal(size=(12, width)) for width in (3, 4, 2)]
    matrix = disagreement(views)
    directions = [rng.normal(size=view.shape[1]) for view in views]
    duals = []
    for z, w in zip(views, directions, strict=True):
        gram = z @ z.T
        duals.append(np.linalg.solve(gram + DUAL_RIDGE * np.trace(gram) * np.eye(12), z @ w))
    expected = sum(np.sum((duals[v] - duals[u]) ** 2) for v in range(3) for u in range(v))
    w = np.concatenate(directions)
    assert w @ matrix @ w == pytest.approx(expected, rel=1e-9)


def test_more_consistency_brings_the_dual_coefficients_closer():
    """What is bought: M in the leading direction never rises with λ."""
    data = make_dataset(n_items=80, n_classes=2, dims={"image": 9, "text": 6}, noise=1.5)["train"]
    views = [embedded(data.select([name]))[0] for name in data]
    matrix, spent = disagreement(views), []
    moments = [ClassMoments.of(v, p.labels) for v, p in zip(views, data.values(), strict=True)]
    within = scatter(moments)[1]
    for weight in (0.0, 0.1, 1.0, 10.0):
        w = stacked(MvDA(view_consistency=weight, shrinkage=0.0).fit(data))[:, 0]
        spent.append((w @ matrix @ w) / (w @ within @ w))
    assert spent == sorted(spent, reverse=True) and spent[-1] < 0.9 * spent[0]


def test_leading_directions_against_the_unsymmetric_problem():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(6, 12))
    between, within = a @ a.T, b @ b.T
    solid = within + 0.1 * np.trace(within) / 6 * np.eye(6)
    found = leading_directions(between, within, 5, shrinkage=0.1)
    assert found.shape == (6, 3)  # the rank of what is between
    np.testing.assert_allclose(found.T @ solid @ found, np.eye(3), atol=1e-9)
    ratios, vectors = np.linalg.eig(np.linalg.solve(solid, between))
    best = np.argsort(-ratios.real)[:3]
    np.testing.assert_allclose(aligned(found, vectors[:, best].real), 1, atol=1e-9)


def test_without_pairs_it_says_what_to_do():
    data = unpaired({"image": 20, "text": 14})
    with pytest.raises(InputError, match="pairing='classes'"):
        MvDA().fit(data)
    assert MvDA(pairing="classes").fit(data).space_.dim == 2
    assert MvDA(view_consistency=0.0).fit(data).space_.dim == 2


@pytest.mark.parametrize("view_consistency", [0.0, 0.1])
def test_it_beats_chance_over_three_modalities(view_consistency):
    dims = {"image": 20, "text": 12, "audio": 8}
    data = make_dataset(n_items=160, n_classes=5, dims=dims, noise=1.0)
    model = MvDA(view_consistency=view_consistency).fit(data["train"])
    assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.2


def test_a_class_that_one_modality_lacks():
    data = unpaired({"image": 30, "text": 30})
    codes = data.labels("text").codes.copy()
    codes[codes == 2] = 1
    x = {name: part.x for name, part in data.items()}
    labels = {"image": data.labels("image").codes, "text": codes}
    data = Dataset.from_arrays(x, labels, classes=data.classes)
    model = MvDA(view_consistency=0.0).fit(data)
    assert model.space_.dim == 2 and model.space_.classes == data.classes


def test_one_class_or_a_modality_without_labels_is_refused():
    x = {"image": np.eye(4, 3), "text": np.eye(4)}
    with pytest.raises(InputError, match=r"at least two, got rows of 'a' alone"):
        MvDA().fit(Dataset.from_arrays(x, ["a"] * 4, classes=["a", "b"]))
    some = Dataset.from_arrays(x, {"image": [0, 1, 0, 1]}, classes=["a", "b"])
    with pytest.raises(InputError, match="modality 'text': MvDA learns from labels"):
        MvDA(view_consistency=0.0).fit(some)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_few_rows_constant_and_repeated_features(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 30)).astype(np.float32)
    x[:, 3], x[:, 5] = 7.0, x[:, 4]
    data = Dataset.from_arrays({"image": x, "text": x[:, :5]}, np.arange(n) % 2)
    for shrinkage in (0.0, 0.1):
        model = MvDA(shrinkage=shrinkage).fit(data)
        for name, part in data.items():
            z = model.transform(name, part.x)
            assert z.shape == (n, 1) and np.isfinite(z).all() and z.any()


@pytest.mark.parametrize(
    "arguments", [{"dim": 0}, {"view_consistency": -1.0}, {"shrinkage": -0.1}, {"pairing": "rows"}]
)
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        MvDA(**arguments).fit(data)


def test_the_example():
    assert doctest.testmod(mvda).attempted and not doctest.testmod(mvda).failed
