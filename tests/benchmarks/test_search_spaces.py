"""The table of what is searched, against the methods that are there."""

from __future__ import annotations

from inspect import signature

import pytest

from commonspace import methods
from commonspace.benchmarks.search_spaces import COMMON, SPACES, Choice, Range, search_space
from commonspace.errors import InputError, NotFoundError
from commonspace.methods import SDML, SM, SPDQ, Ridge

THERE = sorted(set(SPACES) & set(methods.__all__))


@pytest.mark.parametrize("name", THERE)
def test_an_entry_names_arguments_that_its_method_has(name):
    missing = set(SPACES[name]) - set(signature(getattr(methods, name)).parameters)
    assert not missing, f"search_spaces.SPACES[{name!r}] names {missing}"


@pytest.mark.parametrize("name", THERE)
def test_the_defaults_are_in_the_space(name):
    """Then the first trial tells the search something about every setting."""
    default = getattr(methods, name)()
    for key, setting in search_space(default).items():
        assert setting.holds(getattr(default, key)), f"{name}: {key}"


@pytest.mark.parametrize("name", sorted(SPACES))
def test_ranges_are_ranges(name):
    for key, setting in SPACES[name].items():
        if isinstance(setting, Range):
            assert setting.low < setting.high and (setting.low > 0 or not setting.log), key
        else:
            assert len(set(setting.texts)) == len(setting.values) > 1, key


def test_a_method_without_an_entry_is_searched_over_common_arguments(monkeypatch):
    monkeypatch.delitem(SPACES, "SPDQ")
    space = search_space(SPDQ())
    assert set(space) == set(COMMON) & set(signature(SPDQ).parameters)
    assert space["weight_decay"].holds(0.1) and space["hidden"].holds((512, 512))


def test_spaces_are_widened_to_hold_the_settings_there_are():
    assert search_space(SM(C=100.0))["C"] == Range(1e-4, 100.0, log=True)
    assert search_space(SDML(hidden=(7,)))["hidden"].values[-1] == (7,)
    assert search_space(Ridge())["alphas"].values[-1] == Ridge().alphas
    assert Range(0.1, 1.0, log=True).widened(0.0) == Range(0.1, 1.0, log=True)
    assert Range(1, 5, whole=True).widened(2.5) == Range(1, 5, whole=True).widened(None)
    assert Choice(1).widened(object()) == Choice(1)


def test_what_is_not_there_or_left_is_named():
    with pytest.raises(NotFoundError, match="'c'"):
        search_space(SM(), {"c": Range(0, 1)})
    with pytest.raises(InputError, match="nothing is left"):
        search_space(SM(), fixed={"C"})
