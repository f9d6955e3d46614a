"""Files from strangers: what they are is read from their bytes, and how large before decoding.

Neither the name nor the declared type of an upload is looked at. A picture is opened by the one
reader that its first bytes ask for, its size is read from its header, and one that is truncated,
damaged or too large is refused by name of the problem.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from commonspace.checks import require
from commonspace.errors import InputError
from commonspace.service.errors import Refused, too_large
from commonspace.service.limits import Limits

# First bytes, and PIL's name of the one reader to try.
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png", "PNG"),
    (b"\xff\xd8\xff", "image/jpeg", "JPEG"),
    (b"GIF87a", "image/gif", "GIF"),
    (b"GIF89a", "image/gif", "GIF"),
    (b"BM", "image/bmp", "BMP"),
)
_SOUNDS = (
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
)
_SUFFIXES = {
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}
_READERS = {kind: reader for _, kind, reader in _PICTURES} | {"image/webp": "WEBP"}


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes speak of; None for what is not known here.

    Example:
        >>> sniff(b"RIFF1234WAVEfmt "), sniff(b"GIF89a"), sniff(b"%PDF-1.7")
        ('audio/wav', 'image/gif', None)
    """
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return "video/mp4"
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm"
    for start, kind, *_ in (*_PICTURES, *_SOUNDS):
        if data.startswith(start):
            return kind
    return None


def kind_of(data: bytes, *, where: str) -> str:
    """Return "image", "audio" or "video".

    Raises:
        Refused: Another file, or none that is known here.
    """
    found = sniff(data)
    if found is None:
        raise Refused(
            415,
            "UnsupportedMedia",
            f"{where}: expected a picture (PNG, JPEG, WebP, GIF, BMP) or a sound (WAV, FLAC, Ogg, "
            f"MP3) by its first bytes, got {len(data)} bytes of something else.",
        )
    return found.partition("/")[0]


def open_picture(data: bytes, limits: Limits, *, where: str) -> Any:
    """Decode a picture, its first frame if it moves, or say why not.

    Returns:
        A PIL image, loaded, of mode L, RGB or RGBA.

    Raises:
        Refused: Not a picture, or more pixels than the limits allow.
        InputError: Truncated or damaged.
    """
    reader = _READERS.get(sniff(data) or "")
    if reader is None:
        raise Refused(415, "UnsupportedMedia", f"{where}: expected a picture, got another file.")
    module = require("PIL.Image", extra="image", what="reading pictures")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; sizes are checked here
            image = module.open(io.BytesIO(data), formats=(reader,))
            _check_pixels(image.size, limits, where)
            image.load()
            _check_pixels(image.size, limits, where)
            plain = image.mode in ("L", "RGB", "RGBA")
            return image if plain else image.convert("RGBA")  # what is odd fails here
    except (InputError, Refused):
        raise
    except module.DecompressionBombError as error:
        raise too_large(f"{where}: {error}") from error
    except MemoryError as error:
        raise too_large(f"{where}: the picture asks for more memory than there is.") from error
    except Exception as error:  # readers of damaged files raise whatever they trip over
        raise InputError(f"{where}: a damaged or truncated picture ({error}).") from error


@contextmanager
def stored(data: bytes) -> Iterator[Path]:
    """A file of these bytes for readers that need one, under a name of ours, gone after the block.

    Raises:
        InputError: No reader knows them.
    """
    kind = sniff(data)
    suffix = _SUFFIXES.get(kind or "")
    if suffix is None:
        raise InputError(f"expected a sound or a film, got {kind}.")
    with NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _check_pixels(size: tuple[int, int], limits: Limits, where: str) -> None:
    width, height = size
    if width * height > limits.pixels or max(width, height) > 65_535:
        raise too_large(
            f"{where}: expected at most {limits.pixels} pixels, got {width} x {height}. "
            "Scale it down first."
        )
