"""Gradient reversal, and ACMR's triplets and discriminator, against loops and hand-worked cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from commonspace.objectives import (
    modality_loss,
    nearest_strangers,
    reversal_factor,
    reverse_gradient,
    weighted_triplets,
)

from .gradients import by_differences, by_torch


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_reversal_changes_no_value_and_turns_the_gradient_round():
    x = torch.tensor(draw(4, 3), requires_grad=True)
    turned = reverse_gradient(x, 0.7)
    assert torch.equal(turned, x)
    weights = torch.from_numpy(draw(4, 3, seed=1))
    (turned * weights).sum().backward()
    torch.testing.assert_close(x.grad, -0.7 * weights)


def test_the_reversed_step_is_the_minimax_step():
    """One backward pass gives the discriminator its descent and the embedding its ascent."""
    embed, judge = nn.Linear(3, 2), nn.Linear(2, 2)
    x = torch.from_numpy(draw(6, 3)).float()

    def loss(turned):
        logits = judge(reverse_gradient(embed(x), 1.0) if turned else embed(x))
        return modality_loss((logits[:3], logits[3:]))

    both = [*embed.parameters(), *judge.parameters()]
    plain = torch.autograd.grad(loss(False), both)
    turned = torch.autograd.grad(loss(True), both)
    for sign, a, b in zip([-1, -1, 1, 1], plain, turned, strict=True):
        torch.testing.assert_close(sign * a, b)


def test_the_factor_grows_from_zero_to_nearly_one():
    assert reversal_factor(0) == 0
    assert reversal_factor(0.1) == pytest.approx(math.tanh(0.5))  # the same function
    assert 0.9999 < reversal_factor(1) < 1


def naive_strangers(x, y):
    out = []
    for i, a in enumerate(x):
        best, where = -math.inf, None
        for j, b in enumerate(x):
            cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
            if not (y[i] * y[j]).any() and cosine > best:
                best, where = cosine, j
        out.append(where)
    return out


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_strangers_are_what_slow_loops_find(kind):
    rng = np.random.default_rng(3)
    x, y = draw(12, 5), np.eye(3)[rng.integers(3, size=12)]
    if kind == "multi":
        y[::2, 0] = 0.5
    found, there = nearest_strangers(torch.from_numpy(x), torch.from_numpy(y))
    expected = naive_strangers(x, y)
    assert there.tolist() == [where is not None for where in expected]
    assert [f for f, t in zip(found.tolist(), there, strict=True) if t] == [
        where for where in expected if where is not None
    ]


def test_without_another_class_there_are_no_strangers():
    _, there = nearest_strangers(torch.ones(4, 2), torch.ones(4, 1))
    assert not there.any()


@pytest.mark.parametrize("summed", [False, True])
def test_triplets_are_what_slow_loops_say(summed):
    a, p, n = (draw(7, 4, seed=s) for s in range(3))
    each = [(0.5 * ((a[i] - p[i]) ** 2).sum(), 0.5 * ((a[i] - n[i]) ** 2).sum()) for i in range(7)]
    if summed:
        expected = max(0.0, 2 + 1.5 * sum(e[0] for e in each) - sum(e[1] for e in each))
    else:
        expected = np.mean([max(0.0, 2 + 1.5 * near - far) for near, far in each])
    tensors = (torch.from_numpy(t) for t in (a, p, n))
    found = weighted_triplets(*tensors, margin=2, pull=1.5, summed=summed)
    assert float(found) == pytest.approx(expected)


def test_an_easy_triplet_pays_for_a_hard_one_only_in_the_released_code():
    anchor, positive = torch.zeros(2, 1), torch.tensor([[1.0], [0.0]])
    negative = torch.tensor([[0.0], [3.0]])  # the first is hard, the second easy
    how = {"margin": 0.1, "pull": 1.0}
    assert float(weighted_triplets(anchor, positive, negative, **how)) == pytest.approx(0.3)
    assert float(weighted_triplets(anchor, positive, negative, **how, summed=True)) == 0


@pytest.mark.parametrize("summed", [False, True])
def test_gradients_of_triplets(summed):
    p, n = (torch.from_numpy(draw(4, 3, seed=s)) for s in (1, 2))

    def loss(a):
        return weighted_triplets(a, p, n, margin=3, pull=2, summed=summed)

    np.testing.assert_allclose(by_torch(loss, draw(4, 3)), by_differences(loss, draw(4, 3)), 1e-5)


def test_no_triplets_are_no_loss():
    none = torch.zeros(0, 3)
    assert float(weighted_triplets(none, none, none, margin=1, pull=1)) == 0


def test_a_discriminator_that_knows_nothing_loses_ln_2_a_modality():
    assert float(modality_loss((torch.zeros(5, 2), torch.zeros(3, 2)))) == pytest.approx(
        2 * math.log(2)
    )
