"""The steps of additive quantization against brute force, least squares and dense products."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from commonspace.errors import InputError
from commonspace.quantization import (
    Alignment,
    Assigner,
    decode_words,
    inner_products,
    learn_codebooks,
    lookup_tables,
    one_hot,
    pack,
    prototypes,
    squared_distances,
    squared_norms,
    unpack,
    update_codebooks,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def errors(x, D, words, alignment=None):
    e = x - decode_words(D, words)
    return ((e if alignment is None else alignment.apply(e)) * e).sum(axis=1)


def brute_force(x, D, alignment):
    """The smallest error of each row over all Q^M words."""
    every = np.array(list(product(range(D.shape[1]), repeat=len(D))))
    return np.min([errors(x, D, np.tile(w, (len(x), 1)), alignment) for w in every], axis=0)


@pytest.fixture(params=[False, True], ids=["euclidean", "aligned"])
def alignment(request, rng):
    if not request.param:
        return None
    return Alignment.of(floats(rng, 30, 6), np.eye(3)[np.arange(30) % 3], weight=0.8)


def test_a_wide_beam_is_exhaustive(rng, alignment):
    x, D = floats(rng, 12, 6), floats(rng, 3, 4, 6)
    words = Assigner(D, alignment).assign(x, beam=16)
    np.testing.assert_allclose(
        errors(x, D, words, alignment), brute_force(x, D, alignment), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("beam", [1, 4])
def test_icm_ends_where_no_single_word_can_improve(rng, alignment, beam):
    x, D = floats(rng, 40, 6), floats(rng, 4, 8, 6)
    words = Assigner(D, alignment).assign(x, beam=beam, sweeps=50)
    here = errors(x, D, words, alignment)
    for m, q in product(range(4), range(8)):
        other = words.copy()
        other[:, m] = q
        assert (errors(x, D, other, alignment) > here - 1e-4).all()


@pytest.mark.parametrize("beam", [1, 3])
def test_going_on_from_words_never_increases_the_error(rng, alignment, beam):
    x, D = floats(rng, 200, 6), floats(rng, 4, 16, 6)
    start = rng.integers(0, 16, (200, 4))
    before = errors(x, D, start, alignment)
    words = Assigner(D, alignment).assign(x, beam=beam, start=start, sweeps=1)
    assert (errors(x, D, words, alignment) <= before + 1e-4).all()
    assert errors(x, D, words, alignment).sum() < 0.8 * before.sum()


def test_blocks_change_nothing(rng):
    x, D = floats(rng, 300, 5), floats(rng, 2, 16, 5)
    whole = Assigner(D)
    small = Assigner(D)
    small._block = 16
    np.testing.assert_array_equal(whole.assign(x, beam=2), small.assign(x, beam=2))


def test_the_codebook_update_is_weighted_least_squares(rng):
    x, words = floats(rng, 300, 5), rng.integers(0, 4, (300, 2))
    weights = rng.uniform(0.5, 2, 300)
    D = update_codebooks(x, words, np.zeros((2, 4, 5), np.float32), ridge=1e-6, weights=weights)
    b, root = one_hot(words, n_entries=4).toarray(), np.sqrt(weights)[:, None]
    best = np.linalg.lstsq(root * b, root * x, rcond=None)[0]
    np.testing.assert_allclose(decode_words(D, words), b @ best, atol=1e-4)


def test_one_hot_blocks_sum_to_one_and_are_singular(rng):
    b = one_hot(rng.integers(0, 4, (50, 3)), n_entries=4).toarray()
    assert (b.reshape(50, 3, 4).sum(axis=2) == 1).all()
    assert np.linalg.matrix_rank(b.T @ b) == 3 * 4 - 3 + 1


def test_a_codeword_that_no_row_uses_stays(rng):
    x, D = floats(rng, 20, 3), floats(rng, 2, 4, 3)
    words = rng.integers(0, 3, (20, 2))
    np.testing.assert_array_equal(update_codebooks(x, words, D)[:, 3], D[:, 3])


def test_each_step_of_learning_helps(rng):
    x = floats(rng, 400, 8)
    found = []
    for iterations in (0, 3):
        D, words = learn_codebooks(x, n_words=2, n_entries=16, iterations=iterations, ridge=1e-3)
        found.append(errors(x, D, words).sum())
    assert found[1] < found[0] < np.square(x).sum()


def test_a_mean_of_the_vectors_costs_nothing(rng):
    x = floats(rng, 1500, 16)
    found = []
    for offset in (0, 100, 1000):
        D, _ = learn_codebooks(x + np.float32(offset), n_words=4, n_entries=64)
        words = Assigner(D).assign(x + np.float32(offset), beam=4)
        found.append(errors(x + np.float32(offset), D, words).sum())
    assert max(found[1:]) <= 1.05 * found[0]


def test_alignment_is_the_mean_squared_error_of_scores(rng):
    x, y = floats(rng, 60, 5), np.eye(4)[rng.integers(0, 4, 60)]
    z = prototypes(x, y)
    means = np.stack([x[y[:, k] > 0].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(z, means, rtol=1e-4)
    form, e = Alignment.of(x, y, weight=1.0), floats(rng, 7, 5)
    expected = np.square(e @ z.T).sum(axis=1) / np.square(z).sum()
    np.testing.assert_allclose((form.apply(e) * e).sum(axis=1), expected, rtol=1e-4)
    some = Alignment.of(x, y, weight=0.7)
    np.testing.assert_allclose(
        np.square(some.coordinates(e)).sum(axis=1), (some.apply(e) * e).sum(axis=1), rtol=1e-4
    )


def test_the_form_knows_no_scale(rng):
    x, y = floats(rng, 60, 5), np.eye(4)[rng.integers(0, 4, 60)]
    form, e = Alignment.of(x, y, weight=0.7), floats(rng, 7, 5)
    for scale in (1e-9, 1e9):
        other = Alignment.of(x * np.float32(scale), y, weight=0.7)
        np.testing.assert_allclose(other.apply(e), form.apply(e), rtol=1e-4, atol=1e-6)
    nothing = Alignment.of(np.zeros_like(x), y, weight=1.0)
    np.testing.assert_allclose(nothing.apply(e), e / 5, rtol=1e-6)


def test_prototypes_of_several_labels_are_least_squares(rng):
    x, y = floats(rng, 80, 5), (rng.random((80, 4)) < 0.4).astype(float)
    best = np.linalg.lstsq(y, x, rcond=None)[0]
    np.testing.assert_allclose(prototypes(x, y), best, atol=1e-4)


@pytest.mark.parametrize(("bits", "n_words"), [(8, 1), (8, 4), (4, 2), (4, 8)])
def test_words_round_trip_through_bytes(rng, bits, n_words):
    words = rng.integers(0, 2**bits, (50, n_words))
    codes = pack(words, bits_per_word=bits)
    assert codes.dtype == np.uint8 and codes.shape == (50, n_words * bits // 8)
    np.testing.assert_array_equal(unpack(codes, bits_per_word=bits), words)


def test_of_two_small_words_the_first_is_the_lower_half():
    assert pack(np.array([[1, 2]]), bits_per_word=4)[0, 0] == 0x21


def test_words_that_do_not_fit_are_refused():
    for words, bits in (([[16, 0]], 4), ([[-1, 0]], 4), ([[256]], 8)):
        with pytest.raises(InputError, match=f"in {bits} bits"):
            pack(np.array(words), bits_per_word=bits)
    with pytest.raises(InputError, match="even number of 4-bit words a row, got 3"):
        pack(np.zeros((2, 3), int), bits_per_word=4)
    assert unpack(np.zeros((0, 2), np.uint8), bits_per_word=4).shape == (0, 4)


def test_distances_by_table_are_the_dense_ones(rng):
    D, words, q = floats(rng, 4, 16, 6), rng.integers(0, 16, (30, 4)), floats(rng, 5, 6)
    decoded = decode_words(D, words)
    tables = lookup_tables(D, q)
    np.testing.assert_allclose(inner_products(tables, words), q @ decoded.T, atol=1e-4)
    norms = squared_norms(D, words)
    np.testing.assert_allclose(norms, np.square(decoded).sum(axis=1), rtol=1e-5)
    dense = np.square(q[:, None] - decoded).sum(axis=2)
    np.testing.assert_allclose(squared_distances(tables, words, q, norms), dense, atol=1e-4)
    near = decoded * np.float32(100)
    tables = lookup_tables(D * np.float32(100), near)
    found = squared_distances(tables, words, near, norms * np.float32(1e4))
    assert found.min() == 0  # rounding alone would leave some below


def test_of_two_ways_to_words_the_better_one_is_taken():
    rng = np.random.default_rng(0)
    D, x = rng.normal(size=(4, 16, 6)).astype(np.float32), rng.normal(size=(50, 6)).astype("f4")
    start = rng.integers(0, 16, (50, 4))

    def errors(**how):
        words = Assigner(D).assign(x, sweeps=1, **how)
        return np.square(x - decode_words(D, words)).sum(axis=1)

    alone = errors(start=start), errors(beam=8)
    np.testing.assert_allclose(errors(start=start, beam=8), np.minimum(*alone), rtol=1e-4)
    assert (alone[0] < alone[1] - 1e-3).any() and (alone[1] < alone[0] - 1e-3).any()


def test_a_codeword_of_few_rows_is_pulled_back_by_the_ridge():
    x, words = np.array([[2.0], [4.0]], np.float32), np.zeros((2, 1), np.int64)
    for ridge in (0.5, 2.0):  # minimum of (2 - d)^2 + (4 - d)^2 + ridge d^2
        found = update_codebooks(x, words, np.zeros((1, 3, 1), np.float32), ridge=ridge)
        np.testing.assert_allclose(found[0, :, 0], [6 / (2 + ridge), 0, 0], rtol=1e-6)
