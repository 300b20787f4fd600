"""Gaussian moments of an activation: exact closed forms where they exist, unevaluated expectations otherwise.

Everything the theory uses of an activation f is built from E[xi^k f(tau xi)^j] and E[f'(tau xi)^2], xi ~ N(0, 1).
Derivatives are weak ones, through Stein's identities (theory sheet, section 3)

  E[f'(tau xi)] = E[xi f(tau xi)]/tau,     E[f''(tau xi)] = E[(xi^2 - 1) f(tau xi)]/tau^2,

so that kinks and jumps need no delta functions.  A jump makes E[f'^2] infinite, and only that.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sympy as sp

from theory.activations import Activation
from theory.gaussian_integrals import gaussian_integral
from theory.gaussian_terms import TermSum, as_terms
from theory.growth import GrowthError
from theory.piecewise import Piece
from theory.structure import reflect
from theory.symbols import tau, x, xi

__all__ = ["DivergentMomentError", "GaussianExpectation", "GaussianMoments"]


class DivergentMomentError(ValueError):
    """A Gaussian moment that is infinite."""


class GaussianExpectation(sp.Expr):
    """E[g(xi)] for xi ~ N(0, 1), left unevaluated.

    The only argument is g as an expression in ``theory.symbols.xi``, which is bound: it is not a free symbol.
    """

    is_commutative = True
    is_real = True

    def __new__(cls, integrand: sp.Expr) -> GaussianExpectation:
        return sp.Expr.__new__(cls, integrand)

    @property
    def integrand(self) -> sp.Expr:
        """The function of xi under the expectation."""
        return self.args[0]

    @property
    def bound_symbols(self) -> list[sp.Symbol]:
        """The random variable, as SymPy's interface for bound symbols has it."""
        return [xi]

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """Symbols other than the random variable."""
        return set(self.integrand.free_symbols) - {xi}

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        return GaussianExpectation(sp.diff(self.integrand, symbol))

    def _sympystr(self, printer: Any) -> str:
        return f"E[{printer._print(self.integrand)}]"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\mathbb{{E}}\left[{printer._print(self.integrand)}\right]"
        return body if exp is None else rf"{body}^{{{exp}}}"


