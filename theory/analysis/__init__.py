"""Exact questions about a function of one real variable: its pieces, zeros, signs and growth."""

from theory.analysis.growth import GrowthError, Rate, limit_at, upper_rate
from theory.analysis.piecewise import DomainError, Piece, split
from theory.analysis.realline import UndecidedError, compare, enclosure, zeros
from theory.analysis.stable import stable_form
from theory.analysis.terms import MAX_TERMS, Shape, TermSum, WorkLimitError, as_terms, without_erf
from theory.analysis.tidying import expand_outside, expanded_terms, factor_outside, factored, shortest, tidy

__all__ = [
    "MAX_TERMS",
    "DomainError",
    "GrowthError",
    "Piece",
    "Rate",
    "Shape",
    "TermSum",
    "UndecidedError",
    "WorkLimitError",
    "as_terms",
    "compare",
    "enclosure",
    "expand_outside",
    "expanded_terms",
    "factor_outside",
    "factored",
    "limit_at",
    "shortest",
    "split",
    "stable_form",
    "tidy",
    "upper_rate",
    "without_erf",
    "zeros",
]
