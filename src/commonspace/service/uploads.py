"""Files from strangers: what they are is read from their bytes, and how large before decoding.

Neither the name nor the declared type of an upload is looked at. A picture is opened by the one
reader that its first bytes ask for, its size is read from its header, and one that is truncated,
damaged or too large is refused by name of the problem. Sounds, films and 3D models are read by
their encoders, which have bounds of their own, from a file that is gone afterwards.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

from commonspace.checks import require
from commonspace.errors import InputError
from commonspace.media import MediaKind
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
    (b"\xff\xfa", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
)
_SUFFIXES = {
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/x-msvideo": ".avi",
}
_STL_HEAD, _STL_FACET = 84, 50  # bytes
_POINT = re.compile(rb"v( +[-+.\deE]+){3}")
_OBJ_LINES = re.compile(rb"(#|(o|g|s|mtllib|usemtl|v|vn|vt|f|l|p) )[^\n]*")
_READERS = {kind: reader for _, kind, reader in _PICTURES} | {"image/webp": "WEBP"}


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes speak of; None for what is not known here.

    Example:
        >>> sniff(b"RIFF1234WAVEfmt "), sniff(b"GIF89a"), sniff(b"%PDF-1.7")
        ('audio/wav', 'image/gif', None)
    """
    if data[:4] == b"RIFF":
        forms = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
        return forms.get(data[8:12])
    if data[4:8] == b"ftyp":
        return "video/mp4"
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm"
    pictures = ((start, kind) for start, kind, _ in _PICTURES)
    for start, kind in (*pictures, *_SOUNDS):
        if data.startswith(start):
            return kind
    return None


def kind_of(data: bytes, *, where: str) -> MediaKind:
    """Return "image", "audio", "video" or "mesh".

    Raises:
        Refused: Another file, or none that is known here.
    """
    found = sniff(data)
    if found is not None:
        return cast(MediaKind, found.partition("/")[0])
    if mesh_suffix(data) is not None:
        return "mesh"
    raise Refused(
        415,
        "UnsupportedMedia",
        f"{where}: expected a picture (PNG, JPEG, WebP, GIF, BMP), a sound (WAV, FLAC, Ogg, MP3), "
        "a film (MP4, MOV, WebM, Matroska, AVI) or a 3D model (OFF, PLY, STL, OBJ) by its first "
        f"bytes, got {f'{len(data)} bytes of something else' if data else 'an empty file'}.",
    )


def mesh_suffix(data: bytes) -> str | None:
    """Return the suffix of the 3D models that bytes look like; None if they look like none.

    Binary STL has no first bytes of its own, but a length that its head tells; OBJ is lines that
    begin with one of a few words.

    Example:
        >>> mesh_suffix(b"OFF 3 1 0"), mesh_suffix(b"v 0 0 0"), mesh_suffix(b"v is for")
        ('.off', '.obj', None)
    """
    for start, suffix in ((b"ply\n", ".ply"), (b"ply\r", ".ply"), (b"OFF", ".off")):
        if data.startswith(start):
            return suffix
    facets = int.from_bytes(data[_STL_HEAD - 4 : _STL_HEAD], "little")
    binary = len(data) > _STL_HEAD and len(data) == _STL_HEAD + _STL_FACET * facets
    if binary or (data.startswith(b"solid") and b"facet" in data[:1024]):
        return ".stl"
    lines = [line.strip() for line in data[:4096].split(b"\n")[:20]]
    told = all(_OBJ_LINES.fullmatch(line) for line in lines if line)
    return ".obj" if told and any(_POINT.match(line) for line in lines) else None


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
def stored(data: bytes, *, where: str) -> Iterator[Path]:
    """A file of these bytes for readers that need one, under a name of ours, gone after the block.

    Errors of the block that name this file name the upload instead.

    Raises:
        InputError: No reader knows them.
    """
    kind = sniff(data)
    suffix = mesh_suffix(data) if kind is None else _SUFFIXES.get(kind)
    if suffix is None:
        raise InputError(f"{where}: expected a sound, a film or a 3D model, got {kind}.")
    with NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        try:
            yield Path(file.name)
        except InputError as error:
            told = re.sub(rf"(\b(audio|video|mesh) )?{re.escape(file.name)}", where, str(error))
            raise InputError(told) from error


def _check_pixels(size: tuple[int, int], limits: Limits, where: str) -> None:
    width, height = size
    if width * height > limits.pixels or max(width, height) > 65_535:
        raise too_large(
            f"{where}: expected at most {limits.pixels} pixels, got {width} x {height}. "
            "Scale it down first."
        )
