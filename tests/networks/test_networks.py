from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from commonspace.methods.base import standardization
from commonspace.networks import (
    MLP,
    Branch,
    Dropout,
    LinearMap,
    MetricBranch,
    Standardize,
    SupervisedAutoencoder,
    l2_normalize,
)


def test_rows_become_unit_vectors_and_zero_stays_zero():
    x = torch.tensor([[3.0, 4], [0, 0], [1e-3, 0]])
    np.testing.assert_allclose(l2_normalize(x), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)


@pytest.mark.parametrize("final", [None, "tanh", "sigmoid", "relu"])
def test_a_branch_ends_as_it_is_asked_to(final):
    torch.manual_seed(0)
    x = 100 * torch.randn(5, 3)
    plain, ended, unit = (
        Branch(3, [4], 6, final=end, unit=unit).eval()
        for end, unit in ((None, False), (final, False), (final, True))
    )
    for branch in (ended, unit):
        branch.load_state_dict(plain.state_dict())
    expected = plain.layers(x.clamp(-10, 10))  # outliers are cut off
    if final is not None:
        expected = getattr(torch, final)(expected)
    torch.testing.assert_close(ended(x), expected)
    torch.testing.assert_close(unit(x), expected / expected.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("members", [1, 3])
def test_a_metric_branch_gives_unit_vectors_whose_cosines_are_means(members):
    torch.manual_seed(0)
    branch = MetricBranch(4, [5], 6, members=members).eval()
    x = torch.randn(7, 4)
    z = branch(x)
    parts = [l2_normalize(member(x)) for member in branch.members]
    mean = torch.stack([part @ part.T for part in parts]).mean(dim=0)
    torch.testing.assert_close(z @ z.T, mean)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(7))


def test_a_linear_map_by_hand():
    mean, scale, weights = np.array([1.0, 2.0]), np.array([2.0, 0.5]), np.array([[1.0], [10.0]])
    x = torch.tensor([[2.0, 4.0]])
    assert LinearMap(mean, scale, weights)(x).item() == 2 + 10
    assert LinearMap(mean, scale, weights, np.array([0.25]))(x).item() == 12.25


def test_an_mlp_has_a_relu_after_each_layer_but_the_last():
    kinds = [type(layer) for layer in MLP([5, 4, 3, 2])]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    kinds = [type(layer) for layer in MLP([5, 4, 2], dropout=0.1)]
    assert kinds == [nn.Linear, nn.ReLU, Dropout, nn.Linear]
    assert [type(layer) for layer in MLP([5, 2])] == [nn.Linear]


@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize("decoder", [True, False])
def test_the_autoencoder_is_mirrored_and_normalises_where_asked(encoder, decoder):
    network = SupervisedAutoencoder(
        7, (6, 5), 3, normalize_encoder=encoder, normalize_decoder=decoder
    )
    sizes = [layer.in_features for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [7, 6, 5, 3, 5, 6]
    x = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        h = network(x)
        decoded = network.decode(h)
    assert h.shape == (4, 3) and decoded.shape == (4, 7)
    assert torch.allclose(h.norm(dim=1), torch.ones(4)) == encoder
    assert torch.allclose(decoded.norm(dim=1), torch.ones(4)) == decoder


def features() -> np.ndarray:
    """Ordinary features, constant ones, tiny and huge scales, an offset; float32."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 7))
    x[:, 1] = 5
    x[:, 2] *= 1e-8
    x[:, 3] = 1e8 * (x[:, 3] + 3)
    x[:, 4] = x[:, 4] * 0.1 + 100
    x[:, 5] = 0
    x[:, 6] = np.float32(0.1)  # not a whole number in binary
    return x.astype(np.float32)


def test_standardization_is_what_numpy_says_in_float64():
    x = features()
    mean, scale = standardization(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6, atol=1e-15)
    varying = [0, 2, 3, 4]
    np.testing.assert_allclose(scale[varying], 1 / exact.std(axis=0)[varying], rtol=1e-6)
    assert scale[[1, 5, 6]].tolist() == [0, 0, 0]
    assert mean.dtype == scale.dtype == np.float32
    with torch.inference_mode():
        z = Standardize(mean, scale)(torch.from_numpy(x)).double().numpy()
    np.testing.assert_allclose(z[:, varying].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z[:, varying].std(axis=0), 1, atol=1e-4)
    assert not z[:, [1, 5, 6]].any()


def test_standardization_in_blocks_of_rows(tmp_path):
    """More features than fit one block of 2²² numbers in few rows; from a read-only map too."""
    x = np.random.default_rng(1).normal(size=(3, 1 << 21)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mean, scale = standardization(np.load(tmp_path / "x.npy", mmap_mode="r"))
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(scale, 1 / x.astype(np.float64).std(axis=0), rtol=1e-4)


def test_one_row_and_any_order():
    mean, scale = standardization(np.array([[1.0, 2]], np.float32))
    assert mean.tolist() == [1, 2] and scale.tolist() == [0, 0]
    x = features()
    shuffled = np.random.default_rng(2).permutation(x)
    for one, other in zip(standardization(x), standardization(shuffled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
