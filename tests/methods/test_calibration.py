"""Temperatures against logits of known temperature, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from commonspace.methods.calibration import PULL, calibrated_error, fit_temperature, posterior


def drawn(n: int, *, several: bool, n_classes: int = 4, seed: int = 0):
    """True logits, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, n_classes))
    if several:
        return logits, (rng.random(logits.shape) < expit(logits)).astype(float)
    hit = (rng.random((n, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    return logits, np.eye(n_classes)[hit]


def slow_cost(logits, y, *, several: bool) -> float:
    """Summed negative log likelihood, entry by entry of y."""
    total = 0.0
    for row, labels in zip(logits, y, strict=True):
        if several:
            total += sum(np.logaddexp(0, np.where(labels == 1, -row, row)))
        else:
            total += np.logaddexp.reduce(row) - row[labels.argmax()]
    return float(total)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("temperature", [0.25, 1.0, 5.0])
def test_the_temperature_of_synthetic_logits_is_found(temperature, several):
    logits, y = drawn(6000, several=several)
    found = fit_temperature(temperature * logits, y, several=several)
    assert found == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("n", [3, 25])
def test_the_temperature_is_that_of_a_grid_over_the_cost(n, several):
    logits, y = drawn(n, several=several, seed=n)
    logits = 3 * logits
    grid = np.linspace(-2.5, 3, 276)
    costs = [slow_cost(logits / np.exp(t), y, several=several) + PULL * t**2 for t in grid]
    found = fit_temperature(logits, y, several=several)
    assert np.log(found) == pytest.approx(grid[int(np.argmin(costs))], abs=0.0201)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("label", [0, 2])
def test_one_row_moves_the_temperature_a_little_and_is_never_nan(scale, several, label):
    logits, y = scale * np.array([[1.0, -1, 0.5]]), np.eye(3)[[label]]
    found = fit_temperature(logits, y, several=several)
    assert np.exp(-2.5) <= found <= np.exp(3)
    if scale <= 1:
        assert found == pytest.approx(1, rel=0.4)


def test_several_classes_of_a_row_count_in_shares():
    """A row of two classes is half a row of each."""
    logits = np.random.default_rng(0).normal(size=(30, 3))
    both = np.tile([1.0, 1, 0], (30, 1))
    halves = fit_temperature(
        np.repeat(logits, 10, axis=0), np.repeat(both, 10, axis=0), several=False
    )
    apart = np.concatenate([np.tile([1.0, 0, 0], (150, 1)), np.tile([0, 1.0, 0], (150, 1))])
    doubled = np.concatenate([np.repeat(logits, 5, axis=0)] * 2)
    assert fit_temperature(doubled, apart, several=False) == pytest.approx(halves, rel=1e-3)


@pytest.mark.parametrize("several", [False, True])
def test_the_error_is_the_brier_score_at_the_best_temperature(several):
    logits, y = drawn(200, several=several)
    total = 0.0
    for row, labels in zip(logits / fit_temperature(logits, y, several=several), y, strict=True):
        q = expit(row) if several else softmax(row)
        total += sum((q[k] - labels[k]) ** 2 for k in range(len(q)))
    found = calibrated_error(logits, y, several=several)
    assert found == pytest.approx(total / len(y))
    assert calibrated_error(7 * logits, y, several=several) == pytest.approx(found, rel=1e-2)
    worse = logits + 2 * np.random.default_rng(9).normal(size=logits.shape)
    assert calibrated_error(worse, y, several=several) > 1.1 * found


def test_nothing_to_calibrate_on():
    none = np.empty((0, 3))
    assert fit_temperature(none, none, several=False) == 1
    assert np.isnan(calibrated_error(none, none, several=True))


def test_posteriors_are_sigmoids_or_a_softmax():
    logits = np.array([[0.0, np.log(3)]])
    np.testing.assert_allclose(posterior(logits, several=False), [[0.25, 0.75]])
    np.testing.assert_allclose(posterior(logits, several=True), [[0.5, 0.75]])
