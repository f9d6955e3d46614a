"""Words of 8 or 4 bits as bytes: one byte a word, or two words a byte."""

from __future__ import annotations

import numpy as np

from commonspace.errors import InputError
from commonspace.types import AnyArray, IntArray, UInt8Array


def pack(words_NM: IntArray, *, bits_per_word: int) -> UInt8Array:
    """Return the words as bytes, shape (n, M · bits_per_word / 8).

    Of two 4-bit words in a byte the first is the lower half, as FAISS has it.

    Raises:
        InputError: A word that does not fit into its bits, or an odd number of 4-bit words a row.
    """
    top = 2**bits_per_word
    if words_NM.size and not 0 <= words_NM.min() <= words_NM.max() < top:
        raise InputError(
            f"words: expected numbers from 0 to {top - 1} in {bits_per_word} bits, got "
            f"{words_NM.min()} to {words_NM.max()}. Pass the bits_per_word they were made for."
        )
    if bits_per_word == 4 and words_NM.shape[1] % 2:
        raise InputError(
            f"words: expected an even number of 4-bit words a row, got {words_NM.shape[1]}. Add a "
            "word of zeros."
        )
    if bits_per_word == 8:
        return words_NM.astype(np.uint8)
    return (words_NM[:, 0::2] | (words_NM[:, 1::2] << 4)).astype(np.uint8)


def unpack(codes_NY: AnyArray, *, bits_per_word: int) -> IntArray:
    """Return the words that `pack` was given, shape (n, M), int64."""
    wide = codes_NY.astype(np.int64)
    if bits_per_word == 8:
        return wide
    return np.stack([wide & 15, wide >> 4], axis=2).reshape(len(wide), 2 * wide.shape[1])


def as_codes(codes: AnyArray, *, n_bytes: int) -> UInt8Array:
    """Return codes as a matrix of bytes, or say what is wrong with them.

    Raises:
        InputError: Not a uint8 matrix of ``n_bytes`` columns.
    """
    array = np.asarray(codes)
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != n_bytes:
        raise InputError(
            f"codes: expected a uint8 matrix of {n_bytes} bytes a row, got {array.dtype} of shape "
            f"{array.shape}. Pass what encode returned."
        )
    return np.ascontiguousarray(array)
