"""Exact expressions rearranged to be read: the normal distribution function, and names for long constants."""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.activations import Activation, Parameter
from theory.symbols import alpha, lambda_

__all__ = ["NormalCDF", "by_coefficient", "name_long_constants", "with_normal_cdf"]

#: Rationals with more digits than this, numerator and denominator together, get a name.
MAX_DIGITS = 18


class NormalCDF(sp.Function):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """Distribution function Phi of the standard normal law."""

    nargs = 1

    def _eval_rewrite(self, rule: Any, args: Any, **hints: Any) -> Any:
        return (1 + sp.erf(args[0] / sp.sqrt(2))) / 2 if rule is sp.erf else None


def with_normal_cdf(expr: sp.Expr) -> sp.Expr:
    """Write (1 + erf(u/sqrt(2)))/2 as Phi(u), and erfc(u/sqrt(2)) as 2 Phi(-u) unless other error functions stay."""

    def fold(node: sp.Expr) -> sp.Expr:
        for term in node.args:
            factor, function = term.as_coeff_Mul()
            if isinstance(function, sp.erf) and factor.is_positive and node.args[0] == factor:
                rest = sp.Add(*(other for other in node.args[1:] if other != term))
                return 2 * factor * NormalCDF(_plain(function.args[0])) + rest
        return node

    expr = expr.replace(lambda node: node.is_Add and node.args[0].is_Rational, fold)
    if expr.has(sp.erf):
        return expr
    return expr.replace(
        lambda node: isinstance(node, sp.erfc) and not node.has(sp.I), lambda node: 2 * NormalCDF(-_plain(node.args[0]))
    )


def _plain(argument: sp.Expr) -> sp.Expr:
    return sp.sqrt(2) * argument


def name_long_constants(activation: Activation) -> tuple[Activation, dict[sp.Symbol, sp.Rational]]:
    """Give names c_1, c_2, ... to the rationals of an activation that are too long to be read.

    Returns:
        The activation with the names as parameters, and what they stand for.
    """
    names: dict[sp.Rational, sp.Symbol] = {}
    for number in sorted(activation.expr.atoms(sp.Rational), key=abs):
        if len(str(number)) > MAX_DIGITS and abs(number) not in names:
            names[abs(number)] = sp.Symbol(f"c_{len(names) + 1}", positive=True)
    if not names:
        return activation, {}
    # A name stands for the positive number; a negative one is minus its name.
    written = activation.expr.xreplace(
        {sign * number: sign * name for number, name in names.items() for sign in (1, -1)}
    )
    parameters = tuple(Parameter(name, number, "named constant") for number, name in names.items())
    named = Activation(activation.name, written, (*activation.parameters, *parameters), activation.description)
    return named, {name: number for number, name in names.items()}


def by_coefficient(expr: sp.Expr) -> sp.Expr:
    """Sort a rational function by the kernels' coefficients alpha_k and lambda_k in it, each with its own fraction."""
    numerator, denominator = sp.fraction(sp.together(expr))
    unknowns = [symbol for symbol in (*alpha.values(), *lambda_.values()) if numerator.has(symbol)]
    if not unknowns or any(denominator.has(symbol) for symbol in unknowns):
        return expr
    terms = sp.Poly(numerator, *unknowns).terms()
    monomials = (
        sp.Mul(*(symbol**power for symbol, power in zip(unknowns, powers, strict=True))) for powers, _ in terms
    )
    return sp.Add(*(sp.factor(factor / denominator) * m for m, (_, factor) in zip(monomials, terms, strict=True)))
