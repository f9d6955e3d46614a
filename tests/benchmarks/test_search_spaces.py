"""The table of what is searched, against the methods that are there."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest

from commonspace import methods
from commonspace.benchmarks.search_spaces import DEEP, JOINT, SPACES, Choice, Range, search_space
from commonspace.errors import InputError, NotFoundError
from commonspace.methods import SDML, SM, Ridge

ROOT = Path(__file__).parents[2]


def test_every_method_that_has_settings_has_an_entry():
    assert set(methods.__all__) ^ set(SPACES) == {"ZeroShot"}
    assert search_space(methods.ZeroShot()) == {}


def test_methods_of_one_kind_are_searched_alike():
    """What one baseline may tune, another that has the argument may too."""
    for name in DEEP:
        cls = getattr(methods, name)
        shared = {*JOINT, "dim"} & set(signature(cls).parameters)
        missing = shared - set(SPACES[name]) - ({"dim"} if name == "MvLDAN" else set())
        assert not missing, f"{name}: {missing}"
    assert "gamma" in SPACES["KCCA"]


def test_the_page_tells_how_many_settings_are_searched():
    text = (ROOT / "docs" / "tune.md").read_text()
    for count in {len(space) for space in SPACES.values()}:
        names = sorted(name for name, space in SPACES.items() if len(space) == count)
        assert f"- {count}: {', '.join(f'`{name}`' for name in names)}\n" in text


@pytest.mark.parametrize("name", sorted(SPACES))
def test_an_entry_names_arguments_that_its_method_has(name):
    missing = set(SPACES[name]) - set(signature(getattr(methods, name)).parameters)
    assert not missing, f"search_spaces.SPACES[{name!r}] names {missing}"


@pytest.mark.parametrize("name", sorted(SPACES))
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
