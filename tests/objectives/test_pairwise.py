"""The losses of the paired baselines against plain loops, and against torch where it has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from commonspace.objectives import (
    adaptive_triplet_loss,
    cosine_pair_loss,
    projection_classification_loss,
    projection_matching_loss,
)


def draw(n=7, width=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, width, generator=generator, dtype=torch.float64) for _ in range(2))


def unit(v):
    return v / np.linalg.norm(v)


def softmax(v):
    e = np.exp(v - v.max())
    return e / e.sum()


def matching_one_way(x, y, match):
    total, rows = 0.0, 0
    for i in range(len(x)):
        if not match[i].any():
            continue
        rows += 1
        p = softmax(np.array([x[i] @ unit(y[j]) for j in range(len(y))]))
        q = match[i] / match[i].sum()
        total += sum(p[j] * np.log(p[j] / (q[j] + 1e-8)) for j in range(len(y)))
    return total / rows


@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 1, 1, 0], [0, 1, 2, 3, 4, 5, 6]])
def test_projection_matching_is_the_divergence_of_the_two_distributions(labels):
    x, y = draw()
    codes = np.array(labels)
    match = (codes[:, None] == codes).astype(float)
    match[2] = 0  # matches nothing: takes no part one way
    expected = matching_one_way(x.numpy(), y.numpy(), match)
    expected += matching_one_way(y.numpy(), x.numpy(), match.T)
    found = projection_matching_loss(x, y, torch.from_numpy(match))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_projection_matching_is_zero_where_the_projections_follow_the_matches():
    """Two items of a class each: q is one half twice, and so is p once projections are large."""
    x = torch.tensor([[60.0, 0.0], [60.0, 0.0], [0.0, 60.0], [0.0, 60.0]])
    match = torch.tensor(np.kron(np.eye(2), np.ones((2, 2))), dtype=torch.float32)
    assert float(projection_matching_loss(x, x, match)) == pytest.approx(0, abs=1e-5)


def classification_one_way(x, y, labels, weight, several):
    total = 0.0
    for i in range(len(x)):
        projected = (x[i] @ unit(y[i])) * unit(y[i])
        logits = np.array([unit(w) @ projected for w in weight])
        if several:
            p = 1 / (1 + np.exp(-logits))
            total -= (labels[i] * np.log(p) + (1 - labels[i]) * np.log(1 - p)).sum()
        else:
            total -= (labels[i] / labels[i].sum() * np.log(softmax(logits))).sum()
    return total / len(x)


@pytest.mark.parametrize("several", [False, True])
def test_projection_classification_reads_the_projection_onto_the_counterpart(several):
    x, y = draw()
    weight = next(draw(3, 4, seed=1))
    rng = np.random.default_rng(0)
    labels = np.eye(3)[rng.integers(0, 3, 7)]
    if several:
        labels = np.maximum(labels, rng.random((7, 3)) < 0.4)
    a, b, w = (t.numpy() for t in (x, y, weight))
    expected = classification_one_way(a, b, labels, w, several)
    expected += classification_one_way(b, a, labels, w, several)
    found = projection_classification_loss(x, y, torch.from_numpy(labels), weight, several=several)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_the_cosine_pair_loss_is_that_of_torch_over_all_pairs(margin):
    x, y = draw()
    n = len(x)
    rows, columns = np.divmod(np.arange(n * n), n)
    target = torch.from_numpy(np.where(rows == columns, 1, -1))
    loss = torch.nn.CosineEmbeddingLoss(margin=margin, reduction="none")
    each = loss(x[rows], y[columns], target)
    expected = 0.2 * each[target == 1].mean() + 0.8 * each[target == -1].mean()
    found = cosine_pair_loss(x, y, torch.eye(n).double(), margin=margin, mismatched=0.8)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def triplets_by_loop(x, y, positive, negative, margin):
    values = []
    for i, j, k in np.ndindex(len(x), len(y), len(y)):
        if positive[i, j] and negative[i, k]:
            near, far = (1 - unit(x[i]) @ unit(y[m]) for m in (j, k))
            values.append(max(0.0, near + margin - far))
    hard = [value for value in values if value > 0]
    return sum(hard) / max(1, len(hard))


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.5])
def test_triplets_are_averaged_over_those_that_violate(margin):
    x, y = draw()
    codes = np.array([0, 1, 0, 2, 1, 1, 0])
    share = codes[:, None] == codes
    for positive in (np.eye(7, dtype=bool), share & ~np.eye(7, dtype=bool)):
        expected = triplets_by_loop(x.numpy(), y.numpy(), positive, ~share, margin)
        found = adaptive_triplet_loss(
            x, y, torch.from_numpy(positive), torch.from_numpy(~share), margin=margin
        )
        assert float(found) == pytest.approx(expected, rel=1e-9)


def test_triplets_that_do_not_violate_or_are_not_there_cost_nothing():
    eye = torch.eye(3).bool()
    z = torch.eye(3, requires_grad=True)
    for positive in (eye, torch.zeros_like(eye)):
        loss = adaptive_triplet_loss(z, z, positive, ~eye, margin=0.3)
        assert float(loss.detach()) == 0
    loss.backward()
    assert torch.isfinite(z.grad).all()


def test_three_triplets_by_hand():
    """Cosines of the anchor: 1 to its own, 0.8 and 0 to others; margin 0.3 leaves 0.1 of one."""
    anchor = torch.tensor([[1.0, 0.0]])
    others = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    positive = torch.tensor([[True, False, False]])
    loss = adaptive_triplet_loss(anchor, others, positive, ~positive, margin=0.3)
    assert float(loss) == pytest.approx(0.1, abs=1e-6)
