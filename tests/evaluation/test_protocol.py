import pytest

from commonspace.errors import InputError
from commonspace.evaluation import Protocol


def test_presets_say_what_the_papers_do():
    assert Protocol.sdml() == Protocol(divide_by="found")
    assert Protocol.msdmml() == Protocol(k=100, divide_by="found", within=True)
    assert Protocol.spdq() == Protocol(k=50, divide_by="found")


@pytest.mark.parametrize("protocol", [Protocol(), Protocol.msdmml(7), Protocol(metric="inner")])
def test_round_trip(protocol):
    assert Protocol.from_dict(protocol.to_dict()) == protocol


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 0}, "k: expected a whole number from 1"),
        ({"k": 1.5}, "whole number"),
        ({"k": True}, "whole number"),
        ({"divide_by": "hits"}, "divide_by: expected one of 'all', 'found'"),
        ({"empty": None}, "empty"),
        ({"ties": "random"}, "ties"),
        ({"metric": "l2"}, "metric"),
        ({"relevance": "graded"}, "relevance"),
        ({"within": "yes"}, "within"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(InputError, match=message):
        Protocol(**values)


def test_unknown_fields_are_named():
    with pytest.raises(InputError, match="'cutoff'"):
        Protocol.from_dict({"cutoff": 3})
