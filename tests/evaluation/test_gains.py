"""nDCG and mAP@R of `evaluate` against scikit-learn, plain loops and all orders of the ties."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from commonspace.errors import InputError
from commonspace.evaluation import (
    Protocol,
    Report,
    chance,
    evaluate,
    label_overlap,
    ndcg,
    score_vectors,
    tied_average_precision,
)

from .slow import Data, Identity, cosine, table

rng = np.random.default_rng(0)
GAIN = Protocol(gain="overlap")


def labels(n, kind, n_classes=5):
    if kind == "single":
        return rng.integers(0, n_classes, n)
    y = (rng.random((n, n_classes)) < 0.4).astype(np.float32)
    return y * rng.uniform(0.1, 1, y.shape).astype(np.float32) if kind == "graded" else y


def dense(y):
    return y if y.ndim == 2 else np.eye(5)[y]


@pytest.mark.parametrize("kind", ["single", "multi", "graded"])
@pytest.mark.parametrize("k", [None, 7])
@pytest.mark.parametrize("tied", [False, True])
def test_ndcg_is_that_of_scikit_learn(kind, k, tied):
    z, w = rng.normal(size=(23, 4)), rng.normal(size=(40, 4))
    if tied:
        w = w[rng.integers(0, 6, 40)]
    y, g = labels(23, kind), labels(40, kind)
    score = score_vectors(z, w, y, g, protocol=replace(GAIN, k=k), n_bootstrap=10)
    gains = label_overlap(dense(y), dense(g))
    scores = cosine(z.astype(np.float32), w.astype(np.float32)).round(9)
    expected = [ndcg_score(gains[i : i + 1], scores[i : i + 1], k=k) for i in range(23)]
    np.testing.assert_allclose(score.ndcg, expected, atol=1e-7)
    assert score.mean_ndcg == pytest.approx(np.mean(expected))
    low, high = score.ndcg_ci
    assert low <= score.mean_ndcg <= high


def test_ties_are_read_by_expectation_or_as_they_stand():
    vectors = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    query, y = np.array([[1.0, 0]]), np.array([[1.0, 1.0]])
    g = np.array([[0, 1.0], [1, 1], [0, 0], [1, 1]])
    gains = label_overlap(y, g)
    orders = [ndcg(gains[:, [*order, 3]], k=2)[0] for order in permutations(range(3))]
    found = score_vectors(query, vectors, y, g, protocol=replace(GAIN, k=2))
    assert found.mean_ndcg == pytest.approx(np.mean(orders))
    stable = score_vectors(query, vectors, y, g, protocol=replace(GAIN, k=2, ties="stable"))
    assert stable.mean_ndcg == pytest.approx(orders[0])


def test_the_query_itself_is_worth_nothing_and_blocks_change_nothing():
    z, y = rng.normal(size=(60, 3)), labels(60, "multi")
    data = Data({"a": table(z, y, 5)}, tuple("abcde"))
    protocol = replace(GAIN, within=True, k=20)
    report = evaluate(Identity(), data, protocol=protocol)
    gains, scores = label_overlap(y, y), cosine(z.astype(np.float32), z.astype(np.float32))
    expected = []
    for i in range(60):
        others = np.arange(60) != i
        expected.append(ndcg_score(gains[i, others][None], scores[i, others][None], k=20))
    np.testing.assert_allclose(report["a", "a"].ndcg, expected, atol=1e-9)
    small = evaluate(Identity(), data, protocol=protocol, memory=1)
    np.testing.assert_array_equal(small["a", "a"].ndcg, report["a", "a"].ndcg)


def test_unknown_labels_leave_and_empty_queries_count_as_the_protocol_says():
    y = labels(12, "multi")
    y[0], y[1] = np.nan, 0
    data = Data({m: table(rng.normal(size=(12, 3)), y, 5) for m in "ab"}, tuple("abcde"))
    zero = evaluate(Identity(), data, protocol=GAIN)["a", "b"]
    skip = evaluate(Identity(), data, protocol=replace(GAIN, empty="skip"))["a", "b"]
    assert zero.n_unlabelled == 2 and zero.n_empty == 1 and len(zero.ndcg) == 11
    assert zero.ndcg[0] == 0 and np.isnan(skip.ndcg[0])
    assert zero.mean_ndcg == pytest.approx(skip.mean_ndcg * 10 / 11)


@pytest.mark.parametrize("within", [False, True])
def test_chance_is_the_expectation_over_random_orders(within):
    y = labels(9, "graded")
    data = Data({m: table(rng.normal(size=(9, 2)), y, 5) for m in "ab"}, tuple("abcde"))
    floor = chance(data, protocol=replace(GAIN, within=within, k=4))
    gains = label_overlap(y, y)
    draws = []
    for _ in range(3000):
        order = np.array([rng.permutation(9) for _ in range(9)])
        draws.append(ndcg(np.take_along_axis(gains, order, axis=1), k=4))
    np.testing.assert_allclose(floor["a", "b"].ndcg, np.mean(draws, axis=0), atol=0.02)
    if within:
        one = chance(data, protocol=replace(GAIN, within=True, k=4), modalities=["a"])
        np.testing.assert_array_equal(one["a", "a"].ndcg, floor["a", "a"].ndcg)
        row = gains[0, 1:]  # the query itself has left
        best = ndcg(-np.sort(-row)[None], k=4)[0]
        assert best == 1 and 0 < floor["a", "a"].ndcg[0] < 1


def test_reports_carry_it_to_json_and_table():
    y = labels(20, "multi")
    data = Data({m: table(rng.normal(size=(20, 3)), y, 5) for m in "ab"}, tuple("abcde"))
    report = evaluate(Identity(), data, protocol=replace(GAIN, within=True), cutoffs=[2, 5])
    summary = report.to_dict(per_query=True)
    assert summary["protocol"]["gain"] == "overlap"
    back = Report.from_dict(summary)
    assert back.to_dict(per_query=True) == summary
    assert back.mean_ndcg == report.mean_ndcg and back.mean_ndcg_within == report.mean_ndcg_within
    assert summary["mean_ndcg"] == pytest.approx(
        np.mean([report[d].mean_ndcg for d in (("a", "b"), ("b", "a"))])
    )
    text = str(report)
    assert (
        "nDCG" in text
        and f"{report.mean_ndcg:.4f}" in text
        and "label overlap" in text
        and "WAP" in text
        and "ACG" not in text
    )
    plain = evaluate(Identity(), data)
    assert plain.mean_ndcg is None and "ndcg" not in plain.to_json() and "nDCG" not in str(plain)
    with pytest.raises(InputError, match="gain: expected one of None, 'overlap', got 'cosine'"):
        Protocol(gain="cosine")


@pytest.mark.parametrize("divide_by", ["all", "found"])
@pytest.mark.parametrize("tied", [False, True])
def test_precision_at_several_cutoffs_is_that_of_several_evaluations(divide_by, tied):
    z, w = rng.normal(size=(15, 3)), rng.normal(size=(30, 3))
    if tied:
        w = w[rng.integers(0, 8, 30)]
    y, g = labels(15, "single"), labels(30, "single")
    protocol = Protocol(divide_by=divide_by)
    cutoffs = [1, 4, 10, 30, 500]
    score = score_vectors(z, w, y, g, protocol=protocol, cutoffs=cutoffs)
    assert score.curves.cutoffs.tolist() == cutoffs
    for k, value in zip(cutoffs, score.curves.mean_ap_at, strict=True):
        alone = score_vectors(z, w, y, g, protocol=replace(protocol, k=k), n_bootstrap=0)
        assert value == pytest.approx(alone.mean_ap)
    scores = cosine(z.astype(np.float32), w.astype(np.float32)).round(9)
    slow = [
        tied_average_precision(scores[i], g == y[i], k=4, divide_by=divide_by) for i in range(15)
    ]
    assert score.curves.mean_ap_at[1] == pytest.approx(np.mean([one.expected for one in slow]))
