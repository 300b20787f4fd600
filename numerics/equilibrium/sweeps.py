"""A DEQ's coefficients along a line of one of its parameters.

Theory sheet, section 3.  Each point is solved by itself, certified or in float64; a point without a stable equilibrium
is kept, with the reason, so that a table or a plot shows where the theory ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sympy as sp

from numerics.budget import OverBudgetError
from numerics.equilibrium.certified import CertifiedCoefficients, certify
from numerics.equilibrium.float64 import FloatEquilibrium, solve_float
from numerics.moments import MomentAccuracyError
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError, exact_number
from theory.kernels import COEFFICIENTS

__all__ = [
    "FLOAT_DIGITS",
    "SweepLine",
    "SweepPoint",
    "equidistant",
    "sweep",
]

#: Digits that the float64 path is trusted with.
FLOAT_DIGITS = 12
_NUMBERS = ("sigma_a2", "sigma_b2", "tau0")


@dataclass(frozen=True)
class SweepLine:
    """DEQs that differ in one of their three numbers.

    Attributes:
        activation: an activation, a registered name, or an expression in x as a text.
        swept: which number moves: ``"sigma_a2"``, ``"sigma_b2"`` or ``"tau0"``.
        sigma_a2: variance of the recurrent weights; like the next two exact, or what stands for an exact number.
        sigma_b2: variance of the input weights; None for 1 - sigma_a2 at every point.
        tau0: input scale tau_0.

    Raises:
        ValueError: another name.
    """

    activation: Activation | str
    swept: str
    sigma_a2: Any = "1/5"
    sigma_b2: Any = None
    tau0: Any = 1

    def __post_init__(self) -> None:
        if self.swept not in _NUMBERS:
            raise ValueError(f"unknown number {self.swept!r}: accepted are {', '.join(_NUMBERS)}")

    def numbers(self, value: Any) -> dict[str, sp.Expr]:
        """Return sigma_a^2, sigma_b^2 and tau_0 at a value of the one that is swept, in range or not.

        Raises:
            EquilibriumError: something that is no number.
        """
        given = {name: getattr(self, name) for name in _NUMBERS} | {self.swept: value}
        if given["sigma_b2"] is None:
            given["sigma_b2"] = 1 - exact_number(given["sigma_a2"], "sigma_a2")
        return {name: exact_number(number, name) for name, number in given.items()}

    def at(self, value: Any) -> DEQ:
        """Return the DEQ at a value of the number that is swept.

        Raises:
            EquilibriumError: a number that is none, or out of its range.

        Example:
            >>> SweepLine("tanh", "sigma_a2").at(0.5)
            DEQ('tanh', sigma_a2=1/2, sigma_b2=1/2, tau0=1)
        """
        return DEQ(self.activation, **self.numbers(value))


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep.

    Attributes:
        value: exact value of the number that is swept.
        decimals: coefficients as decimal strings by key of ``COEFFICIENTS``, those that exist.
        margins: floats by key: ``tau``, ``ck`` and ``ntk``, as in ``CertifiedCoefficients``.
        certified: whether every decimal is certified.
        missing: why there are no coefficients, or no NTKs, or an empty string.
    """

    value: sp.Expr
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


def sweep(along: SweepLine, values: Sequence[Any], digits: int, *, certified: bool = True) -> Iterator[SweepPoint]:
    """Solve the system at every point, one at a time.

    Args:
        along: the DEQs.
        values: of the number that is swept.
        digits: significant digits of the coefficients; float64 gives at most ``FLOAT_DIGITS``.
        certified: whether the coefficients are certified by interval arithmetic, or solved in float64.

    Raises:
        EquilibriumError: something that is no number.
    """
    for given in values:
        value = along.numbers(given)[along.swept]
        try:
            if certified:
                yield _from_balls(value, certify(along.at(value), digits, prove_absence=False))
            else:
                yield _from_floats(value, solve_float(along.at(value)), min(digits, FLOAT_DIGITS))
        except (EquilibriumError, MomentAccuracyError, OverBudgetError) as error:
            empty: Mapping[str, str] = MappingProxyType({})
            yield SweepPoint(value, empty, MappingProxyType({}), certified=False, missing=str(error))


def _from_balls(value: sp.Expr, solution: CertifiedCoefficients) -> SweepPoint:
    found = {key: solution.decimal(key) for key in COEFFICIENTS}
    return SweepPoint(
        value=value,
        decimals=MappingProxyType({key: text for key, text in found.items() if text is not None}),
        margins=MappingProxyType({key: float(ball) for key, ball in solution.margins.items()}),
        certified=all(solution.certified.values()),
        missing=solution.ntk_missing,
    )


def _from_floats(value: sp.Expr, solution: FloatEquilibrium, digits: int) -> SweepPoint:
    return SweepPoint(
        value=value,
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
