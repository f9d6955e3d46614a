import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from commonspace.errors import InputError
from commonspace.evaluation import (
    average_precision,
    label_overlap,
    ndcg,
    precision_at,
    precision_recall_curve,
    precision_scope_curve,
    recall_at,
)

from .slow import loop_ap

RANKED = np.array(
    [[True, False, True, False, True], [False] * 5, [False, False, False, False, True]]
)
patterns = arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 40)))


@pytest.mark.parametrize("divide_by", ["all", "found"])
@given(ranked=patterns, data=st.data())
def test_equals_a_loop_over_ranks(divide_by, ranked, data):
    k = data.draw(st.none() | st.integers(1, ranked.shape[1]))
    ap = average_precision(ranked, k=k, divide_by=divide_by)
    slow = [loop_ap(row, k, divide_by) for row in ranked]
    np.testing.assert_allclose(ap, slow, atol=1e-12)
    assert ((ap >= 0) & (ap <= 1)).all()


def test_by_hand():
    np.testing.assert_allclose(average_precision(RANKED), [(1 + 2 / 3 + 3 / 5) / 3, 0, 1 / 5])
    np.testing.assert_allclose(average_precision(RANKED, k=2, divide_by="found"), [1, 0, 0])
    np.testing.assert_allclose(average_precision(RANKED, k=2), [1 / 3, 0, 0])
    np.testing.assert_allclose(precision_at(RANKED, 3), [2 / 3, 0, 0])
    np.testing.assert_allclose(recall_at(RANKED, 3), [2 / 3, 0, 0])


def test_ranks_beyond_the_gallery_are_misses_and_are_spoken_of():
    with pytest.warns(UserWarning, match="gallery of 5"):
        np.testing.assert_allclose(precision_at(RANKED, 10), [0.3, 0, 0.1])
    with pytest.warns(UserWarning, match="within 10 ranks"):
        curve = precision_scope_curve(RANKED, [5, 10])
    np.testing.assert_allclose(curve[0], [0.6, 0.3])


@given(ranked=patterns)
def test_precision_recall_equals_its_definition(ranked):
    curves = precision_recall_curve(ranked)
    for row, curve in zip(ranked, curves, strict=True):
        n = row.sum()
        ranks = np.arange(1, len(row) + 1)
        hits = np.cumsum(row)
        for percent in range(101):
            reach = hits * 100 >= percent * n  # whole numbers: no rounding of recall levels
            expected = (hits / ranks)[reach].max() if n and reach.any() else 0.0
            assert curve[percent] == pytest.approx(expected, abs=1e-12)
    assert (np.diff(curves, axis=1) <= 1e-12).all()


@given(ranked=patterns)
def test_scope_curve_equals_precision_at(ranked):
    scopes = [1, (ranked.shape[1] + 1) // 2, ranked.shape[1]]
    curve = precision_scope_curve(ranked, scopes)
    for at, scope in enumerate(scopes):
        np.testing.assert_allclose(curve[:, at], precision_at(ranked, scope), atol=1e-12)


def test_ndcg_equals_sklearn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    gain = rng.integers(0, 4, size=(20, 30)).astype(float)
    falling = np.arange(30, 0, -1.0)[None].repeat(20, axis=0)
    for k in (1, 5, 30):
        expected = [sklearn.ndcg_score(gain[[i]], falling[[i]], k=k) for i in range(20)]
        np.testing.assert_allclose(ndcg(gain, k=k), expected, atol=1e-12)
    np.testing.assert_array_equal(ndcg(np.zeros((1, 3))), [0.0])


def test_label_overlap_counts_shared_classes():
    query, gallery = np.array([[1, 0.5, 0]]), np.array([[0.25, 1, 1], [0, 0, 1]])
    np.testing.assert_allclose(label_overlap(query, gallery), [[0.75, 0]])
    with pytest.raises(InputError, match="same classes"):
        label_overlap(query, gallery[:, :2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision(RANKED.astype(int)), "bool matrix"),
        (lambda: average_precision(RANKED[0]), r"shape \(5,\)"),
        (lambda: average_precision(RANKED, k=0), "from 1 up to 5, got 0"),
        (lambda: average_precision(RANKED, k=6), "got 6"),
        (lambda: average_precision(RANKED, divide_by="hits"), "'all', 'found'"),
        (lambda: precision_at(RANKED, 0), "from 1"),
        (lambda: ndcg(np.array([[-1.0]])), "at least 0"),
        (lambda: ndcg(np.ones(3)), "matrix"),
        (lambda: precision_scope_curve(RANKED, [1.5]), "whole number"),
    ],
)
def test_wrong_inputs_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
