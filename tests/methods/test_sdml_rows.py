"""Rows of a sparse label matrix as an array."""

import numpy as np
import pytest
from scipy import sparse

from commonspace.methods.sdml_rows import dense_rows


@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 1.0])
def test_dense_rows_are_those_that_scipy_gives(density: float) -> None:
    generator = np.random.default_rng(0)
    labels = sparse.csr_array(
        sparse.random_array((50, 17), density=density, dtype=np.float32, rng=generator)
    )
    for index in (generator.integers(0, 50, 30), np.arange(50), np.array([49]), np.array([], int)):
        found = dense_rows(labels, index)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, labels[index].toarray())
