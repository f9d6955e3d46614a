"""Films to feature vectors: some of their pictures through an encoder of pictures, pooled."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from commonspace.checks import check_one_of, check_range, require
from commonspace.encoders.image import EfficientNetLite0Encoder
from commonspace.encoders.settings import SettingsEncoder, as_items, checked_file
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import AnyArray, Float32Array, JsonDict, UInt8Array

_MOST_PIXELS = 8192 * 8192  # of one picture, before anything of it is decoded
_KEPT_SIDE = 512  # pixels of the longer side of pictures kept while reading on
_KEPT = 4  # times as many pictures as wanted are kept while reading on
_MOST_DECODED = 100_000
# Containers of films alone: playlists, which name other files and addresses, are not opened.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"


@dataclass(frozen=True)
class VideoEncoder(SettingsEncoder):
    """Encode films by pictures taken at equal distances, encoded as pictures are, and pooled.

    Attributes:
        frames: How many pictures; a film that has fewer gives all it has.
        pool: "mean" or "max" over the pictures, or "mean-max": both, one after the other.
        seconds: What is beyond is not seen.
        image: The encoder of pictures, as its ``spec`` writes it.
    """

    kind: ClassVar[str] = "video-frames"
    version: ClassVar[int] = 1
    modality_kind: ClassVar[MediaKind] = "video"

    frames: int = 8
    pool: Literal["mean", "max", "mean-max"] = "mean"
    seconds: float = 120.0
    image: Mapping[str, Any] = field(
        default_factory=lambda: EfficientNetLite0Encoder().spec(), hash=False
    )

    def __post_init__(self) -> None:
        check_range("frames", self.frames, low=1, high=256, integer=True)
        check_one_of("pool", self.pool, ("mean", "max", "mean-max"))
        check_range("seconds", self.seconds, low=0.1, high=36_000)
        object.__setattr__(self, "seconds", float(self.seconds))
        object.__setattr__(self, "image", self._pictures.spec())

    @property
    def id(self) -> str:
        """Name with version and settings, those of the encoder of pictures in brackets."""
        plain = f"frames={self.frames}:pool={self.pool}:seconds={self.seconds}"
        return f"{self.kind}:v{self.version}:{plain}:image=[{self._pictures.id}]"

    @property
    def dim(self) -> int:
        """As many as a picture has, or twice that."""
        return int(self._pictures.dim) * (2 if self.pool == "mean-max" else 1)

    def encode(self, items: Sequence[str | Path]) -> Float32Array:
        """Encode films.

        Args:
            items: Paths of .mp4, .avi, .mov, .mkv or .webm files.

        Returns:
            Shape (n, dim), float32.

        Raises:
            InputError: A file that is missing, empty, too large, no film or damaged (named).
            MissingExtraError: The packages of the extras "video" and "image" are not installed.
        """
        films = as_items(items, "films")
        out_ND = np.empty((len(films), self.dim), np.float32)
        for row, film in enumerate(films):
            x_BD = self._pictures.encode(read_frames(film, self.frames, self.seconds))
            parts = {"mean": x_BD.mean(axis=0), "max": x_BD.max(axis=0)}
            out_ND[row] = np.concatenate([parts[name] for name in self.pool.split("-")])
        return out_ND

    @cached_property
    def _pictures(self) -> Any:
        from commonspace.encoders.base import encoder_from_spec

        made = encoder_from_spec(self.image)
        if made.modality_kind != "image":
            raise InputError(f"image: expected an encoder of pictures, got {made.id}.")
        return made

    def _settings(self) -> JsonDict:
        return {**super()._settings(), "image": dict(self.image)}


def read_frames(film: Any, count: int, seconds: float) -> list[UInt8Array]:
    """Read pictures at equal distances from the beginning of a film.

    It is decoded once, in order, with a bounded number of pictures in memory: when they are too
    many, every other one is dropped and from then on half as many are taken.

    Args:
        film: Path of a file.
        count: How many at most.
        seconds: How much of it.

    Returns:
        Arrays (height, width, 3), the longer side at most 512.

    Raises:
        InputError: No film, damaged before its first picture, or of absurd size.
    """
    path = checked_file(film, "video")
    kept: list[UInt8Array] = []
    step, total = 1, 0
    for number, frame in enumerate(_decoded(path, seconds)):
        total = number + 1
        if number % step == 0:
            kept.append(_small(frame))
        if len(kept) > _KEPT * (count + 2):
            kept, step = kept[::2], 2 * step
    if not kept:
        raise InputError(f"video {path}: no picture in its first {seconds} seconds.")
    many = min(count, total)
    wanted = ((np.arange(many) + 0.5) * total / many - 0.5) / step
    return [kept[min(int(place + 0.5), len(kept) - 1)] for place in wanted]


def _decoded(path: Path, seconds: float) -> Iterator[Any]:
    """Yield the pictures of a film; one that breaks off gives those before."""
    av = require("av", extra="video", what="reading films")
    seen = 0
    try:
        options = {"format_whitelist": _FORMATS}
        with av.open(os.fspath(path), options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError(f"video {path}: it has no pictures.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise InputError(f"video {path}: in a form that nothing here decodes.")
            _check_size(path, stream.codec_context.width, stream.codec_context.height)
            stream.thread_count = 1
            for frame in container.decode(stream):
                if (frame.time is not None and frame.time > seconds) or seen >= _MOST_DECODED:
                    return
                _check_size(path, frame.width, frame.height)
                seen += 1
                yield frame
    except InputError:
        raise
    except (av.FFmpegError, ValueError, OSError, MemoryError) as error:
        if not seen:
            raise InputError(f"video {path}: not a film, or damaged ({error}).") from error


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise InputError(
            f"video {path}: pictures of {width} x {height} are more pixels than the "
            f"{_MOST_PIXELS} that are decoded."
        )


def _small(frame: Any) -> AnyArray:
    scale = min(1.0, _KEPT_SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    array: AnyArray = frame.to_ndarray(width=width, height=height, format="rgb24")
    return array
