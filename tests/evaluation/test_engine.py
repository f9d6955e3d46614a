import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.errors import InputError
from commonspace.evaluation import Protocol, score_vectors, tied_average_precision
from commonspace.evaluation.engine import block_rows

from .slow import all_orders_ap, cosine, loop_ap


def problem(seed, n_queries=30, n_gallery=200, dim=8, n_classes=4, multi=False):
    rng = np.random.default_rng(seed)
    vectors = [rng.standard_normal((n, dim)).astype(np.float32) for n in (n_queries, n_gallery)]
    if multi:
        labels = [rng.random((n, n_classes)) < 0.3 for n in (n_queries, n_gallery)]
    else:
        labels = [rng.integers(0, n_classes, n) for n in (n_queries, n_gallery)]
    return (*vectors, *labels)


def relevance(yq, yg):
    if yq.ndim == 1:
        return yq[:, None] == yg
    return (yq[:, None].astype(int) * yg.astype(int)).sum(axis=2) > 0


PROTOCOLS = [
    Protocol(k=k, divide_by=d, metric=m)
    for k in (None, 5, 120, 500)
    for d in ("all", "found")
    for m in ("cosine", "inner", "euclidean")
]


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
def test_equals_a_loop(protocol, multi):
    q, g, yq, yg = problem(0, multi=multi)
    wide_q, wide_g = q.astype(float), g.astype(float)
    scores = {
        "cosine": cosine(q, g),
        "inner": wide_q @ wide_g.T,
        "euclidean": -((wide_q[:, None] - wide_g) ** 2).sum(axis=2),
    }[protocol.metric]
    ranked = np.take_along_axis(relevance(yq, yg), np.argsort(-scores, axis=1), axis=1)
    slow = [loop_ap(row, protocol.k, protocol.divide_by) for row in ranked]
    score = score_vectors(q, g, yq, yg, protocol=protocol, n_bootstrap=0)
    np.testing.assert_allclose(score.ap, slow, atol=1e-12)
    assert score.mean_ap == pytest.approx(np.mean(slow), abs=1e-12)
    assert score.worst == pytest.approx(score.mean_ap, abs=1e-12)
    assert score.best == pytest.approx(score.mean_ap, abs=1e-12)


@pytest.mark.parametrize("n_classes", [3, 12, 40, 64, 130])
def test_many_labels_a_row(n_classes):
    q, g, yq, yg = problem(1, n_classes=n_classes, multi=True)
    yq[:2] = False  # known to have no class: nothing is relevant
    ranked = np.take_along_axis(relevance(yq, yg), np.argsort(-cosine(q, g), axis=1), axis=1)
    score = score_vectors(q, g, yq, yg, n_bootstrap=0)
    np.testing.assert_allclose(score.ap, [loop_ap(row) for row in ranked], atol=1e-12)
    assert score.n_empty == (~relevance(yq, yg).any(axis=1)).sum() >= 2


def test_one_hot_rows_without_a_class_match_nothing():
    labels = np.array([[0, 0], [1, 0], [0, 1]])
    score = score_vectors(np.eye(3), np.eye(3), labels, labels)
    np.testing.assert_allclose(score.ap, [0, 1, 1])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    k=st.none() | st.integers(1, 10),
    divide_by=st.sampled_from(["all", "found"]),
    metric=st.sampled_from(["cosine", "inner", "euclidean"]),
)
def test_tied_codes_equal_the_mean_over_every_order(seed, k, divide_by, metric):
    rng = np.random.default_rng(seed)
    q, g = (rng.choice([-1.0, 1.0], size=(n, 3)) for n in (4, 9))
    yq, yg = rng.integers(0, 2, 4), rng.integers(0, 2, 9)
    protocol = Protocol(k=k, divide_by=divide_by, metric=metric)
    score = score_vectors(q, g, yq, yg, protocol=protocol, n_bootstrap=0)
    slow = [all_orders_ap(q[i] @ g.T, yg == yq[i], k, divide_by) for i in range(4)]
    expected, worst, best = np.array(slow).T
    np.testing.assert_allclose(score.ap, expected, atol=1e-12)
    assert score.worst == pytest.approx(worst.mean(), abs=1e-12)
    assert score.best == pytest.approx(best.mean(), abs=1e-12)
    assert score.worst <= score.mean_ap + 1e-12 <= score.best + 2e-12


