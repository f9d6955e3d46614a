"""Pictures to their own pixels, for methods that train the network that looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from commonspace.checks import check_range
from commonspace.encoders.image import as_pictures, as_pixels
from commonspace.media import MediaKind
from commonspace.types import AnyArray, JsonDict

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class PixelEncoder:
    """Keep pictures as the bytes of a square of pixels.

    A picture is flattened onto white where it is transparent, its short side scaled to `side`
    (bicubic) and the centre cut out. Nothing is computed from it: a method whose branch ends in a
    convolutional network takes crops of it.

    Attributes:
        side: Of the square in pixels, 8 to 512.
    """

    kind: ClassVar[str] = "image-pixels"
    version: ClassVar[int] = 1
    modality_kind: ClassVar[MediaKind] = "image"

    side: int = 256

    def __post_init__(self) -> None:
        check_range("side", self.side, low=8, high=512, integer=True)

    @property
    def dim(self) -> int:
        """Numbers a picture: rows, columns, red, green and blue."""
        return 3 * self.side**2

    @property
    def id(self) -> str:
        """Name with version and settings."""
        return f"{self.kind}:v{self.version}:side={self.side}"

    def spec(self) -> JsonDict:
        """Plain JSON from which `encoder_from_spec` makes this encoder again."""
        return {"kind": self.kind, "version": self.version, "side": int(self.side)}

    def encode(self, items: Sequence[str | Path | Image | AnyArray]) -> AnyArray:
        """Read pictures.

        Args:
            items: Paths of image files, PIL images, or uint8 arrays (height, width, 3 or 4).

        Returns:
            Shape (n, dim), uint8, rows of pixels from the top.

        Raises:
            InputError: A file that is missing, no picture, damaged or of too many pixels (named);
                an array of another type or shape; one picture instead of a list.
            MissingExtraError: The packages of the extra "image" are not installed.
        """
        pictures = as_pictures(items)
        out_ND = np.empty((len(pictures), self.dim), np.uint8)
        for row, picture in enumerate(pictures):
            square = as_pixels(picture, self.side, f"image at row {row}", keep_aspect=True)
            out_ND[row] = square.ravel()
        return out_ND
