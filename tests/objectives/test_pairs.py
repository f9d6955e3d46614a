"""The losses over pairs and translations, against slow loops and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from commonspace.objectives import contrastive_loss, pairwise_log_loss, translation_reward

from .gradients import by_differences, by_torch


def batch(scale: float = 1.0):
    rng = np.random.default_rng(0)
    u, v = scale * rng.normal(size=(5, 3)), scale * rng.normal(size=(4, 3))
    related = rng.integers(3, size=5)[:, None] == rng.integers(3, size=4)
    return u, v, related


def naive_contrast(u, v, related, margin):
    total = 0.0
    for i, a in enumerate(u):
        for j, b in enumerate(v):
            distance = math.dist(a, b)
            total += distance**2 if related[i, j] else max(0.0, margin - distance) ** 2
    return total / (2 * (len(u) + len(v)) / 2)


@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_contrast_is_what_slow_loops_say(margin):
    u, v, related = batch()
    found = contrastive_loss(*map(torch.from_numpy, (u, v, related)), margin=margin)
    assert float(found) == pytest.approx(naive_contrast(u, v, related, margin))


def naive_logistic(u, v, related):
    each = []
    for i, a in enumerate(u):
        for j, b in enumerate(v):
            product = min(15.0, max(-15.0, float(a @ b)))
            p = 1 / (1 + math.exp(-product))
            each.append(-math.log(p if related[i, j] else 1 - p))
    return float(np.mean(each))


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_pairwise_log_loss_is_that_of_logistic_regression(scale):
    u, v, related = batch(scale)
    found = pairwise_log_loss(*map(torch.from_numpy, (u, v, related)))
    assert float(found) == pytest.approx(naive_logistic(u, v, related), rel=1e-6)


@pytest.mark.parametrize("loss", [contrastive_loss, pairwise_log_loss])
def test_gradients_over_pairs(loss):
    u, v, related = batch()

    def of(x):
        return loss(x, *map(torch.from_numpy, (v, related)))

    np.testing.assert_allclose(by_torch(of, u), by_differences(of, u), rtol=1e-4, atol=1e-7)


def test_equal_vectors_of_different_classes_have_a_finite_gradient():
    u = torch.zeros(2, 3, requires_grad=True)
    contrastive_loss(u, torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.bool)).backward()
    assert torch.isfinite(u.grad).all()


def test_the_reward_of_a_translation():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    back = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 0.0]])
    expected = [0.0, math.log(0.5), math.log(1e-4), math.log(0.5)]
    np.testing.assert_allclose(translation_reward(x, back), expected, atol=1e-6)


def test_gradients_of_the_reward():
    x, back, _ = batch()
    back = np.random.default_rng(1).normal(size=x.shape)

    def of(b):
        return translation_reward(torch.from_numpy(x), b).sum()

    np.testing.assert_allclose(by_torch(of, back), by_differences(of, back), rtol=1e-5)