@pytest.mark.parametrize("k", [None, 7, 300])
@pytest.mark.parametrize("divide_by", ["all", "found"])
def test_stable_ties_stand_in_gallery_order(k, divide_by):
    rng = np.random.default_rng(3)
    q, g = (rng.choice([-1.0, 1.0], size=(n, 6)) for n in (20, 400))
    yq, yg = rng.integers(0, 5, 20), rng.integers(0, 5, 400)
    protocol = Protocol(k=k, divide_by=divide_by, ties="stable")
    order = np.argsort(-(q @ g.T), axis=1, kind="stable")
    slow = [loop_ap(row, k, divide_by) for row in (yg[order] == yq[:, None])]
    score = score_vectors(q, g, yq, yg, protocol=protocol, n_bootstrap=0)
    np.testing.assert_allclose(score.ap, slow, atol=1e-12)
    assert score.worst < score.mean_ap < score.best


def test_copies_of_one_item_tie_wherever_they_stand():
    rng = np.random.default_rng(0)
    for dim in (64, 300, 512):
        q = rng.standard_normal((7, dim)).astype(np.float32)
        g = rng.standard_normal((1003, dim)).astype(np.float32)
        g[::2] = g[0] * np.float32(4)
        yg = np.arange(1003) % 4 == 0
        score = score_vectors(q, g, np.ones(7, dtype=int), yg.astype(int), n_bootstrap=0)
        slow = cosine(q, g)
        slow[:, ::2] = slow[:, :1]
        expected = [tied_average_precision(row, yg).expected for row in slow]
        np.testing.assert_allclose(score.ap, expected, atol=1e-12)


