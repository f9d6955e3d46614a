import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from commonspace.errors import InputError
from commonspace.evaluation import average_precision, tied_average_precision
from commonspace.evaluation.ties import TieGroups, TieMath

from .slow import all_orders_ap


@st.composite
def tied_lists(draw):
    n = draw(st.integers(1, 9))
    scores = draw(arrays(np.float64, n, elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])))
    return scores, draw(arrays(np.bool_, n)), draw(st.none() | st.integers(1, n + 1))


@pytest.mark.parametrize("divide_by", ["all", "found"])
@settings(max_examples=150, deadline=None)
@given(case=tied_lists())
def test_equals_trying_every_order(divide_by, case):
    scores, relevant, k = case
    tied = tied_average_precision(scores, relevant, k=k, divide_by=divide_by)
    slow = all_orders_ap(scores, relevant, k, divide_by)
    np.testing.assert_allclose(tied, slow, atol=1e-12)
    assert tied.worst <= tied.expected <= tied.best


@given(relevant=arrays(np.bool_, st.integers(1, 60)), k=st.none() | st.integers(1, 60))
def test_without_ties_all_three_are_average_precision(relevant, k):
    scores = -np.arange(len(relevant), dtype=float)
    depth = None if k is None else min(k, len(relevant))
    for divide_by in ("all", "found"):
        tied = tied_average_precision(scores, relevant, k=k, divide_by=divide_by)
        plain = average_precision(relevant[None], k=depth, divide_by=divide_by)[0]
        np.testing.assert_allclose(tied, [plain] * 3, atol=1e-12)


@pytest.mark.parametrize("divide_by", ["all", "found"])
def test_large_groups_agree_with_sampling_and_with_a_sum_over_ranks(divide_by):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, size=2000).astype(float)
    relevant = rng.random(2000) < 0.1
    tied = tied_average_precision(scores, relevant, k=900, divide_by=divide_by)
    sampled = []
    for _ in range(400):
        order = np.lexsort([rng.random(2000), -scores])
        sampled.append(average_precision(relevant[order][None], k=900, divide_by=divide_by)[0])
    error = np.std(sampled) / np.sqrt(len(sampled))
    assert abs(tied.expected - np.mean(sampled)) < 4 * error
    assert tied.worst <= min(sampled) and max(sampled) <= tied.best


def test_closed_form_keeps_its_digits_deep_in_a_large_gallery():
    n0, n, r0, r = 900_000, 1000, 40_000, 30
    groups = TieGroups(*(np.array([a, b]) for a, b in ((0, n0), (n0, n), (0, r0), (r0, r))))
    i = np.arange(1, n + 1)
    last = (r / n * (r0 + 1 + (i - 1) * (r - 1) / (n - 1)) / (n0 + i)).sum()
    j = np.arange(1, n0 + 1)
    first = (r0 / n0 * (1 + (j - 1) * (r0 - 1) / (n0 - 1)) / j).sum()
    tied = TieMath(n0 + n).average_precision(groups, k=None, divide_by="all")
    assert tied.expected == pytest.approx((first + last) / (r0 + r), rel=1e-12)


def test_wrong_inputs_are_named():
    with pytest.raises(InputError, match="two vectors"):
        tied_average_precision(np.ones(3), np.ones(2, dtype=bool))
    with pytest.raises(InputError, match="NaN"):
        tied_average_precision(np.array([np.nan]), np.ones(1, dtype=bool))
    with pytest.raises(InputError, match="k: expected"):
        tied_average_precision(np.ones(1), np.ones(1, dtype=bool), k=0)
