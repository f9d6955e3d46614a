"""The encoder of the default recipe against its formula in numpy, and what the formula is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from torch import nn

from commonspace.networks import posterior
from commonspace.networks.posterior import FILL, PosteriorEncoder
from commonspace.space import Space

EXPERTS = {"a": {"dropout": 0.5}, "b": {"input_dropout": 0.2, "batch_norm": False}}


def make(
    *,
    dim: int = 128,
    n_classes: int = 5,
    several: bool = False,
    seed: int = 0,
    n_features: int = 7,
    modality: str = "image",
    landmarks: int = 0,
) -> PosteriorEncoder:
    """An encoder in which every buffer has a value that tells."""
    space = Space.create(dim, [f"c{k}" for k in range(n_classes)])
    space = space.with_modalities(["image", "text"])
    basis = space.basis if n_classes <= dim else space.directions(n_classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = PosteriorEncoder(
            n_features,
            (8,),
            EXPERTS,
            basis=basis,
            n_classes=n_classes,
            several=several,
            own=space.place(modality),
            landmarks=landmarks,
        )
        made.temperature.copy_(torch.tensor([0.3, 2.0]))
        made.inputs.mean.normal_()
        made.inputs.scale.uniform_(0.5, 2)
        made.components.normal_()
        made.center.normal_()
        for expert in made.experts.values():
            expert[-1][-1].weight.data.mul_(20)  # posteriors that are far from equal
        if several:
            made.length.fill_(float(n_classes))
    return made.eval()


def make_with_kernel(several: bool) -> PosteriorEncoder:
    """The same, with a kernel machine of three landmarks."""
    made = make(several=several, landmarks=3)
    made.kernel.landmarks.normal_()
    made.kernel.weights.normal_()
    made.kernel.gamma.fill_(0.2)
    return made


def features(n: int = 50, *, n_features: int = 7, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_features)).astype(np.float32)


def forward(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(x.astype(np.float32))).double().numpy()


def naive_posterior(encoder: PosteriorEncoder, x: np.ndarray) -> np.ndarray:
    """The mean of softmax(logits / T), or of sigmoids, from the experts' logits."""
    z = np.clip((x - encoder.inputs.mean.numpy()) * encoder.inputs.scale.numpy(), -10, 10)
    q = 0.0
    for k, expert in enumerate(encoder.experts.values()):
        logits = forward(expert, z) / float(encoder.temperature[k])
        share = expit(logits) if encoder.several else softmax(logits, axis=1)
        q = q + share / len(encoder.experts)
    return q


def naive_vectors(encoder: PosteriorEncoder, x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """z, item by item and column by column: an image has the last eighth of them."""
    mean, scale = encoder.inputs.mean.numpy(), encoder.inputs.scale.numpy()
    components, center = encoder.components.double().numpy(), encoder.center.double().numpy()
    width = components.shape[1]
    out = []
    for row, q in zip(x.astype(np.float64), naive_posterior(encoder, x), strict=True):
        scaled = np.clip((row - mean) * scale, -10, 10)
        z = sum(q[c] * basis[:, c].astype(np.float64) for c in range(len(q)))
        missing = max(0.0, float(encoder.length) - float(q @ q))
        coordinates = [float(scaled @ components[:, j]) - center[j] for j in range(width)]
        size = np.sqrt(FILL * missing / sum(c * c for c in coordinates)) if width else 0.0
        for j, coordinate in enumerate(coordinates):
            z = z + size * coordinate * basis[:, basis.shape[0] - width + j]
        out.append(z)
    return np.array(out)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("fill", [0.0, FILL])
def test_the_projection_on_the_classes_is_the_mixture_of_posteriors(several, fill, monkeypatch):
    """Pᵀz = q; the fill lies in columns that no class owns."""
    monkeypatch.setattr(posterior, "FILL", fill)
    encoder, x = make(several=several), features()
    z, p = forward(encoder, x), Space.create(128).basis[:, :5]
    q = naive_posterior(encoder, x)
    np.testing.assert_allclose(z @ p, q, atol=1e-6)
    if fill == 0:
        np.testing.assert_allclose(z, q @ p.T, atol=1e-6)
    if several:
        assert q.sum(axis=1).std() > 0.1
    else:
        np.testing.assert_allclose(q.sum(axis=1), 1)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("dim", "n_classes"), [(128, 5), (81, 4), (32, 28), (16, 3), (4, 9)])
def test_every_coordinate_is_the_formula(dim, n_classes, several):
    encoder = make(dim=dim, n_classes=n_classes, several=several)
    space, x = Space.create(dim), features()
    expected = naive_vectors(encoder, x, space.directions(max(dim, n_classes)))
    np.testing.assert_allclose(forward(encoder, x), expected, atol=2e-5)


