from itertools import product

import numpy as np
import pytest

from commonspace.errors import InputError, ProtocolMismatchError
from commonspace.evaluation import (
    Protocol,
    Report,
    bootstrap_interval,
    compare,
    evaluate,
    holm,
    sign_flip_p,
)

from .slow import Data, table

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 60)


def report(noise, protocol=Protocol(), n=60):  # noqa: B008 - frozen
    rng = np.random.default_rng(1)
    y = LABELS[:n]
    data = Data({m: table(np.zeros((n, 1)), y, 3) for m in ("image", "text")}, ("a", "b", "c"))
    vectors = {m: np.eye(3)[y] + noise * rng.standard_normal((n, 3)) for m in data.modalities}
    return evaluate(vectors, data, protocol=protocol)


def test_sign_flips_equal_trying_every_pattern():
    for n in (1, 5, 9):
        d = np.random.default_rng(n).standard_normal(n) + 0.3
        sums = [abs(np.dot(signs, d)) for signs in product([1, -1], repeat=n)]
        exact = np.mean(np.array(sums) >= abs(d.sum()) - 1e-12)
        assert sign_flip_p(d) == pytest.approx(exact)


def test_drawn_p_values_are_near_a_t_test_and_uniform_under_the_null():
    stats = pytest.importorskip("scipy.stats")
    d = np.random.default_rng(2).standard_normal(200) * 0.1 + 0.013
    assert sign_flip_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    null = [
        sign_flip_p(np.random.default_rng(s).standard_normal(30), n_resamples=200)
        for s in range(200)
    ]
    assert stats.kstest(null, "uniform").pvalue > 0.01
    assert sign_flip_p(np.zeros(50)) == 1.0


def test_a_drawn_p_value_counts_the_pattern_that_was_seen():
    assert sign_flip_p(np.ones(30), n_resamples=99) == 1 / 100  # no draw is as extreme


def test_an_interval_is_of_95_percent():
    values = np.random.default_rng(0).standard_normal(2000)
    low, high = bootstrap_interval(values, n_bootstrap=4000)
    error = values.std() / np.sqrt(len(values))
    assert (high - low) / error == pytest.approx(2 * 1.96, rel=0.05)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])
    assert len(holm([])) == 0
    with pytest.raises(InputError):
        holm([1.5])


def test_interval_covers_the_mean_about_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        values = np.random.default_rng(seed).random(80)
        low, high = bootstrap_interval(values, n_bootstrap=300, seed=seed)
        inside += low <= 0.5 <= high
    assert 180 <= inside <= 199
    with pytest.raises(InputError):
        bootstrap_interval(np.array([]))


def test_compare_finds_a_difference_and_finds_none():
    good, bad = report(0.3), report(2.0)
    found = good.compare(bad)
    part = found["image", "text"]
    expected = good["image", "text"].mean_ap - bad["image", "text"].mean_ap
    assert part.difference == pytest.approx(expected) and part.difference > 0
    assert part.ci[0] < part.difference < part.ci[1]
    assert part.p < 0.001 and part.p_holm == pytest.approx(2 * part.p)
    assert compare(good, good)["text", "image"].p == 1.0
    assert found.to_dict()["image->text"]["n_queries"] == 60
    assert "image -> text" in str(found)


def test_refuses_other_protocols_other_queries_and_summaries():
    ours = report(0.5)
    with pytest.raises(ProtocolMismatchError, match="k is None in the first and 5 in the second"):
        compare(ours, report(0.5, Protocol(k=5)))
    with pytest.raises(ProtocolMismatchError, match="n_queries 60"):
        compare(ours, report(0.5, n=50))
    with pytest.raises(ProtocolMismatchError, match="no direction in common"):
        compare(ours, Report(ours.protocol, {}))
    with pytest.raises(InputError, match="per_query=True"):
        compare(ours, Report.from_dict(ours.to_dict()))
    assert compare(ours, Report.from_dict(ours.to_dict(per_query=True)))["image", "text"].p == 1.0
