"""The kernel machine, row by row and landmark by landmark."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from commonspace.networks import KernelMachine
from commonspace.networks.kernel import LEAST, SHARPNESS


@pytest.mark.parametrize("several", [False, True])
def test_posteriors_are_the_formula(several):
    rng = np.random.default_rng(0)
    x, landmarks = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))
    weights, intercept = rng.normal(size=(5, 3)) / 2, rng.random(3) / 2
    machine = KernelMachine(5, 4, 3, several=several)
    for name, value in {"landmarks": landmarks, "weights": weights, "intercept": intercept}.items():
        getattr(machine, name).copy_(torch.from_numpy(value))
    machine.gamma.fill_(0.3)
    machine.temperature.fill_(1.7)
    for row, q in zip(x, machine(torch.tensor(x, dtype=torch.float32)).numpy(), strict=True):
        scores = intercept.copy()
        for landmark, weight in zip(landmarks, weights, strict=True):
            scores += np.exp(-0.3 * np.sum((row - landmark) ** 2)) * weight
        inside = scores.clip(LEAST, 1 - LEAST)
        several_q = expit(np.log(inside / (1 - inside)) / 1.7)
        expected = several_q if several else softmax(SHARPNESS * scores / 1.7)
        np.testing.assert_allclose(q, expected, atol=1e-5)


def test_far_from_all_landmarks_is_what_the_intercept_says():
    machine = KernelMachine(2, 3, 2, several=False)
    machine.gamma.fill_(1.0)
    machine.weights.normal_()
    machine.intercept.copy_(torch.tensor([0.75, 0.25]))
    q = machine(torch.full((1, 3), 100.0))
    np.testing.assert_allclose(q, softmax([[7.5, 2.5]], axis=1), rtol=1e-6)
