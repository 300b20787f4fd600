"""Explicit networks that have a DEQ's kernel, found and proved."""

from numerics.matching.boxes import FamilyBox, match_own, search_networks
from numerics.matching.constructive import match_hermite
from numerics.matching.designs import Design, DesignError, ForwardCost, UndecidedDesignError, design
from numerics.matching.explicit_network import ExplicitLayer, ExplicitNetwork
from numerics.matching.impossibility import ck_is_forbidden, ntk_is_forbidden, width_of_rational
from numerics.matching.leaky import match_leaky
from numerics.matching.targets import Target, target_of
from numerics.matching.thresholds import Threshold, ThresholdError, locate_threshold

__all__ = [
    "Design",
    "DesignError",
    "ExplicitLayer",
    "ExplicitNetwork",
    "FamilyBox",
    "ForwardCost",
    "Target",
    "Threshold",
    "ThresholdError",
    "UndecidedDesignError",
    "ck_is_forbidden",
    "design",
    "locate_threshold",
    "match_hermite",
    "match_leaky",
    "match_own",
    "ntk_is_forbidden",
    "search_networks",
    "target_of",
    "width_of_rational",
]
