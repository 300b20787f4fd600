"""Activations: an expression in x with its parameters, and what is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy as sp

from theory.activations.structure import (
    derivative,
    growth_in_words,
    growth_rate,
    homogeneity_degree,
    jumps,
    lipschitz_constant,
    parity,
)
from theory.analysis import DomainError, Piece, Rate, TermSum, as_terms, split, stable_form
from theory.grammar import parse_activation
from theory.symbols import x

__all__ = [
    "Activation",
    "Parameter",
]


@dataclass(frozen=True)
class Parameter:
    """A parameter of an activation.

    Attributes:
        symbol: its symbol, with the assumptions under which the activation is meant.
        default: exact value used when none is given.
        meaning: one phrase for people.
        aliases: other names, those of libraries, under which a value may be given.
    """

    symbol: sp.Symbol
    default: sp.Expr
    meaning: str = ""
    aliases: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Activation:
    """A real function phi_0(x), uncentred, possibly with symbolic parameters.

    Attributes:
        name: registry name, or the text it was parsed from.
        expr: SymPy expression in ``theory.symbols.x`` and the parameters' symbols.
        parameters: the parameters that ``expr`` still contains.
        description: one sentence for people.

    Raises:
        DomainError: (on first use of ``pieces``) the expression is not a finite real number for every real x, or its
            kinks cannot be located exactly.
    """

    name: str
    expr: sp.Expr
    parameters: tuple[Parameter, ...] = ()
    description: str = field(default="", compare=False)

    def __getstate__(self) -> dict[str, Any]:
        # Without what has been derived and remembered, which need not pickle.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @staticmethod
    def from_text(text: str, name: str | None = None) -> Activation:
        """Parse an expression in x, such as ``"Max(x, 0) + tanh(x)/2"``, and check that it is one on the whole line.

        Raises:
            ActivationSyntaxError: the text is not in the grammar of ``theory.grammar.parsing``.
            DomainError: the expression is not a finite real number for every real x.
            GrowthError: it grows faster than every exp(c x^2), so that it has no Gaussian moments.

        Example:
            >>> Activation.from_text("max(x, 0) + tanh(x)/2").kinks
            ((0, 1),)
        """
        activation = Activation(name or text.strip(), parse_activation(text))
        activation.check()
        return activation

    def check(self) -> None:
        """Raise DomainError or GrowthError unless this is a real function with some Gaussian moments."""
        _ = self.pieces, self.growth

    def with_parameters(
        self, values: Mapping[str, sp.Expr] | None = None, *, keep_symbolic: bool = False
    ) -> Activation:
        """Return the activation with the given parameter values.

        Args:
            values: exact value by parameter name, or by a library's name of it.
            keep_symbolic: leave the other parameters symbolic, instead of giving them their defaults.

        Raises:
            DomainError: an unknown parameter name, one that is given twice, or a value that the parameter's
                assumptions exclude.
        """
        known = {parameter.symbol.name: parameter for parameter in self.parameters}
        values = self._by_symbol(known, values or {})
        substitution = {}
        kept = tuple(parameter for name, parameter in known.items() if keep_symbolic and name not in values)
        for name, parameter in known.items():
            if parameter in kept:
                continue
            value = values.get(name, parameter.default)
            for fact in ("positive", "nonnegative", "nonzero"):
                if getattr(parameter.symbol, f"is_{fact}") and getattr(value, f"is_{fact}") is False:
                    raise DomainError(f"parameter {name} of {self.name} must be {fact}, not {value}")
            substitution[parameter.symbol] = value
        if not substitution:
            return self
        return Activation(self.name, self.expr.subs(substitution), kept, self.description)

    def _by_symbol(self, known: Mapping[str, Parameter], given: Mapping[str, sp.Expr]) -> dict[str, sp.Expr]:
        """The values by the names of the symbols, whatever names they were given under."""
        spellings = {alias: name for name, parameter in known.items() for alias in parameter.aliases}
        spellings |= {name: name for name in known}
        values = dict[str, sp.Expr]()
        for name, value in given.items():
            if name not in spellings:
                shown = (" or ".join((own, *parameter.aliases)) for own, parameter in sorted(known.items()))
                accepted = ", ".join(shown) or "none"
                raise DomainError(f"{self.name} has no parameter {name!r}; its parameters are: {accepted}")
            if spellings[name] in values:
                raise DomainError(f"parameter {spellings[name]} of {self.name} is given twice, once as {name}")
            values[spellings[name]] = value
        return values

    @cached_property
    def stable(self) -> sp.Expr:
        """An expression equal to ``expr`` that is evaluated without overflow (see ``theory.analysis.stable_form``)."""
        return stable_form(self.expr)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Smooth pieces covering the line, from left to right, in their stable forms."""
        if self.stable != self.expr:
            try:
                return split(self.stable)
            except DomainError:
                # What is wrong is said of what was typed.
                pass
        return split(self.expr)

    @property
    def breakpoints(self) -> tuple[sp.Expr, ...]:
        """Points where pieces meet, in increasing order."""
        return tuple(piece.lower for piece in self.pieces[1:])

    @cached_property
    def jumps(self) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        """(position, height) of every discontinuity."""
        return jumps(self.pieces)

    @cached_property
    def kinks(self) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        """(position, change of slope) wherever the derivative is discontinuous."""
        return jumps(self.pieces, order=1)

    @cached_property
    def parity(self) -> int:
        """1 for even, -1 for odd, 0 for neither."""
        return parity(self.pieces)

    @cached_property
    def homogeneity(self) -> sp.Expr | None:
        """The degree d with phi(c x) = c^d phi(x) for every c > 0, or None."""
        return homogeneity_degree(self.pieces)

    @cached_property
    def growth(self) -> Rate:
        """A rate that |phi| does not exceed."""
        return growth_rate(self.pieces)

    @property
    def growth_class(self) -> str:
        """How fast |phi| may grow, in a few words."""
        return growth_in_words(self.growth)

    @cached_property
    def lipschitz(self) -> sp.Expr | None:
        """sup |phi'| exactly, oo when infinite, None when it is not found exactly."""
        return lipschitz_constant(self.pieces)

    @cached_property
    def slope_pieces(self) -> tuple[Piece, ...]:
        """The almost-everywhere derivative, piece by piece."""
        return tuple(Piece(p.lower, p.upper, derivative(p.expr)) for p in self.pieces)

    @cached_property
    def terms(self) -> tuple[TermSum, ...] | None:
        """The pieces in the family with closed-form moments, or None when one of them is not in it."""
        sums = tuple(as_terms(piece.expr) for piece in self.pieces)
        return None if any(part is None for part in sums) else tuple(part for part in sums if part is not None)

    @property
    def has_finite_slope_energy(self) -> bool:
        """Whether E[phi'(tau xi)^2] is finite for small tau: no jumps, and no slope singularity 1/sqrt or worse."""
        if self.jumps:
            return False
        return all(_square_integrable_slope(piece) for piece in self.slope_pieces)

    def threshold(self, order: int) -> sp.Expr:
        """Return the tau below which E|phi(tau xi)|^order is finite (oo when always).

        E exp(order q tau^2 xi^2) is finite iff order q tau^2 < 1/2.
        """
        quadratic = self.growth.quadratic
        if quadratic.is_positive is not True:
            return sp.oo
        return 1 / sp.sqrt(2 * order * quadratic)


def _square_integrable_slope(piece: Piece) -> bool:
    """Whether the square of a slope is integrable up to the finite ends of its interval."""
    for end, side in ((piece.lower, 1), (piece.upper, -1)):
        if end in (sp.oo, -sp.oo):
            continue
        value = piece.expr.subs(x, end)
        if not value.has(sp.zoo, sp.nan, sp.oo):
            continue
        distance = sp.Dummy("h", positive=True)
        scaled = sp.limit(piece.expr.subs(x, end + side * distance) * sp.sqrt(distance), distance, 0, "+")
        if scaled != 0:
            return False
    return True