@pytest.mark.parametrize("k", [None, 20])
@pytest.mark.parametrize("codes", [False, True])
def test_block_size_does_not_change_a_bit(k, codes):
    q, g, yq, yg = problem(5, n_queries=70, n_gallery=1000, dim=33)
    if codes:
        q, g = np.sign(q[:, :8]), np.sign(g[:, :8])
    results = [
        score_vectors(q, g, yq, yg, protocol=Protocol(k=k), memory=memory, curves=k is None)
        for memory in (1, 200_000, 1 << 30)
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(other.ap, results[0].ap)
        assert (other.worst, other.best, other.ci) == (
            results[0].worst,
            results[0].best,
            results[0].ci,
        )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_shuffling_the_gallery_with_its_labels_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    q, g, yq, yg = problem(seed, n_queries=5, n_gallery=40)
    g = np.round(g)  # some ties
    order = rng.permutation(len(g))
    protocol = Protocol(metric="inner", k=int(rng.integers(1, 60)), divide_by="found")
    ours = score_vectors(q, g, yq, yg, protocol=protocol, n_bootstrap=0)
    theirs = score_vectors(q, g[order], yq, yg[order], protocol=protocol, n_bootstrap=0)
    np.testing.assert_allclose(ours.ap, theirs.ap, atol=1e-12)
    assert ((ours.ap >= 0) & (ours.ap <= 1)).all()


@pytest.mark.parametrize("k", [None, 5])
def test_the_query_leaves_its_own_ranking(k):
    q, _, yq, _ = problem(2, n_queries=60)
    scores = cosine(q, q)
    slow = []
    for row in range(len(q)):
        others = np.delete(np.arange(len(q)), row)
        order = others[np.argsort(-scores[row, others])]
        slow.append(loop_ap(yq[order] == yq[row], k))
    score = score_vectors(q, q, yq, yq, protocol=Protocol(k=k), exclude_self=True)
    np.testing.assert_allclose(score.ap, slow, atol=1e-12)
    assert score.n_gallery == 59


def test_empty_queries_score_zero_or_are_skipped():
    q, g = np.eye(4), np.eye(4)
    yq, yg = np.array([0, 1, 2, 9]), np.array([0, 1, 0, 0])  # 2 and 9 have nothing to find
    zero = score_vectors(q, g, yq, yg)
    skip = score_vectors(q, g, yq, yg, protocol=Protocol(empty="skip"))
    assert zero.n_empty == skip.n_empty == 2
    assert zero.mean_ap == pytest.approx(skip.mean_ap / 2)
    np.testing.assert_array_equal(np.isnan(skip.ap), [False, False, True, True])


def test_with_found_a_query_is_empty_if_its_first_ranks_hold_nothing():
    q = np.array([[1.0, 0.0]])
    g = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    yq, yg = np.array([1]), np.array([0, 0, 1])
    for divide_by, n_empty in (("all", 0), ("found", 1)):
        protocol = Protocol(k=2, divide_by=divide_by, empty="skip")
        assert score_vectors(q, g, yq, yg, protocol=protocol).n_empty == n_empty
    none = score_vectors(q, g, yq, yg, protocol=Protocol(k=2, divide_by="found", empty="skip"))
    assert np.isnan(none.mean_ap) and none.ci is None


def test_zero_vectors_are_far_from_nothing_in_particular():
    g = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    score = score_vectors(np.array([[1.0, 0.0]]), g, np.array([0]), np.array([0, 1, 1]))
    assert score.mean_ap == pytest.approx(1 / 2)


def test_curves_equal_the_pure_functions():
    from commonspace.evaluation import precision_recall_curve, precision_scope_curve

    q, g, yq, yg = problem(8)
    ranked = (yq[:, None] == yg)[np.arange(30)[:, None], np.argsort(-cosine(q, g), axis=1)]
    score = score_vectors(q, g, yq, yg, curves=True, scopes=[1, 10, 200])
    assert score.curves is not None
    np.testing.assert_allclose(score.curves.precision, precision_recall_curve(ranked).mean(axis=0))
    np.testing.assert_allclose(
        score.curves.scope_precision, precision_scope_curve(ranked, [1, 10, 200]).mean(axis=0)
    )
    cut = score_vectors(q, g, yq, yg, protocol=Protocol(k=20), curves=True, scopes=[200]).curves
    assert cut.precision[0] <= 1 and cut.precision[-1] == 0
    assert cut.scope_precision[0] == pytest.approx(score.curves.scope_precision[-1])


def test_scope_curve_is_the_expectation_over_ties():
    yg = np.array([0, 0, 1, 1])
    score = score_vectors(
        np.ones((1, 2)), np.ones((4, 2)), np.array([0]), yg, curves=True, scopes=[1, 2, 4]
    )
    np.testing.assert_allclose(score.curves.scope_precision, [0.5, 0.5, 0.5])
    with pytest.warns(UserWarning, match="gallery of 4"):
        score_vectors(np.ones((1, 2)), np.ones((4, 2)), [0], yg, curves=True, scopes=[9])


def test_memory_does_not_grow_with_the_gallery():
    memory = 8 << 20

    def peak(n_gallery):
        q, g, yq, yg = problem(0, n_queries=256, n_gallery=n_gallery, dim=64)
        tracemalloc.start()
        score_vectors(q, g, yq, yg, n_bootstrap=0, memory=memory)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(3000), peak(30_000)
    assert large < 1.1 * small
    assert large < memory
    assert block_rows(10**9, 1 << 20, bytes_per_pair=8) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), np.ones((2, 4)), [0, 1], [0, 1]), "dimensions 3 and 4"),
        ((np.ones((2, 3)), np.ones((2, 3)), [0], [0, 1]), "2 vectors and labels of 1 rows"),
        ((np.ones((2, 3)), np.ones((2, 3)), [0, -1], [0, 1]), "got -1 at row 1"),
        ((np.ones((2, 3)), np.ones((2, 3)), [0, 1], np.ones((2, 2))), "the same classes"),
        ((np.ones((2, 3)), np.ones((2, 3)), [0.5, 1], [0, 1]), "class numbers"),
        ((np.full((2, 3), np.nan), np.ones((2, 3)), [0, 1], [0, 1]), "query vectors"),
        ((np.ones((0, 3)), np.ones((2, 3)), np.empty(0, int), [0, 1]), "at least one"),
    ],
)
def test_wrong_inputs_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        score_vectors(*arguments)


def test_exclude_self_needs_the_same_rows():
    with pytest.raises(InputError, match="same rows"):
        score_vectors(np.ones((2, 3)), np.ones((3, 3)), [0, 1], [0, 1, 1], exclude_self=True)
