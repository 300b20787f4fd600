"""A deep equilibrium model, as far as the theory of its kernels sees it.

Theory sheet, section 1: h = phi(sigma_a A h / sqrt(m) + sigma_b B x).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import sympy as sp

from theory.activations import Activation, resolve
from theory.grammar import ActivationSyntaxError, parse_number

__all__ = ["DEQ", "EquilibriumError", "exact_number", "exact_numbers"]


class EquilibriumError(ValueError):
    """Parameters for which there is no stable equilibrium, or which are out of range."""


def exact_number(value: Any, name: str) -> sp.Expr:
    """Return an exact real number.

    Args:
        value: an exact SymPy number, an int, Fraction or Decimal, a text such as "0.2", "1/5" or "sqrt(2)", or a float
            of any library, which is read as the decimal that it prints: 0.2 is 1/5.
        name: what it is called in an error.

    Raises:
        EquilibriumError: it is no finite real number.

    Example:
        >>> exact_number(0.2, "sigma_a2")
        1/5
    """
    number = _read(value)
    if number is None or not (number.is_number and number.is_extended_real and number.is_finite):
        raise EquilibriumError(f"{name} must be a finite number, such as 0.2, Fraction(1, 5) or '1/5', not {value!r}")
    return number


def _read(value: Any) -> sp.Expr | None:
    """The exact number, or None where there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, sp.Expr):
        return value.xreplace({number: sp.Rational(str(number)) for number in value.atoms(sp.Float)})
    if isinstance(value, Integral):
        return sp.Integer(int(value))
    if isinstance(value, Fraction):
        return sp.Rational(value.numerator, value.denominator)
    try:
        if isinstance(value, str):
            return parse_number(value)
        # Floats of Python, NumPy and mpmath print as the shortest decimal that is theirs.
        return sp.Rational(str(value)) if isinstance(value, Real | Decimal) else None
    except (ActivationSyntaxError, TypeError, ValueError):
        return None


def exact_numbers(sigma_a2: Any, sigma_b2: Any, tau0: Any) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Return sigma_a^2, sigma_b^2 and tau_0 as exact numbers in their ranges.

    Args:
        sigma_a2: variance of the recurrent weights, >= 0; like the next two anything that ``exact_number`` reads.
        sigma_b2: variance of the input weights, > 0; None for 1 - sigma_a2.
        tau0: input scale tau_0 > 0.

    Raises:
        EquilibriumError: one is no number, or out of its range.

    Example:
        >>> exact_numbers(0.2, None, "sqrt(2)")
        (1/5, 4/5, sqrt(2))
    """
    weight_a = exact_number(sigma_a2, "sigma_a2")
    weight_b = 1 - weight_a if sigma_b2 is None else exact_number(sigma_b2, "sigma_b2")
    scale = exact_number(tau0, "tau0")
    if not weight_a >= 0:
        raise EquilibriumError(f"sigma_a2 must be a number >= 0, not {weight_a}")
    if not weight_b > 0:
        default = "" if sigma_b2 is not None else ", which is 1 - sigma_a2, its value where none is given"
        raise EquilibriumError(f"sigma_b2 must be a number > 0, not {weight_b}{default}")
    if not scale > 0:
        raise EquilibriumError(f"tau0 must be a number > 0, not {scale}")
    return weight_a, weight_b, scale


@dataclass(frozen=True, init=False)
class DEQ:
    """A deep equilibrium model h = phi(sigma_a A h / sqrt(m) + sigma_b B x), A and B of independent N(0, 1) entries.

    Numbers are exact.  The activation is the user's phi_0; the theory's phi is centred at equilibrium.

    Args:
        activation: an activation, a registered name, or an expression in x as a text.
        sigma_a2: variance of the recurrent weights, >= 0; like the next two anything that ``exact_number`` reads.
        sigma_b2: variance of the input weights, > 0; 1 - sigma_a2 where it is not given.
        tau0: input scale tau_0 > 0.
        parameters: values of the activation's parameters by name; the others keep their defaults.

    Attributes:
        activation: without free parameters.
        sigma_a2: exact.
        sigma_b2: exact.
        tau0: exact.

    Raises:
        ActivationSyntaxError: an expression that is not in the grammar.
        DomainError, GrowthError: a name that there is not, or an expression that is not an activation.
        EquilibriumError: a number that is none, or out of its range.
        TypeError: an activation or parameters of another type.

    Example:
        >>> DEQ("tanh", 0.2, "4/5").sigma_b2
        4/5
    """

    activation: Activation
    sigma_a2: sp.Expr
    sigma_b2: sp.Expr
    tau0: sp.Expr

    def __init__(
        self,
        activation: Activation | str,
        sigma_a2: Any = "1/5",
        sigma_b2: Any = None,
        tau0: Any = 1,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        found = activation if isinstance(activation, Activation) else resolve(activation)
        if not isinstance(parameters, Mapping | None):
            raise TypeError(f"parameters must be values by name, such as {{'a': '1/2'}}, not {parameters!r}")
        if found.parameters or parameters:
            values = {name: exact_number(value, name) for name, value in (parameters or {}).items()}
            found = found.with_parameters(values)
        weight_a, weight_b, scale = exact_numbers(sigma_a2, sigma_b2, tau0)
        for name, value in (("activation", found), ("sigma_a2", weight_a), ("sigma_b2", weight_b), ("tau0", scale)):
            object.__setattr__(self, name, value)

    @property
    def variances(self) -> tuple[sp.Expr, sp.Expr]:
        """sigma_a^2 and sigma_b^2."""
        return self.sigma_a2, self.sigma_b2

    def __repr__(self) -> str:
        return f"DEQ({self.activation.name!r}, sigma_a2={self.sigma_a2}, sigma_b2={self.sigma_b2}, tau0={self.tau0})"

    def _repr_latex_(self) -> str:
        numbers = ((r"\sigma_a^2", self.sigma_a2), (r"\sigma_b^2", self.sigma_b2), (r"\tau_0", self.tau0))
        shown = r",\quad ".join(f"{symbol} = {sp.latex(value)}" for symbol, value in numbers)
        return rf"$\phi_0(x) = {sp.latex(self.activation.expr)},\quad {shown}$"
