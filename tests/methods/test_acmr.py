"""ACMR: its loss by loops, which way its gradients go, and what the released code does not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_sets import of_few_classes

import commonspace as cs
from commonspace.data import make_dataset
from commonspace.errors import InputError
from commonspace.methods import ACMR
from commonspace.methods.baselines.joint_training import Batch, Sizes

FEATURES, CLASSES, DIM, ROWS = {"image": 5, "text": 4}, 3, 6, 8


def make_batch(method: ACMR, *, progress: float = 0.5, several: bool = False) -> Batch:
    rng = np.random.default_rng(1)
    torch.manual_seed(0)
    y = np.eye(CLASSES, dtype=np.float32)[np.arange(ROWS) % CLASSES]
    if several:
        y[0] = 1
    x = {k: torch.tensor(rng.normal(size=(ROWS, d))).float() for k, d in FEATURES.items()}
    z = {k: torch.tensor(rng.normal(size=(ROWS, DIM))).float().requires_grad_() for k in x}
    return Batch(
        x=x,
        z=z,
        y=dict.fromkeys(x, torch.from_numpy(y)),
        items=dict.fromkeys(x, torch.arange(ROWS)),
        matched=True,
        networks={},
        modules=method._make(Sizes(FEATURES, CLASSES, several)),
        several=several,
        progress=progress,
    )


def rows_of(batch: Batch) -> tuple[dict, dict, np.ndarray]:
    x = {k: v.numpy() for k, v in batch.x.items()}
    z = {k: v.detach().numpy() for k, v in batch.z.items()}
    return x, z, batch.y["image"].numpy()


def naive_triplets(batch: Batch, beta: float, margin: float) -> float:
    x, z, y = rows_of(batch)
    total = 0.0
    for name, other in (("image", "text"), ("text", "image")):
        terms = []
        for i in range(ROWS):
            strangers = [j for j in range(ROWS) if not (y[i] * y[j]).any()]
            if not strangers:
                continue
            cosines = [
                x[name][i] @ x[name][j] / np.linalg.norm(x[name][i]) / np.linalg.norm(x[name][j])
                for j in strangers
            ]
            n = strangers[int(np.argmax(cosines))]
            near = 0.5 * ((z[name][i] - z[other][i]) ** 2).sum()
            far = 0.5 * ((z[name][i] - z[other][n]) ** 2).sum()
            terms.append(max(0.0, margin + beta * near - far))
        total += np.mean(terms)
    return float(total)


def naive_labels(batch: Batch) -> float:
    _, z, y = rows_of(batch)
    weight, bias = (p.detach().numpy() for p in batch.modules["classifier"].parameters())
    total = 0.0
    for rows in z.values():
        logits = rows @ weight.T + bias
        if batch.several:
            q = 1 / (1 + np.exp(-logits))
            total -= (y * np.log(q) + (1 - y) * np.log(1 - q)).sum(axis=1).mean()
        else:
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            total -= (y * np.log(p)).sum(axis=1).mean()
    return float(total)


@pytest.mark.parametrize("several", [False, True])
def test_without_the_game_its_loss_is_what_slow_loops_say(several):
    method = ACMR(dim=DIM, mu=0.0, alpha=3.0, beta=2.0, margin=0.4)
    batch = make_batch(method, several=several)
    expected = 3.0 * naive_labels(batch) + naive_triplets(batch, 2.0, 0.4)
    assert method._loss(batch).item() == pytest.approx(expected, rel=1e-5)


def gradients(method: ACMR, progress: float = 0.5) -> dict[str, list]:
    batch = make_batch(method, progress=progress)
    method._loss(batch).backward()
    return {
        "z": [z.grad for z in batch.z.values()],
        **{key: [p.grad for p in m.parameters()] for key, m in batch.modules.items()},
    }


def test_the_embeddings_climb_what_the_discriminator_descends():
    """By mu and the factor 2 / (1 + e^(−5)) − 1, half way through the training."""
    plain, game = gradients(ACMR(dim=DIM, mu=0.0)), gradients(ACMR(dim=DIM, mu=2.0))
    method = ACMR(dim=DIM)
    batch = make_batch(method)
    judge = batch.modules["discriminator"]
    logits = [judge(z) for z in batch.z.values()]
    targets = [torch.full((ROWS,), m) for m in range(2)]
    losses = [torch.nn.functional.cross_entropy(a, b) for a, b in zip(logits, targets, strict=True)]
    sum(losses).backward()
    factor = 2 * (2 / (1 + np.exp(-5)) - 1)
    for before, after, z in zip(plain["z"], game["z"], batch.z.values(), strict=True):
        torch.testing.assert_close(after - before, -factor * z.grad, rtol=1e-3, atol=1e-4)
    for after, parameter in zip(game["discriminator"], judge.parameters(), strict=True):
        torch.testing.assert_close(after, parameter.grad)


def test_the_released_code_trains_neither_the_classifier_nor_against_the_discriminator():
    parity = gradients(ACMR(dim=DIM, parity=True))
    assert all(grad is None for grad in parity["classifier"])
    assert any(grad.abs().max() > 0 for grad in parity["discriminator"])
    alone = gradients(ACMR(dim=DIM, parity=True, mu=0.0))
    for first, second in zip(parity["z"], alone["z"], strict=True):
        torch.testing.assert_close(first, second)
    layers = ACMR(parity=True)._make(Sizes(FEATURES, CLASSES, False))["discriminator"]
    assert all(isinstance(layer, torch.nn.Linear) for layer in layers)


@pytest.mark.parametrize("parity", [False, True])
def test_it_beats_chance(parity):
    data = make_dataset(n_items=160, n_classes=4, noise=0.5, dims={"image": 8, "text": 6})
    model = ACMR(
        dim=8, hidden=(16,), epochs=8, batch_size=16, learning_rate=5e-3, parity=parity
    ).fit(data["train"])
    assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.25


@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_and_constant_features(n_classes):
    data = of_few_classes(n_classes)
    model = ACMR(dim=1, hidden=(4,), epochs=2).fit(data)
    assert np.isfinite(model.transform("text", data.x("text"))).all()


@pytest.mark.parametrize("arguments", [{"alpha": -1.0}, {"mu": -0.1}, {"parity": 1}, {"dim": 0}])
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2, dims={"image": 4, "text": 3})["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        ACMR(**arguments).fit(data)
