"""The equivalents of kernels: Gbar and Kbar as operators, and polynomials in the entries of S."""

from numerics.equivalents.coefficients import check_coefficients, identity_coefficient, without_rounding
from numerics.equivalents.entrywise import EntryPolynomial, entry_polynomial
from numerics.equivalents.kept_norms import KeptNorms, kept_norms
from numerics.equivalents.operator import DeterministicEquivalent, equivalent_parts, low_rank_core

__all__ = [
    "DeterministicEquivalent",
    "EntryPolynomial",
    "KeptNorms",
    "check_coefficients",
    "entry_polynomial",
    "equivalent_parts",
    "identity_coefficient",
    "kept_norms",
    "low_rank_core",
    "without_rounding",
]
