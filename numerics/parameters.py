"""What a library call may be given: an activation or its text, and numbers of any kind that stand for exact ones.

One place reads them, so that every public function accepts the same and complains in the same words.  A float is the
decimal that it prints: 0.2 is 1/5.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import NDArray

from theory.activations import Activation, resolve
from theory.grammar import ActivationSyntaxError, parse_number

__all__ = [
    "EquilibriumError",
    "as_activation",
    "as_array",
    "as_exact",
    "check_parameters",
    "exact_parameters",
    "margin_text",
]


class EquilibriumError(ValueError):
    """Parameters for which there is no stable equilibrium, or which are out of range."""


def as_activation(activation: Activation | str) -> Activation:
    """Return an activation without free parameters; a text is a registered name or an expression in x.

    Raises:
        TypeError: neither an activation nor a text.
        ActivationSyntaxError: a text that is neither a name nor an expression in the grammar.
        DomainError, GrowthError: an expression that is not an activation (see ``Activation.from_text``).
    """
    if isinstance(activation, str):
        return resolve(activation).with_parameters({})
    if isinstance(activation, Activation):
        return activation.with_parameters({}) if activation.parameters else activation
    raise TypeError(
        f"the activation must be a registered name, an expression in x as a text, or an Activation, "
        f"not {type(activation).__name__}: {activation!r}"
    )


def as_array(value: Any, name: str) -> NDArray[np.float64]:
    """Return a float64 array of any shape; lists and tuples of numbers are accepted.

    Args:
        value: an array, of any shape, or what becomes one.
        name: what it is called in an error.

    Raises:
        ValueError: it is no array of real numbers.
    """
    try:
        found = np.asarray(value)
        return found if found.dtype == np.float64 else found.astype(np.float64, casting="safe")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of real numbers, or lists of equal lengths, not {type(value).__name__}"
        ) from error


def as_exact(value: Any, name: str) -> sp.Expr:
    """Return an exact real number.

    Args:
        value: an exact SymPy number, an int, Fraction or Decimal, a text such as "0.2", "1/5" or "sqrt(2)", or a float
            of Python, NumPy, SymPy or mpmath, which is read as the decimal that it prints.
        name: what it is called in an error.

    Raises:
        EquilibriumError: it is no finite real number.
    """
    found = _read(value)
    if found is None or not (found.is_number and found.is_extended_real and found.is_finite):
        raise EquilibriumError(f"{name} must be a finite number, such as 0.2, Fraction(1, 5) or '1/5', not {value!r}")
    return found


def _read(value: Any) -> sp.Expr | None:
    """The exact number, or None where there is none."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, sp.Expr):
        return value.xreplace({number: sp.Rational(str(number)) for number in value.atoms(sp.Float)})
    if isinstance(value, Integral):
        return sp.Integer(int(value))
    if isinstance(value, Fraction):
        return sp.Rational(value.numerator, value.denominator)
    if isinstance(value, str):
        try:
            return parse_number(value)
        except ActivationSyntaxError:
            return None
    if isinstance(value, float | np.floating):
        return sp.Rational(str(value)) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return sp.Rational(str(value)) if value.is_finite() else None
    if isinstance(value, mpmath.mpf):
        return sp.Rational(str(value)) if mpmath.isfinite(value) else None
    return None


def exact_parameters(sigma_a2: Any, sigma_b2: Any, tau0: Any) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Return sigma_a^2, sigma_b^2 and tau_0 as exact numbers in their ranges; each is anything ``as_exact`` reads.

    Raises:
        EquilibriumError: one is no number, or out of its range.
    """
    exact = as_exact(sigma_a2, "sigma_a2"), as_exact(sigma_b2, "sigma_b2"), as_exact(tau0, "tau0")
    check_parameters(*exact)
    return exact


def check_parameters(weight_a: Any, weight_b: Any, scale: Any) -> None:
    """Check that the parameters are in their ranges.

    Args:
        weight_a: sigma_a^2, a number or an exact expression.
        weight_b: sigma_b^2, likewise.
        scale: tau_0, likewise.

    Raises:
        EquilibriumError: not sigma_a^2 >= 0, sigma_b^2 > 0 and tau_0 > 0.
    """
    if not weight_a >= 0:
        raise EquilibriumError(f"sigma_a2 must be a number >= 0, not {weight_a}")
    if not weight_b > 0:
        raise EquilibriumError(f"sigma_b2 must be a number > 0, not {weight_b}")
    if not scale > 0:
        raise EquilibriumError(f"tau0 must be a number > 0, not {scale}")


def margin_text(margin: Any, digits: int = 6, resolution: float = 0.0) -> str:
    """Return what must be below 1 as a text that tells it from 1: ``0.2``, ``1.5``, or ``1 - 5.0e-11`` next to 1.

    Args:
        margin: a float, an mpmath number or an Arb ball, whose midpoint is shown.
        digits: significant digits away from 1.
        resolution: distance from 1 that is rounding.
    """
    left = float(1 - (margin.mid() if hasattr(margin, "mid") else margin))
    if abs(left) <= resolution:
        return "1"
    if abs(left) >= 10.0 ** (2 - digits):
        return f"{float(margin):.{digits}g}"
    return f"1 {'-' if left > 0 else '+'} {abs(left):.1e}"
