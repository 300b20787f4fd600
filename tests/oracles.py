"""Independent quadrature of Gaussian expectations, to hold the theory's closed forms against.

Nothing of the theory's integration is used: the integrand is the expression as it was written (Max, Abs, Piecewise and
all), evaluated by mpmath through SymPy's code printer, and integrated by adaptive Gauss-Legendre panels.  The only
thing taken on trust is where the kinks are, and not even that: a panel that contains an undeclared kink does not
converge, and ``OracleError`` is raised instead of a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import flint
import mpmath
import sympy as sp
from mpmath import mp

from theory.moments import GaussianExpectation
from theory.symbols import x, xi

__all__ = ["OracleError", "Quadrature", "evaluate", "expectation", "function_of", "integrate"]

#: Nodes of a panel; width of the panels to start from; how often a panel may be halved.
_NODES = 40
_WIDTH = 3
_DEPTH = 300
#: Integrand evaluations that one integral may cost.
_BUDGET = 400_000


class OracleError(ArithmeticError):
    """A quadrature that did not reach the digits asked for."""


@dataclass(frozen=True)
class Quadrature:
    """An integral against the standard normal density.

    Attributes:
        value: E[g(xi)].
        magnitude: about E|g(xi)|, the scale that cancellation is measured against.
        error: estimate of the absolute error of ``value``.
    """

    value: mpmath.mpf
    magnitude: mpmath.mpf
    error: mpmath.mpf


def _unit_step(value: mpmath.mpf, _at_zero: Any = None) -> mpmath.mpf:
    return mp.mpf(1) if value > 0 else mp.mpf(0) if value < 0 else mp.mpf("0.5")


def _logistic(value: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mp.exp(-value))


def _soft(value: mpmath.mpf) -> mpmath.mpf:
    return value + mp.log1p(mp.exp(-value)) if value > 0 else mp.log1p(mp.exp(value))


_NAMES = {
    "Heaviside": _unit_step,
    "sigmoid": _logistic,
    "softplus": _soft,
    "Max": max,
    "Min": min,
    "Abs": abs,
    "sign": mp.sign,
}


@lru_cache(maxsize=2048)
def _compiled(expr: sp.Expr, arguments: tuple[sp.Symbol, ...]) -> Callable[..., Any]:
    return sp.lambdify(arguments, expr, [_NAMES, "mpmath"], cse=True)


def function_of(expr: sp.Expr, variable: sp.Symbol = x) -> Callable[[mpmath.mpf], mpmath.mpf]:
    """Return a function of one mpmath number, at whatever precision is set when it is called."""
    stray = expr.free_symbols - {variable}
    if stray:
        raise ValueError(f"{expr} still contains {stray}")
    return _compiled(expr, (variable,))


@lru_cache(maxsize=64)
def _rule(nodes: int, digits: int) -> tuple[tuple[mpmath.mpf, ...], tuple[mpmath.mpf, ...]]:
    """Gauss-Legendre nodes and weights on [-1, 1], from Arb's certified roots."""
    with flint.ctx.workdps(digits + 10):
        pairs = [flint.arb.legendre_p_root(nodes, k, True) for k in range(nodes)]
        texts = [(root.str(digits + 5, radius=False), weight.str(digits + 5, radius=False)) for root, weight in pairs]
    with mp.workdps(digits + 5):
        return tuple(mp.mpf(root) for root, _ in texts), tuple(mp.mpf(weight) for _, weight in texts)


def _far_end(weighted: Callable[[mpmath.mpf], mpmath.mpf], start: mpmath.mpf, side: int, floor: mpmath.mpf) -> Any:
    """A point beyond which the integrand is below the floor (seen at several points, as it may oscillate)."""
    length = mp.mpf(9)
    while length < 3000:
        seen = [
            weighted(start + side * length * k) for k in (mp.mpf(1), mp.mpf("1.07"), mp.mpf("1.19"), mp.mpf("1.31"))
        ]
        if all(abs(value) * length < floor for value in seen):
            return start + side * length
        length *= mp.mpf("1.15")
    raise OracleError("the integrand does not decay")


