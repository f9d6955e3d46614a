"""Losses and rules of continual learning against loops, closed forms and cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from commonspace.objectives import (
    anchor_penalty,
    class_losses,
    dark_loss,
    with_gradients,
    without_conflict,
)


def test_class_losses_equal_loops():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 4))
    y = np.eye(4)[[0, 1, 2, 3, 0, 1]]
    y[4:] = [[1, 1, 0, 0], [0, 0, 0, 0]]
    y[3] *= 0.5  # a graded class that excludes the others counts whole
    several = np.array([False, False, False, False, True, True])
    found = class_losses(torch.tensor(logits), torch.tensor(y), torch.tensor(several))
    for row, (o, t, many) in enumerate(zip(logits, y, several, strict=True)):
        if many:
            p = [1 / (1 + math.exp(-v)) for v in o]
            terms = (
                -(w * math.log(q) + (1 - w) * math.log(1 - q)) for q, w in zip(p, t, strict=True)
            )
            expected = sum(terms)
        else:
            total = math.log(sum(math.exp(v) for v in o))
            expected = total - o[int(np.argmax(t))]
        assert float(found[row]) == pytest.approx(expected)


def test_dark_loss_leaves_out_classes_that_came_later():
    kept = torch.tensor([[1.0, 2.0, math.nan], [0.0, 0.0, 0.0]])
    logits = torch.tensor([[2.0, 4.0, 9.0], [3.0, 0.0, 0.0]], requires_grad=True)
    loss = dark_loss(logits, kept)
    assert float(loss.detach()) == pytest.approx(((1 + 4) / 2 + 9 / 3) / 2)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.equal(gradient[0], torch.tensor([0.5, 1.0, 0.0]))  # 2 · gap / 2 classes / 2 rows


def test_agem_projects_by_hand():
    new = [torch.tensor([1.0, 0.0]), torch.tensor([[1.0]])]
    old = [torch.tensor([-2.0, 1.0]), torch.tensor([[0.0]])]  # inner −2, square 5
    found = without_conflict(new, old)
    assert torch.allclose(found[0], torch.tensor([1 - 0.8, 0.4]))
    assert torch.equal(found[1], torch.tensor([[1.0]]))


def test_agem_leaves_no_conflict_and_no_more_than_needed():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        new, old = (
            [torch.randn(3, 2, generator=generator).double() for _ in range(2)] for _ in range(2)
        )
        found = without_conflict(new, old)
        inner = sum(float((a * b).sum()) for a, b in zip(found, old, strict=True))
        before = sum(float((a * b).sum()) for a, b in zip(new, old, strict=True))
        if before >= 0:
            assert all(torch.equal(a, b) for a, b in zip(found, new, strict=True))
        else:
            assert inner == pytest.approx(0, abs=1e-9)
            moved = torch.cat([(a - b).ravel() for a, b in zip(found, new, strict=True)])
            along = torch.cat([b.ravel() for b in old])
            cosine = float(moved @ along / (moved.norm() * along.norm()))
            assert cosine == pytest.approx(1)  # the nearest point of the half-space


def test_agem_with_a_gradient_of_zero():
    new, old = [torch.ones(2)], [torch.zeros(2)]
    assert torch.equal(without_conflict(new, old)[0], new[0])


def test_the_penalty_of_ewc_by_hand():
    value = {"w": torch.tensor([1.0, 2.0], requires_grad=True)}
    loss = anchor_penalty(value, {"w": torch.tensor([0.0, 5.0])}, {"w": torch.tensor([4.0, 2.0])})
    assert float(loss.detach()) == pytest.approx(0.5 * (4 * 1 + 2 * 9))
    (gradient,) = torch.autograd.grad(loss, value["w"])
    assert torch.equal(gradient, torch.tensor([4.0, -6.0]))  # F (θ − θ*)


def test_a_given_gradient_arrives():
    a, b = (torch.zeros(shape, requires_grad=True) for shape in ((2,), (1, 3)))
    loss = with_gradients(torch.tensor(7.0), [a, b], [torch.tensor([1.0, -2.0]), torch.ones(1, 3)])
    (2 * loss).backward()
    assert float(loss.detach()) == 7
    assert torch.equal(a.grad, torch.tensor([2.0, -4.0]))
    assert torch.equal(b.grad, 2 * torch.ones(1, 3))
