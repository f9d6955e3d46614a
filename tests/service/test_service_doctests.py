from __future__ import annotations

import doctest

import pytest

from commonspace.benchmarks import malformed
from commonspace.service import limits, run, uploads


@pytest.mark.parametrize("module", [limits, malformed, run, uploads], ids=lambda m: m.__name__)
def test_examples_are_true(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
