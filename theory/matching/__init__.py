"""What an explicit network must satisfy to have a DEQ's kernel."""

from theory.matching.conditions import necessary_conditions
from theory.matching.deep import DeepNetwork, cubic_share, deep_network, quadratic_ratio
from theory.matching.equations import TARGETS, MatchingSystem, compose, kernel_part, matching_system, rate_symbol
from theory.matching.families import (
    FAMILY_NAMES,
    Family,
    FamilyError,
    Scaling,
    family_of,
    hermite_family,
    hermite_function,
    hermite_moments,
    named_family,
)
from theory.matching.leaky import LeakyReduction, leaky_kernel, leaky_reductions, leaky_relations
from theory.matching.one_layer import OneLayer, odd_ratio_limit, one_layer
from theory.matching.quadratic import quadratic_layers, quadratic_relation
from theory.matching.rates import two_rate_condition, two_rate_layer, two_rates
from theory.matching.two_layers import TwoLayers, chi2, rational_layer, rational_width, two_layers, weighted_bound

__all__ = [
    "FAMILY_NAMES",
    "TARGETS",
    "DeepNetwork",
    "Family",
    "FamilyError",
    "LeakyReduction",
    "MatchingSystem",
    "OneLayer",
    "Scaling",
    "TwoLayers",
    "chi2",
    "compose",
    "cubic_share",
    "deep_network",
    "family_of",
    "hermite_family",
    "hermite_function",
    "hermite_moments",
    "kernel_part",
    "leaky_kernel",
    "leaky_reductions",
    "leaky_relations",
    "matching_system",
    "named_family",
    "necessary_conditions",
    "odd_ratio_limit",
    "one_layer",
    "quadratic_layers",
    "quadratic_ratio",
    "quadratic_relation",
    "rate_symbol",
    "rational_layer",
    "rational_width",
    "two_layers",
    "two_rate_condition",
    "two_rate_layer",
    "two_rates",
    "weighted_bound",
]
