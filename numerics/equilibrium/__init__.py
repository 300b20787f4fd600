"""A DEQ's system solved: in float64, to any number of digits, and with proof."""

from numerics.equilibrium.all_equilibria import EquilibriumSet, find_equilibria, is_followed
from numerics.equilibrium.asymptotics import asymptote, largest_scale
from numerics.equilibrium.certified import CertifiedCoefficients, certify, solve_at, solve_uncertified
from numerics.equilibrium.coupled import CertifiedStates, certify_states, exchange_scales
from numerics.equilibrium.coupled_float import FloatStates, solve_states
from numerics.equilibrium.coupled_loss import locate_slope_loss
from numerics.equilibrium.coupled_numbers import CENTRED_KEYS, GENERAL_KEYS
from numerics.equilibrium.coupled_sweep import CellPoint, sweep_cell
from numerics.equilibrium.coupled_tangent import TANGENT_KEYS, CertifiedTangent, certify_tangent
from numerics.equilibrium.digits import ImplicitCoefficients, decimal_string, solve
from numerics.equilibrium.float64 import (
    FloatEquilibrium,
    checked_moments,
    estimate_float,
    float_scale,
    ntk_missing,
    reached_scale,
    solve_float,
)
from numerics.equilibrium.formulas import FORMULA_INPUTS
from numerics.equilibrium.interval_newton import Certifier
from numerics.equilibrium.naive import naive_variance, solve_naively
from numerics.equilibrium.stability import LossKind, StabilityLoss, locate_ntk_loss, locate_stability_loss
from numerics.equilibrium.sweeps import FLOAT_DIGITS, SweepLine, SweepPoint, equidistant, sweep

__all__ = [
    "CENTRED_KEYS",
    "FLOAT_DIGITS",
    "FORMULA_INPUTS",
    "GENERAL_KEYS",
    "TANGENT_KEYS",
    "CellPoint",
    "CertifiedCoefficients",
    "CertifiedStates",
    "CertifiedTangent",
    "Certifier",
    "EquilibriumSet",
    "FloatEquilibrium",
    "FloatStates",
    "ImplicitCoefficients",
    "LossKind",
    "StabilityLoss",
    "SweepLine",
    "SweepPoint",
    "asymptote",
    "certify",
    "certify_states",
    "certify_tangent",
    "checked_moments",
    "decimal_string",
    "equidistant",
    "estimate_float",
    "exchange_scales",
    "find_equilibria",
    "float_scale",
    "is_followed",
    "largest_scale",
    "locate_ntk_loss",
    "locate_slope_loss",
    "locate_stability_loss",
    "naive_variance",
    "ntk_missing",
    "reached_scale",
    "solve",
    "solve_at",
    "solve_float",
    "solve_naively",
    "solve_states",
    "solve_uncertified",
    "sweep",
    "sweep_cell",
]
