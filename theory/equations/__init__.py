"""The equations: the kernels' expansion, a DEQ's system, the recursion of explicit layers."""

from theory.equations.deq import (
    ck_coefficients,
    ck_equations,
    kernel_coefficients,
    moment_definitions,
    ntk_coefficients,
    preactivation_coefficients,
    preactivation_equations,
    stability_slope,
    tau_equation,
)
from theory.equations.entrywise import EntrywiseExpansion, Monomial, entry_moments, expand_entries, monomials
from theory.equations.expansion import (
    PREVIOUS_LAYER,
    DroppedTerm,
    Expansion,
    LayerExpansion,
    NormArgument,
    expand_ck,
    expand_layer,
    expand_ntk,
    expand_preactivation,
)
from theory.equations.layers import (
    LayerCoefficients,
    LayerMoments,
    Preactivation,
    input_layer,
    next_layer,
    preactivation,
    zero_state,
)
from theory.equations.model import DEQ, EquilibriumError, exact_number, exact_numbers
from theory.equations.orders import (
    ExpansionError,
)

__all__ = [
    "DEQ",
    "PREVIOUS_LAYER",
    "DroppedTerm",
    "EntrywiseExpansion",
    "EquilibriumError",
    "Expansion",
    "ExpansionError",
    "LayerCoefficients",
    "LayerExpansion",
    "LayerMoments",
    "Monomial",
    "NormArgument",
    "Preactivation",
    "ck_coefficients",
    "ck_equations",
    "entry_moments",
    "exact_number",
    "exact_numbers",
    "expand_ck",
    "expand_entries",
    "expand_layer",
    "expand_ntk",
    "expand_preactivation",
    "input_layer",
    "kernel_coefficients",
    "moment_definitions",
    "monomials",
    "next_layer",
    "ntk_coefficients",
    "preactivation",
    "preactivation_coefficients",
    "preactivation_equations",
    "stability_slope",
    "tau_equation",
    "zero_state",
]
