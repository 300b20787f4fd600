"""The ledger's statements, what algebra proves of them, and wrong theories beside the true one.

Statements and verdicts are text, which a command's help shows too: what needs SymPy is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from theory.claims.statements import CLAIMS, Claim, RateVerdict, Verdict, VerdictKind

if TYPE_CHECKING:
    from theory.claims.proofs import PROOFS, unproved
    from theory.claims.variants import (
        RELEASED_VARIANTS,
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
    "RELEASED_VARIANTS",
    "Claim",
    "PopulationChange",
    "RateVerdict",
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "proofs" if name in ("PROOFS", "unproved") else "variants"
    return getattr(import_module(f"{__name__}.{module}"), name)
