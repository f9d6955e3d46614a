from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from scipy.fft import dct

from commonspace.encoders.spectra import (
    cepstrum,
    differences,
    frames,
    log_mel,
    means_of_parts,
    mel,
    mel_filters,
    power_spectrum,
)


@pytest.mark.parametrize(("n", "count"), [(0, 1), (3, 1), (8, 1), (9, 2), (12, 2), (13, 3)])
def test_frames_hold_every_sample(n, count):
    x = np.arange(1.0, n + 1)
    got = frames(x, 8, 4)
    assert got.shape == (count, 8)
    for row, frame in enumerate(got):
        expected = np.zeros(8)
        expected[: len(x[4 * row : 4 * row + 8])] = x[4 * row : 4 * row + 8]
        np.testing.assert_array_equal(frame, expected)


def test_power_spectrum_is_that_of_scipy():
    x = np.random.default_rng(0).normal(size=2000)
    got = power_spectrum(x, 400, 160, 512)
    window = signal.get_window("hann", 400, fftbins=True)
    for row in (0, 3, 10):
        frame = x[160 * row : 160 * row + 400] * window
        _, expected = signal.periodogram(frame, nfft=512, detrend=False, scaling="spectrum")
        expected[1:-1] /= 2  # one-sided, and scaled by the square of the length
        np.testing.assert_allclose(got[row], expected * 400**2, rtol=1e-9, atol=1e-9)


def test_mel_filters_are_triangles_equally_spaced_in_mel():
    filters = mel_filters(40, 2048, 16_000)
    bins = np.arange(1025) * 16_000 / 2048
    edges = np.linspace(float(mel(20)), float(mel(8000)), 42)
    for band in (10, 20, 39):
        low, centre, high = 700 * (10 ** (edges[band : band + 3] / 2595) - 1)
        expected = np.interp(bins, [low, centre, high], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(filters[band], expected, atol=1e-9)
    assert (filters.sum(axis=1) > 0).all()
    assert float(mel(1000)) == pytest.approx(1000, abs=0.5)


def test_every_band_hears_something_even_when_narrower_than_a_bin():
    assert (mel_filters(128, 256, 16_000).max(axis=1) > 0).all()


def test_a_tone_is_loudest_in_its_own_band():
    rate, hertz = 16_000, 1000.0
    x = np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
    bands = log_mel(x, rate, 40)
    edges = np.linspace(float(mel(20)), float(mel(rate / 2)), 42)
    nearest = np.abs(edges[1:-1] - float(mel(hertz))).argmin()
    assert bands[10].argmax() == nearest and bands.max() == 0


def test_loudness_makes_no_difference_and_silence_is_the_floor():
    x = np.random.default_rng(1).normal(size=4000)
    np.testing.assert_allclose(log_mel(x, 8000, 20), log_mel(x / 1000, 8000, 20), atol=1e-9)
    assert (log_mel(np.zeros(4000), 8000, 20) == -80).all()


def test_cepstrum_is_the_orthonormal_cosine_transform():
    bands = np.random.default_rng(2).normal(size=(5, 12))
    got = cepstrum(bands, 12)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), np.linalg.norm(bands, axis=1))
    np.testing.assert_allclose(got[:, 0], bands.sum(axis=1) / 12**0.5)
    by_hand = [
        np.sqrt(2 / 12) * (row * np.cos(np.pi * (np.arange(12) + 0.5) * 3 / 12)).sum()
        for row in bands
    ]
    np.testing.assert_allclose(got[:, 3], by_hand)
    np.testing.assert_allclose(cepstrum(bands, 4), dct(bands, norm="ortho")[:, :4])


def test_differences_are_the_slope_of_a_fitted_line():
    x = np.random.default_rng(3).normal(size=(9, 2))
    got = differences(x, reach=2)
    for row in range(2, 7):
        slope = np.polyfit(np.arange(-2, 3), x[row - 2 : row + 3], 1)[0]
        np.testing.assert_allclose(got[row], slope)
    line = 3.0 * np.arange(8.0)[:, None]
    np.testing.assert_allclose(differences(line)[2:-2], 3.0)
    assert (differences(np.ones((1, 4))) == 0).all()


def test_means_of_parts():
    x = np.arange(12.0)[:, None]
    np.testing.assert_allclose(means_of_parts(x, 3)[:, 0], [1.5, 5.5, 9.5])
    np.testing.assert_allclose(means_of_parts(x[:2], 4)[:, 0], [0, 0, 1, 1])
    for n in (1, 5, 7, 13):
        got = means_of_parts(np.ones((n, 2)), 8)
        assert got.shape == (8, 2) and np.allclose(got, 1)
