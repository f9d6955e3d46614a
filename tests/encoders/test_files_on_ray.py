"""Encoding on a real Ray: the features, the cache and the broken files are those of one machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from commonspace.encoders import EncodeRun, HashTextEncoder, PixelEncoder, encode_items
from commonspace.encoders import cache as cache_module
from commonspace.encoders import files as files_module
from commonspace.errors import InputError, ServiceError


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Nine pictures, two of them equal, and one file that is none."""
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(cache_module, "_SETTLED_NS", 0)
    rng = np.random.default_rng(0)
    for n in range(8):
        pixels = rng.integers(0, 255, (20 + n, 24, 3), dtype=np.uint8)
        image.fromarray(pixels).save(tmp_path / f"{n}.png")
    (tmp_path / "7.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "8.png").write_bytes(b"no picture")
    return sorted(tmp_path.glob("*.png"))


def options(**more) -> EncodeRun:
    return EncodeRun(batch=2, on_error="skip", **more)


def test_features_and_broken_files_are_those_of_this_machine(cluster, pictures, tmp_path):
    encoder = PixelEncoder(side=16)
    here = encode_items(encoder, pictures, options())
    told: list[tuple[int, int]] = []
    run = options(engine="ray", cache=tmp_path / "c", progress=lambda *pair: told.append(pair))
    there = encode_items(encoder, pictures, run)
    assert there.x.tobytes() == here.x.tobytes() and there.x.dtype == here.x.dtype
    assert there.rows.tolist() == here.rows.tolist() == list(range(8))
    assert there.broken == here.broken and "8.png" in run.broken[0].reason
    assert told[0] == (0, 8) and told[-1] == (8, 8)  # of nine files two are equal
    again = encode_items(encoder, pictures, options(cache=tmp_path / "c"))
    assert again.cached == 8 and again.x.tobytes() == here.x.tobytes()


def test_a_network_gives_the_same_bits(cluster, pictures):
    pytest.importorskip("efficientnet_lite_pytorch")
    from commonspace.encoders import EfficientNetLite0Encoder

    encoder = EfficientNetLite0Encoder(size=32)
    here, there = (
        encode_items(encoder, pictures[:6], options(engine=engine)) for engine in ("local", "ray")
    )
    assert here.x.tobytes() == there.x.tobytes()


def test_texts_travel_themselves(cluster):
    texts = ["a cat", "8.png", "a dog", "eine Katze", "too long to name a file " * 20]
    encoder = HashTextEncoder(dim=64)
    there = encode_items(encoder, texts, options(engine="ray"))
    np.testing.assert_array_equal(there.x, encoder.encode(texts))


def test_an_error_stops_where_none_are_to_be_left_out(cluster, pictures):
    run = EncodeRun(batch=2, engine="ray")
    with pytest.raises(InputError, match=r"8\.png: not a picture"):
        encode_items(PixelEncoder(side=16), pictures, run)


_REAL = files_module._encode_on_node


def deadly(spec, batch, present):
    """In place of what runs in a worker: one file is the end of it."""
    if any(item.endswith("3.png") for _, item in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return _REAL(spec, batch, present)


def test_a_file_that_ends_its_workers_is_named_and_the_others_are_read(
    cluster, pictures, monkeypatch
):
    monkeypatch.setattr(files_module, "_encode_on_node", deadly)
    monkeypatch.setattr(files_module, "_TRIES", 0)
    encoder = PixelEncoder(side=16)
    found = encode_items(encoder, pictures, options(engine="ray"))
    assert found.rows.tolist() == [0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(found.x, encoder.encode([pictures[n] for n in found.rows]))
    reasons = {Path(broken.item).name: broken.reason for broken in found.broken}
    assert reasons.keys() == {"3.png", "8.png"}
    assert "the process that read it was ended" in reasons["3.png"]


def unseen(spec, batch, present):
    return _REAL(spec, batch, [path.replace("2.png", "gone.png") for path in present])


def test_a_node_that_does_not_see_a_file_is_no_broken_file(cluster, pictures, monkeypatch):
    monkeypatch.setattr(files_module, "_encode_on_node", unseen)
    with pytest.raises(ServiceError, match=r"does not see .*gone\.png.*shared file system"):
        encode_items(PixelEncoder(side=16), pictures, options(engine="ray"))


def test_paths_may_be_relative(cluster, pictures, monkeypatch):
    monkeypatch.chdir(pictures[0].parent)
    names = [path.name for path in pictures[:4]]
    encoder = PixelEncoder(side=16)
    there = encode_items(encoder, names, options(engine="ray"))
    np.testing.assert_array_equal(there.x, encoder.encode(names))


def test_what_can_be_no_path_is_left_out(cluster, pictures):
    there = encode_items(PixelEncoder(side=16), ["x" * 400, *pictures[:3]], options(engine="ray"))
    assert there.rows.tolist() == [1, 2, 3] and there.broken[0].item.startswith("xxx")


def test_engines_and_addresses_are_checked():
    with pytest.raises(InputError, match="engine: expected one of"):
        EncodeRun(engine="cloud")
    with pytest.raises(InputError, match="only the engine 'ray'"):
        EncodeRun(address="10.0.0.1:6379")
