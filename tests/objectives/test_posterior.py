"""The log loss against slow loops, scikit-learn and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from commonspace.objectives import log_loss


def batch(n: int = 6, n_classes: int = 4, *, kind: str = "single", scale: float = 3.0):
    rng = np.random.default_rng(n)
    logits = scale * rng.normal(size=(n, n_classes))
    if kind == "single":
        y = np.eye(n_classes)[rng.integers(n_classes, size=n)]
    else:
        y = (rng.random((n, n_classes)) < 0.4).astype(float)
        y[:, 0] = 1
    return logits, y * rng.uniform(0.2, 1, size=y.shape) if kind == "graded" else y


def ours(logits, y, *, several: bool) -> float:
    return float(log_loss(torch.from_numpy(logits), torch.from_numpy(y), several=several))


def slow(logits, y, *, several: bool) -> float:
    total = 0.0
    for row, target in zip(logits, y, strict=True):
        for a, weight in zip(row, target, strict=True):
            if several:
                q = 1 / (1 + math.exp(-a))
                total -= weight * math.log(q) + (1 - weight) * math.log(1 - q)
            else:
                q = math.exp(a) / sum(math.exp(b) for b in row)
                total -= weight / sum(target) * math.log(q)
    return total / len(logits)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", ["single", "multi", "graded"])
@pytest.mark.parametrize("n", [1, 6])
def test_it_is_what_slow_loops_say(n, kind, several):
    logits, y = batch(n, kind=kind)
    expected = slow(logits, y, several=several)
    assert ours(logits, y, several=several) == pytest.approx(expected, rel=1e-10)


def test_it_is_what_scikit_learn_says():
    logits, y = batch(50)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = metrics.log_loss(y.argmax(axis=1), p, labels=range(4))
    assert ours(logits, y, several=False) == pytest.approx(expected)
    logits, y = batch(50, kind="multi")
    q = 1 / (1 + np.exp(-logits))
    expected = sum(metrics.log_loss(y[:, c], q[:, c], labels=[0, 1]) for c in range(4))
    assert ours(logits, y, several=True) == pytest.approx(expected)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", ["single", "graded"])
def test_its_gradient_is_that_of_finite_differences(kind, several):
    logits, y = batch(kind=kind)
    at = torch.tensor(logits, requires_grad=True)
    log_loss(at, torch.from_numpy(y), several=several).backward()
    numeric, step = np.zeros_like(logits), 1e-6
    for index in np.ndindex(*logits.shape):
        moved = np.zeros_like(logits)
        moved[index] = step
        up, down = (ours(logits + s * moved, y, several=several) for s in (1, -1))
        numeric[index] = (up - down) / (2 * step)
    np.testing.assert_allclose(at.grad, numeric, atol=1e-8)


def test_it_is_least_at_the_posterior_itself():
    """A proper score: labels in shares, and the logits whose posterior they are."""
    shares = np.array([[0.7, 0.2, 0.1]])
    least = ours(np.log(shares), shares, several=False)
    assert least == pytest.approx(-(shares * np.log(shares)).sum())
    odds = np.log(shares / (1 - shares))
    lowest = ours(odds, shares, several=True)
    for seed in range(20):
        move = 0.3 * np.random.default_rng(seed).normal(size=shares.shape)
        assert ours(np.log(shares) + move, shares, several=False) >= least
        assert ours(odds + move, shares, several=True) >= lowest


@pytest.mark.parametrize("several", [False, True])
def test_huge_logits_stay_finite(several):
    logits, y = batch(scale=1e4)
    assert math.isfinite(ours(logits, y, several=several))
