"""E[f^(j)(u) f^(k)(v)] of a pair of normal variables of equal variance, with weak derivatives.

Theory sheet, section 8.  With F(a, b, l) = E[f(u) f(v)], (u, v) ~ N(0, [[a, l], [l, b]]), Price's theorem and the heat
equation give dF/dl = E[f'(u) f'(v)] and dF/da = E[f''(u) f(v)]/2, across kinks as well: F is smooth where l^2 < a b.
So every moment with j - k even is a partial derivative of the dual activation, and closed where that is.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.activations import Activation
from theory.moments.duals import correlation, dual_form, left_scale, right_scale, sine
from theory.symbols import tau, x

__all__ = ["BivariateExpectation", "bivariate_moment"]


class BivariateExpectation(sp.Expr):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """E[f^(j)(u) f^(k)(v)] for (u, v) ~ N(0, tau^2 [[1, rho], [rho, 1]]), left unevaluated.

    Args:
        function: f, an expression in ``theory.symbols.x``, which is bound.
        first: j.
        second: k.
        scale: tau.
        rho: correlation, of modulus below 1 unless j = k = 0.

    Example:
        >>> BivariateExpectation(sp.tanh(x), 2, 0)
        E[f^(2)(u) f^(0)(v); f = tanh(x), tau = tau, rho = rho]
    """

    is_commutative = True
    is_real = True

    def __new__(
        cls, function: sp.Expr, first: int, second: int, scale: sp.Expr = tau, rho: sp.Expr = correlation
    ) -> BivariateExpectation:
        """Return the expectation, unevaluated."""
        parts = (function, sp.Integer(first), sp.Integer(second), scale, rho)
        created: BivariateExpectation = sp.Expr.__new__(cls, *parts)
        return created

    @property
    def bound_symbols(self) -> list[sp.Symbol]:
        """The argument of f, as SymPy's interface for bound symbols has it."""
        return [x]

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """Symbols other than the argument of f."""
        function, _, _, scale, rho = self.args
        return (set(function.free_symbols) - {x}) | set(scale.free_symbols) | set(rho.free_symbols)

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        """The chain rule over a = b = tau^2 and l = rho tau^2; f itself has no symbol but x."""
        function, j, k, scale, rho = self.args

        def raised(by: int, to: int) -> sp.Expr:
            return BivariateExpectation(function, int(j) + by, int(k) + to, scale, rho)

        square, covariance = (sp.diff(value, symbol) for value in (scale**2, rho * scale**2))
        return square * (raised(2, 0) + raised(0, 2)) / 2 + covariance * raised(1, 1)

    def _sympystr(self, printer: Any) -> str:
        function, j, k, scale, rho = map(printer._print, self.args)
        return f"E[f^({j})(u) f^({k})(v); f = {function}, tau = {scale}, rho = {rho}]"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        _, j, k, _, rho = map(printer._print, self.args)
        body = rf"\mathbb{{E}}_{{{rho}}}\left[\phi^{{({j})}}(u) \phi^{{({k})}}(v)\right]"
        return body if exp is None else rf"{body}^{{{exp}}}"


def bivariate_moment(activation: Activation, first: int, second: int) -> sp.Expr:
    """Return E[f^(j)(u) f^(k)(v)] in ``theory.symbols.tau`` and ``theory.moments.correlation``.

    A closed form where the dual activation has one and j - k is even, a ``BivariateExpectation`` otherwise.

    Args:
        activation: f, without free parameters.
        first: j >= 0.
        second: k >= 0.

    Raises:
        ValueError: a negative order.

    Example:
        >>> from theory.activations import resolve
        >>> bivariate_moment(resolve("relu"), 1, 1)
        asin(rho)/(2*pi) + 1/4
    """
    if first < 0 or second < 0:
        raise ValueError(f"derivatives have orders >= 0, not {first} and {second}")
    form = dual_form(activation) if (first - second) % 2 == 0 else None
    if form is None:
        return BivariateExpectation(activation.expr, first, second)
    low, high = sorted((first, second))
    value = form.value if low == 0 else form.slope
    for _ in range(low - 1):
        value = _by_covariance(value)
    for _ in range((high - low) // 2):
        value = 2 * _by_variance(value)
    return value.subs({left_scale: tau, right_scale: tau}).subs(sine, sp.sqrt(1 - correlation**2))


def _by_correlation(value: sp.Expr) -> sp.Expr:
    return sp.diff(value, correlation) - correlation / sine * sp.diff(value, sine)


def _by_covariance(value: sp.Expr) -> sp.Expr:
    """d/dl at fixed variances."""
    return _by_correlation(value) / (left_scale * right_scale)


def _by_variance(value: sp.Expr) -> sp.Expr:
    """d/da at fixed b and l, where rho = l/sqrt(a b) moves as well."""
    moved = sp.diff(value, left_scale) - correlation / left_scale * _by_correlation(value)
    return moved / (2 * left_scale)
