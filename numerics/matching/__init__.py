"""Explicit networks that have a DEQ's kernel, found and proved."""

from numerics.matching.boxes import FamilyBox, match_own, search_networks
from numerics.matching.constructive import match_hermite
from numerics.matching.designs import Design, DesignError, ForwardCost, UndecidedDesignError, design
from numerics.matching.explicit_network import ExplicitLayer, ExplicitNetwork
from numerics.matching.impossibility import ck_is_forbidden, ntk_is_forbidden, width_of_rational
from numerics.matching.leaky import match_leaky
from numerics.matching.on_data import LARGEST_ON_DATA, DataDesign, KernelFit, design_for_data
from numerics.matching.rivals import DEQKernels, best_scalar, explicit_kernel, naive_layers
from numerics.matching.targets import Target, target_of
from numerics.matching.thresholds import Threshold, ThresholdError, locate_threshold

__all__ = [
    "LARGEST_ON_DATA",
    "DEQKernels",
    "DataDesign",
    "Design",
    "DesignError",
    "ExplicitLayer",
    "ExplicitNetwork",
    "FamilyBox",
    "ForwardCost",
    "KernelFit",
    "Target",
    "Threshold",
    "ThresholdError",
    "UndecidedDesignError",
    "best_scalar",
    "ck_is_forbidden",
    "design",
    "design_for_data",
    "explicit_kernel",
    "locate_threshold",
    "match_hermite",
    "match_leaky",
    "match_own",
    "naive_layers",
    "ntk_is_forbidden",
    "search_networks",
    "target_of",
    "width_of_rational",
]
