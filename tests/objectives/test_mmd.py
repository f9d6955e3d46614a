"""MK-MMD against loops over classes, pairs and quadruples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from commonspace.errors import InputError
from commonspace.objectives import class_mmd


def mean_distance(a, b):
    rows = np.concatenate([a, b])
    n = len(rows)
    return sum(np.square(x - z).sum() for x in rows for z in rows) / (n * (n - 1))


def k(x, z, width):
    squared = float(np.square(x - z).sum())
    return float(np.mean([np.exp(-squared / (width * 2.0**u)) for u in range(-2, 3)]))


def naive(a, b, ya, yb, estimator):
    """The estimate of every class that has rows enough."""
    width, found = mean_distance(a, b), []
    for c in range(ya.shape[1]):
        p, q = a[ya[:, c] > 0], b[yb[:, c] > 0]
        if estimator == "quadratic" and min(len(p), len(q)) >= 2:
            aa = np.mean(
                [k(x, z, width) for i, x in enumerate(p) for j, z in enumerate(p) if i - j]
            )
            bb = np.mean(
                [k(x, z, width) for i, x in enumerate(q) for j, z in enumerate(q) if i - j]
            )
            found.append(aa + bb - 2 * np.mean([k(x, z, width) for x in p for z in q]))
        if estimator == "linear" and min(len(p), len(q)) >= 4:
            n = min(len(p), len(q)) // 2
            found.append(
                np.mean(
                    [
                        k(p[2 * i], p[2 * i + 1], width)
                        - k(p[2 * i], q[2 * i + 1], width)
                        + k(q[2 * i], q[2 * i + 1], width)
                        - k(q[2 * i], p[2 * i + 1], width)
                        for i in range(n)
                    ]
                )
            )
    return np.array(found)


@pytest.mark.parametrize("estimator", ["quadratic", "linear"])
@pytest.mark.parametrize("several", [False, True])
def test_it_is_the_loops(estimator, several):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((23, 4)), rng.standard_normal((31, 4)) + 0.5
    ya, yb = (np.eye(5)[rng.integers(0, 4, n)] for n in (23, 31))
    if several:
        ya, yb = ((rng.random((n, 5)) < 0.3).astype(float) for n in (23, 31))
    each = naive(a, b, ya, yb, estimator)
    assert len(each) >= 3
    for reduction, expected in (("mean", each.mean()), ("sum", each.sum())):
        found = class_mmd(
            *map(torch.tensor, (a, b, ya, yb)), estimator=estimator, reduction=reduction
        )
        assert float(found) == pytest.approx(expected, abs=1e-9)


def test_it_is_zero_without_a_class_and_has_gradients_with_equal_rows():
    y = torch.eye(2)
    a = torch.zeros(2, 3, requires_grad=True)
    assert float(class_mmd(a, torch.zeros(2, 3), y, y).detach()) == 0
    y = torch.ones(2, 1)
    found = class_mmd(a, torch.zeros(2, 3), y, y)
    found.backward()
    assert float(found.detach()) == pytest.approx(0, abs=1e-6) and torch.isfinite(a.grad).all()


def test_it_is_unbiased_and_falls_when_distributions_meet():
    rng = torch.Generator().manual_seed(0)
    y = torch.ones(64, 1)
    draws = [torch.randn(64, 3, generator=rng) for _ in range(60)]
    same = torch.stack([class_mmd(p, q, y, y) for p, q in pairwise(draws)])
    far = class_mmd(draws[0], draws[1] + 2, y, y)
    assert abs(float(same.mean())) < 0.01 < float(far)


@pytest.mark.parametrize("wrong", [{"estimator": "cubic"}, {"reduction": "max"}])
def test_unknown_estimates_are_named(wrong):
    y = torch.ones(4, 1)
    with pytest.raises(InputError, match=next(iter(wrong))):
        class_mmd(torch.zeros(4, 2), torch.zeros(4, 2), y, y, **wrong)


@pytest.mark.parametrize("rows", [2, 8])
def test_no_tensor_leaves_the_device_of_the_inputs(rows):
    """The meta device refuses every product with a tensor of another one."""
    a, y = torch.zeros(rows, 2, device="meta"), torch.ones(rows, 1, device="meta")
    assert class_mmd(a, a, y, y).device.type == "meta"
