"""Explicit widths with nearly a DEQ's spectrum: second moments by integration, distances by closed forms and draws."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.equilibrium import solve_float
from numerics.spectrum import (
    Population,
    deq_width_law,
    equal_second_moment,
    explicit_width_law,
    law_distance,
    match_widths,
)
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients

#: 240 samples in 300 dimensions, without classes.
PLAIN = Population.isotropic([1.0], [[0.0]], [240], 300)
TANH = DEQ("tanh", "3/5")


def second_moment(law: object) -> float:
    return float(law.integrate(lambda x: x**2))  # type: ignore[attr-defined]


@pytest.mark.parametrize("layers", [1, 2])
def test_the_second_moments_are_equal_at_the_width_that_is_named(layers: int) -> None:
    """The formula against integrals over the densities."""
    solution = solve_float(TANH)
    target, last = deq_width_law(PLAIN, TANH, solution, 2000), solution.kernel(Kernel.CK)
    coefficients = [KernelCoefficients(0.9, 0.0, 0.0, 0.95), last][2 - layers :]
    width = round(equal_second_moment(target, coefficients, 2000))
    law = explicit_width_law(PLAIN, coefficients, (width,) * layers)
    assert second_moment(law) == pytest.approx(second_moment(target), rel=1e-4)
    wrong = explicit_width_law(PLAIN, coefficients, (round(1.2 * width),) * layers)
    assert abs(second_moment(wrong) / second_moment(target) - 1) > 0.005


def test_the_nearest_width_and_those_that_are_near_enough() -> None:
    solution = solve_float(TANH)
    target, last = deq_width_law(PLAIN, TANH, solution, 2000), solution.kernel(Kernel.CK)
    found = match_widths(target, [last], 2000, 0.02)
    assert found.widths[0] == pytest.approx(equal_second_moment(target, [last], 2000), rel=0.2)
    assert found.distance < min(0.01, found.at_equal_width)
    assert found.range is not None
    least, greatest = found.range
    assert greatest is not None
    assert least < found.widths[0] < greatest
    ends = [law_distance(explicit_width_law(PLAIN, [last], [end]), target) for end in (least, greatest)]
    assert ends == pytest.approx([0.02, 0.02], abs=2e-3)


def test_the_distance_of_two_laws_of_marchenko_and_pastur() -> None:
    """Against their distribution functions by the trapezoidal rule."""
    white = KernelCoefficients(0.0, 0.0, 0.0, 0.7)
    one, other = (explicit_width_law(PLAIN, [white], [width]) for width in (480, 720))
    x = np.linspace(0, 4, 40001)
    mass = []
    for ratio in (0.5, 1 / 3):
        low, high = 0.7 * (1 - np.sqrt(ratio)) ** 2, 0.7 * (1 + np.sqrt(ratio)) ** 2
        density = np.sqrt(np.clip((high - x) * (x - low), 0, None)) / (2 * np.pi * 0.7 * ratio * np.maximum(x, 1e-9))
        mass.append(np.cumsum(density) * (x[1] - x[0]))
    assert law_distance(one, other) == pytest.approx(np.abs(mass[0] - mass[1]).max(), abs=1e-4)
    assert law_distance(one, one) == 0


def test_a_distance_beyond_one_is_refused() -> None:
    target = deq_width_law(PLAIN, TANH, solve_float(TANH), 300)
    with pytest.raises(ValueError, match="between 0 and 1"):
        match_widths(target, [target.coefficients], 300, 1.0)
