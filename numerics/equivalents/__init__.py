"""The high-dimensional equivalents Gbar and Kbar, as operators."""

from numerics.equivalents.coefficients import check_coefficients, identity_coefficient, without_rounding
from numerics.equivalents.operator import DeterministicEquivalent, equivalent_parts, low_rank_core

__all__ = [
    "DeterministicEquivalent",
    "check_coefficients",
    "equivalent_parts",
    "identity_coefficient",
    "low_rank_core",
    "without_rounding",
]
