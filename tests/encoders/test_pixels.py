from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from commonspace.encoders import PixelEncoder, encoder_from_spec, load_backbone
from commonspace.errors import InputError, MissingExtraError

Image = pytest.importorskip("PIL.Image")
rng = np.random.default_rng(0)


def test_a_square_of_that_size_stays_as_it_is():
    squares = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    x = PixelEncoder(side=16).encode(squares)
    assert x.dtype == np.uint8 and x.shape == (3, 768)
    assert np.array_equal(x.reshape(squares.shape), squares)


def test_the_short_side_is_scaled_and_the_centre_cut_out():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200  # the central square
    assert PixelEncoder(side=10).encode([wide]).min() > 180
    tall = np.swapaxes(wide, 0, 1)
    assert PixelEncoder(side=10).encode([tall]).min() > 180


def test_transparent_pictures_lie_on_white(tmp_path):
    clear = np.zeros((12, 12, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert (PixelEncoder(side=12).encode([clear, tmp_path / "clear.png"]) == 255).all()


def test_settings_and_mistakes(tmp_path):
    encoder = PixelEncoder(side=24)
    assert encoder_from_spec(encoder.spec()) == encoder and encoder.dim == 24 * 24 * 3
    assert "side=24" in encoder.id and encoder.encode([]).shape == (0, encoder.dim)
    with pytest.raises(InputError, match="side: expected a whole number from 8"):
        PixelEncoder(side=7)
    with pytest.raises(InputError, match=r"expected a list of images.*\[image\]"):
        encoder.encode(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match="there is no such file"):
        encoder.encode([tmp_path / "none.png"])
    with pytest.raises(InputError, match="image at row 1: expected a path"):
        encoder.encode([np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)])


def test_the_stages_of_efficientnet_are_the_encoder():
    pytest.importorskip("efficientnet_lite_pytorch")
    from commonspace.encoders import EfficientNetLite0Encoder

    backbone = load_backbone("efficientnet-lite0", 48)
    picture = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    centre, scale = (torch.tensor(v).reshape(3, 1, 1) for v in (backbone.centre, backbone.scale))
    with torch.inference_mode():
        maps = nn.Sequential(*backbone.stages)((x - centre) / scale)
    expected = EfficientNetLite0Encoder(size=48).encode([picture])
    np.testing.assert_allclose(maps.mean((2, 3)).numpy(), expected, atol=1e-4)
    assert len(backbone.stages) == 18 and maps.shape[1] == backbone.width


def test_resnet_comes_from_torchvision(monkeypatch):
    def layer(width):
        return nn.Sequential(nn.Conv2d(width // 2, width, 1), nn.ReLU())

    tiny = SimpleNamespace(
        conv1=nn.Conv2d(3, 4, 1), bn1=nn.BatchNorm2d(4), relu=nn.ReLU(), maxpool=nn.MaxPool2d(2)
    )
    for number, width in enumerate((8, 16, 32, 64), start=1):
        setattr(tiny, f"layer{number}", layer(width))
    asked = []
    models = ModuleType("torchvision.models")
    models.resnet101 = lambda weights: asked.append(weights) or tiny
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    backbone = load_backbone("resnet101", 224)
    assert asked == ["DEFAULT"] and backbone.width == 2048 and len(backbone.stages) == 9
    assert nn.Sequential(*backbone.stages)(torch.zeros(1, 3, 8, 8)).shape == (1, 64, 4, 4)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(MissingExtraError, match=r"commonspace\[resnet\]"):
        load_backbone("resnet101", 224)
    with pytest.raises(InputError, match="backbone: expected one of 'efficientnet-lite0'"):
        load_backbone("vgg", 224)
