from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import resample_poly

from commonspace.encoders import LogMelEncoder, MFCCEncoder, encoder_from_spec, identity
from commonspace.encoders.audio import read_sound
from commonspace.errors import InputError, MissingExtraError

soundfile = pytest.importorskip("soundfile")

ENCODERS = [LogMelEncoder(seconds=5), MFCCEncoder(rate=8000, n_coefficients=13)]


def tone(hertz: float, rate: int = 8000, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype("f4")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for n in range(5):
        soundfile.write(folder / f"{n}.wav", tone(200 * (n + 1)) + rng.normal(size=4000) / 50, 8000)
    return sorted(folder.glob("*.wav"))


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: e.kind)
def test_alone_as_in_a_batch_and_again(encoder, sounds):
    x = encoder.encode(sounds)
    assert x.shape == (5, encoder.dim) and x.dtype == np.float32 and np.isfinite(x).all()
    for row, sound in enumerate(sounds):
        np.testing.assert_array_equal(encoder.encode([sound])[0], x[row])
    again = encoder_from_spec(identity(encoder))
    assert again == encoder and again.id == encoder.id
    np.testing.assert_array_equal(again.encode(sounds), x)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_file_is_its_samples(tmp_path):
    pcm = (tone(300) * 20_000).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, pcm)
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav", 8000, 9), pcm / 32768, atol=1e-6)
    np.testing.assert_allclose(
        read_sound(tmp_path / "a.wav", 16_000, 9), resample_poly(pcm / 32768, 2, 1), atol=1e-5
    )


def test_channels_are_mixed_and_what_is_too_long_is_cut(tmp_path):
    both = np.stack([tone(300), -tone(300)], axis=1)
    soundfile.write(tmp_path / "a.flac", both, 8000)
    assert np.abs(read_sound(tmp_path / "a.flac", 8000, 9)).max() < 1e-3
    assert len(read_sound(tmp_path / "a.flac", 8000, 0.25)) == 2000
    assert len(read_sound((both, 8000), 8000, 0.25)) == 2000


def test_formats_agree(tmp_path):
    for suffix in ("wav", "flac", "ogg"):
        soundfile.write(tmp_path / f"a.{suffix}", tone(440, seconds=1), 8000)
    x = MFCCEncoder().encode([tmp_path / f"a.{suffix}" for suffix in ("wav", "flac", "ogg")])
    np.testing.assert_allclose(x[0], x[1], atol=0.1)  # of 16 bits each
    assert np.corrcoef(x[0], x[2])[0, 1] > 0.9


def test_order_in_time_counts_for_one_and_not_for_the_other():
    first, then = tone(300, seconds=1), tone(1500, seconds=1)
    there, back = (np.concatenate([first, then]), 8000), (np.concatenate([then, first]), 8000)
    x = LogMelEncoder(rate=8000).encode([there, back])
    assert np.abs(x[0] - x[1]).max() > 20
    x = MFCCEncoder(rate=8000).encode([there, back])
    assert np.abs(x[0] - x[1]).max() < 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"RIFF....WAVEfmt nothing", "damaged"),
        (b"no sound at all", "damaged"),
    ],
)
def test_broken_files_are_named(tmp_path, content, words):
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(InputError, match=rf"bad\.wav.*{words}"):
        LogMelEncoder().encode([tmp_path / "bad.wav"])


def test_absurd_sounds_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        LogMelEncoder().encode([tmp_path / "none.wav"])
    with pytest.raises(InputError, match="expected a list"):
        LogMelEncoder().encode("one.wav")
    wavfile.write(tmp_path / "fast.wav", 2_000_000, np.zeros(100, np.int16))
    with pytest.raises(InputError, match="2000000 in 1"):
        LogMelEncoder().encode([tmp_path / "fast.wav"])
    wavfile.write(tmp_path / "none.wav", 8000, np.zeros(0, np.int16))
    with pytest.raises(InputError, match="no samples"):
        LogMelEncoder().encode([tmp_path / "none.wav"])
    wavfile.write(tmp_path / "nan.wav", 8000, np.full(9, np.nan, np.float32))
    with pytest.raises(InputError, match="not finite"):
        LogMelEncoder().encode([tmp_path / "nan.wav"])


def test_a_long_header_over_little_data_gives_what_is_there(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, (tone(300) * 9000).astype(np.int16))
    raw = bytearray((tmp_path / "a.wav").read_bytes())
    raw[40:44] = (2**31 - 8).to_bytes(4, "little")
    (tmp_path / "b.wav").write_bytes(raw)
    x = LogMelEncoder().encode([tmp_path / "a.wav", tmp_path / "b.wav"])
    np.testing.assert_allclose(x[0], x[1], atol=1e-3)


def test_settings_are_checked_and_missing_packages_named(monkeypatch, sounds):
    for settings in ({"rate": 10}, {"seconds": 0}, {"n_mels": 2}, {"parts": 0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            LogMelEncoder(**settings)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"commonspace\[audio\]"):
        LogMelEncoder().encode(sounds[:1])
