"""Dropout from random bytes does what dropout says."""

import numpy as np
import pytest
import torch

from commonspace.networks import Dropout


@pytest.mark.parametrize("p", [0.05, 0.2, 0.3, 0.5, 0.9])
def test_share_and_scale_are_those_of_the_library(p: float) -> None:
    torch.manual_seed(0)
    n = 400_000
    x = torch.ones(1000, n // 1000)
    out = Dropout(p)(x)
    theirs = torch.nn.Dropout(p)(x)
    spread = np.sqrt(p * (1 - p) / n)
    for each in (out, theirs):
        assert abs(float((each == 0).double().mean()) - p) < 1 / 512 + 5 * spread
    assert float(out.double().mean()) == pytest.approx(1, abs=5 * spread / (1 - p))
    assert float(out.max()) == pytest.approx(float(theirs.max()), rel=1 / 512 / (1 - p) + 1e-6)


def test_units_fall_apart_from_one_another() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(20_000, 24)) > 0).double().numpy()
    correlation = np.corrcoef(kept.T)
    assert np.abs(correlation - np.eye(24)).max() < 5 / np.sqrt(20_000)


def test_gradient_passes_where_units_stay() -> None:
    x = torch.ones(7, 13, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())
    assert 0 < int((out == 0).sum()) < out.numel()


def test_seed_decides_and_state_of_the_generator_resumes() -> None:
    layer, x = Dropout(0.5), torch.randn(33, 17)
    torch.manual_seed(3)
    first, state = layer(x), torch.get_rng_state()
    second = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    torch.set_rng_state(state)
    assert torch.equal(layer(x), second)
    assert not torch.equal(first, second)


def test_nothing_falls_out_of_training_or_for_a_share_of_nothing() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert Dropout(0.4)(torch.empty(0, 3)).shape == (0, 3)
    assert Dropout(0.4)(torch.ones(9, dtype=torch.float64)).dtype == torch.float64
    assert "p=0.4" in repr(Dropout(0.4))
