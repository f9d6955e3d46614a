"""Files that were cut or changed at random are read or refused; nothing else happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commonspace.benchmarks.encode import make_items
from commonspace.encoders import MFCCEncoder, PixelEncoder, ShapeEncoder, VideoEncoder
from commonspace.errors import InputError

PIXELS = {"kind": "image-pixels", "version": 1, "side": 16}
CASES = {
    "image": ("PIL", PixelEncoder(side=16)),
    "audio": ("soundfile", MFCCEncoder(rate=8000, seconds=1)),
    "video": ("av", VideoEncoder(frames=2, image=PIXELS)),
    "mesh": ("trimesh", ShapeEncoder(points=1024)),
}


def spoiled(whole: bytes, rng: np.random.Generator, n: int) -> bytes:
    if n % 3 == 0:
        return whole[: rng.integers(1, len(whole))]
    content = bytearray(whole)
    for at in rng.integers(0, len(content) if n % 3 == 1 else 100, rng.integers(1, 12)):
        content[at] = rng.integers(0, 256)
    return bytes(content)


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_file_is_read_or_refused(kind, tmp_path):
    package, encoder = CASES[kind]
    pytest.importorskip(package)
    path = Path(make_items(kind, 1, tmp_path)[0])
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    outcomes = []
    for n in range(40):
        path.write_bytes(spoiled(whole, rng, n))
        try:
            x = encoder.encode([path])
        except InputError as error:
            assert path.name in str(error)
            outcomes.append("refused")
        else:
            assert x.shape == (1, encoder.dim) and np.isfinite(x).all()
            outcomes.append("read")
    assert "refused" in outcomes
