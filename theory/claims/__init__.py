"""The ledger's statements, what algebra proves of them, and wrong theories beside the true one.

Statements and verdicts are text, which a command's help shows too: what needs SymPy is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from theory.claims.statements import CLAIMS, Claim, RateVerdict, Verdict, VerdictKind

if TYPE_CHECKING:
    from theory.claims.coupled import CoupledTheory, coupled_theories
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
    "CoupledTheory",
    "PopulationChange",
    "RateVerdict",
    "Statistic",
    "Theory",
    "Verdict",
    "VerdictKind",
    "coupled_theories",
    "planted_errors",
    "planted_spectral_errors",
    "released_variants",
    "true_theory",
    "unproved",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    elsewhere = {"PROOFS": "proofs", "unproved": "proofs", "CoupledTheory": "coupled", "coupled_theories": "coupled"}
    module = elsewhere.get(name, "variants")
    return getattr(import_module(f"{__name__}.{module}"), name)
