"""Asymmetric distances: a float query against codes, by one table of M · Q products a query [1].

References:
    [1] Yang et al. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS 2018, eq. 10.
"""

from __future__ import annotations

import numpy as np

from commonspace.quantization.codebooks import decode_words
from commonspace.types import Float32Array, FloatArray, IntArray

BLOCK = 1 << 16


def lookup_tables(D_MQE: Float32Array, queries_QE: Float32Array) -> Float32Array:
    """Products of every query with every codeword, shape (n_queries, M, Q)."""
    n_words, n_entries, dim = D_MQE.shape
    tables = queries_QE @ D_MQE.reshape(-1, dim).T
    return np.asarray(tables.reshape(len(queries_QE), n_words, n_entries), np.float32)


def inner_products(tables: Float32Array, words_NM: IntArray) -> Float32Array:
    """``⟨q, D b⟩``, the paper's AQD, shape (n_queries, n): larger is closer.

    M look-ups and M − 1 additions a pair.
    """
    out = np.zeros((len(tables), len(words_NM)), np.float32)
    for m in range(tables.shape[1]):
        out += tables[:, m, words_NM[:, m]]
    return out


def squared_distances(
    tables: Float32Array, words_NM: IntArray, queries_QE: Float32Array, norms_N: Float32Array
) -> Float32Array:
    """``‖q − D b‖² = ‖q‖² − 2 ⟨q, D b⟩ + ‖D b‖²``, shape (n_queries, n): smaller is closer.

    What rounding leaves below zero is zero.

    Args:
        tables: As `lookup_tables` makes them of the queries.
        words_NM: Words of the items.
        queries_QE: The queries.
        norms_N: As `squared_norms` makes them of the words.
    """
    q_norms = np.square(queries_QE).sum(axis=1, keepdims=True)
    found = q_norms - 2 * inner_products(tables, words_NM) + norms_N
    return np.asarray(np.maximum(found, 0), np.float32)


def squared_norms(D_MQE: Float32Array, words_NM: IntArray) -> FloatArray:
    """``‖D b‖²`` of every row, to be stored beside the codes."""
    blocks = [
        np.square(decode_words(D_MQE, words_NM[at : at + BLOCK])).sum(axis=1)
        for at in range(0, len(words_NM), BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)
