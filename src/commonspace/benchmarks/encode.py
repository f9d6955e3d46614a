"""How many raw items a second each encoder takes, and what the cache saves the second time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.checks import check_range, not_found, require
from commonspace.encoders import (
    Encoder,
    EncodeRun,
    encode_items,
    encoder_from_spec,
    fitted_spec,
    list_encoders,
)
from commonspace.errors import CommonspaceError, InputError
from commonspace.machine import describe_machine
from commonspace.media import MediaKind
from commonspace.types import AnyArray, JsonDict

_WORDS = 500  # from which texts are drawn
_SHOWN = {
    "text": "20 words",
    "image": "256 x 256 pixels, PNG",
    "audio": "2 s at 16 kHz, WAV",
    "video": "3 s of 160 x 120 at 10 a second, MP4",
    "mesh": "1,280 triangles, OFF",
}


def bench_encode(
    *,
    n_items: int = 100,
    kinds: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Time encoders on made-up items, in one process, with an empty cache and then a full one.

    Args:
        n_items: Of each kind.
        kinds: Encoders; None is all of ours that are installed and need no download.
        seed: Of the items.
        say: Told of each encoder.

    Returns:
        Rows of encoder, what an item is, features, items a second, and of the second run, each by
        the clock and by processor time, which other work on the machine leaves alone; ratios of
        the second run's rate to the first's, by the clock.

    Raises:
        NotFoundError: No such encoder.
        MissingExtraError: A package of a named encoder is not installed.
    """
    check_range("n_items", n_items, low=1, integer=True)
    offers = {offer.kind: offer for offer in list_encoders() if offer.reads is not None}
    for kind in kinds or ():
        if kind not in offers:
            raise not_found("encoder", kind, offers)
    chosen = kinds or [offer.kind for offer in offers.values() if offer.available]
    rows: list[JsonDict] = []
    with tempfile.TemporaryDirectory() as folder:
        made: dict[MediaKind, list[str]] = {}
        for kind in chosen:
            reads = offers[kind].reads or "text"
            if reads not in made:
                made[reads] = make_items(reads, n_items, Path(folder) / reads, seed=seed)
            try:
                rows.append(_time(kind, reads, made[reads], Path(folder) / "cache"))
            except CommonspaceError as error:
                if kinds:
                    raise
                say(f"{kind}: left out: {error}")
                continue
            say(f"{kind}: {rows[-1]['items_per_s']} items/s")
    ratios = {
        f"second run over first: {row['encoder']}": row["second_per_s"] / row["items_per_s"]
        for row in rows
        if row["second_per_s"] is not None
    }
    return {"bench": "encode", "machine": describe_machine(), "rows": rows, "ratios": ratios}


def _time(kind: str, reads: MediaKind, items: list[str], cache: Path) -> JsonDict:
    encoder = encoder_from_spec(fitted_spec({"kind": kind}, items))
    encoder.encode(items[:1])  # loads what there is to load
    first, first_cpu, _ = _seconds(encoder, items, cache)
    second, second_cpu, cached = _seconds(encoder, items, cache)
    return {
        "encoder": kind,
        "item": _SHOWN[reads],
        "features": encoder.dim,
        "items": len(items),
        "items_per_s": round(len(items) / first, 1),
        "per_cpu_s": round(len(items) / first_cpu, 1),
        "second_per_s": round(len(items) / second, 1) if cached else None,
        "second_per_cpu_s": round(len(items) / second_cpu, 1) if cached else None,
    }


def _seconds(encoder: Encoder, items: list[str], cache: Path) -> tuple[float, float, int]:
    """By the clock, of the processor, and how many items the cache had."""
    start, cpu = time.perf_counter(), time.process_time()
    found = encode_items(encoder, items, EncodeRun(cache=cache))
    return time.perf_counter() - start, max(time.process_time() - cpu, 1e-9), found.cached


def make_items(reads: MediaKind, n: int, folder: Path, *, seed: int = 0) -> list[str]:
    """Make items that no two encoders are measured on differently: texts, or paths of files."""
    rng = np.random.default_rng(seed)
    if reads == "text":
        words = ["".join(word) for word in rng.choice([*"abcdefghij"], (_WORDS, 6))]
        return [" ".join(rng.choice(words, 20)) for _ in range(n)]
    folder.mkdir(parents=True, exist_ok=True)
    writers: dict[MediaKind, tuple[str, Callable[[Path, Any], None]]] = {
        "image": ("png", _write_picture),
        "audio": ("wav", _write_sound),
        "video": ("mp4", _write_film),
        "mesh": ("off", _write_mesh),
    }
    if reads not in writers:
        raise InputError(f"{reads}: no such items are made.")
    suffix, write = writers[reads]
    paths = [folder / f"{row}.{suffix}" for row in range(n)]
    for path in paths:
        write(path, rng)
    return [str(path) for path in paths]


def _picture(rng: Any, height: int, width: int) -> AnyArray:
    """Smooth colours, as photographs have, with a little noise."""
    coarse = rng.integers(0, 256, (height // 32 + 1, width // 32 + 1, 3))
    smooth = coarse.repeat(32, axis=0).repeat(32, axis=1)[:height, :width]
    noisy: AnyArray = (smooth + rng.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)
    return noisy


def _write_picture(path: Path, rng: Any) -> None:
    image = require("PIL.Image", extra="image", what="making pictures")
    image.fromarray(_picture(rng, 256, 256)).save(path)


def _write_sound(path: Path, rng: Any) -> None:
    from scipy.io import wavfile

    times = np.arange(32_000) / 16_000
    tones = np.sin(2 * np.pi * rng.uniform(100, 4000, (4, 1)) * times).mean(axis=0)
    wavfile.write(path, 16_000, (tones * 20_000).astype(np.int16))


def _write_film(path: Path, rng: Any) -> None:
    av = require("av", extra="video", what="making films")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(_picture(rng, 120, 160), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_mesh(path: Path, rng: Any) -> None:
    """A grid of 20 x 32 squares over a bumpy ball."""
    tall, around = np.linspace(0.05, np.pi - 0.05, 21), np.linspace(0, 2 * np.pi, 33)
    t, a = np.meshgrid(tall, around, indexing="ij")
    radius = 1 + 0.2 * np.sin(rng.integers(1, 6) * a) * np.sin(rng.integers(1, 6) * t)
    xyz = np.stack([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)], axis=-1)
    vertices = (radius[..., None] * xyz).reshape(-1, 3)
    at = (np.arange(20)[:, None] * 33 + np.arange(32)).ravel()
    faces = np.concatenate([np.c_[at, at + 33, at + 1], np.c_[at + 1, at + 33, at + 34]])
    lines = [f"OFF\n{len(vertices)} {len(faces)} 0"]
    lines += [" ".join(f"{value:.5f}" for value in vertex) for vertex in vertices]
    lines += [f"3 {a} {b} {c}" for a, b, c in faces]
    path.write_text("\n".join(lines) + "\n")
