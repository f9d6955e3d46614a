"""Learn additive codebooks: a residual start, then closed-form and ICM steps in turn.

    min_{D, B}  ‖X − D B‖²     B one-hot in each of its M blocks

For fixed words B, D is ridge regression on one-hot rows. ``B Bᵀ`` is always singular, because each
block sums to one, so the ridge is not an option but a necessity. For fixed D, `icm` finds the
words.

References:
    [1] Yang et al. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS 2018, eq. 8 and
        steps 4-5 of Algorithm 1.
    [2] Martinez et al. LSQ++: Lower Running Time and Higher Recall in Multi-Codebook Quantization.
        ECCV 2018 (codebook update on counts).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from commonspace.quantization.alignment import Alignment
from commonspace.quantization.icm import Assigner
from commonspace.types import AnyArray, Float32Array, IntArray

RIDGE = 0.3  # rows: a codeword of few rows is pulled back, or it would repeat their noise


def decode_words(D_MQE: Float32Array, words_NM: IntArray) -> Float32Array:
    """Sum the codewords of each row: D B, shape (n, dim)."""
    out = np.zeros((len(words_NM), D_MQE.shape[2]), np.float32)
    for m, codebook in enumerate(D_MQE):
        out += codebook[words_NM[:, m]]
    return out


def one_hot(words_NM: IntArray, *, n_entries: int) -> sparse.csr_array:
    """Bᵀ of [1]: a row an item, with a one in each of M blocks of ``n_entries`` columns."""
    n, n_words = words_NM.shape
    columns = (words_NM + n_entries * np.arange(n_words)).ravel()
    ends = np.arange(0, n * n_words + 1, n_words)
    return sparse.csr_array(
        (np.ones(n * n_words, np.float32), columns, ends), shape=(n, n_words * n_entries)
    )


def update_codebooks(
    x_NE: Float32Array,
    words_NM: IntArray,
    D_MQE: Float32Array,
    *,
    ridge: float = RIDGE,
    weights: AnyArray | None = None,
) -> Float32Array:
    """Return the minimiser of ``Σ_n c_n ‖x_n − D b_n‖² + ridge ‖D − D_before‖²``.

    The ridge pulls towards the codebooks there were, not towards zero, so that the step never
    increases the error, and a codeword that no row uses stays where it is.

    Args:
        x_NE: Vectors.
        words_NM: Their words.
        D_MQE: The codebooks before.
        ridge: Pull towards these, in rows.
        weights: c, one a row; None counts all alike.
    """
    n_words, n_entries, dim = D_MQE.shape
    b = one_hot(words_NM, n_entries=n_entries).astype(np.float64)
    used = np.flatnonzero(b.sum(axis=0) > 0)
    b = b[:, used]
    weighted = b if weights is None else b.multiply(weights[:, None]).tocsr()
    residual = (x_NE - decode_words(D_MQE, words_NM)).astype(np.float64)
    normal = (weighted.T @ b).toarray()
    normal[np.diag_indices_from(normal)] += ridge
    change = cho_solve(cho_factor(normal, overwrite_a=True), weighted.T @ residual)
    flat = D_MQE.reshape(-1, dim).copy()
    flat[used] += change
    return flat.reshape(n_words, n_entries, dim)


def learn_codebooks(
    x_NE: Float32Array,
    *,
    n_words: int,
    n_entries: int,
    alignment: Alignment | None = None,
    iterations: int = 5,
    beam: int = 4,
    ridge: float = RIDGE,
    seed: int = 0,
) -> tuple[Float32Array, IntArray]:
    """Learn D and the words of the rows.

    The codebooks that suit given words best are the same under every norm, so the alignment only
    enters where words are chosen.

    Args:
        x_NE: Vectors to reconstruct.
        n_words: M, codebooks.
        n_entries: Q, codewords each.
        alignment: The norm in which errors count; None is the Euclidean one.
        iterations: Of a closed-form update of D and an assignment each.
        beam: Of the first and the last assignment; those between go on from the words there are.
        ridge: Of `update_codebooks`.
        seed: Of k-means.

    Returns:
        D of shape (M, Q, dim), and words of shape (n, M). The mean of the vectors stands in the
        first codebook alone: spread over all of them it would be missing from the partial sums that
        the beam compares.
    """
    mean = x_NE.mean(axis=0, dtype=np.float64).astype(np.float32)
    x_NE = x_NE - mean
    seen = x_NE if alignment is None else alignment.coordinates(x_NE)
    start = residual_codebooks(seen, n_words=n_words, n_entries=n_entries, seed=seed)
    words = Assigner(start).assign(seen, beam=beam)
    D = np.zeros((n_words, n_entries, x_NE.shape[1]), np.float32)
    D = update_codebooks(x_NE, words, D, ridge=ridge)
    for _ in range(iterations):
        words = Assigner(D, alignment).assign(x_NE, start=words)
        D = update_codebooks(x_NE, words, D, ridge=ridge)
    words = Assigner(D, alignment).assign(x_NE, beam=beam, start=words)
    D[0] += mean
    return D, words


def residual_codebooks(
    x_NE: Float32Array, *, n_words: int, n_entries: int, seed: int
) -> Float32Array:
    """K-means of the vectors, then of what is left of them, M times."""
    left = x_NE.copy()
    D = np.zeros((n_words, n_entries, x_NE.shape[1]), np.float32)
    for m in range(n_words):
        D[m], labels = _k_means(left, n_entries, seed=seed + m)
        left -= D[m][labels]
    return D


def _k_means(x_NE: Float32Array, n_entries: int, *, seed: int) -> tuple[Float32Array, IntArray]:
    """Centres and their rows; fewer rows than centres leave the rest at zero."""
    from faiss import Kmeans

    k = min(n_entries, len(x_NE))
    found = Kmeans(
        x_NE.shape[1],
        k,
        niter=15,
        seed=(seed + 1) % (2**31 - 1),
        min_points_per_centroid=1,
        max_points_per_centroid=256,
        verbose=False,
    )
    found.train(np.ascontiguousarray(x_NE))
    _, labels = found.index.search(np.ascontiguousarray(x_NE), 1)
    centres = np.zeros((n_entries, x_NE.shape[1]), np.float32)
    centres[:k] = found.centroids
    return centres, labels[:, 0]
