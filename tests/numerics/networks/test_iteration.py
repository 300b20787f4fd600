"""Plain iteration of every column by itself."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.networks import NonConvergenceError, iterate_columns, solve_fixed_point


def test_every_column_is_solved_by_itself() -> None:
    rng = np.random.default_rng(0)
    matrix = 0.7 * rng.standard_normal((80, 80)) / np.sqrt(80)
    source = rng.standard_normal((80, 7)) * 10.0 ** np.arange(-3, 4)
    found = iterate_columns(lambda h: matrix @ np.tanh(h) + source, source, tolerance=1e-9)
    image = matrix @ np.tanh(found.value) + source
    gaps = np.linalg.norm(image - found.value, axis=0) / np.linalg.norm(image, axis=0)
    assert gaps.max() <= 1.0001e-9
    assert found.residual <= 1e-9
    exact = solve_fixed_point(lambda h: matrix @ np.tanh(h) + source, source, tolerance=1e-13).value
    assert np.all(np.linalg.norm(found.value - exact, axis=0) < 1e-8 * np.linalg.norm(exact, axis=0))
    # Those beside a column do not change it.
    alone = iterate_columns(lambda h: matrix @ np.tanh(h) + source[:, :1], source[:, :1], tolerance=1e-9)
    np.testing.assert_allclose(found.value[:, :1], alone.value, rtol=1e-12)
    assert alone.iterations != found.iterations


def test_float32_stays_float32() -> None:
    source = np.ones((4, 3), dtype=np.float32)
    found = iterate_columns(lambda h: np.float32(0.5) * h + source, source, tolerance=1e-6)
    assert found.value.dtype == np.float32


def test_what_does_not_converge_is_an_error() -> None:
    start = np.ones((3, 2))
    with pytest.raises(NonConvergenceError, match="no fixed point in 400 steps for 2 of 2 samples"):
        iterate_columns(lambda h: -h, start, tolerance=1e-6)
    with pytest.raises(NonConvergenceError, match="residual is nan"):
        iterate_columns(lambda h: np.full_like(h, np.nan), start, tolerance=1e-6)
    with pytest.raises(ValueError, match=r"a tolerance in \(0, 1\)"):
        iterate_columns(lambda h: h, start, tolerance=0.0)
