"""The ledger's statements, what algebra proves of them, and wrong theories beside the true one."""

from theory.claims.proofs import PROOFS, unproved
from theory.claims.statements import CLAIMS, Claim, Verdict, VerdictKind
from theory.claims.variants import (
    PopulationChange,
    Statistic,
    Theory,
    planted_errors,
    planted_spectral_errors,
    released_variants,
    true_theory,
)

__all__ = [
    "CLAIMS",
    "PROOFS",
    "Claim",
    "PopulationChange",
    "Statistic",
    "Theory",
    "Verdict",
    "VerdictKind",
    "planted_errors",
    "planted_spectral_errors",
    "released_variants",
    "true_theory",
    "unproved",
]