@pytest.mark.parametrize("several", [False, True])
def test_the_kernel_machine_weighs_as_much_as_either_kind_of_networks(several):
    with_kernel, x = make_with_kernel(several), features()
    kernel = with_kernel.kernel
    networks = naive_posterior(with_kernel, x)  # of the experts alone
    z = forward(with_kernel, x)
    q = z @ Space.create(128).basis[:, :5]
    scaled = with_kernel.inputs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(q, 2 / 3 * networks + forward(kernel, scaled) / 3, atol=1e-6)
    assert make(several=several).kernel is None


@pytest.mark.parametrize("several", [False, True])
def test_a_kernel_machine_that_had_a_scale_of_its_own_is_still_read(several):
    """Experts and components saw all features alike, the kernel machine louder and fainter ones."""
    stored, x = make_with_kernel(several), features()
    kernel = stored.kernel
    scale = torch.tensor([3.0, 0.1, 1.0, 0.5, 2.0, 0.02, 1.5])
    state = dict(stored.state_dict()) | {"kernel.scale": scale}
    del state["inputs.loudness"]
    again = make(several=several, landmarks=3, seed=9)
    again.load_state_dict(state)
    z, space = forward(again, x), Space.create(128).with_modalities(["image", "text"])
    alike = stored.inputs(torch.from_numpy(x))
    q = z @ space.basis[:, :5]
    expected = 2 / 3 * naive_posterior(stored, x) + forward(kernel, (scale * alike).numpy()) / 3
    np.testing.assert_allclose(q, expected, atol=1e-5)
    first, end = space.place("image")
    own = normalize(z @ space.basis[:, first:end])
    np.testing.assert_allclose(own, normalize(alike @ stored.components - stored.center), atol=1e-4)


def test_a_share_of_the_missing_length_is_put_back():
    """‖z‖² = ‖q‖² + τ (M − ‖q‖²)."""
    for several in (False, True):
        encoder, x = make(several=several), features()
        q2 = np.square(naive_posterior(encoder, x)).sum(axis=1)
        expected = q2 + FILL * (float(encoder.length) - q2)
        np.testing.assert_allclose(np.square(forward(encoder, x)).sum(axis=1), expected, rtol=1e-5)
    encoder.length.fill_(0.5)  # rows that are longer than M keep their length
    assert (q2 > 0.5).any()
    z2 = np.square(forward(encoder, x)).sum(axis=1)
    np.testing.assert_allclose(z2, np.maximum(q2, q2 + FILL * (0.5 - q2)), rtol=1e-5)


def test_inner_products_across_modalities_are_probabilities_of_a_match():
    """zᵀz' = qᵀq' exactly, for what is added lies in places that modalities do not share."""
    image, text = make(seed=0), make(seed=5, n_features=9, modality="text")
    x, y = features(60), features(40, n_features=9, seed=2)
    q, r = naive_posterior(image, x), naive_posterior(text, y)
    np.testing.assert_allclose(forward(image, x) @ forward(text, y).T, q @ r.T, atol=1e-6)


def test_features_that_are_near_get_vectors_that_are_near():
    encoder, x = make(), features()
    near = forward(encoder, x + np.float32(1e-4))
    np.testing.assert_allclose(near, forward(encoder, x), atol=1e-2)


@pytest.mark.parametrize(("n_rows", "n_features"), [(200, 40), (30, 40), (12, 12)])
def test_components_are_whitened_principal_components(n_rows, n_features):
    """As scikit-learn finds them, up to the sign and the common scale, which u(x) does not have."""
    encoder = make(n_features=n_features)
    x = np.random.default_rng(3).normal(size=(n_rows, n_features)) * np.arange(1, n_features + 1)
    encoder.set_components(torch.from_numpy(x.astype(np.float32)))
    n = min(16, n_rows - 1, n_features)
    expected = np.abs(PCA(n, whiten=True).fit_transform(x))
    found = x @ encoder.components.double().numpy() - encoder.center.double().numpy()
    np.testing.assert_allclose(np.abs(found[:, :n]) * np.sqrt(n_rows - 1), expected, atol=1e-4)
    np.testing.assert_array_equal(found[:, n:], 0)


@pytest.mark.parametrize("rows", [np.zeros((5, 7)), np.ones((1, 7)), np.full((9, 7), 3.0)])
def test_rows_that_do_not_differ_have_no_components(rows):
    encoder = make()
    encoder.set_components(torch.from_numpy(rows.astype(np.float32)))
    q, z = naive_posterior(encoder, features()), forward(encoder, features())
    np.testing.assert_allclose(z, q @ Space.create(128).basis[:, :5].T, atol=1e-6)


@pytest.mark.parametrize("value", [1e30, -1e30, 3e38])
def test_outliers_are_clamped_and_stay_finite(value):
    encoder = make()
    x = features()
    x[0, 0] = value
    z = forward(encoder, x)
    assert np.isfinite(z).all()
    x[0, 0] = np.sign(value) * 1e6
    np.testing.assert_array_equal(forward(encoder, x), z)
