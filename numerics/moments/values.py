"""The Gaussian moments that the system of equations needs, as numbers of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "MomentAccuracyError",
    "MomentValues",
]


class MomentAccuracyError(ArithmeticError):
    """A moment whose digits did not settle as the working precision was raised."""


@dataclass(frozen=True)
class MomentValues:
    """Moments of one activation at one scale tau, mpmath numbers.

    Attributes:
        mean: E[phi_0(tau xi)].
        variance: Var phi_0(tau xi).
        d1: E[phi'(tau xi)].
        d2: E[phi''(tau xi)].
        d22: E[(phi^2)''(tau xi)] of the centred activation.
        slope_energy: E[phi'(tau xi)^2], or None where it is infinite.
    """

    mean: Any
    variance: Any
    d1: Any
    d2: Any
    d22: Any
    slope_energy: Any | None
