"""The ledger's statements, what algebra proves of them, and wrong theories beside the true one.

Statements and verdicts are text, which a command's help shows too: what needs SymPy is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from theory.claims.statements import CLAIMS, Claim, RateVerdict, Verdict, VerdictKind

if TYPE_CHECKING:
    from theory.claims.assembly import ASSEMBLY, NUMBERS, Assembly, T_ab, t, t_a, t_b
    from theory.claims.coupled import CoupledTheory, coupled_theories
    from theory.claims.learning import LEARNING_CLAIMS, LearningChange, LearningTheory, learning_theories
    from theory.claims.mutants import (
        EqualMutant,
        Formula,
        MutantCensus,
        formulas,
        generated_errors,
        mutant_census,
        mutations,
        wrong_theories,
    )
    from theory.claims.proofs import PROOFS, unproved
    from theory.claims.variants import (
        AT_TAU_0,
        RELEASED_VARIANTS,
        PopulationChange,
        Statistic,
        Theory,
        planted_errors,
        planted_spectral_errors,
        released_variants,
        true_theory,
    )
    from theory.claims.widths import BULK_PARTS, WidthTheory, width_theories

__all__ = [
    "ASSEMBLY",
    "AT_TAU_0",
    "BULK_PARTS",
    "CLAIMS",
    "LEARNING_CLAIMS",
    "NUMBERS",
    "PROOFS",
    "RELEASED_VARIANTS",
    "Assembly",
    "Claim",
    "CoupledTheory",
    "EqualMutant",
    "Formula",
    "LearningChange",
    "LearningTheory",
    "MutantCensus",
    "PopulationChange",
    "RateVerdict",
    "Statistic",
    "T_ab",
    "Theory",
    "Verdict",
    "VerdictKind",
    "WidthTheory",
    "coupled_theories",
    "formulas",
    "generated_errors",
    "learning_theories",
    "mutant_census",
    "mutations",
    "planted_errors",
    "planted_spectral_errors",
    "released_variants",
    "t",
    "t_a",
    "t_b",
    "true_theory",
    "unproved",
    "width_theories",
    "wrong_theories",
]

#: Where names that need SymPy are, if not among the variants.
_MODULES = {
    "proofs": ("PROOFS", "unproved"),
    "coupled": ("CoupledTheory", "coupled_theories"),
    "learning": ("LEARNING_CLAIMS", "LearningChange", "LearningTheory", "learning_theories"),
    "widths": ("BULK_PARTS", "WidthTheory", "width_theories"),
    "assembly": ("ASSEMBLY", "NUMBERS", "Assembly", "T_ab", "t", "t_a", "t_b"),
    "mutants": (
        *("EqualMutant", "Formula", "MutantCensus"),
        *("formulas", "generated_errors", "mutant_census", "mutations", "wrong_theories"),
    ),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "variants")
    return getattr(import_module(f"{__name__}.{module}"), name)
