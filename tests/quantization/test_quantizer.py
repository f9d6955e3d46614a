"""`Quantizer` and its codes in FAISS."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from commonspace.data import Labels
from commonspace.errors import InputError, NotFittedError
from commonspace.quantization import CodeIndex, Quantizer
from commonspace.quantization.selection import WEIGHTS, best_weight, mean_ap


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


def test_validation_rows_say_where_labels_do_not_pay(problem):
    x, y = problem
    other = 2 * (x[:600, 10] > 0) + (x[:600, 11] > 0)  # nothing that is asked for later
    valid = {"image": (x[600:750], y[600:750]), "text": (x[750:], y[750:])}
    told = Quantizer(8).fit(x[:600], other, valid=valid)
    assert told.weight_ == 0 and Quantizer(8).fit(x[:600], other).weight_ in WEIGHTS
    plain = Quantizer(8).fit(x[:600])
    np.testing.assert_array_equal(told.encode(x), plain.encode(x))


def test_validation_rows_choose_and_are_not_learned_from(problem):
    x, y = problem
    given = np.where(np.arange(300) % 2, y[600:], -1)
    told = Quantizer(8).fit(x[:600], y[:600], valid={"image": (x[600:], given)})
    fixed = Quantizer(8, weight=told.weight_).fit(x[:600], y[:600])
    np.testing.assert_array_equal(told.D_, fixed.D_)
    few = np.where(np.arange(300) < 99, y[600:], -1)
    alone = Quantizer(8).fit(x[:600], y[:600]).weight_
    assert Quantizer(8).fit(x[:600], y[:600], valid={"image": (x[600:], few)}).weight_ == alone


def test_few_validation_rows_do_not_choose(problem):
    """Rows that would say 0 say nothing while they are fewer than a hundred in all."""
    x, y = problem
    other = 2 * (x[:600, 10] > 0) + (x[:600, 11] > 0)

    def weight(n: int) -> float:
        valid = {"image": (x[600:650], y[600:650]), "text": (x[650 : 600 + n], y[650 : 600 + n])}
        return Quantizer(8).fit(x[:600], other, valid=valid).weight_

    assert weight(99) == Quantizer(8).fit(x[:600], other).weight_ and weight(100) == 0


def test_modalities_are_ranked_against_each_other():
    """One code is right for each modality's own queries, the other for those of the other."""
    y = np.eye(2, dtype=np.float32)
    image, text = y, y[:, ::-1].copy()  # class by class at right angles
    codes = {0.9: lambda x: x, 0.5: lambda x: x[:, ::-1]}
    ask = {"learn": codes.__getitem__, "candidates": (0.9, 0.5), "margin": 0.0}
    assert best_weight([(image, y), (text, y)], **ask) == 0.5
    twice = np.concatenate([image, image]), np.concatenate([y, y])
    assert best_weight([twice], **ask) == 0.9


@pytest.mark.parametrize(
    ("labels", "valid", "message"),
    [
        (False, lambda x, y: {"image": (x, y)}, "there are no labels"),
        (True, lambda x, y: (x, y), "vectors and labels of each modality"),
        (True, lambda x, y: {}, "vectors and labels of each modality"),
        (True, lambda x, y: {"image": None}, "vectors and labels of each modality"),
        (True, lambda x, y: {"image": 5}, "vectors and labels of each modality"),
        (True, lambda x, y: {"text": (x[:, :3], y)}, "valid vectors of 'text': expected 24"),
        (True, lambda x, y: {"text": (x, y[:5])}, "expected 900 class numbers"),
        (True, lambda x, y: {"a": (x, y), "b": (x, np.eye(6)[y])}, "the same classes"),
    ],
)
def test_validation_rows_of_another_form_are_refused(problem, labels, valid, message):
    x, y = problem
    with pytest.raises(InputError, match=message):
        Quantizer(8).fit(x, y if labels else None, valid=valid(x, y))


def test_every_form_of_labels_is_one(problem):
    x, y = problem
    table = np.eye(6)[y]
    forms = [y, y.tolist(), y * 10**12, table, sparse.csr_array(table), Labels.from_any(y)]
    codes = [Quantizer(8, weight=0.9, iterations=1).fit(x, form).encode(x) for form in forms]
    for other in codes[1:]:
        np.testing.assert_array_equal(other, codes[0])
    some = np.where(np.arange(900) % 3, y, -1)
    assert Quantizer(8, iterations=1).fit(x, some).encode(x).shape == (900, 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (3, r"got int64 of shape \(\)"),
        ([[0], [1, 2], [3]], "unequal length"),
        (np.array([[0], [1], [2]]), r"labels\[:, 0\]"),
        ([0, 1.7, 2], "got 1.7 at row 1"),
        ([0, np.nan, 2], "got nan at row 1"),
        ([0, -2, 1], "got -2 at row 1"),
        ([[1, 0], [0, -1], [1, 0]], "got -1 at row 1, column 1"),
        ([[1, 0], [np.inf, 0], [1, 0]], "got inf at row 1, column 0"),
        (["cat", "dog", "cat"], "return_inverse"),
    ],
)
def test_labels_of_another_kind_are_refused(problem, labels, message):
    with pytest.raises(InputError, match=message) as caught:
        Quantizer(8).fit(problem[0][:3], labels)
    assert str(caught.value).endswith("or Labels.")