class GaussianMoments:
    """The Gaussian moments of an activation at scale tau, as SymPy expressions.

    Every property is an expression in ``scale`` and the activation's parameters; what has no elementary closed form
    contains ``GaussianExpectation`` objects.

    Args:
        activation: the activation f, uncentred.
        scale: standard deviation of its Gaussian argument, a positive symbol or number.
    """

    def __init__(self, activation: Activation, scale: sp.Expr = tau) -> None:
        self.activation = activation
        self.scale = scale
        self._known: dict[tuple[int, int], sp.Expr] = {}

    def moment(self, power: int, order: int = 1) -> sp.Expr:
        """Return E[xi^power f(scale xi)^order].

        Raises:
            DivergentMomentError: it is infinite at this (numeric) scale.
        """
        key = (power, order)
        if key not in self._known:
            self._require_existence(order)
            parity = self.activation.parity
            sign = (-1) ** power * (parity**order if parity else 0)
            self._known[key] = self._expect(self.activation.pieces, self.activation.terms, power, order, sign)
            if sign != -1 and len(self.activation.pieces) > 1 and not self.is_closed(self._known[key]):
                # Written with Max, Abs, ... as the user wrote it: the pieces would only be harder to read.
                whole = self.activation.expr.subs(x, self.scale * xi)
                self._known[key] = GaussianExpectation(xi**power * whole**order)
        return self._known[key]

    @cached_property
    def mean(self) -> sp.Expr:
        """E[f(tau xi)]."""
        return self.moment(0)

    @cached_property
    def second_moment(self) -> sp.Expr:
        """E[f(tau xi)^2]."""
        return self.moment(0, 2)

    @cached_property
    def variance(self) -> sp.Expr:
        """Var f(tau xi)."""
        return _tidy(self.second_moment - self.mean**2)

    @cached_property
    def first_derivative(self) -> sp.Expr:
        """E[f'(tau xi)], d1 of the theory sheet."""
        return _tidy(self.moment(1) / self.scale)

    @cached_property
    def second_derivative(self) -> sp.Expr:
        """E[f''(tau xi)], d2 of the theory sheet."""
        return _tidy((self.moment(2) - self.mean) / self.scale**2)

    @cached_property
    def square_second_derivative(self) -> sp.Expr:
        """E[(f^2)''(tau xi)] of the uncentred activation; subtract 2 E[f] E[f''] for the centred one."""
        return _tidy((self.moment(2, 2) - self.second_moment) / self.scale**2)

    @cached_property
    def slope_energy(self) -> sp.Expr:
        """E[f'(tau xi)^2], dd of the theory sheet.

        Raises:
            DivergentMomentError: f has a jump (or a slope singularity that is not square integrable).
        """
        activation = self.activation
        if activation.jumps:
            places = ", ".join(f"x = {place}" for place, _ in activation.jumps)
            raise DivergentMomentError(f"E[f'(tau xi)^2] of {activation.name} is infinite: f jumps at {places}")
        if not activation.has_finite_slope_energy:
            raise DivergentMomentError(f"E[f'(tau xi)^2] of {activation.name} is infinite: its slope is too singular")
        self._require_existence(2)
        terms = activation.terms
        slopes = None if terms is None else tuple(part.derivative() for part in terms)
        return self._expect(activation.slope_pieces, slopes, 0, 2, 1 if activation.parity else 0)

    @staticmethod
    def is_closed(expr: sp.Expr) -> bool:
        """Return whether an expression contains no unevaluated expectation."""
        return not expr.has(GaussianExpectation)

    def _require_existence(self, order: int) -> None:
        try:
            threshold = self.activation.threshold(order)
        except GrowthError as error:
            raise DivergentMomentError(str(error)) from error
        if threshold is not sp.oo and (self.scale - threshold).is_nonnegative:
            raise DivergentMomentError(
                f"E[|f(tau xi)|^{order}] of {self.activation.name} is infinite at tau = {self.scale}: "
                f"it is finite for tau < {threshold}"
            )

    def _expect(
        self, pieces: tuple[Piece, ...], terms: tuple[TermSum, ...] | None, power: int, order: int, sign: int
    ) -> sp.Expr:
        """E[xi^power g(scale xi)^order] of a piecewise g; sign is the parity of the whole integrand, 0 if none."""
        if sign == -1:
            return sp.S.Zero
        if terms is not None:
            closed = self._closed(pieces, terms, power, order, even=sign == 1)
            if closed is not None:
                return _tidy(closed)
        if len(pieces) == 1:
            return self._reduced(pieces[0].expr, power, order)
        branches = [(piece.expr.subs(x, self.scale * xi), xi < piece.upper / self.scale) for piece in pieces[:-1]]
        whole = sp.Piecewise(*branches, (pieces[-1].expr.subs(x, self.scale * xi), True))
        return GaussianExpectation(xi**power * whole**order)

    def _closed(
        self, pieces: tuple[Piece, ...], terms: tuple[TermSum, ...], power: int, order: int, *, even: bool
    ) -> sp.Expr | None:
        total = sp.S.Zero
        fold = even and len(pieces) > 1
        for piece, part in zip(pieces, terms, strict=True):
            lower, upper = piece.lower, piece.upper
            if fold:
                # By symmetry twice the right half; pieces of an even or odd function lie symmetrically.
                if upper is not sp.oo and upper.is_positive is not True:
                    continue
                if lower is -sp.oo or lower.is_negative:
                    lower = sp.S.Zero
            integrand = part.power(order).dilated(self.scale).times_power_of_x(power)
            value = gaussian_integral(integrand, lower / self.scale, upper / self.scale)
            if value is None:
                return None
            total += value
        return 2 * total if fold else total

    def _reduced(self, expr: sp.Expr, power: int, order: int) -> sp.Expr:
        """Expectation of a smooth function outside the family: only the even part counts, term by term."""
        # Here x stands for xi: the family's algebra is written in x.
        argument = expr.subs(x, self.scale * x)
        plain = sp.expand(x**power * argument**order)
        even = sp.expand((plain + reflect(plain)) / 2)
        best = even if even.count_ops() <= plain.count_ops() else plain
        closed, rest = sp.S.Zero, sp.S.Zero
        for term in sp.Add.make_args(best):
            parts = as_terms(term)
            value = None
            if parts is not None:
                value = gaussian_integral(parts, -sp.oo, sp.oo)
            if value is None:
                rest += term
            else:
                closed += value
        closed = _tidy(closed)
        if rest == 0:
            return closed
        rest = x**power * argument**order if closed == 0 and best is plain else sp.factor_terms(rest)
        factor, core = rest.subs(x, xi).as_independent(xi, as_Add=False)
        return closed + factor * GaussianExpectation(core)


def _tidy(expr: sp.Expr) -> sp.Expr:
    """Light, terminating simplification: write real numbers without I, expand, gather what cancels."""
    plain = sp.powsimp(sp.expand(_without_imaginary_unit(expr)))
    candidates = [sp.factor_terms(plain)]
    if plain.count_ops() < _TIDY_OPERATIONS and not plain.has(GaussianExpectation):
        candidates.append(sp.factor_terms(sp.radsimp(sp.together(plain), symbolic=False)))
        candidates.append(sp.factor_terms(sp.expand(sp.cancel(sp.together(plain)), deep=False)))
    return min(candidates, key=lambda candidate: candidate.count_ops())


#: Expressions with more operations than this are not searched for a shorter form.
_TIDY_OPERATIONS = 80


def _without_imaginary_unit(expr: sp.Expr) -> sp.Expr:
    """Write a real expression that came from exp(i w x) with cos, sin and erfi where that removes I."""
    if not expr.has(sp.I):
        return expr

    def imaginary(node: sp.Expr) -> bool:
        if not isinstance(node, sp.erf | sp.erfc):
            return False
        return sp.expand(node.args[0] / sp.I).has(sp.I) is False

    def to_erfi(node: sp.Expr) -> sp.Expr:
        value = sp.I * sp.erfi(sp.expand(node.args[0] / sp.I))
        return value if isinstance(node, sp.erf) else 1 - value

    expr = sp.expand(expr.replace(imaginary, to_erfi))
    if any(node.has(sp.I) for node in expr.atoms(sp.erf, sp.erfc, sp.erfi)):
        # A complex error function: the terms come in conjugate pairs, so the sum is real as it stands.
        return expr
    real, imaginary_part = sp.expand(expr, complex=True).as_real_imag()
    return real if sp.expand(imaginary_part) == 0 else expr
