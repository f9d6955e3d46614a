"""Scatter, trace ratio and eigenvalue loss against loops, MvDA's block formula and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from commonspace.objectives import discriminant_loss, trace_ratio, unexplained_share
from commonspace.objectives.scatter import (
    correlation_blocks,
    discriminant_values,
    scatter_matrices,
)

from .gradients import by_differences, by_torch

SIZES, DIM, CLASSES = (9, 12), 3, 4


def views(seed: int = 0, *, paired: bool = False):
    rng = np.random.default_rng(seed)
    sizes = (12, 12) if paired else SIZES
    ys = [rng.permutation(np.arange(n) % CLASSES) for n in sizes]
    centres = rng.normal(size=(CLASSES, DIM))
    return [centres[y] + rng.normal(size=(len(y), DIM)) for y in ys], ys


def tensors(xs, ys):
    return [torch.from_numpy(x) for x in xs], [torch.from_numpy(np.eye(CLASSES)[y]) for y in ys]


def blocks_of_the_paper(xs, ys):
    """Block by block, class by class, as MvDA writes it."""
    n_views, dim = len(xs), xs[0].shape[1]
    within, between = (np.zeros((n_views, dim, n_views, dim)) for _ in range(2))
    n = sum(map(len, xs))
    for j in range(n_views):
        within[j, :, j] += sum(np.outer(x, x) for x in xs[j])
        for r in range(n_views):
            for c in range(CLASSES):
                of_j, of_r = xs[j][ys[j] == c], xs[r][ys[r] == c]
                n_c = sum((y == c).sum() for y in ys)
                term = np.outer(of_j.sum(axis=0), of_r.sum(axis=0)) / n_c
                within[j, :, r] -= term
                between[j, :, r] += term
            between[j, :, r] -= np.outer(xs[j].sum(axis=0), xs[r].sum(axis=0)) / n
    flat = n_views * dim
    return within.reshape(flat, flat), between.reshape(flat, flat)


@pytest.mark.parametrize("seed", range(3))
def test_the_blocks_are_those_of_mvda(seed):
    xs, ys = views(seed)
    found = scatter_matrices(*tensors(xs, ys))
    for ours, theirs in zip(found, blocks_of_the_paper(xs, ys), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-10)


def test_of_one_modality_the_eigenvalues_are_those_of_lda():
    (x, _), (y, _) = views(4)
    values = discriminant_values(*tensors([x], [y]), ridge=0.0).numpy()
    lda = LinearDiscriminantAnalysis(solver="eigen").fit(x, y)
    share = np.sort(lda.explained_variance_ratio_)[::-1]
    top = values[::-1][: len(share)]
    np.testing.assert_allclose(top / top.sum(), share, rtol=1e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.05])
def test_eigenvalues_are_those_of_scipy(correlation):
    xs, ys = views(1, paired=True)
    outputs, labels = tensors(xs, ys)
    within, between = blocks_of_the_paper(xs, ys)
    cross = np.zeros_like(between)
    cross[:DIM, DIM:] = xs[0].T @ xs[1]
    cross[DIM:, :DIM] = xs[1].T @ xs[0]
    np.testing.assert_allclose(correlation_blocks(outputs).numpy(), cross, atol=1e-12)
    expected = eigh(
        between + correlation * cross, within + 0.1 * np.eye(len(within)), eigvals_only=True
    )
    found = discriminant_values(outputs, labels, ridge=0.1, correlation=correlation)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_mean_of_the_smallest_that_are_kept():
    outputs, labels = tensors(*views(2))
    kept = discriminant_values(outputs, labels, ridge=1e-3, correlation=0).numpy()[-2:]
    assert min(CLASSES, DIM) - 1 == len(kept)
    how = {"ridge": 1e-3, "correlation": 0.0}
    assert float(discriminant_loss(outputs, labels, threshold=1e9, **how)) == pytest.approx(
        -kept.mean(), rel=1e-5
    )
    assert float(discriminant_loss(outputs, labels, threshold=0.0, **how)) == pytest.approx(
        -kept[0], rel=1e-5
    )


@pytest.mark.parametrize("threshold", [0.0, 1e9])
def test_its_gradient_is_that_of_finite_differences(threshold):
    xs, ys = views(5, paired=True)
    _, labels = tensors(xs, ys)
    other = torch.from_numpy(xs[1])

    def values(x):
        found = discriminant_values([x, other], labels, ridge=0.1, correlation=0.01)[-2:]
        return found[:1].sum() if threshold == 0 else found.mean()

    def loss(x):
        how = {"ridge": 0.1, "correlation": 0.01, "threshold": threshold}
        return discriminant_loss([x, other], labels, **how)

    # The loss ends in float32; its gradient is compared with that of the values in float64. The
    # floor of the ridge follows the data and counts as constant, which is 1e-6 of the whole.
    expected = -by_differences(values, xs[0])
    np.testing.assert_allclose(by_torch(loss, xs[0]), expected, rtol=1e-3, atol=1e-4)


def test_the_trace_ratio_is_what_slow_loops_say():
    xs, ys = views(3)
    x, y = np.concatenate(xs), np.concatenate(ys)
    within = sum(np.square(row - x[y == c].mean(axis=0)).sum() for row, c in zip(x, y, strict=True))
    between = sum(
        (y == c).sum() * np.square(x[y == c].mean(axis=0) - x.mean(axis=0)).sum()
        for c in range(CLASSES)
    )
    table = torch.from_numpy(np.eye(CLASSES + 1)[y])  # a class without rows adds nothing

    def loss(z):
        return trace_ratio(z, table)

    assert float(loss(torch.from_numpy(x))) == pytest.approx(within / between)
    np.testing.assert_allclose(by_torch(loss, x), by_differences(loss, x), rtol=1e-4, atol=1e-8)


def test_the_unexplained_share_is_that_of_the_eigenvalues():
    """With λ the eigenvalues of S_B against S_W, of each direction 1 / (1 + λ) is unexplained."""
    (x, _), (y, _) = views(7)
    within, between = blocks_of_the_paper([x], [y])
    values = eigh(between, within, eigvals_only=True)[::-1][: CLASSES - 1]
    table = torch.from_numpy(np.eye(CLASSES)[y])

    def loss(z):
        return unexplained_share(z, table, ridge=0.0)

    found = loss(torch.from_numpy(x))
    assert float(found) == pytest.approx(float(np.mean(1 / (1 + values))), rel=1e-6)
    np.testing.assert_allclose(by_torch(loss, x), by_differences(loss, x), rtol=1e-4, atol=1e-8)


def test_it_does_not_mind_how_long_a_direction_is_and_the_trace_ratio_does():
    xs, ys = views(8)
    x, y = (
        torch.from_numpy(np.concatenate(xs)),
        torch.from_numpy(np.eye(CLASSES)[np.concatenate(ys)]),
    )
    longer = x * torch.tensor([10.0, 1.0, 0.1])
    how = {"ridge": 1e-9}
    torch.testing.assert_close(
        unexplained_share(longer, y, **how), unexplained_share(x, y, **how), rtol=1e-5, atol=0
    )
    assert abs(float(trace_ratio(longer, y) / trace_ratio(x, y)) - 1) > 0.1


def test_one_class_has_nothing_to_tell_apart():
    z, y = torch.randn(5, 3, requires_grad=True), torch.eye(2)[[0] * 5]
    for loss in (trace_ratio(z, y), unexplained_share(z, y), discriminant_loss([z], [y])):
        assert float(loss.detach()) == 0
        assert float(torch.autograd.grad(loss, z)[0].abs().max()) == 0


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e6])
def test_outputs_that_are_flat_or_huge_stay_finite(scale):
    outputs, labels = tensors(*views(6))
    z = [(scale * out.float()).requires_grad_() for out in outputs]
    pooled = torch.cat(z), torch.cat(labels).float()
    for loss in (discriminant_loss(z, labels), unexplained_share(*pooled), trace_ratio(*pooled)):
        grads = torch.autograd.grad(loss, z, retain_graph=True)
        assert torch.isfinite(loss) and all(torch.isfinite(grad).all() for grad in grads)
