"""Canonical correlations against their definition by symmetric square roots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import inv, sqrtm

from commonspace.objectives import canonical_correlations


def draw(n=40, widths=(3, 3), seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 2))
    return [shared @ rng.normal(size=(2, w)) + rng.normal(size=(n, w)) for w in widths]


def by_definition(x, y, ridge):
    joint = np.cov(np.hstack([x, y]).T)
    k = x.shape[1]
    roots = [inv(sqrtm(b + ridge * np.eye(len(b)))) for b in (joint[:k, :k], joint[k:, k:])]
    return np.linalg.svd(roots[0] @ joint[:k, k:] @ roots[1], compute_uv=False)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("widths", [(3, 3), (4, 2)])
def test_they_are_the_singular_values_of_the_whitened_cross_covariance(ridge, widths):
    x, y = draw(widths=widths)
    found = canonical_correlations(torch.from_numpy(x), torch.from_numpy(y), ridge=ridge)
    np.testing.assert_allclose(found.numpy(), by_definition(x, y, ridge), rtol=1e-8)


def test_they_are_one_for_linear_images_of_the_same_rows():
    x = torch.from_numpy(draw()[0])
    y = x @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 3.0]]).double() + 5
    found = canonical_correlations(x, y, ridge=1e-10)
    np.testing.assert_allclose(found.numpy(), np.ones(3), atol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    x, y = (torch.from_numpy(z).requires_grad_() for z in draw(n=9))
    assert torch.autograd.gradcheck(
        lambda a, b: canonical_correlations(a, b, ridge=0.1).sum(), (x, y)
    )


def test_fewer_rows_than_dimensions_and_constant_outputs_are_finite():
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for y in (torch.ones(4, 8), x):
        found = canonical_correlations(x, y, ridge=1e-3).sum()
        (gradient,) = torch.autograd.grad(found, x)
        assert torch.isfinite(found) and torch.isfinite(gradient).all()
