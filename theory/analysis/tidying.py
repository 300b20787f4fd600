"""Shorter forms of closed-form moments, by steps that always end quickly.

A closed form is read as a sum of special values (exponentials, error functions, roots) with coefficients that are
rational functions of tau and the parameters.  Coefficients of the same special value are put together and factored;
of a few equivalent forms the shortest is kept.  Everything that could run away is limited by size beforehand.
"""

from __future__ import annotations

from collections import defaultdict
from math import comb, prod

import sympy as sp

from theory.symbols import xi

__all__ = [
    "expand_outside",
    "expanded_terms",
    "factor_outside",
    "factored",
    "shortest",
    "tidy",
    "without_imaginary_unit",
]

#: Sums with more terms than this are left as they are.
MAX_TERMS = 120
#: A coefficient with more operations than this is not factored.
MAX_COEFFICIENT_OPERATIONS = 150
#: Numerators and denominators of exponents beyond which a power is a symbol of its own when coefficients are factored.
MAX_DEGREE = 64


def tidy(expr: sp.Expr) -> sp.Expr:
    """Return an equal expression, usually shorter, real where that is possible without search."""
    expr = without_imaginary_unit(expr)
    if expr.is_Atom or len(sp.Add.make_args(expr)) > MAX_TERMS:
        return expr
    expectations = {node: sp.Dummy("e", real=True) for node in _outermost_functions(expr) if node.has(xi)}
    if expectations:
        shorter = tidy(expr.xreplace(expectations))
        return shorter.xreplace({symbol: node for node, symbol in expectations.items()})
    hidden, bases = _hide_roots(expr)
    regrouped = _regroup(hidden, bases)
    errors = {node.args[0] for node in hidden.atoms(sp.erf)} & {node.args[0] for node in hidden.atoms(sp.erfc)}
    if errors:
        # erf + erfc = 1 is used only where they vanish: erf alone would cancel where erfc is small.
        merged = _regroup(hidden.xreplace({sp.erfc(argument): 1 - sp.erf(argument) for argument in errors}), bases)
        if not errors & {node.args[0] for node in merged.atoms(sp.erf)}:
            return merged
    return regrouped


def expanded_terms(expr: sp.Expr) -> int:
    """How many terms an expression has at most when multiplied out."""
    if isinstance(expr, sp.Add):
        return sum(expanded_terms(term) for term in expr.args)
    if isinstance(expr, sp.Mul):
        return prod(expanded_terms(factor) for factor in expr.args)
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        terms, exponent = expanded_terms(expr.base), abs(int(expr.exp))
        return comb(terms + exponent - 1, exponent)
    return 1


def shortest(*candidates: sp.Expr) -> sp.Expr:
    """Return the candidate with the fewest operations, the first of equals."""
    return min(candidates, key=lambda candidate: candidate.count_ops())


def _hide_roots(expr: sp.Expr) -> tuple[sp.Expr, dict[sp.Symbol, sp.Expr]]:
    """Replace sums in denominators and under roots by symbols, so that expanding leaves their powers alone."""
    bases: dict[sp.Symbol, sp.Expr] = {}
    symbols: dict[sp.Expr, sp.Symbol] = {}

    def hide(node: sp.Expr) -> sp.Expr:
        if node.base not in symbols:
            symbols[node.base] = sp.Dummy(f"p{len(symbols)}", positive=True)
            # Inner roots were hidden first: their values go in, so that one substitution restores everything.
            bases[symbols[node.base]] = node.base.xreplace(bases)
        return symbols[node.base] ** node.exp

    def is_root(node: sp.Expr) -> bool:
        return bool(node.is_Pow and node.base.is_Add and not node.exp.is_positive) or bool(
            node.is_Pow and node.base.is_Add and not node.exp.is_Integer
        )

    return expr.replace(is_root, hide), bases


