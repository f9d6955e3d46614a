"""ACG and WAP against naive loops, all orders of the ties, average precision and a case by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from commonspace.errors import InputError
from commonspace.evaluation import (
    Protocol,
    Report,
    average_cumulative_gain,
    average_precision,
    chance,
    evaluate,
    label_overlap,
    score_vectors,
    weighted_average_precision,
)

from .slow import Data, Identity, cosine, table

rng = np.random.default_rng(0)
GAIN = Protocol(gain="overlap")


def loop_wap(gains, k, divide_by):
    """One ranking, walked down rank by rank."""
    hits, total = 0, 0.0
    for rank in range(1, k + 1):
        if gains[rank - 1] > 0:
            hits += 1
            total += sum(gains[:rank]) / rank
    divisor = hits if divide_by == "found" else sum(g > 0 for g in gains)
    return total / divisor if divisor else 0.0


def test_a_case_worked_by_hand():
    gain = np.array([[2.0, 0.0, 1.0, 0.0, 3.0]])
    # relevant ranks 1, 3, 5: means of the gains so far 2/1, 3/3, 6/5
    assert weighted_average_precision(gain)[0] == pytest.approx((2 + 1 + 1.2) / 3)
    assert weighted_average_precision(gain, k=4)[0] == pytest.approx(3 / 3)
    assert weighted_average_precision(gain, k=4, divide_by="found")[0] == pytest.approx(3 / 2)
    assert average_cumulative_gain(gain, k=3)[0] == 1.0
    assert weighted_average_precision(np.zeros((1, 3)))[0] == 0


@pytest.mark.parametrize("divide_by", ["all", "found"])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_pure_functions_are_the_naive_loops(k, divide_by):
    gain = rng.integers(0, 4, (20, 12)) * rng.random((20, 12))
    found = weighted_average_precision(gain, k=k, divide_by=divide_by)
    np.testing.assert_allclose(found, [loop_wap(row, k, divide_by) for row in gain])
    np.testing.assert_allclose(
        average_cumulative_gain(gain, k=k), [sum(row[:k]) / k for row in gain]
    )
    plain = (gain > 0).astype(float)
    np.testing.assert_allclose(
        weighted_average_precision(plain, k=k, divide_by=divide_by),
        average_precision(gain > 0, k=k, divide_by=divide_by),
    )


@pytest.mark.parametrize("divide_by", ["all", "found"])
@pytest.mark.parametrize("k", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_ties_are_the_mean_over_all_orders_or_stand_as_they_are(k, divide_by, ties):
    angles = np.array([0.0, 0.3, 0.3, 0.3, 0.3, 0.9])[[3, 0, 1, 5, 2, 4]]
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    y = np.array([[1, 1, 1]], dtype=np.float32)
    g = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 0]], np.float32)
    gains, depth = label_overlap(y, g)[0], 6 if k is None else k
    order = np.argsort(angles, kind="stable")
    lists = [gains[[order[0], *middle, order[5]]] for middle in permutations(order[1:5])]
    lists = lists if ties == "expected" else [gains[order]]
    protocol = replace(GAIN, k=k, divide_by=divide_by, ties=ties)
    score = score_vectors(np.array([[1.0, 0.0]]), vectors, y, g, protocol=protocol)
    assert score.mean_wap == pytest.approx(np.mean([loop_wap(x, depth, divide_by) for x in lists]))
    if k is None:
        assert score.mean_acg is None
    else:
        assert score.mean_acg == pytest.approx(np.mean([x[:k].mean() for x in lists]))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("divide_by", ["all", "found"])
@pytest.mark.parametrize("k", [None, 7, 500])
def test_plain_labels_give_average_precision_and_precision(k, divide_by, tied):
    z, w = rng.normal(size=(25, 3)), rng.normal(size=(40, 3))
    w = w[rng.integers(0, 6, 40)] if tied else w
    y, g = rng.integers(0, 4, 25), rng.integers(0, 5, 40)
    protocol = replace(GAIN, k=k, divide_by=divide_by)
    score = score_vectors(z, w, y, g, protocol=protocol, memory=1)
    np.testing.assert_allclose(score.wap, score.ap, atol=1e-12)
    low, high = score.wap_ci
    assert low <= score.mean_wap <= high


def test_streaming_is_the_pure_functions_and_blocks_change_nothing():
    z, y = rng.normal(size=(50, 3)), (rng.random((50, 6)) < 0.3).astype(np.float32)
    data = Data({"a": table(z, y, 6)}, tuple("abcdef"))
    protocol = replace(GAIN, within=True, k=20)
    score = evaluate(Identity(), data, protocol=protocol)["a", "a"]
    gains, sims = label_overlap(y, y), cosine(z.astype(np.float32), z.astype(np.float32))
    np.fill_diagonal(sims, -np.inf)  # the query leaves its own ranking
    ranked = np.take_along_axis(gains, np.argsort(-sims, axis=1), axis=1)[:, :49]
    np.testing.assert_allclose(score.wap, weighted_average_precision(ranked, k=20))
    np.testing.assert_allclose(score.acg, average_cumulative_gain(ranked, k=20))
    small = evaluate(Identity(), data, protocol=protocol, memory=1)["a", "a"]
    np.testing.assert_array_equal(small.wap, score.wap)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("divide_by", ["all", "found"])
def test_chance_is_the_mean_over_random_orders(within, divide_by):
    y = (rng.random((8, 4)) < 0.4).astype(np.float32)
    y[0] = 0
    names = ["a"] if within else ["a", "b"]
    data = Data({m: table(rng.normal(size=(8, 2)), y, 4) for m in names}, tuple("abcd"))
    protocol = replace(GAIN, within=within, k=3, divide_by=divide_by)
    floor = chance(data, protocol=protocol)["a", names[-1]]
    gains = label_overlap(y, y)
    if within:
        gains = np.array([np.delete(row, i) for i, row in enumerate(gains)])
    draws = [rng.permuted(gains, axis=1) for _ in range(4000)]
    expected = [weighted_average_precision(d, k=3, divide_by=divide_by) for d in draws]
    np.testing.assert_allclose(floor.wap, np.mean(expected, axis=0), atol=0.05)
    np.testing.assert_allclose(floor.acg, gains.mean(axis=1), atol=1e-9)
    assert floor.wap[0] == 0


def test_empty_queries_and_json():
    y = (rng.random((12, 4)) < 0.5).astype(np.float32)
    y[:, 0], y[1] = 1, 0
    data = Data({m: table(rng.normal(size=(12, 3)), y, 4) for m in "ab"}, tuple("abcd"))
    zero = evaluate(Identity(), data, protocol=replace(GAIN, k=4))
    skip = evaluate(Identity(), data, protocol=replace(GAIN, k=4, empty="skip"))
    for name in ("mean_wap", "mean_acg"):
        first, second = getattr(zero["a", "b"], name), getattr(skip["a", "b"], name)
        assert first == pytest.approx(second * 11 / 12)
    summary = zero.to_dict(per_query=True)
    assert Report.from_dict(summary).to_dict(per_query=True) == summary
    assert summary["mean_wap"] == pytest.approx(zero.graded_means()["wap"])
    assert summary["mean_acg"] is not None and summary["mean_wap_within"] is None
    assert "WAP" in str(zero) and "ACG" in str(zero)


def test_wrong_gains_are_named():
    with pytest.raises(InputError, match="at least 0"):
        weighted_average_precision(np.array([[-1.0]]))
    with pytest.raises(InputError, match="k: expected a whole number from 1 up to 2"):
        average_cumulative_gain(np.ones((1, 2)), k=3)
