"""A DEQ's coefficients along a line of one of its parameters.

Theory sheet, section 3.  Each point is solved by itself, certified or in float64; a point without a stable equilibrium
is kept, with the reason, so that a table or a plot shows where the theory ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import sympy as sp

from numerics.arithmetic import pointwise
from numerics.budget import OverBudgetError
from numerics.equilibrium.certified import CertifiedCoefficients, certify
from numerics.equilibrium.float64 import solve_float
from numerics.moments import MomentAccuracyError
from numerics.parameters import as_activation
from theory.activations import Activation
from theory.equations import EquilibriumError, exact_number
from theory.kernels import COEFFICIENTS

__all__ = [
    "FLOAT_DIGITS",
    "Point",
    "SweepPoint",
    "equidistant",
    "sweep",
]

#: Digits that the float64 path is trusted with.
FLOAT_DIGITS = 12
#: The exact (sigma_a^2, sigma_b^2, tau_0) of a point.
Point = tuple[sp.Expr, sp.Expr, sp.Expr]


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep.

    Attributes:
        value: exact value of the parameter that is swept.
        parameters: exact sigma_a^2, sigma_b^2 and tau_0.
        decimals: coefficients as decimal strings by key of ``COEFFICIENTS``, those that exist.
        margins: floats by key: ``tau``, ``ck`` and ``ntk``, as in ``CertifiedCoefficients``.
        certified: whether every decimal is certified.
        missing: why there are no coefficients, or no NTKs, or an empty string.
    """

    value: sp.Expr
    parameters: Point
    decimals: Mapping[str, str]
    margins: Mapping[str, float]
    certified: bool
    missing: str

    @property
    def stable(self) -> bool:
        """Whether there is a stable equilibrium."""
        return bool(self.decimals)


def equidistant(start: sp.Expr, stop: sp.Expr, count: int) -> tuple[sp.Expr, ...]:
    """Return ``count`` equidistant exact numbers from start to stop, both included.

    Args:
        start: the first, exact.
        stop: the last, exact.
        count: how many, at least 2.

    Raises:
        ValueError: fewer than two points.
    """
    if count < 2:
        raise ValueError(f"a sweep needs at least two points, not {count}")
    return tuple(start + (stop - start) * sp.Rational(k, count - 1) for k in range(count))


def sweep(
    activation: Activation | str,
    points: Sequence[tuple[sp.Expr, Point]],
    digits: int,
    *,
    certified: bool = True,
) -> Iterator[SweepPoint]:
    """Solve the system at every point, one at a time.

    Args:
        activation: the activation, without free parameters; or a registered name or an expression in x.
        points: value of the swept parameter, and the parameters, at every point; exact numbers, or what stands for
            them (see ``numerics.parameters.exact_number``).
        digits: significant digits of the coefficients; float64 gives at most ``FLOAT_DIGITS``.
        certified: whether the coefficients are certified by interval arithmetic, or solved in float64.

    Raises:
        EquilibriumError: something that is no number.
    """
    activation = as_activation(activation)
    for given, numbers in points:
        value = exact_number(given, "a sweep's value")
        names = ("sigma_a2", "sigma_b2", "tau0")
        weight_a, weight_b, scale = (exact_number(number, name) for number, name in zip(numbers, names, strict=True))
        parameters = weight_a, weight_b, scale
        try:
            if certified:
                yield _from_balls(value, certify(activation, *parameters, digits, prove_absence=False))
            else:
                yield _from_floats(value, activation, parameters, min(digits, FLOAT_DIGITS))
        except (EquilibriumError, MomentAccuracyError, OverBudgetError) as error:
            empty: Mapping[str, str] = MappingProxyType({})
            yield SweepPoint(value, parameters, empty, MappingProxyType({}), certified=False, missing=str(error))


def _from_balls(value: sp.Expr, solution: CertifiedCoefficients) -> SweepPoint:
    found = {key: solution.decimal(key) for key in COEFFICIENTS}
    return SweepPoint(
        value=value,
        parameters=(solution.sigma_a2, solution.sigma_b2, solution.tau0),
        decimals=MappingProxyType({key: text for key, text in found.items() if text is not None}),
        margins=MappingProxyType({key: float(ball) for key, ball in solution.margins.items()}),
        certified=all(solution.certified.values()),
        missing=solution.ntk_missing,
    )


def _from_floats(value: sp.Expr, activation: Activation, parameters: Point, digits: int) -> SweepPoint:
    solution = solve_float(pointwise(activation), *parameters)
    return SweepPoint(
        value=value,
        parameters=parameters,
        decimals=MappingProxyType(
            {key: _decimal(number, solution.errors[key], digits) for key, number in solution.values.items()}
        ),
        margins=MappingProxyType({key: float(number) for key, number in solution.margins.items()}),
        certified=False,
        missing=solution.ntk_missing,
    )


def _decimal(number: float, error: float, digits: int) -> str:
    """As many digits as the error leaves, at most those asked for; 0 where it leaves none."""
    if abs(number) <= error:
        return "0"
    known = math.floor(math.log10(abs(number)) - math.log10(error)) if error > 0 else digits
    return f"{number:#.{max(1, min(digits, known))}g}"