def integrate(function: Callable[[mpmath.mpf], Any], kinks: Iterable[Any] = (), digits: int = 50) -> Quadrature:
    """Integrate a function against the standard normal density, to ``digits`` digits of its magnitude.

    Args:
        function: real function of one mpmath number, analytic between the kinks.
        kinks: where it is not analytic, as mpmath numbers or anything mpmath reads.
        digits: wanted digits, relative to E|function(xi)|.

    Raises:
        OracleError: the digits were not reached.
    """
    working = digits + 15
    spent = 0
    with mp.workdps(working):
        nodes, weights = _rule(_NODES, working)
        normaliser = 1 / mp.sqrt(2 * mp.pi)

        def weighted(point: mpmath.mpf) -> mpmath.mpf:
            return function(point) * mp.exp(-point * point / 2) * normaliser

        def panel(left: mpmath.mpf, right: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
            nonlocal spent
            spent += _NODES
            if spent > _BUDGET:
                raise OracleError("the quadrature does not converge: is a kink missing?")
            half, middle = (right - left) / 2, (right + left) / 2
            values = [weight * weighted(middle + half * node) for node, weight in zip(nodes, weights, strict=True)]
            return half * mp.fsum(values), half * mp.fsum(abs(value) for value in values)

        cuts = sorted({mp.mpf(0), *(mp.mpf(point) for point in kinks)})
        largest = max(abs(weighted(mp.mpf(k) / 2 + mp.mpf(1) / 7)) for k in range(-16, 16))
        floor = mp.mpf(10) ** -(digits + 6) * min(1, largest or 1)
        ends = [_far_end(weighted, cuts[0], -1, floor), *cuts, _far_end(weighted, cuts[-1], 1, floor)]
        pending = []
        for left, right in itertools.pairwise(ends):
            count = int(mp.ceil((right - left) / _WIDTH))
            edges = [left + (right - left) * k / count for k in range(count)] + [right]
            pending.extend((a, b, panel(a, b), _DEPTH) for a, b in itertools.pairwise(edges))
        magnitude = mp.fsum(size for _, _, (_, size), _ in pending)
        tolerance = (magnitude or 1) * mp.mpf(10) ** -(digits + 3)
        values, errors = [], [floor]
        while pending:
            left, right, (coarse, size), depth = pending.pop()
            middle = (left + right) / 2
            below, above = panel(left, middle), panel(middle, right)
            fine = below[0] + above[0]
            if abs(fine - coarse) <= tolerance:
                values.append(fine)
                errors.append(abs(fine - coarse))
            elif depth == 0 or size <= tolerance:
                values.append(fine)
                errors.append(max(size, abs(fine - coarse)))
            else:
                pending += [(left, middle, below, depth - 1), (middle, right, above, depth - 1)]
        return Quadrature(mp.fsum(values), magnitude, mp.fsum(errors))


def expectation(
    expr: sp.Expr,
    scale: sp.Expr,
    power: int = 0,
    order: int = 1,
    kinks: Iterable[sp.Expr] = (),
    digits: int = 50,
) -> Quadrature:
    """E[xi^power f(scale xi)^order] of a parameter-free expression f in ``theory.symbols.x``.

    Args:
        expr: the function f, with no symbol but x.
        scale: positive exact number.
        power: power of xi.
        order: power of f.
        kinks: exact positions on the axis of x where f is not analytic.
        digits: wanted digits.

    Raises:
        OracleError: the digits were not reached.
    """
    value_at = function_of(expr)
    working = digits + 25
    with mp.workdps(working):
        width = _number(scale, working)
        places = [_number(kink, working) / width for kink in kinks]

        def integrand(point: mpmath.mpf) -> mpmath.mpf:
            return point**power * value_at(width * point) ** order

        return integrate(integrand, places, digits)


def _number(value: sp.Expr, digits: int) -> mpmath.mpf:
    number = value.evalf(digits)
    if not number.is_Float and not number.is_Integer and not number.is_Rational:
        raise ValueError(f"{value} is not a number")
    return mp.mpf(number._mpf_) if number.is_Float else mp.mpf(number.p) / number.q


def evaluate(
    expr: sp.Expr,
    values: Mapping[sp.Symbol, sp.Expr] | None = None,
    kinks: Iterable[sp.Expr] = (),
    digits: int = 50,
) -> mpmath.mpc:
    """Evaluate an expression of the theory at exact values; expectations in it are integrated here.

    The closed part is evaluated at two precisions, which must agree: SymPy's own evalf takes no part.

    Args:
        expr: expression in the symbols of ``values``.
        values: exact numbers.
        kinks: where the integrands of expectations are not analytic, on the axis of xi.
        digits: wanted digits, relative to the largest intermediate result.

    Raises:
        OracleError: the two precisions disagree, or an expectation was not integrated to the digits asked for.
    """
    bound = expr.subs(values or {}, simultaneous=True)
    known: dict[sp.Dummy, mpmath.mpf] = {}
    places = list(kinks)
    for node in bound.atoms(GaussianExpectation):
        with mp.workdps(digits + 25):
            cuts = [_number(place, digits + 25) for place in places]
        symbol = sp.Dummy("moment")
        known[symbol] = integrate(function_of(node.integrand, xi), cuts, digits).value
        bound = bound.xreplace({node: symbol})
    # mpmath has no algebraic numbers without a formula: they go in as digits.
    roots = {node: sp.Dummy("root") for node in bound.atoms(sp.CRootOf)}
    bound = bound.xreplace(roots)
    symbols = (*known, *roots.values())
    results: list[mpmath.mpc] = []
    for extra in (60, 110, 250, 500):
        with mp.workdps(digits + extra):
            numbers = [_number(node, digits + extra) for node in roots]
            results.append(mp.mpc(_compiled(bound, symbols)(*known.values(), *numbers)))
            settled = mp.mpf(10) ** -(digits + 5) * max(1, abs(results[-1]))
            if len(results) > 1 and abs(results[-1] - results[-2]) <= settled:
                return results[-1]
    raise OracleError(f"{bound} loses more digits to cancellation than the oracle carries")
