import doctest
from importlib import import_module
from pkgutil import iter_modules

import pytest

import commonspace.evaluation as room

MODULES = [module.name for module in iter_modules(room.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    found = doctest.testmod(import_module(f"commonspace.evaluation.{name}"))
    assert found.failed == 0
