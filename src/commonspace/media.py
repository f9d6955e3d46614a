"""Which files hold what: pictures, sounds, films, 3D meshes, texts and vectors, by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

MediaKind = Literal["image", "audio", "video", "mesh", "text", "vector"]
MEDIA_KINDS: tuple[MediaKind, ...] = ("image", "audio", "video", "mesh", "text", "vector")

_SUFFIXES: dict[MediaKind, str] = {
    "image": ".png .jpg .jpeg .gif .bmp .webp .tif .tiff",
    "audio": ".wav .flac .ogg .mp3",
    "video": ".mp4 .avi .mov .mkv .webm",
    "mesh": ".obj .off .stl .ply",
    "text": ".txt",
    "vector": ".npy",
}
KIND_OF_SUFFIX: dict[str, MediaKind] = {
    suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()
}
# What an encoder opens: the other two are read with the table or folder that holds them.
MEDIA_SUFFIXES = frozenset(
    suffix for suffix, kind in KIND_OF_SUFFIX.items() if kind not in ("text", "vector")
)


def media_kind(path: str | Path) -> MediaKind | None:
    """What a file is by its suffix; None if that says nothing.

    Example:
        >>> media_kind("a/Cat.JPG"), media_kind("notes.docx")
        ('image', None)
    """
    return KIND_OF_SUFFIX.get(Path(path).suffix.lower())
