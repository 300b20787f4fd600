"""Gaussian moments of an activation in float64, to any number of digits, and in balls."""

from numerics.moments.certified import CertifiedMoments, certified_moments
from numerics.moments.coarse_variance import TAIL_BITS, coarse_variance
from numerics.moments.enclosures import UnboundedError, UncertifiedError
from numerics.moments.float64 import FloatMoments
from numerics.moments.hermite_balls import MOST_TERMS, HermiteBalls, hermite_balls, terms_needed
from numerics.moments.hermite_floats import HermiteFloats, hermite_floats
from numerics.moments.high_precision import HighPrecisionMoments
from numerics.moments.majorants import Majorant, half_strip_majorant
from numerics.moments.quadrature import (
    HALF_WIDTH,
    NODES,
    gaussian_moment,
    gaussian_rule,
    legendre_rule,
    quiet,
    select_refinement,
    slope_energies,
)
from numerics.moments.reference import BallMoments, moment_balls, reference_slope_energy
from numerics.moments.stein import stein_balls
from numerics.moments.strips import PieceBounds, gaussian_tail
from numerics.moments.values import Key, MomentAccuracyError, MomentValues

__all__ = [
    "HALF_WIDTH",
    "MOST_TERMS",
    "NODES",
    "TAIL_BITS",
    "BallMoments",
    "CertifiedMoments",
    "FloatMoments",
    "HermiteBalls",
    "HermiteFloats",
    "HighPrecisionMoments",
    "Key",
    "Majorant",
    "MomentAccuracyError",
    "MomentValues",
    "PieceBounds",
    "UnboundedError",
    "UncertifiedError",
    "certified_moments",
    "coarse_variance",
    "gaussian_moment",
    "gaussian_rule",
    "gaussian_tail",
    "half_strip_majorant",
    "hermite_balls",
    "hermite_floats",
    "legendre_rule",
    "moment_balls",
    "quiet",
    "reference_slope_energy",
    "select_refinement",
    "slope_energies",
    "stein_balls",
    "terms_needed",
]
