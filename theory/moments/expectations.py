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

from theory.activations import Activation, fold_reflections, reflect
from theory.analysis import (
    MAX_TERMS,
    GrowthError,
    Piece,
    TermSum,
    WorkLimitError,
    as_terms,
    expand_outside,
    expanded_terms,
    factor_outside,
    factored,
    shortest,
    tidy,
)
from theory.moments.integrals import gaussian_integral, half_line_power
from theory.symbols import tau, x, xi

__all__ = [
    "DivergentMomentError",
    "GaussianExpectation",
    "GaussianMoments",
]


class DivergentMomentError(ValueError):
    """A Gaussian moment that is infinite."""


class GaussianExpectation(sp.Expr):  # type: ignore[misc]  # SymPy's classes are Any to mypy
    """E[g(xi)] for xi ~ N(0, 1), left unevaluated.

    The only argument is g as an expression in ``theory.symbols.xi``, which is bound: it is not a free symbol.

    Example:
        >>> GaussianExpectation(sp.tanh(xi))
        E[tanh(xi)]
    """

    is_commutative = True
    is_real = True

    def __new__(cls, integrand: sp.Expr) -> GaussianExpectation:
        """Return E[integrand], unevaluated."""
        created: GaussianExpectation = sp.Expr.__new__(cls, integrand)
        return created

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

    Attributes:
        activation: the activation f.
        scale: standard deviation of its Gaussian argument.
        searching: whether closed forms are sought and shortened; unset, what is not known yet stays an expectation.

    Example:
        >>> from theory.activations import resolve
        >>> GaussianMoments(resolve("relu")).variance
        tau**2*(1 - 1/pi)/2
    """

    def __init__(self, activation: Activation, scale: sp.Expr = tau) -> None:
        self.activation = activation
        self.scale = scale
        self.searching = True
        self._known: dict[tuple[int, int], sp.Expr] = {}

    def moment(self, power: int, order: int = 1) -> sp.Expr:
        """Return E[xi^power f(scale xi)^order].

        With a symbolic scale the closed form holds below ``exists_below(order)``.

        Raises:
            ValueError: power is negative or order is not positive.
            DivergentMomentError: it is infinite at this (numeric) scale.
        """
        if power < 0 or order < 1:
            raise ValueError(f"E[xi^k f^j] needs k >= 0 and j >= 1, not k = {power} and j = {order}")
        key = (power, order)
        if key not in self._known:
            self._require_existence(order)
            parity = self.activation.parity
            sign = (-1) ** power * (parity**order if parity else 0)
            activation = self.activation
            terms = activation.terms if self.searching else None
            self._known[key] = self._expect(activation.expr, activation.pieces, terms, power, order, sign)
        return self._known[key]

    def exists_below(self, order: int = 1) -> sp.Expr:
        """Return the tau below which E|f(tau xi)|^order is finite: oo unless f grows like exp(c x^2), c > 0.

        Raises:
            DivergentMomentError: it is infinite for every tau.
        """
        try:
            return self.activation.threshold(order)
        except GrowthError as error:
            raise DivergentMomentError(str(error)) from error

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
        return self._tidied(self.second_moment - self.mean**2)

    @cached_property
    def first_derivative(self) -> sp.Expr:
        """E[f'(tau xi)], d1 of the theory sheet."""
        return self._tidied(self.moment(1) / self.scale)

    @cached_property
    def second_derivative(self) -> sp.Expr:
        """E[f''(tau xi)], d2 of the theory sheet."""
        return self._tidied((self.moment(2) - self.mean) / self.scale**2)

    @cached_property
    def square_second_derivative(self) -> sp.Expr:
        """E[(f^2)''(tau xi)] of the uncentred activation."""
        return self._tidied((self.moment(2, 2) - self.second_moment) / self.scale**2)

    @cached_property
    def centred_square_second_derivative(self) -> sp.Expr:
        """E[(phi^2)''(tau xi)] of the centred phi = f - E[f], d22 of the theory sheet: 2 E[f] E[f''] less than of f."""
        return self._tidied(self.square_second_derivative - 2 * self.mean * self.second_derivative)

    @cached_property
    def slope_energy(self) -> sp.Expr:
        """E[f'(tau xi)^2], dd of the theory sheet.

        Raises:
            DivergentMomentError: f has a jump (or a slope singularity that is not square integrable).
        """
        self.require_slope_energy()
        activation = self.activation
        terms = activation.terms if self.searching else None
        slopes = None if terms is None else tuple(part.derivative() for part in terms)
        slope = factor_outside(activation.slope_pieces[0].expr) if len(activation.pieces) == 1 else None
        return self._expect(slope, activation.slope_pieces, slopes, 0, 2, 1 if activation.parity else 0)

    def require_slope_energy(self) -> None:
        """Check that E[f'(tau xi)^2] is finite, without deriving it.

        Raises:
            DivergentMomentError: f has a jump (or a slope singularity that is not square integrable), or its square
                grows too fast.
        """
        activation = self.activation
        if activation.jumps:
            places = ", ".join(f"x = {place}" for place, _ in activation.jumps)
            raise DivergentMomentError(f"E[f'(tau xi)^2] of {activation.name} is infinite: f jumps at {places}")
        if not activation.has_finite_slope_energy:
            raise DivergentMomentError(f"E[f'(tau xi)^2] of {activation.name} is infinite: its slope is too singular")
        self._require_existence(2)

    def _tidied(self, combination: sp.Expr) -> sp.Expr:
        """The shortest of a combination of moments as it stands and its tidied form."""
        return shortest(combination, tidy(combination)) if self.searching else combination

    @staticmethod
    def is_closed(expr: sp.Expr) -> bool:
        """Return whether an expression contains no unevaluated expectation."""
        return not expr.has(GaussianExpectation)

    def _require_existence(self, order: int) -> None:
        threshold = self.exists_below(order)
        if threshold is not sp.oo and (self.scale - threshold).is_nonnegative:
            raise DivergentMomentError(
                f"E[|f(tau xi)|^{order}] of {self.activation.name} is infinite at tau = {self.scale}: "
                f"it is finite for tau < {threshold}"
            )

    def _expect(
        self,
        expr: sp.Expr | None,
        pieces: tuple[Piece, ...],
        terms: tuple[TermSum, ...] | None,
        power: int,
        order: int,
        sign: int,
    ) -> sp.Expr:
        """E[xi^power g(scale xi)^order] of a piecewise g.

        Args:
            expr: g as a person would write it, or None.
            pieces: the smooth pieces of g.
            terms: the pieces in the family, or None.
            power: power of xi.
            order: power of g.
            sign: parity of the whole integrand, 0 if it has none.
        """
        if sign == -1:
            return sp.S.Zero
        closed = None
        if terms is not None:
            try:
                closed = self._closed(pieces, terms, power, order, even=sign == 1)
            except WorkLimitError:
                closed = None
        if closed is None and self.searching:
            closed = self._powers(pieces, power, order)
        if closed is not None:
            return tidy(closed)
        if len(pieces) == 1 and self.searching:
            return self._reduced(pieces[0].expr if expr is None else expr, power, order)
        if expr is None and not self.searching:
            expr = _as_written(pieces)
        elif expr is None:
            expr = _rewritten(pieces, even_square=sign == 1)
        return _pulled_out(xi**power * expr.subs(x, self.scale * xi) ** order)

    def _closed(
        self, pieces: tuple[Piece, ...], terms: tuple[TermSum, ...], power: int, order: int, *, even: bool
    ) -> sp.Expr | None:
        total = []
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
            total.append(2 * value if fold else value)
        return sp.Add(*total)

    def _powers(self, pieces: tuple[Piece, ...], power: int, order: int) -> sp.Expr | None:
        """The closed form of sums of fractional powers of |x| on each half line, as of sqrt(|x|), or None."""
        distance = sp.Dummy("y", positive=True)
        total = []
        for piece in pieces:
            sides = [1] if piece.lower == 0 else [-1] if piece.upper == 0 else [-1, 1]
            if (piece.lower, piece.upper) not in ((-sp.oo, 0), (0, sp.oo), (-sp.oo, sp.oo)):
                return None
            for side in sides:
                if expanded_terms(piece.expr) ** order > MAX_TERMS:
                    return None
                half = sp.expand(piece.expr.subs(x, side * self.scale * distance) ** order * (side * distance) ** power)
                for term in sp.Add.make_args(half):
                    factor, rest = term.as_independent(distance, as_Add=False)
                    exponent = rest.as_base_exp()[1] if rest != 1 else sp.S.Zero
                    if rest not in (1, distance**exponent) or not exponent.is_Rational or exponent <= -1:
                        return None
                    total.append(factor * half_line_power(exponent))
        return sp.Add(*total)

    def _reduced(self, expr: sp.Expr, power: int, order: int) -> sp.Expr:
        """Expectation of a smooth function outside the family.

        Its odd part drops out and what is in the family is integrated; the result is kept where that makes it shorter.
        """
        # Here x stands for xi: the family's algebra is written in x.
        argument = expr.subs(x, self.scale * x)
        written = _pulled_out((x**power * argument**order).subs(x, xi))
        if expanded_terms(x**power * argument**order) > MAX_REDUCED_TERMS:
            return written
        plain = expand_outside(x**power * fold_reflections(argument) ** order)
        even = expand_outside((plain + reflect(plain)) / 2)
        best = even if even.count_ops() <= plain.count_ops() else plain
        closed, rest = sp.S.Zero, sp.S.Zero
        for term in sp.Add.make_args(best):
            parts = as_terms(term)
            try:
                value = None if parts is None else gaussian_integral(parts, -sp.oo, sp.oo)
            except WorkLimitError:
                value = None
            if value is None:
                rest += term
            else:
                closed += value
        closed = tidy(closed)
        if rest == 0:
            return closed
        as_written = {fold_reflections(node): node for node in argument.atoms(sp.Function)}
        return shortest(written, closed + _pulled_out(factor_outside(rest).xreplace(as_written).subs(x, xi)))


#: Integrands with more terms than this, multiplied out, are left as they are written.
MAX_REDUCED_TERMS = 60


def _pulled_out(integrand: sp.Expr) -> sp.Expr:
    """The expectation of an integrand in xi, its constant factor outside."""
    factor, core = integrand.as_independent(xi, as_Add=False)
    return factor * GaussianExpectation(core)


def _as_written(pieces: tuple[Piece, ...]) -> sp.Expr:
    """One expression for several pieces, as they are."""
    return sp.Piecewise(*((piece.expr, x < piece.upper) for piece in pieces[:-1]), (pieces[-1].expr, True))


def _rewritten(pieces: tuple[Piece, ...], *, even_square: bool) -> sp.Expr:
    """One expression for several pieces; |x| instead of cases where an even power of it makes that equal."""
    last = sp.factor_terms(factored(pieces[-1].expr)) if pieces[-1].expr.count_ops() < 40 else pieces[-1].expr
    if even_square and [piece.upper for piece in pieces] == [0, sp.oo]:
        return last.subs(x, sp.Abs(x))
    return sp.Piecewise(*((piece.expr, x < piece.upper) for piece in pieces[:-1]), (last, True))
