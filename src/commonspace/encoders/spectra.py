"""Sound as numbers: frames, power spectrum, mel bands in decibels, cepstrum, differences."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from commonspace.types import AnyArray, Float32Array, FloatArray

_FLOOR = 1e-8  # of the loudest band of a clip: what is 80 dB below it counts as silence


def frames(x_N: AnyArray, size: int, hop: int) -> FloatArray:
    """Cut samples into frames of ``size``, one every ``hop``, the end padded with zeros.

    Returns:
        Shape (n_frames, size), float64, at least one frame; every sample is in one.
    """
    count = 1 + max(0, -(-(len(x_N) - size) // hop))
    padded = np.zeros((count - 1) * hop + size)
    padded[: len(x_N)] = x_N
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


def power_spectrum(x_N: AnyArray, size: int, hop: int, n_fft: int) -> FloatArray:
    """Squared magnitude of the Fourier transform of every frame under a periodic Hann window.

    Returns:
        Shape (n_frames, n_fft // 2 + 1), not scaled by the length or the window.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    spectrum = np.fft.rfft(frames(x_N, size, hop) * window, n_fft)
    power: FloatArray = spectrum.real**2 + spectrum.imag**2
    return power


def mel(hertz: AnyArray | float) -> FloatArray:
    """Pitch in mel as Stevens and Volkmann's curve is usually written: 2595 log10(1 + f / 700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, np.float64) / 700.0)


@lru_cache(maxsize=16)
def mel_filters(n_mels: int, n_fft: int, rate: int) -> FloatArray:
    """Triangles of height 1, equally spaced in mel from 20 Hz to half the rate.

    Returns:
        Shape (n_mels, n_fft // 2 + 1). A band narrower than a bin takes the nearest bin whole.
    """
    edges_mel = np.linspace(mel(20.0), mel(rate / 2), n_mels + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    low, centre, high = (edges[at : at + n_mels, None] for at in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = np.clip(np.minimum(rising, falling), 0.0, None)
    empty = ~filters.any(axis=1)
    filters[empty, np.abs(bins - centre).argmin(axis=1)[empty]] = 1.0
    filters.setflags(write=False)
    return filters


def log_mel(x_N: AnyArray, rate: int, n_mels: int) -> FloatArray:
    """Decibels of mel bands below the loudest band of the clip: how loud it is makes no difference.

    Frames of 25 ms, one every 10 ms.

    Args:
        x_N: Samples.
        rate: Samples a second.
        n_mels: Bands.

    Returns:
        Shape (n_frames, n_mels), float64, from -80 to 0; -80 everywhere for silence.
    """
    size, hop = round(0.025 * rate), round(0.010 * rate)
    n_fft = 1 << (size - 1).bit_length()
    power = power_spectrum(x_N, size, hop, n_fft) @ mel_filters(n_mels, n_fft, rate).T
    loudest = power.max()
    relative = power / loudest if loudest > 0 else power
    return 10.0 * np.log10(np.maximum(relative, _FLOOR))


def cepstrum(bands_TM: FloatArray, n_coefficients: int) -> FloatArray:
    """Orthonormal cosine transform (type II) of each frame's bands, the first coefficients."""
    from scipy.fft import dct

    whole: FloatArray = dct(bands_TM, type=2, norm="ortho", axis=1)
    return whole[:, :n_coefficients]


def differences(x_TD: FloatArray, reach: int = 2) -> FloatArray:
    """Slope of a line fitted to ``reach`` frames on both sides; the ends are repeated."""
    padded = np.pad(x_TD, ((reach, reach), (0, 0)), mode="edge")
    n = len(x_TD)
    steps = range(1, reach + 1)
    rises = [k * (padded[reach + k :][:n] - padded[reach - k :][:n]) for k in steps]
    slope: FloatArray = np.sum(rises, axis=0) / (2 * sum(k * k for k in steps))
    return slope


def means_of_parts(x_TD: FloatArray, parts: int) -> Float32Array:
    """Mean of each of ``parts`` stretches of equal length; a short clip repeats its frames.

    Returns:
        Shape (parts, D), float32.
    """
    starts = np.arange(parts) * len(x_TD) // parts
    ends = np.maximum(starts + 1, (np.arange(parts) + 1) * len(x_TD) // parts)
    sums = np.concatenate([np.zeros((1, x_TD.shape[1])), np.cumsum(x_TD, axis=0)])
    means: Float32Array = ((sums[ends] - sums[starts]) / (ends - starts)[:, None]).astype(
        np.float32
    )
    return means
