from __future__ import annotations

import pytest

from commonspace.cli.arguments import (
    parse_list,
    parse_pairs,
    parse_setting,
    parse_value,
    parse_where,
)
from commonspace.errors import InputError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("[16]", [16]),
        ("true", True),
        ("fr", "fr"),
        ("NaN", "NaN"),
        ("", ""),
        ('"3"', "3"),
    ],
)
def test_values_are_json_or_text(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("False", False), ("True", True), ("None", None), ("false", False)]
)
def test_settings_may_be_written_as_in_python(text, value):
    assert parse_setting(text) is value and parse_setting("1e-3") == 0.001


def test_conditions():
    assert parse_where([]) is None
    assert parse_where(["lang=fr", "size>=3", "size<9", "n=1", 'tag=["a","b"]']) == {
        "lang": "fr",
        "size": {"gte": 3, "lt": 9},
        "n": 1,
        "tag": ["a", "b"],
    }
    assert parse_where(["a=b>=c", "d<=e=f"]) == {"a": "b>=c", "d": {"lte": "e=f"}}


@pytest.mark.parametrize(
    "texts", [["lang"], ["=x"], ["a=1", "a=2"], ["a=1", "a>0"], ["a>0", "a=1"]]
)
def test_conditions_that_make_no_sense(texts):
    with pytest.raises(InputError, match="--where"):
        parse_where(texts)


def test_pairs_and_lists():
    assert parse_pairs("--set", ["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    with pytest.raises(InputError, match="'a' is given twice"):
        parse_pairs("--set", ["a=1", "a=2"])
    assert parse_list(None) is None
    assert parse_list("a, b,") == ["a", "b"]
