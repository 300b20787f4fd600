"""The Gaussian moments that the system of equations needs, as numbers of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from theory.moments import RAW_MOMENTS

__all__ = [
    "Key",
    "MomentAccuracyError",
    "MomentValues",
    "raw_moment_keys",
]

#: A raw moment: (k, j) stands for E[xi^k f(tau xi)^j], and (k, 0) for E[xi^k f'(tau xi)^2].
Key = tuple[int, int]
Number = TypeVar("Number")
Other = TypeVar("Other")


def raw_moment_keys(*, with_slope_energy: bool) -> tuple[Key, ...]:
    """Return the raw moments that the theory needs, with E[f'(tau xi)^2] last, where it is wanted."""
    return (*RAW_MOMENTS, (0, 0)) if with_slope_energy else tuple(RAW_MOMENTS)


class MomentAccuracyError(ArithmeticError):
    """A moment whose digits did not settle as the working precision was raised."""


@dataclass(frozen=True)
class MomentValues(Generic[Number]):
    """Moments of one activation at one scale tau: floats, mpmath numbers or balls.

    Attributes:
        mean: E[phi_0(tau xi)].
        variance: Var phi_0(tau xi).
        d1: E[phi'(tau xi)].
        d2: E[phi''(tau xi)].
        d22: E[(phi^2)''(tau xi)] of the centred activation.
        slope_energy: E[phi'(tau xi)^2], or None where it is infinite or was not asked for.

    Example:
        >>> MomentValues(0, 2, 1, 0, 4, None).map(float)
        MomentValues(mean=0.0, variance=2.0, d1=1.0, d2=0.0, d22=4.0, slope_energy=None)
    """

    mean: Number
    variance: Number
    d1: Number
    d2: Number
    d22: Number
    slope_energy: Number | None

    def known(self) -> dict[str, Number]:
        """Return the moments by name, without an E[phi'^2] that is None."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def map(self, function: Callable[[Number], Other]) -> MomentValues[Other]:
        """Return the moments with a function applied to each; None stays None."""
        energy = None if self.slope_energy is None else function(self.slope_energy)
        first, spread, slope, curvature, square = (
            function(value) for value in (self.mean, self.variance, self.d1, self.d2, self.d22)
        )
        return MomentValues(first, spread, slope, curvature, square, energy)
