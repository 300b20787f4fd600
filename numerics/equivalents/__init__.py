"""The high-dimensional equivalents Gbar and Kbar, as operators."""

from numerics.equivalents.coefficients import EquivalentCoefficients
from numerics.equivalents.operator import DeterministicEquivalent, equivalent_parts, low_rank_core

__all__ = [
    "DeterministicEquivalent",
    "EquivalentCoefficients",
    "equivalent_parts",
    "low_rank_core",
]
