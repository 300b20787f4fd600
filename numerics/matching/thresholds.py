"""The recurrent weight variance past which a family has no matching network, to given digits and proved.

Along a path of sigma_a^2 (with sigma_b^2 = 1 - sigma_a^2, or fixed) the families of few parameters stop working where a
margin changes its sign:

* two leaky-ReLU layers, CK of a homogeneous DEQ: the polynomial for t has three real roots, one of them negative, while
  its discriminant is positive, and then two solutions; at the threshold these meet and vanish;
* one layer of hard tanh or erf, CK of an odd DEQ: k_0/(tau_0^2 k_1) runs from 1 (wide) to pi/2 (the limit sign(x)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from flint import arb, ctx, fmpq

from numerics.arithmetic import BITS_PER_DIGIT, FloatArithmetic, compile_program, exact_bounds
from numerics.equilibrium import certify, solve_float
from numerics.matching.targets import evaluate, target_of
from theory.equations import DEQ, EquilibriumError
from theory.kernels import Kernel
from theory.matching import TARGETS, leaky_reductions, odd_ratio_limit
from theory.symbols import tau_0

__all__ = [
    "Threshold",
    "ThresholdError",
    "locate_threshold",
]

#: Where a threshold is looked for.
_GRID = tuple(k / 40 for k in range(1, 40))
_STEPS = 60
_GUARD = 12


class ThresholdError(ArithmeticError):
    """A threshold that is there, by its float64 signs, but was not enclosed to the digits asked for."""


@dataclass(frozen=True)
class Threshold:
    """Where a margin changes sign.

    Attributes:
        sigma_a2: ball that is proved to contain a change of sign.
        path: how sigma_b^2 goes with sigma_a^2.
        works_below: whether the family matches for smaller sigma_a^2.
    """

    sigma_a2: arb
    path: str
    works_below: bool


@cache
def _margin(family: str, kernel: str) -> sp.Expr | None:
    """Positive where the family has a matching network; None where no threshold is known in closed form."""
    if kernel != "ck":
        return None
    if family == "leaky_relu":
        (reduction,) = leaky_reductions("ck")
        return sp.discriminant(reduction.equations[0], reduction.unknown)
    if family in ("hard_tanh", "erf"):
        return odd_ratio_limit(kernel, family) * tau_0**2 * TARGETS[0] - TARGETS[3]
    return None


def locate_threshold(
    deq: DEQ,
    *,
    family: str,
    kernel: str = "ck",
    layers: int = 2,
    tied: bool = True,
    digits: int = 15,
) -> Threshold | None:
    """Return the threshold in (0, 1) next to a DEQ's sigma_a^2, or None where none is known.

    Known are those at which a margin in closed form changes its sign.
    For hard tanh and erf the DEQ must be odd up to a constant; whether it is, is the design's business.

    Args:
        deq: where to start: the next threshold above if the family works there, else the next one below; its sigma_b^2
            is kept unless tied.
        family: name of the family.
        kernel: the kernel that is matched.
        layers: number of hidden layers.
        tied: whether sigma_b^2 = 1 - sigma_a^2 along the path.
        digits: significant digits.

    Raises:
        ThresholdError: a change of sign in float64 that could not be proved.
    """
    margin = _margin(family, kernel)
    if margin is None or (family == "leaky_relu" and (layers != 2 or deq.activation.homogeneity != 1)):
        return None
    program = compile_program([margin], [*TARGETS, tau_0], FloatArithmetic())

    def at(value: Any) -> DEQ:
        return DEQ(deq.activation, value, None if tied else deq.sigma_b2, deq.tau0)

    def rough(value: float) -> float:
        try:
            found = solve_float(at(value)).kernel(Kernel.CK)
        except EquilibriumError:
            return float("nan")
        return float(program(*found, float(deq.tau0))[0])

    bracket = _nearest_change(rough, float(deq.sigma_a2))
    if bracket is None:
        return None

    def exact(value: sp.Rational) -> arb:
        return evaluate([margin], target_of(certify(at(value), digits + _GUARD), kernel))[0]

    with ctx.workprec(int((digits + 2 * _GUARD) * BITS_PER_DIGIT)):
        ball = _enclosed(exact, bracket, digits)
    path = "sigma_b^2 = 1 - sigma_a^2" if tied else f"sigma_b^2 = {deq.sigma_b2}"
    return Threshold(ball, path, works_below=rough(bracket[0]) > 0)


def _nearest_change(rough: Callable[[float], float], start: float) -> tuple[float, float] | None:
    """Neighbouring grid points between which the margin changes sign: above the start if it is positive there."""
    values = np.array([rough(point) for point in _GRID])
    signs = np.sign(values)
    changes = [i for i in range(len(_GRID) - 1) if signs[i] * signs[i + 1] < 0]
    here = rough(start) if start > 0 else float(values[0])
    above = [i for i in changes if _GRID[i + 1] > start]
    below = [i for i in changes if _GRID[i] <= start]
    chosen = above[:1] if here > 0 else below[-1:]
    return (_GRID[chosen[0]], _GRID[chosen[0] + 1]) if chosen else None


def _enclosed(exact: Callable[[sp.Rational], arb], bracket: tuple[float, float], digits: int) -> arb:
    """The secant method, then a proved change of sign between two points a hundredth of the last digit apart."""
    unit = Fraction(1, 10 ** (digits + 3))
    ends = [Fraction(str(end)) for end in bracket]

    def margin(point: Fraction) -> Fraction:
        low, high = exact_bounds(exact(sp.Rational(point.numerator, point.denominator)))
        return (low + high) / 2

    before, here = ends
    value_before, value = margin(before), margin(here)
    rising = value > 0
    for _ in range(_STEPS):
        slope = (value - value_before) / (here - before)
        new = here - value / slope if slope else here
        if not ends[0] < new < ends[1]:
            new = (ends[0] + ends[1]) / 2
        new = round(new / unit * 1000) * unit / 1000
        moved = abs(new - here)
        before, value_before = here, value
        here, value = new, margin(new)
        ends[1 if (value > 0) == rising else 0] = here
        if moved < unit or value == value_before:
            break
    low, high = (
        exact(sp.Rational((here + side * unit).numerator, (here + side * unit).denominator)) for side in (-1, 1)
    )
    if not ((low > 0 and high < 0) or (low < 0 and high > 0)):
        raise ThresholdError(f"the threshold between {bracket[0]} and {bracket[1]} was not enclosed to {digits} digits")
    centre = arb(fmpq(here.numerator, here.denominator))
    return centre + arb(0, 1) * arb(fmpq(unit.numerator, unit.denominator))
