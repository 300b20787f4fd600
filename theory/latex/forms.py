"""Exact expressions rearranged to be read: the normal distribution function, expectations, names for long constants."""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.activations import Activation, Parameter
from theory.moments import RAW_MOMENTS, STEIN_FORMS, GaussianExpectation
from theory.symbols import alpha, d2, lambda_, tau, xi

__all__ = [
    "NormalCDF",
    "RealPart",
    "StateSum",
    "Uncentred",
    "by_coefficient",
    "gathered",
    "in_activation",
    "name_long_constants",
    "readable",
    "real_parts",
    "with_normal_cdf",
]

#: Rationals with more digits than this, numerator and denominator together, get a name.
MAX_DIGITS = 18


class NormalCDF(sp.Function):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """Distribution function Phi of the standard normal law."""

    nargs = 1

    def _eval_rewrite(self, rule: Any, args: Any, **hints: Any) -> Any:
        return (1 + sp.erf(args[0] / sp.sqrt(2))) / 2 if rule is sp.erf else None


class Uncentred(sp.Function):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """The activation phi_0 itself, where its expression would be too long to repeat."""

    nargs = 1


class RealPart(sp.Function):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """Real part of a complex number."""

    nargs = 1
    is_real = True


class StateSum(sp.Function):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """The sum over the states s that a state r receives from, each by its weights' variance sigma_rs^2."""

    nargs = 1
    is_real = True


def real_parts(expr: sp.Expr) -> sp.Expr:
    """Write a sum of complex terms in conjugate pairs as twice the real part of one of each; real sums stay."""

    def pair(node: sp.Expr) -> sp.Expr:
        real = [term for term in node.args if not term.has(sp.I)]
        factors: dict[sp.Expr, sp.Expr] = {}
        for term in node.args:
            if term.has(sp.I):
                factor, special = _special_part(term)
                factors[special] = sp.expand(factors.get(special, sp.S.Zero) + factor)
        halves = []
        for special, factor in factors.items():
            other = special.xreplace(_CONJUGATE)
            if other == special or sp.expand(factor.xreplace(_CONJUGATE) - factors.get(other, sp.S.Zero)) != 0:
                return node
            if str(special) < str(other):
                halves.append(factor * special)
        return sp.Add(*real, 2 * RealPart(sp.Add(*halves))) if halves else node

    return expr.replace(lambda node: node.is_Add and node.atoms(sp.Function) and node.has(sp.I), pair)


_CONJUGATE = {sp.I: -sp.I}


def _special_part(term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Coefficient, and the product of exponentials and special functions, of a term."""
    factors = sp.Mul.make_args(term)
    special = [factor for factor in factors if factor.atoms(sp.Function)]
    exponent = sp.Add(*(factor.args[0] for factor in special if isinstance(factor, sp.exp)))
    others = [factor for factor in special if not isinstance(factor, sp.exp)]
    return sp.Mul(*(factor for factor in factors if factor not in special)), sp.exp(exponent) * sp.Mul(*others)


def gathered(expr: sp.Expr) -> sp.Expr:
    """Write E[xi^2 g] - E[g] as E[(xi^2 - 1) g], at every depth."""

    def gather(node: sp.Expr) -> sp.Expr:
        factors: dict[sp.Expr, sp.Expr] = {}
        rest = []
        for term in node.args:
            means = [factor for factor in sp.Mul.make_args(term) if isinstance(factor, GaussianExpectation)]
            if len(means) == 1:
                factors[means[0].integrand] = factors.get(means[0].integrand, sp.S.Zero) + term / means[0]
            else:
                rest.append(term)
        for integrand, factor in list(factors.items()):
            if integrand in factors and factors.get(xi**2 * integrand) == -factor:
                rest.append(factors.pop(xi**2 * integrand) * GaussianExpectation((xi**2 - 1) * integrand))
                del factors[integrand]
        return sp.Add(*rest, *(factor * GaussianExpectation(integrand) for integrand, factor in factors.items()))

    return expr.replace(lambda node: node.is_Add and node.has(GaussianExpectation), gather)


def in_activation(symbol: sp.Symbol, *, squared: bool = False) -> sp.Expr:
    """Return d1 or d2 through phi_0 as Stein's identities have it, or E[(phi_0^2)''] (``theory.moments.stein``)."""
    value = Uncentred(tau * xi) ** (2 if squared else 1)
    raw = {RAW_MOMENTS[k, 1]: GaussianExpectation(xi**k * value) for k in range(3)}
    return gathered(STEIN_FORMS[d2 if squared else symbol].xreplace(raw))


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
    # c exp(x) - c became two terms when the number was multiplied out.
    written = written.replace(lambda node: isinstance(node, sp.Add), sp.factor_terms)
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


def readable(expr: sp.Expr) -> sp.Expr:
    """Return a moment in the form in which it is written: all of this module's but by_coefficient."""
    return gathered(real_parts(with_normal_cdf(expr)))
