"""Functions at many points from their values at a few."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.kernels import at_many_points


class Counted:
    """Rows of smooth and less smooth functions, and how many points they were asked for."""

    def __init__(self, kink: float) -> None:
        self.asked = 0
        self._kink = kink

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.asked += x.size
        return np.vstack([np.exp(-x), x**3, 1e-8 * np.sin(x), np.abs(x - self._kink)])


@pytest.mark.parametrize("width", [1e-12, 1e-3, 0.3])
def test_smooth_functions_are_interpolated_to_rounding(width: float) -> None:
    points = 1.3 * np.exp(width * np.random.default_rng(0).uniform(-1, 1, 500))
    function = Counted(0.0)
    found = at_many_points(function, points)
    assert function.asked < 100
    np.testing.assert_allclose(found, function(points), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "points",
    [
        np.random.default_rng(1).uniform(0.5, 2.0, 500),  # a kink inside: no series of rounding size
        np.array([0.0, *np.linspace(1, 2, 300)]),  # 0 has no logarithm
        np.linspace(1, 2, 20),  # too few
    ],
)
def test_others_are_evaluated_where_they_are_asked_for(points: np.ndarray) -> None:
    function = Counted(1.1)
    np.testing.assert_array_equal(at_many_points(function, points), function(points))


def test_equal_points_cost_one() -> None:
    function = Counted(0.0)
    found = at_many_points(function, np.full(300, 0.7))
    assert function.asked == 1
    np.testing.assert_array_equal(found, function(np.full(300, 0.7)))
