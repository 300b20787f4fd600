"""The system solved as a plain mpmath script would: quadrature for every moment, a secant iteration for tau_*.

No closed forms, no precision ladder, no shared nodes and no error bounds.  It is what the benchmarks compare with, and
one more independent check; use ``numerics.equilibrium.float64`` or ``numerics.equilibrium.certified`` for results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath
import sympy as sp

from numerics.arithmetic import MpArithmetic, compile_program
from numerics.equilibrium.formulas import CompiledFormulas
from theory.analysis import Piece
from theory.equations import DEQ
from theory.functions import sigmoid, softplus
from theory.moments import RAW_MOMENTS, STEIN_FORMS
from theory.symbols import d1, d2, d22, mean, tau, variance, x

__all__ = [
    "naive_variance",
    "solve_naively",
]

_GUARD = 10


def solve_naively(deq: DEQ, digits: int, start: float) -> Mapping[str, Any]:
    """Return tau_* and every coefficient as mpmath numbers, by key of ``theory.equations.COEFFICIENTS``.

    Args:
        deq: the DEQ; its activation is continuous and of less than quadratic-exponential growth.
        digits: significant digits.
        start: tau_* to a few digits.
    """
    mp = mpmath.MPContext()
    mp.dps = digits + _GUARD
    arithmetic = MpArithmetic(mp)
    activation = deq.activation
    value, slope = (_function(pieces, arithmetic) for pieces in (activation.pieces, activation.slope_pieces))
    weight_a, weight_b, scale0 = (arithmetic.constant(number) for number in (*deq.variances, deq.tau0))
    kinks = [arithmetic.constant(point) for point in activation.breakpoints]
    width = mp.sqrt(2 * mp.log(10) * mp.dps) + 5

    def expectation(function: Callable[[Any], Any], scale: Any) -> Any:
        points = sorted([-width, mp.zero, width, *(kink / scale for kink in kinks if kink != 0)])
        return mp.quad(lambda xi: function(xi) * mp.npdf(xi), points)

    def spread(scale: Any) -> Any:
        first = expectation(lambda xi: value(scale * xi), scale)
        return expectation(lambda xi: value(scale * xi) ** 2, scale) - first**2

    def equation(scale: Any) -> Any:
        return scale**2 - weight_a * spread(scale) - weight_b * scale0**2

    scale = mp.findroot(equation, (mp.mpf(start), mp.mpf(start) * (1 + mp.mpf(10) ** -8)), solver="secant")
    raw = [
        expectation(lambda xi, k=k, j=j: xi**k * value(scale * xi) ** j, scale)  # type: ignore[misc]
        for k, j in RAW_MOMENTS
    ]
    energy = expectation(lambda xi: slope(scale * xi) ** 2, scale)
    symbols = (mean, variance, d1, d2, d22)
    stein = compile_program([STEIN_FORMS[s] for s in symbols], [tau, *RAW_MOMENTS.values()], arithmetic)
    bias, *moments = stein(scale, *raw)
    inputs = (scale, *moments, energy, weight_a, weight_b)
    return {"tau": scale, "bias": bias, **CompiledFormulas.over(arithmetic).coefficients_at(inputs, with_ntk=True)}


def _function(pieces: tuple[Piece, ...], arithmetic: MpArithmetic) -> Callable[[Any], Any]:
    edges = [arithmetic.constant(piece.upper) for piece in pieces[:-1]]
    programs = [compile_program([piece.expr], [x], arithmetic) for piece in pieces]

    def evaluate(point: Any) -> Any:
        return programs[sum(1 for edge in edges if point > edge)](point)[0]

    return evaluate


def naive_variance(expr: sp.Expr, scale: str, splits: Sequence[sp.Expr], digits: int = 15) -> tuple[Any, Any]:
    """Return Var f(scale xi) by quadrature of the expression as it is written, and an estimate of its error.

    Neither pieces nor compiled programs play a part, but for the places where the quadrature is split.

    Args:
        expr: f in ``theory.symbols.x``, without parameters.
        scale: tau as a decimal.
        splits: exact kinks and jumps of f.
        digits: of the arithmetic, in decimal digits.
    """
    mp = mpmath.MPContext()
    mp.dps = digits
    tau_ = mp.mpf(scale)
    width = mp.sqrt(2 * mp.log(10) * mp.dps) + 3
    kinks = [mp.mpf(str(sp.N(point, digits + 5))) / tau_ for point in splits]
    points = sorted({*(mp.mpf(k) for k in range(-int(width), int(width) + 1)), *(k for k in kinks if abs(k) < width)})

    def value(xi: Any) -> Any:
        return _evaluated(expr, tau_ * xi, mp)

    first, error = mp.quad(lambda xi: value(xi) * mp.npdf(xi), points, error=True)
    centred, second_error = mp.quad(lambda xi: (value(xi) - first) ** 2 * mp.npdf(xi), points, error=True)
    return centred, error + second_error


def _evaluated(expr: sp.Basic, point: Any, mp: Any) -> Any:
    """Evaluate an expression at a number, node by node."""
    if expr == x:
        return point
    if expr.is_Rational:
        return mp.mpf(int(expr.p)) / int(expr.q)
    if isinstance(expr, sp.Piecewise):
        for branch, condition in expr.args:
            if condition == sp.true or condition.subs(x, sp.Float(point, mp.dps)) == sp.true:
                return _evaluated(branch, point, mp)
        return mp.nan
    values = [_evaluated(part, point, mp) for part in expr.args]
    if isinstance(expr, sp.Add):
        return mp.fsum(values)
    if isinstance(expr, sp.Mul):
        return mp.fprod(values)
    if isinstance(expr, sp.Pow):
        return mp.power(*values)
    if isinstance(expr, sp.Max | sp.Min):
        return (max if isinstance(expr, sp.Max) else min)(values)
    known = {
        sigmoid: lambda u: 1 / (1 + mp.exp(-u)),
        softplus: lambda u: max(u, mp.zero) + mp.log1p(mp.exp(-abs(u))),
        sp.Abs: abs,
        sp.sign: mp.sign,
        sp.Heaviside: lambda u, _half: (1 + mp.sign(u)) / 2,
    }
    function = known.get(type(expr)) or getattr(mp, type(expr).__name__, None)
    return function(*values) if values and callable(function) else mp.mpf(str(sp.N(expr, mp.dps + 5)))
