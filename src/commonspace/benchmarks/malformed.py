"""Uploads that nobody should send: cut off, of another type, lying about their size, bombs."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np

from commonspace.checks import check_range, require

_BOMB = 64 << 20  # bytes that a bomb unpacks to
_KINDS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


def malformed_uploads(count: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield the fault and the bytes of malformed files, the kinds in turn.

    Args:
        count: How many.
        seed: Of where they are cut, and of what is written over.

    Example:
        >>> [fault for fault, _ in malformed_uploads(3)]
        ['truncated', 'overwritten', 'wrong type']
    """
    check_range("count", count, low=1, integer=True)
    rng = np.random.default_rng(seed)
    good = [_picture(kind, rng) for kind in _KINDS]
    bombs = (partial(_png_bomb, 4900), partial(_png_bomb, 6000), _text_bomb, _zip_bomb)
    faults: dict[str, Callable[[], bytes]] = {
        "truncated": lambda: _truncated(good[rng.integers(len(good))], rng),
        "overwritten": lambda: _overwritten(good[rng.integers(len(good))], rng),
        "wrong type": lambda: _wrong_type(good, rng),
        "huge dimensions": lambda: _huge(good, rng),
        "bomb": lambda: bombs[rng.integers(len(bombs))](),
        "noise": lambda: rng.bytes(int(rng.integers(0, 5000))),
    }
    names = [*faults]
    for number in range(count):
        name = names[number % len(names)]
        yield name, faults[name]()


def _picture(kind: str, rng: np.random.Generator) -> bytes:
    image = require("PIL.Image", extra="image", what="malformed_uploads")
    out = io.BytesIO()
    picture = image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    picture.save(out, kind)
    return out.getvalue()


def _truncated(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes behind the magic ones replaced by noise."""
    out = bytearray(data)
    for at in rng.integers(12, len(data), int(rng.integers(1, 40))):
        out[at] = int(rng.integers(256))
    return bytes(out)


def _wrong_type(good: list[bytes], rng: np.random.Generator) -> bytes:
    """The head of one format and the rest of another, or no picture at all."""
    first, second = rng.integers(len(good), size=2)
    mixed = good[first][:16] + good[second][16:]
    wrong: list[bytes] = [mixed, b"%PDF-1.7\n", b"<svg xmlns='x'/>", b"#!/bin/sh\n"]
    return wrong[int(rng.integers(4))]


def _huge(good: list[bytes], rng: np.random.Generator) -> bytes:
    """A header that speaks of billions of pixels."""
    side = int(rng.integers(20_000, 65_535))
    gif, bmp = good[2], good[3]
    at = int(rng.integers(3))
    if at == 0:
        return _png(side, side, zlib.compress(bytes(1000)))
    if at == 1:
        return gif[:6] + struct.pack("<HH", side, side) + gif[10:]
    return bmp[:18] + struct.pack("<ii", side, side) + bmp[26:]


@cache
def _png_bomb(side: int) -> bytes:
    """Pixels that are all there, and unpack from a thousandth of their size."""
    row = zlib.compressobj(9)
    rows = b"".join(row.compress(bytes(1 + 3 * side)) for _ in range(side)) + row.flush()
    return _png(side, side, bytes(rows))


@cache
def _text_bomb() -> bytes:
    """A small picture with a comment that is not."""
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(_BOMB), 9))
    return _png(10, 10, zlib.compress(bytes(310)), text)


@cache
def _zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(_BOMB))
    return out.getvalue()


def _png(width: int, height: int, rows: bytes, more: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + more + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
