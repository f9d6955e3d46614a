"""Measures of forgetting against a case worked by hand, and against evaluate."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from commonspace.errors import InputError
from commonspace.evaluation import Course, Protocol, evaluate, score_directions

A, B, C = "abc"
FIRST = {(A, A): 0.9}
SECOND = {(A, A): 0.8, (B, B): 0.7, (A, B): 0.6, (B, A): 0.5}
THIRD = {
    (A, A): 0.85,
    (B, B): 0.4,
    (C, C): 0.9,
    (A, B): 0.5,
    (B, A): 0.6,
    (A, C): 0.3,
    (C, A): 0.4,
    (B, C): 0.1,
    (C, B): 0.2,
}
COURSE = Course((A, B, C), (FIRST, SECOND, THIRD))


def test_by_hand():
    assert math.isnan(COURSE.means[0])
    assert COURSE.means[1:] == pytest.approx([0.55, 2.1 / 6]) and COURSE.final == COURSE.means[-1]
    assert COURSE.backward == pytest.approx(((0.5 - 0.6) + (0.6 - 0.5)) / 2)
    assert COURSE.forgetting == pytest.approx(((0.6 - 0.5) + (0.5 - 0.6)) / 2)
    assert COURSE.backward_within == pytest.approx(((0.85 - 0.9) + (0.4 - 0.7)) / 2)
    assert COURSE.plasticity[1:] == pytest.approx([0.55, (0.3 + 0.4 + 0.1 + 0.2) / 4])


def test_forgetting_is_from_the_best_that_ever_was():
    d = "d"
    fourth = {(x, y): 0.2 for x in (A, B, C, d) for y in (A, B, C, d)}
    course = Course((A, B, C, d), (FIRST, SECOND, THIRD, fourth))
    best = {(A, B): 0.6, (B, A): 0.6, (A, C): 0.3, (C, A): 0.4, (B, C): 0.1, (C, B): 0.2}
    assert course.forgetting == pytest.approx(np.mean([v - 0.2 for v in best.values()]))
    born = {**best, (B, A): 0.5}
    assert course.backward == pytest.approx(np.mean([0.2 - v for v in born.values()]))


def test_two_modalities_have_no_pair_to_forget():
    course = Course((A, B), (FIRST, SECOND))
    assert math.isnan(course.backward) and math.isnan(course.forgetting)
    assert course.backward_within == pytest.approx(-0.1) and course.final == pytest.approx(0.55)


def test_it_survives_json_and_names_what_is_missing():
    assert Course.from_dict(COURSE.to_dict()) == COURSE
    with pytest.raises(InputError, match="expected one a modality"):
        Course((A, B), (FIRST,))
    with pytest.raises(InputError, match="stage 2: b->a is missing"):
        Course((A, B), (FIRST, {(A, B): 0.1}))


def test_names_may_hold_an_arrow_and_within_may_be_measured_at_the_end_alone():
    a, b = "en->fr", "fr"
    course = Course((a, b), ({}, {(a, b): 0.1, (b, a): 0.2, (a, a): 0.3}))
    assert Course.from_dict(json.loads(json.dumps(course.to_dict()))) == course
    assert math.isnan(course.backward_within)


def test_directions_are_those_of_evaluate(test):
    rng = np.random.default_rng(0)
    now = {name: rng.normal(size=(len(part), 4)) for name, part in test.items()}
    protocol = Protocol(within=True)
    report = evaluate(now, test, protocol=protocol)
    found = score_directions(now, now, test, protocol=protocol)
    assert found.keys() == report.scores.keys()
    for pair, value in found.items():
        assert value == pytest.approx(report[pair].mean_ap)
    born = {"image": now["image"], "text": rng.normal(size=now["text"].shape)}
    stale = score_directions(now, born, test)
    assert stale["text", "image"] == pytest.approx(found["text", "image"])
    assert stale["image", "text"] != pytest.approx(found["image", "text"])