def test_labels_that_are_all_unknown_are_none(problem):
    x, _ = problem
    for labels in (np.full(900, -1), np.full((900, 3), np.nan)):
        quantizer = Quantizer(8, weight=1.0, iterations=1).fit(x, labels)
        plain = Quantizer(8, iterations=1).fit(x)
        np.testing.assert_array_equal(quantizer.encode(x), plain.encode(x))
    assert quantizer.weight_ == 0 and len(np.unique(quantizer.encode(x))) > 100


def test_lengths_that_float32_cannot_square_are_refused(problem):
    x, _ = problem
    for wrong in (x * np.float32(1e19), -np.abs(x) * np.float32(1e19)):
        with pytest.raises(InputError, match="Scale the vectors"):
            Quantizer(8).fit(wrong)
        with pytest.raises(InputError, match="Scale the vectors"):
            Quantizer(8, iterations=0).fit(x).encode(wrong)
    large = x * np.float32(1e17)
    quantizer = Quantizer(16, iterations=1).fit(large)
    assert np.isfinite(quantizer.decode(quantizer.encode(large))).all()


def test_a_state_of_other_sizes_is_refused(problem):
    state = Quantizer(16, iterations=0).fit(problem[0]).state()
    for other in (Quantizer(32), Quantizer(16, 4), Quantizer(8, 4)):
        with pytest.raises(InputError, match="Restore it with the bits"):
            other.restore(state)
    for name in state:
        part = {key: value for key, value in state.items() if key != name}
        with pytest.raises(InputError, match=f"expected an array '{name}'"):
            Quantizer(16).restore(part)


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
def test_other_bits_after_fit_wait_for_the_next_fit(problem, metric):
    x, _ = problem
    quantizer = Quantizer(16, iterations=0).fit(x)
    codes, decoded = quantizer.encode(x), quantizer.decode(quantizer.encode(x))
    quantizer.bits, quantizer.bits_per_word = 32, 4
    np.testing.assert_array_equal(quantizer.encode(x), codes)
    np.testing.assert_array_equal(quantizer.decode(codes), decoded)
    hits = CodeIndex(quantizer, codes, metric=metric).search(x[:5], k=1)
    assert (hits.rows >= 0).all()
    assert quantizer.fit(x).encode(x).shape == (900, 4) and quantizer.n_words == 8


@pytest.mark.parametrize("word", [8, 4])
@pytest.mark.parametrize("metric", ["inner", "euclidean"])
def test_an_index_of_no_codes_finds_nothing(problem, word, metric):
    x, _ = problem
    quantizer = Quantizer(16, word, iterations=0).fit(x)
    hits = CodeIndex(quantizer, quantizer.encode(x[:0]), metric=metric).search(x[:2], k=3)
    assert (hits.rows == -1).all() and hits.rows.shape == hits.scores.shape == (2, 3)
    assert (np.abs(hits.scores) == np.finfo(np.float32).max).all()


def test_any_random_state_is_a_seed(problem):
    x, _ = problem
    for seed in (2**31 - 1, 2**40):
        assert Quantizer(16, iterations=0, random_state=seed).fit(x).encode(x).shape == (900, 2)


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
    if word == 8 or metric == "euclidean":
        np.testing.assert_allclose(hits.scores, best, atol=1e-4)
        return
    top = np.argsort(-ours, axis=1)[:, :10]
    shared = [len(np.intersect1d(a, b)) / 10 for a, b in zip(hits.rows, top, strict=True)]
    assert np.mean(shared) >= 0.9


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
        ({"bits_per_word": 8.0}, "bits_per_word"),
        ({"bits": 16.0}, "bits: expected"),
        ({"ridge": 1e9}, "ridge"),
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
    codes = quantizer.encode(x)
    with pytest.raises(InputError, match="norms: expected one a code, 900, got shape"):
        quantizer.squared_distances(x[:2], codes, quantizer.squared_norms(codes)[:1])


def test_mean_ap_by_hand():
    scores = np.array([[9, 3, 2, 1], [3, 9, 2, 1], [2, 3, 9, 1], [1, 2, 3, 9]], float)
    relevant = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    # ranks of the one relevant item, itself left out: 2, 3, 2, 2
    assert mean_ap(scores, relevant) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
