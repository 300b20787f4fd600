"""A DEQ's system solved: in float64, to any number of digits, and with proof."""

from numerics.equilibrium.all_equilibria import EquilibriumSet, find_equilibria, is_followed
from numerics.equilibrium.asymptotics import asymptote, largest_scale
from numerics.equilibrium.certified import CertifiedCoefficients, certify, solve_uncertified
from numerics.equilibrium.digits import ImplicitCoefficients, decimal_string, solve
from numerics.equilibrium.float64 import FloatEquilibrium, float_scale, solve_float
from numerics.equilibrium.formulas import FORMULA_INPUTS
from numerics.equilibrium.naive import solve_naively
from numerics.equilibrium.parameters import EquilibriumError, check_parameters
from numerics.equilibrium.stability import StabilityLoss, locate_stability_loss
from numerics.equilibrium.sweeps import Point, SweepPoint, line, sweep

__all__ = [
    "FORMULA_INPUTS",
    "CertifiedCoefficients",
    "EquilibriumError",
    "EquilibriumSet",
    "FloatEquilibrium",
    "ImplicitCoefficients",
    "Point",
    "StabilityLoss",
    "SweepPoint",
    "asymptote",
    "certify",
    "check_parameters",
    "decimal_string",
    "find_equilibria",
    "float_scale",
    "is_followed",
    "largest_scale",
    "line",
    "locate_stability_loss",
    "solve",
    "solve_float",
    "solve_naively",
    "solve_uncertified",
    "sweep",
]
