"""`Quantizer` and its codes in FAISS."""

from __future__ import annotations

import numpy as np
import pytest

from commonspace.data import Labels
from commonspace.errors import InputError, NotFittedError
from commonspace.quantization import CodeIndex, Quantizer
from commonspace.quantization.selection import WEIGHTS, mean_ap


@pytest.fixture(scope="module")
def problem():
    """Six classes in 4 of 24 dimensions, the others noise of equal size."""
    rng = np.random.default_rng(0)
    y = np.arange(900) % 6
    x = rng.standard_normal((900, 24)).astype(np.float32)
    x[:, :4] += 2.5 * rng.standard_normal((6, 4)).astype(np.float32)[y]
    return x, y


@pytest.mark.parametrize(("bits", "word"), [(8, 8), (8, 4), (32, 8), (32, 4), (128, 8)])
def test_codes_have_their_bytes_and_read_back(problem, bits, word):
    x, y = problem
    quantizer = Quantizer(bits, word, weight=0.5, iterations=1).fit(x[:300], y[:300])
    codes = quantizer.encode(x)
    assert codes.dtype == np.uint8 and codes.shape == (900, bits // 8) == (900, quantizer.n_bytes)
    decoded = quantizer.decode(codes)
    assert decoded.dtype == np.float32 and decoded.shape == x.shape
    assert np.square(x - decoded).sum() < np.square(x).sum()
    assert quantizer.encode(x[:0]).shape == (0, bits // 8)


def test_more_bits_reconstruct_better(problem):
    x, _ = problem
    found = []
    for bits in (8, 16, 32):
        quantizer = Quantizer(bits, 4).fit(x)
        found.append(float(np.square(x - quantizer.decode(quantizer.encode(x))).sum()))
    assert found[0] > found[1] > found[2]


def test_labels_keep_what_retrieval_needs(problem):
    x, y = problem
    x = np.hstack([x[:, :4], 3 * x[:, 4:]])  # most of the length is of no use
    relevant = y[600:, None] == y[None, 600:]
    values = []
    for labels in (None, y[:600]):
        quantizer = Quantizer(8).fit(x[:600], labels)
        decoded = quantizer.decode(quantizer.encode(x[600:]))
        values.append(mean_ap(x[600:] @ decoded.T, relevant))
    assert values[1] > values[0] + 0.05
    assert quantizer.weight_ in WEIGHTS


def test_every_form_of_labels_is_one(problem):
    x, y = problem
    forms = [y, y.tolist(), np.eye(6)[y], Labels.from_any(y)]
    codes = [Quantizer(8, weight=0.9, iterations=1).fit(x, form).encode(x) for form in forms]
    for other in codes[1:]:
        np.testing.assert_array_equal(other, codes[0])
    some = np.where(np.arange(900) % 3, y, -1)
    assert Quantizer(8, iterations=1).fit(x, some).encode(x).shape == (900, 1)


def test_state_is_plain_and_gives_the_same_bits(problem):
    x, y = problem
    for labels in (y, None):
        quantizer = Quantizer(16, iterations=1).fit(x, labels)
        state = quantizer.state()
        assert all(isinstance(value, np.ndarray) for value in state.values())
        back = Quantizer(16).restore(state)
        np.testing.assert_array_equal(back.encode(x), quantizer.encode(x))
        again = Quantizer(16, iterations=1).fit(x, labels)
        np.testing.assert_array_equal(again.D_, quantizer.D_)


@pytest.mark.parametrize(("bits", "word"), [(8, 8), (32, 8), (16, 4), (32, 4)])
@pytest.mark.parametrize("metric", ["inner", "euclidean"])
def test_faiss_scores_our_codes_as_we_do(problem, bits, word, metric):
    x, y = problem
    quantizer = Quantizer(bits, word, weight=0.9, iterations=1).fit(x, y)
    codes, q = quantizer.encode(x), x[:20]
    hits = CodeIndex(quantizer, codes, metric=metric).search(q, k=10)
    if metric == "inner":
        ours = quantizer.inner_products(q, codes)
        best = -np.sort(-ours, axis=1)[:, :10]
    else:
        ours = quantizer.squared_distances(q, codes, quantizer.squared_norms(codes))
        best = np.sort(ours, axis=1)[:, :10]
    np.testing.assert_allclose(np.take_along_axis(ours, hits.rows, 1), hits.scores, atol=1e-4)
    np.testing.assert_allclose(hits.scores, best, atol=1e-4 if word == 8 else 0.2)


def test_few_rows_are_enough():
    x = np.eye(3, 5, dtype=np.float32)
    quantizer = Quantizer(16, ridge=1e-3).fit(x)
    np.testing.assert_allclose(quantizer.decode(quantizer.encode(x)), x, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 12}, "multiple of 8"),
        ({"bits": 256}, "bits: expected"),
        ({"bits_per_word": 6}, "bits_per_word"),
        ({"weight": 2}, "weight"),
        ({"beam": 0}, "beam"),
    ],
)
def test_wrong_arguments_are_named(problem, arguments, message):
    with pytest.raises(InputError, match=message):
        Quantizer(**arguments).fit(problem[0])


def test_wrong_inputs_are_named(problem):
    x, y = problem
    with pytest.raises(NotFittedError, match="this Quantizer is not fitted"):
        Quantizer().encode(x)
    with pytest.raises(InputError, match="labels: expected 900 class numbers"):
        Quantizer().fit(x, y[:-1])
    with pytest.raises(InputError, match="at least one row"):
        Quantizer().fit(x[:0])
    quantizer = Quantizer(16, iterations=0).fit(x)
    with pytest.raises(InputError, match="2 bytes a row, got int64"):
        quantizer.decode(np.zeros((3, 2), np.int64))
    with pytest.raises(InputError, match="expected 24 features"):
        quantizer.encode(x[:, 1:])
    with pytest.raises(InputError, match="metric"):
        CodeIndex(quantizer, quantizer.encode(x), metric="cosine")


def test_mean_ap_by_hand():
    scores = np.array([[9, 3, 2, 1], [3, 9, 2, 1], [2, 3, 9, 1], [1, 2, 3, 9]], float)
    relevant = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    # ranks of the one relevant item, itself left out: 2, 3, 2, 2
    assert mean_ap(scores, relevant) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
