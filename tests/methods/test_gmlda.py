"""GMLDA against matrices written by loops and solved another way, and what it must be."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from directions import with_standardized_features
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from small_sets import with_and_without_unlabelled_rows

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import GMLDA
from commonspace.methods.baselines import gmlda

DIMS = {"image": 5, "text": 4, "audio": 3}


def scaled(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return (x - x.mean(axis=0)) / x.std(axis=0)


def matrices(data: Dataset, alpha: float, align: str) -> tuple[np.ndarray, np.ndarray]:
    """W_f and D_f of the paper's generalised eigenproblem, by loops over rows and classes."""
    z = {name: scaled(part.x) for name, part in data.items()}
    codes = {name: part.labels.codes for name, part in data.items()}
    between: list[list[np.ndarray]] = []
    within = np.zeros((sum(DIMS.values()),) * 2)
    start = 0
    for first, rows in z.items():
        line = []
        for second, others in z.items():
            block = np.zeros((rows.shape[1], others.shape[1]))
            for k in range(len(data.classes)):
                mine, theirs = rows[codes[first] == k], others[codes[second] == k]
                weight = np.sqrt(len(mine) * len(theirs))
                block += weight * np.outer(mine.mean(axis=0), theirs.mean(axis=0))
            if first != second and align == "items":
                block = sum(np.outer(a, b) for a, b in zip(rows, others, strict=True))
            line.append(block if first == second else alpha * block)
        between.append(line)
        place = slice(start, start + rows.shape[1])
        for row, k in zip(rows, codes[first], strict=True):
            difference = row - rows[codes[first] == k].mean(axis=0)
            within[place, place] += np.outer(difference, difference)
        start += rows.shape[1]
    return np.block(between), within


@pytest.mark.parametrize("align", ["classes", "items"])
@pytest.mark.parametrize("alpha", [0.3, 10.0])
def test_it_is_the_generalised_eigenproblem(alpha, align):
    data = with_standardized_features(
        make_dataset(n_items=60, n_classes=4, dims=DIMS, noise=1.0)["train"]
    )
    between, within = matrices(data, alpha, align)
    ratios, vectors = np.linalg.eig(np.linalg.solve(within, between))
    best = vectors[:, np.argsort(-ratios.real)[:3]].real
    model = GMLDA(alpha=alpha, align=align, shrinkage=0.0).fit(data)
    found = np.vstack([part["weights"] for part in model.parts_.values()])
    lengths = np.linalg.norm(found, axis=0) * np.linalg.norm(best, axis=0)
    np.testing.assert_allclose(np.abs((found * best).sum(axis=0)) / lengths, 1, atol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_two_equal_modalities_are_linear_discriminant_analysis(alpha):
    """By symmetry: (w, w) has (1 + α) times the ratio of w, and (w, -w) has 1 - α times it."""
    x = make_dataset(n_items=80, n_classes=4, dims={"image": 6}, noise=1.0)["train"]["image"]
    data = Dataset.from_arrays({"image": x.x, "copy": x.x}, x.labels)
    model = GMLDA(alpha=alpha, shrinkage=0.0).fit(data)
    other = LinearDiscriminantAnalysis(solver="eigen").fit(scaled(x.x), x.labels.codes)
    expected = other.scalings_[:, :3] / np.linalg.norm(other.scalings_[:, :3], axis=0)
    for part in model.parts_.values():
        found = part["weights"] / np.linalg.norm(part["weights"], axis=0)
        np.testing.assert_allclose(np.abs((found * expected).sum(axis=0)), 1, atol=1e-5)


def test_one_feature_each_by_hand():
    """Image (-1, -1, 1, 1), text (-1, -1, 1, 1) turned: means are the rows, nothing within.

    W_f = [[4, -4α], [-4α, 4]] and D_f is the ridge alone: the best direction is (1, -1).
    """
    x = {"image": [[-1.0], [-1.0], [1.0], [1.0]], "text": [[1.0], [1.0], [-1.0], [-1.0]]}
    model = GMLDA(alpha=2.0).fit(Dataset.from_arrays(x, ["a", "a", "b", "b"]))
    image, text = model.parts_["image"]["weights"].item(), model.parts_["text"]["weights"].item()
    assert image == pytest.approx(-text) and image != 0


@pytest.mark.parametrize("align", ["classes", "items"])
def test_the_stronger_the_tie_the_more_they_share(align):
    """What is tied, in the solution, never falls with α."""
    dims = {"image": 6, "text": 5}
    data = make_dataset(n_items=60, n_classes=4, dims=dims, noise=2.0, seed=1)["train"]
    shared = []
    for alpha in (0.0, 0.1, 1.0, 10.0):
        model = GMLDA(alpha=alpha, align=align, shrinkage=0.0).fit(data)
        z = {name: model.transform(name, part.x) for name, part in data.items()}
        y = data.labels("image").dense()
        if align == "classes":
            z = {name: y.T @ value / np.sqrt(y.sum(axis=0))[:, None] for name, value in z.items()}
        shared.append(2 * float((z["image"] * z["text"]).sum()))
    assert (np.diff(shared) > -1e-6).all() and shared[-1] > shared[0]


def test_it_beats_chance_over_three_modalities_without_pairs():
    data = make_dataset(n_items=160, n_classes=5, dims=DIMS, noise=0.7, paired=False)
    assert cs.evaluate(GMLDA().fit(data["train"]), data["test"]).mean_ap > 0.4  # chance: 0.2


def test_rows_without_labels_take_no_part():
    some, alone = with_and_without_unlabelled_rows()
    first, second = (GMLDA().fit(data) for data in (some, alone))
    for name, part in some.items():
        np.testing.assert_array_equal(first.transform(name, part.x), second.transform(name, part.x))


def test_items_that_nothing_pairs():
    data = make_dataset(n_items=40, n_classes=3, paired=False)["train"]
    with pytest.raises(InputError, match="at least two items that every modality"):
        GMLDA(align="items").fit(data)


@pytest.mark.parametrize("n", [2, 5])
def test_few_rows_constant_and_repeated_features(n):
    x = np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32)
    x[:, 3], x[:, 5] = 7.0, x[:, 4]
    data = Dataset.from_arrays({"image": x, "text": x[:, :6]}, np.arange(n) % 2)
    model = GMLDA(shrinkage=0.0).fit(data)
    for name, part in data.items():
        z = model.transform(name, part.x)
        assert z.shape == (n, 1) and np.isfinite(z).all() and z.any()


@pytest.mark.parametrize(
    "arguments", [{"dim": 0}, {"alpha": -1.0}, {"shrinkage": -0.1}, {"align": "rows"}]
)
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        GMLDA(**arguments).fit(data)


def test_the_example():
    assert doctest.testmod(gmlda).attempted and not doctest.testmod(gmlda).failed
