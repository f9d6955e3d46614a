from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from commonspace.encoders import VideoEncoder, encoder_from_spec, identity
from commonspace.encoders import video as module
from commonspace.encoders.video import read_frames
from commonspace.errors import InputError

av = pytest.importorskip("av")
pytest.importorskip("PIL")

PIXELS = {"kind": "image-pixels", "version": 1, "side": 8}


def write_film(path, greys, *, size=(64, 48), rate=10, codec="mpeg4"):
    """A film whose pictures are of one grey each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = Fraction(1, rate)
        for grey in greys:
            picture = np.full((size[1], size[0], 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    greys = np.linspace(0, 240, 40).astype(int).tolist()
    return write_film(tmp_path_factory.mktemp("films") / "a.mp4", greys)


@pytest.mark.parametrize("count", [1, 3, 8, 39, 40, 60])
def test_pictures_are_taken_at_equal_distances(film, count):
    frames = read_frames(film, count, 60)
    assert len(frames) == min(count, 40) and frames[0].shape == (48, 64, 3)
    greys = np.array([frame.mean() for frame in frames])
    assert (np.diff(greys) > 0).all()
    if count <= 8:
        assert greys.mean() == pytest.approx(120, abs=16)


def test_what_is_too_late_is_not_seen(film):
    early = read_frames(film, 40, 1.0)
    assert 9 <= len(early) <= 12 and early[-1].mean() < 80


def test_pools_over_the_pictures(film):
    x = {
        pool: VideoEncoder(frames=4, pool=pool, image=PIXELS).encode([film])[0]
        for pool in ("mean", "max", "mean-max")
    }
    each = np.stack([frame.mean() for frame in read_frames(film, 4, 120)])
    assert x["mean"].mean() == pytest.approx(each.mean(), abs=2)
    assert x["max"].mean() == pytest.approx(each.max(), abs=2)
    np.testing.assert_array_equal(x["mean-max"], np.concatenate([x["mean"], x["max"]]))


def test_alone_as_in_a_batch_and_again(film, tmp_path):
    other = write_film(tmp_path / "b.mkv", [200] * 5)
    encoder = VideoEncoder(frames=3, image=PIXELS)
    x = encoder.encode([film, other])
    assert x.shape == (2, encoder.dim) == (2, 192) and x.dtype == np.float32
    np.testing.assert_array_equal(encoder.encode([other])[0], x[1])
    again = encoder_from_spec(identity(encoder))
    assert again == encoder and again.id == encoder.id and "image-pixels" in again.id
    assert VideoEncoder().spec()["image"]["kind"] == "image-efficientnet-lite0"


def test_a_film_cut_off_gives_what_there_is(film, tmp_path):
    made = write_film(tmp_path / "a.avi", list(range(0, 240, 4)), codec="mjpeg")
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    assert len(read_frames(made, 100, 60)) >= 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", b""),
        ("a.mp4", b"not a film"),
        ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"),
        ("a.mkv", b"\x1a\x45\xdf\xa3" + b"\xff" * 60),
        ("a.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"),
        ("a.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    ],
)
def test_broken_films_and_playlists_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*(empty|damaged)"):
        VideoEncoder(image=PIXELS).encode([tmp_path / name])


def test_sounds_alone_and_absurd_sizes_are_refused(film, tmp_path, monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "a.wav").rename(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4"):
        read_frames(tmp_path / "a.mp4", 2, 60)
    monkeypatch.setattr(module, "_MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(InputError, match="64 x 48"):
        read_frames(film, 2, 60)


def test_settings_are_checked():
    with pytest.raises(InputError, match="expected an encoder of pictures"):
        VideoEncoder(image={"kind": "text-hash", "version": 1})
    for settings in ({"frames": 0}, {"pool": "sum"}, {"seconds": 0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            VideoEncoder(**settings)
