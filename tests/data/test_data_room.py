"""What holds for the whole room: light imports, and examples that are true."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

from commonspace import data
from commonspace.data import dataset, importers, synthetic


def test_importing_the_room_loads_no_reader_of_foreign_files():
    heavy = "{'h5py', 'pyarrow', 'scipy.io', 'torch', 'sklearn', 'pandas'}"
    code = f"import sys, commonspace.data; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", [dataset, importers, synthetic])
def test_examples_are_true(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def test_all_is_what_imports():
    assert all(hasattr(data, name) for name in data.__all__)
    assert data.__all__ == sorted(data.__all__)
