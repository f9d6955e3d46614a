"""Ridge against its closed form, solved by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from small_sets import with_and_without_unlabelled_rows

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import Ridge


def solve(z: np.ndarray, targets: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """W and b of min ‖z W + b − targets‖² + α ‖W‖²; b takes no part in the penalty."""
    centred = z - z.mean(axis=0)
    gram = centred.T @ centred + alpha * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (targets - targets.mean(axis=0)))
    return weights, targets.mean(axis=0) - z.mean(axis=0) @ weights


def scaled(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    x, other = x.astype(np.float64), other.astype(np.float64)
    return (other - x.mean(axis=0)) / x.std(axis=0)


def leave_one_out(z: np.ndarray, targets: np.ndarray, alpha: float) -> float:
    """Mean squared error of every row under the map learned from all other rows."""
    errors = []
    for row in range(len(z)):
        others = np.arange(len(z)) != row
        weights, intercept = solve(z[others], targets[others], alpha)
        errors.append(np.square(z[row] @ weights + intercept - targets[row]).mean())
    return float(np.mean(errors))


@pytest.mark.parametrize("label_kind", ["single", "multi"])
@pytest.mark.parametrize("alpha", [0.3, 100.0])
def test_it_is_the_closed_form(alpha, label_kind):
    data = make_dataset(n_items=90, n_classes=4, noise=1.0, label_kind=label_kind)
    model = Ridge(dim=16, alphas=[alpha]).fit(data["train"])
    for name, part in data["train"].items():
        y = part.labels.dense().astype(np.float64)
        weights, intercept = solve(scaled(part.x, part.x), y, alpha)
        x = data["test"].x(name)
        expected = (scaled(part.x, x) @ weights + intercept) @ model.space_.P.T
        np.testing.assert_allclose(model.transform(name, x), expected, atol=2e-5)


def test_with_orthonormal_columns_it_is_ridge_regression_onto_the_predefined_vectors():
    """The targets are P y then, as in SDML."""
    data = make_dataset(n_items=90, n_classes=4, noise=1.0)
    model = Ridge(dim=16, alphas=[10.0]).fit(data["train"])
    P = model.space_.P.astype(np.float64)
    np.testing.assert_allclose(P.T @ P, np.eye(4), atol=1e-6)
    for name, part in data["train"].items():
        weights, intercept = solve(scaled(part.x, part.x), part.labels.dense() @ P.T, 10.0)
        x = data["test"].x(name)
        expected = scaled(part.x, x) @ weights + intercept
        np.testing.assert_allclose(model.transform(name, x), expected, atol=2e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_strength_is_that_of_the_smallest_leave_one_out_error(seed):
    data = make_dataset(n_items=40, n_classes=3, noise=2.0, dims={"image": 20}, seed=seed)
    part, alphas = data["train"]["image"], (0.1, 3.0, 30.0, 1000.0)
    z, y = scaled(part.x, part.x), part.labels.dense().astype(np.float64)
    best = min(alphas, key=lambda alpha: leave_one_out(z, y, alpha))
    chosen = Ridge(dim=8, alphas=alphas).fit(data["train"])
    expected = Ridge(dim=8, alphas=[best]).fit(data["train"])
    x = data["test"].x("image")
    np.testing.assert_array_equal(chosen.transform("image", x), expected.transform("image", x))


def test_it_beats_chance():
    data = make_dataset(n_items=160, n_classes=5, noise=1.0)
    assert cs.evaluate(Ridge().fit(data["train"]), data["test"]).mean_ap > 0.5  # chance: 0.2


def test_rows_without_labels_take_no_part():
    some, alone = with_and_without_unlabelled_rows()
    first, second = (Ridge(dim=8).fit(data) for data in (some, alone))
    for name, part in some.items():
        np.testing.assert_array_equal(first.transform(name, part.x), second.transform(name, part.x))


def test_one_strength_alone():
    data = make_dataset(n_items=20, n_classes=2)["train"]
    assert Ridge(dim=8, alphas=(1.0,)).fit(data).alphas == (1.0,)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_very_few_rows(n, n_classes):
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    data = Dataset.from_arrays({"image": x}, np.arange(n) % n_classes, classes=list("ab"))
    assert np.isfinite(Ridge(dim=8).fit(data).transform("image", x)).all()


@pytest.mark.parametrize("arguments", [{"dim": 0}, {"alphas": (0.0,)}, {"alphas": (1.0, -1.0)}])
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        Ridge(**arguments).fit(data)
