"""Expressions over any arithmetic: float64, mpmath numbers, Arb balls; proofs of roots in boxes."""

from numerics.arithmetic.balls import (
    BallArithmetic,
    ComplexBallArithmetic,
    constant_ball,
    hull,
    integer_power,
    real_part,
)
from numerics.arithmetic.branch_and_prune import Search, search
from numerics.arithmetic.decimals import (
    BITS_PER_DIGIT,
    ball_from_text,
    ball_to_text,
    contains_decimal,
    exact_bounds,
    percent,
    proved_decimal,
    radius_text,
    rounded_decimal,
)
from numerics.arithmetic.krawczyk import BallSystem, RootNotCertifiedError, certify_root
from numerics.arithmetic.pointwise import (
    Pointwise,
    PointwiseActivation,
    as_pointwise,
    elementwise,
    moment_threshold,
    pointwise,
)
from numerics.arithmetic.programs import (
    Arithmetic,
    FloatArithmetic,
    MpArithmetic,
    Program,
    UnsupportedExpressionError,
    compile_program,
)

__all__ = [
    "BITS_PER_DIGIT",
    "Arithmetic",
    "BallArithmetic",
    "BallSystem",
    "ComplexBallArithmetic",
    "FloatArithmetic",
    "MpArithmetic",
    "Pointwise",
    "PointwiseActivation",
    "Program",
    "RootNotCertifiedError",
    "Search",
    "UnsupportedExpressionError",
    "as_pointwise",
    "ball_from_text",
    "ball_to_text",
    "certify_root",
    "compile_program",
    "constant_ball",
    "contains_decimal",
    "elementwise",
    "exact_bounds",
    "hull",
    "integer_power",
    "moment_threshold",
    "percent",
    "pointwise",
    "proved_decimal",
    "radius_text",
    "real_part",
    "rounded_decimal",
    "search",
]
