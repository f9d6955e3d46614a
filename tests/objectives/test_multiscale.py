"""The losses of MS-DMML against plain loops over pairs, written from eqs. 3-11 of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from commonspace.objectives import (
    binary_similarity,
    graded_similarity,
    item_similarity,
    multiscale_loss,
    pair_weights,
)

ALPHA, BETA, C = 0.4, 0.6, 1.0
LAMBDAS = (0.6, 0.25, 0.15)


def draw(counts, *, kind="multi", seed=0):
    rng = np.random.default_rng(seed)
    f = [rng.normal(size=(n, 5)) for n in counts]
    f = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in f]
    if kind == "single":
        y = [np.eye(4)[rng.integers(0, 4, n)] for n in counts]
    else:
        y = [(rng.random((n, 4)) < 0.4).astype(float) for n in counts]
    if kind == "graded":
        y = [values * rng.uniform(0.1, 1, values.shape) for values in y]
    return f, y


def similarity(a, b):
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 0 else 0.0


def pair_loss(f, g, s):
    d2 = float(((f - g) ** 2).sum())
    sig = 1 if s == 0 else 0
    return ALPHA * d2 * s + BETA * max(0.0, (C - d2) * sig)


def loop(f, y, lambdas, reduction):
    """Eqs. 8-11 by four nested loops; more than two modalities as documented."""
    n = len(f)
    inter = []
    for i in range(n):
        for j in range(i + 1, n):
            values = [
                pair_loss(f[i][a], f[j][b], similarity(y[i][a], y[j][b]))
                for a in range(len(f[i]))
                for b in range(len(f[j]))
            ]
            inter.append(np.mean(values) if reduction == "mean" else np.sum(values))
    intra = []
    for i in range(n):
        values = [
            pair_loss(f[i][a], f[i][b], similarity(y[i][a], y[i][b]))
            for a in range(len(f[i]))
            for b in range(len(f[i]))
            if a != b
        ]
        intra.append(np.mean(values) if reduction == "mean" else np.sum(values))
    share = np.array([lambdas[1], *[lambdas[2]] * (n - 1)])
    share = share * (lambdas[1] + lambdas[2]) / share.sum()
    return lambdas[0] * np.mean(inter) + float(share @ np.array(intra))


def ours(f, y, lambdas=LAMBDAS, reduction="mean"):
    return multiscale_loss(
        torch.tensor(np.concatenate(f)),
        graded_similarity(torch.tensor(np.concatenate(y))),
        pair_weights([len(x) for x in f], lambdas, reduction=reduction).double(),
        alpha=ALPHA,
        beta=BETA,
        margin=C,
    )


@pytest.mark.parametrize("kind", ["single", "multi", "graded"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("counts", [(6, 6), (4, 7), (3, 5, 4), (2, 3, 4, 5)])
def test_the_loss_is_that_of_plain_loops(kind, reduction, counts):
    f, y = draw(counts, kind=kind)
    expected = loop(f, y, LAMBDAS, reduction)
    assert float(ours(f, y, reduction=reduction)) == pytest.approx(expected, rel=1e-6)


def test_two_modalities_weigh_as_in_equation_11():
    f, y = draw((4, 6))
    parts = [float(ours(f, y, lambdas)) for lambdas in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    whole = float(ours(f, y))
    assert whole == pytest.approx(sum(w * p for w, p in zip(LAMBDAS, parts, strict=True)))
    lone = [x[:1] for x in f]
    assert (
        float(ours(lone, [v[:1] for v in y], (0, 0.5, 0.5))) == 0
    )  # an item is no pair with itself


def test_a_case_worked_by_hand():
    f = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    y = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    s = graded_similarity(y)
    assert float(s[0, 1]) == pytest.approx(1 / np.sqrt(2)) and float(s[0, 2]) == 0
    weights = torch.zeros(3, 3)
    weights[0, 1], weights[0, 2], weights[1, 2] = 1.0, 1.0, 1.0
    loss = multiscale_loss(f, s, weights, alpha=0.4, beta=0.6, margin=1.0)
    # d² = 2 and S = 0.7071 attract; d² = 0.8 and 0.4 with S = 0 repel
    assert float(loss) == pytest.approx(0.4 * 2 / np.sqrt(2) + 0.6 * (0.2 + 0.6), rel=1e-6)


def test_similarities():
    y = torch.tensor([[1.0, 1, 0], [0.2, 0, 0], [0, 0, 1], [0, 0, 0]])
    graded = graded_similarity(y)
    assert torch.allclose(graded.diagonal(), torch.tensor([1.0, 1, 1, 0]))
    assert torch.equal(graded.gt(0).float(), binary_similarity(y))
    assert torch.equal(graded_similarity(torch.eye(3)), binary_similarity(torch.eye(3)))
    items = item_similarity(torch.tensor([3, 5, 3]))
    assert items.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("rows", [0, 3])
def test_gradients_are_those_of_finite_differences(rows):
    f, y = draw((3, 4), seed=rows)
    x = torch.tensor(np.concatenate(f), requires_grad=True)
    s = graded_similarity(torch.tensor(np.concatenate(y)))
    w = pair_weights([3, 4], LAMBDAS).double()

    def loss(x_BE):
        return multiscale_loss(x_BE, s, w, alpha=ALPHA, beta=BETA, margin=C)

    assert torch.autograd.gradcheck(loss, (x,))
