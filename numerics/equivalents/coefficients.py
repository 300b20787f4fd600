"""Coefficients of an equivalent as floats: checked, and without what is rounding.

Theory sheet, section 4.
"""

from __future__ import annotations

import numpy as np

from theory.kernels import KernelCoefficients

__all__ = ["check_coefficients", "identity_coefficient", "without_rounding"]

#: Below this share of the diagonal a coefficient, times its power of tau_0, is rounding: alpha_1 is 0 where the
#: activation is even (the bulk is then a point), alpha_2 and alpha_3 where it is odd.
_ROUNDING = 1e-12


def check_coefficients(coefficients: KernelCoefficients[float]) -> None:
    """Check that the coefficients are those of a kernel.

    Raises:
        ValueError: a coefficient that is not finite, or a negative one of S.
    """
    if not all(np.isfinite(number) for number in coefficients):
        raise ValueError(f"the coefficients must be finite, got {tuple(coefficients)}")
    if coefficients.linear < 0:
        raise ValueError(f"the coefficient of S must not be negative, got {coefficients.linear}")


def identity_coefficient(coefficients: KernelCoefficients[float], tau0: float) -> float:
    """Return the diagonal less tau_0^2 times the coefficient of S, exactly 0 where these differ by rounding.

    Of a kernel it is not negative: E phi(x) phi(y) is a power series in the correlation whose coefficients are not.

    Args:
        coefficients: of a kernel.
        tau0: input scale tau_0.
    """
    found = float(coefficients.identity(tau0))
    return found if abs(found) > _ROUNDING * abs(coefficients.diagonal) else 0.0


def without_rounding(coefficients: KernelCoefficients[float], tau0: float) -> KernelCoefficients[float]:
    """Return the coefficients with those that are 0 up to rounding set to 0.

    Args:
        coefficients: of a kernel.
        tau0: input scale tau_0.

    Raises:
        ValueError: as for ``check_coefficients``.
    """
    check_coefficients(coefficients)

    def kept(value: float, power: int) -> float:
        return value if abs(value) * tau0**power > _ROUNDING * abs(coefficients.diagonal) else 0.0

    return KernelCoefficients(
        kept(coefficients.linear, 2),
        kept(coefficients.variance, 4),
        kept(coefficients.square, 4),
        coefficients.diagonal,
    )
