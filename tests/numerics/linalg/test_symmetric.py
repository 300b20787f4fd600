"""Symmetric matrices, in place and to the last bit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from numerics.linalg import gram_matrix, symmetrise


@pytest.mark.parametrize("n", [1, 5, 511, 512, 513, 1300])
def test_the_mean_of_a_matrix_and_its_transpose(n: int) -> None:
    matrix = np.random.default_rng(n).standard_normal((n, n))
    expected = (matrix + matrix.T) / 2
    made = symmetrise(matrix)
    assert made is matrix
    assert made.tobytes() == expected.tobytes()


def test_a_gram_matrix_is_symmetric_and_the_only_large_array() -> None:
    columns = np.random.default_rng(0).standard_normal((40, 1500))
    tracemalloc.start()
    gram = gram_matrix(columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(gram, gram.T)
    np.testing.assert_allclose(gram, columns.T @ columns, atol=1e-12)
    assert peak < 1.5 * gram.nbytes
