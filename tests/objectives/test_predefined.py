from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from commonspace.objectives import reconstruction_loss, supervised_loss
from commonspace.space import Space

torch_float64 = {"dtype": torch.float64}


def rows(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, width)), dtype=torch.float64)


def labels(n: int, n_classes: int) -> torch.Tensor:
    """Single, several, graded and no labels in turn."""
    y = torch.zeros(n, n_classes, dtype=torch.float64)
    for row in range(n):
        if row % 4 == 0:
            y[row, row % n_classes] = 1
        elif row % 4 == 1:
            y[row, :2] = 1
        elif row % 4 == 2:
            y[row, -1] = 0.3
    return y


def slow_supervised(h, p, y, *, squared):
    total, count = 0.0, 0
    for j in range(len(h)):
        if any(float(value) != 0 for value in y[j]):
            square = 0.0
            for k in range(p.shape[1]):
                product = sum(float(p[e, k]) * float(h[j, e]) for e in range(p.shape[0]))
                square += (product - float(y[j, k])) ** 2
            total += square if squared else math.sqrt(square)
            count += 1
    return total / count if count else 0.0


def slow_reconstruction(decoded, x, *, squared):
    total = 0.0
    for j in range(len(x)):
        square = sum((float(a) - float(b)) ** 2 for a, b in zip(decoded[j], x[j], strict=True))
        total += square if squared else math.sqrt(square)
    return total / len(x)


@pytest.mark.parametrize("squared", [True, False])
def test_losses_are_what_slow_loops_say(squared):
    h, p, y = rows(9, 5, 0), rows(5, 4, 1), labels(9, 4)
    expected = slow_supervised(h, p, y, squared=squared)
    assert float(supervised_loss(h, p, y, squared=squared)) == pytest.approx(expected, rel=1e-9)
    expected = slow_reconstruction(h, rows(9, 5, 2), squared=squared)
    found = reconstruction_loss(h, rows(9, 5, 2), squared=squared)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("squared", [True, False])
def test_gradients_are_finite_differences(squared):
    h, p, y = rows(6, 5, 0).requires_grad_(), rows(5, 4, 1), labels(6, 4)
    assert torch.autograd.gradcheck(lambda h: supervised_loss(h, p, y, squared=squared), h)
    x = rows(6, 5, 2)
    assert torch.autograd.gradcheck(lambda h: reconstruction_loss(h, x, squared=squared), h)


@pytest.mark.parametrize("squared", [True, False])
def test_an_item_at_its_class_direction_has_no_loss(squared):
    space = Space.create(16, [f"c{k}" for k in range(5)])
    p = torch.tensor(space.P, dtype=torch.float64)
    loss = supervised_loss(p.T.contiguous(), p, torch.eye(5, **torch_float64), squared=squared)
    assert float(loss) == pytest.approx(0, abs=2e-6)  # 1e-6 is the root of EPS
    away = supervised_loss(-p.T, p, torch.eye(5, **torch_float64), squared=squared)
    assert float(away) == pytest.approx(4 if squared else 2, rel=1e-5)


def test_of_unit_vectors_the_direction_of_the_labels_is_best():
    """For s labels the best unit h is P y / √s, the loss there (√s − 1)."""
    p = torch.tensor(Space.create(8, list("abc")).P, dtype=torch.float64)
    y = torch.tensor([[1.0, 1, 0]], dtype=torch.float64)
    best = (p @ y[0] / math.sqrt(2))[None]
    lowest = float(supervised_loss(best, p, y, squared=False))
    assert lowest == pytest.approx(math.sqrt(2) - 1, abs=1e-5)
    for seed in range(50):
        other = best + 0.2 * rows(1, 8, seed)
        other = other / other.norm()
        assert float(supervised_loss(other, p, y, squared=False)) >= lowest


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("squared", [True, False])
def test_a_batch_without_labels_weighs_nothing(squared, n_classes):
    h = rows(4, 5, 0).requires_grad_()
    y = torch.zeros(4, n_classes, dtype=torch.float64)
    loss = supervised_loss(h, rows(5, n_classes, 1), y, squared=squared)
    loss.backward()
    assert float(loss.detach()) == 0
    assert h.grad is not None and h.grad.eq(0).all()


@pytest.mark.parametrize("squared", [True, False])
def test_unlabelled_rows_get_no_supervised_gradient(squared):
    h, y = rows(6, 5, 0).requires_grad_(), labels(6, 3)
    supervised_loss(h, rows(5, 3, 1), y, squared=squared).backward()
    assert h.grad is not None
    assert h.grad[3].eq(0).all() and not h.grad[0].eq(0).all()


@pytest.mark.parametrize("squared", [True, False])
def test_the_gradient_is_finite_where_the_norm_is_zero(squared):
    x = rows(3, 4, 0)
    decoded = x.clone().requires_grad_()
    reconstruction_loss(decoded, x, squared=squared).backward()
    assert decoded.grad is not None and torch.isfinite(decoded.grad).all()