def _regroup(expr: sp.Expr, bases: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    terms = sp.Add.make_args(sp.expand(expr)) if expanded_terms(expr) <= 4 * MAX_TERMS else ()
    if not 0 < len(terms) <= MAX_TERMS:
        return expr.xreplace(bases)
    groups: defaultdict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for term in terms:
        coefficient, special = _rational_part(term, bases)
        groups[special].append(coefficient)
    total = sp.Add(*(special.xreplace(bases) * _coefficient(parts, bases) for special, parts in groups.items()))
    return shortest(factor_outside(total), total)


def factor_outside(expr: sp.Expr) -> sp.Expr:
    """Pull common factors out of a sum, leaving what stands inside functions and expectations as it is."""
    inside = {node: sp.Dummy(real=True) for node in _outermost_functions(expr)}
    return sp.factor_terms(expr.xreplace(inside)).xreplace({symbol: node for node, symbol in inside.items()})


def expand_outside(expr: sp.Expr) -> sp.Expr:
    """Multiply out, leaving what stands inside functions as it is."""
    inside = {node: sp.Dummy(real=True) for node in _outermost_functions(expr)}
    return sp.expand(expr.xreplace(inside)).xreplace({symbol: node for node, symbol in inside.items()})


def _outermost_functions(expr: sp.Expr) -> list[sp.Expr]:
    functions = []
    walk = sp.preorder_traversal(expr)
    for node in walk:
        if isinstance(node, sp.Expr) and not (node.is_Add or node.is_Mul or node.is_Pow or node.is_Atom):
            functions.append(node)
            walk.skip()
    return functions


def _rational_part(term: sp.Expr, bases: dict[sp.Symbol, sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """Split a term into a rational function (roots' symbols replaced by their values) and the special rest."""
    rational, special = [], []
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if factor.is_Rational or (base.is_Symbol and base not in bases and exponent.is_Integer):
            rational.append(factor)
        elif base in bases and exponent.is_Rational:
            whole = sp.ceiling(exponent)
            rational.append(bases[base] ** whole)
            special.append(base ** (exponent - whole))
        else:
            special.append(factor)
    return sp.Mul(*rational), sp.Mul(*special)


def _coefficient(parts: list[sp.Expr], bases: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    """The sum of rational functions, as one fraction where the denominators are sums."""
    total = sp.Add(*parts)
    if len(parts) == 1 or total.count_ops() > MAX_COEFFICIENT_OPERATIONS:
        return total
    negative = {sp.expand(-base): base for base in bases.values()}
    product = factored(total).replace(
        lambda node: node.is_Pow and node.base in negative and node.exp.is_Integer,
        lambda node: (-1) ** node.exp * negative[node.base] ** node.exp,
    )
    numerator, denominator = sp.fraction(product)
    one_fraction = shortest(product, sp.factor_terms(sp.expand(numerator)) / denominator)
    is_plain = not any(factor.as_base_exp()[0].is_Add for factor in sp.Mul.make_args(denominator))
    return shortest(one_fraction, total) if is_plain else one_fraction


def factored(expr: sp.Expr) -> sp.Expr:
    """The expression factored, with powers of high degree as symbols of their own.

    To SymPy exp(10**10*u) and exp(u) are a polynomial of degree 10**10 in exp(u), and it writes all coefficients down.
    """
    steep = {node: sp.Dummy(positive=True) for node in expr.atoms(sp.exp, sp.Pow) if _degree(node) > MAX_DEGREE}
    return sp.factor(expr.xreplace(steep)).xreplace({symbol: node for node, symbol in steep.items()})


def _degree(node: sp.Expr) -> int:
    """The largest numerator or denominator of the coefficients in a power's exponent."""
    factors = (term.as_coeff_Mul()[0] for term in sp.Add.make_args(node.as_base_exp()[1]))
    return max(max(abs(int(factor.p)), int(factor.q)) for factor in factors if factor.is_Rational)


def without_imaginary_unit(expr: sp.Expr) -> sp.Expr:
    """Write a real expression that came from exp(i w x) with cos, sin and erfi where that removes I."""
    if not expr.has(sp.I):
        return expr
    expr = expr.replace(_is_imaginary_error, _to_erfi)
    if any(node.has(sp.I) for node in expr.atoms(sp.erf, sp.erfc, sp.erfi)):
        # A complex error function: the terms come in conjugate pairs, so the sum is real as it stands.
        return expr
    expanded = sp.expand(
        expr.replace(_is_complex_inverse, _to_real_denominator).replace(_is_complex_exponential, _to_cosine)
    )
    return sp.Add(*(term for term in sp.Add.make_args(expanded) if not term.has(sp.I)))


def _is_imaginary_error(node: sp.Expr) -> bool:
    return isinstance(node, sp.erf | sp.erfc) and node.has(sp.I) and not sp.expand(node.args[0] / sp.I).has(sp.I)


def _to_erfi(node: sp.Expr) -> sp.Expr:
    value = sp.I * sp.erfi(sp.expand(node.args[0] / sp.I))
    return value if isinstance(node, sp.erf) else 1 - value


def _is_complex_inverse(node: sp.Expr) -> bool:
    return bool(node.is_Pow and node.exp.is_negative and node.base.has(sp.I))


def _to_real_denominator(node: sp.Expr) -> sp.Expr:
    real, angle = _cartesian(node.base)
    return ((real - sp.I * angle) / sp.expand(real**2 + angle**2)) ** (-node.exp)


def _cartesian(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Real and imaginary parts of a polynomial in real symbols and I."""
    expanded = sp.expand(expr)
    real = sp.Add(*(term for term in sp.Add.make_args(expanded) if not term.has(sp.I)))
    return real, sp.expand((expanded - real) / sp.I)


def _is_complex_exponential(node: sp.Expr) -> bool:
    return isinstance(node, sp.exp) and node.has(sp.I)


def _to_cosine(node: sp.Expr) -> sp.Expr:
    real, angle = _cartesian(node.args[0])
    return sp.exp(real) * (sp.cos(angle) + sp.I * sp.sin(angle))
