"""The exact kernels of networks of infinite width, entry by entry."""

from numerics.kernels.chebyshev import at_many_points
from numerics.kernels.coupled import CoupledKernels, coupled_kernels
from numerics.kernels.duals import (
    ClosedDual,
    DualActivation,
    LongSeriesDual,
    QuadratureDual,
    bivariate_normal_cdf,
    slow_dual,
    with_dual,
)
from numerics.kernels.entries import Evidence, KernelConvergenceError, preactivation_variances
from numerics.kernels.gram import GramBlock, check_gram
from numerics.kernels.hermite import dual_by_quadrature, dual_by_series, hermite_coefficients, resolving_edges
from numerics.kernels.infinite_width import (
    EXPLICIT_KERNELS,
    ExactKernels,
    explicit_kernels,
    implicit_kernels,
    stopped_kernel,
)
from numerics.kernels.interpolated_duals import InterpolatedDual, PairDual, UnresolvedDualError

__all__ = [
    "EXPLICIT_KERNELS",
    "ClosedDual",
    "CoupledKernels",
    "DualActivation",
    "Evidence",
    "ExactKernels",
    "GramBlock",
    "InterpolatedDual",
    "KernelConvergenceError",
    "LongSeriesDual",
    "PairDual",
    "QuadratureDual",
    "UnresolvedDualError",
    "at_many_points",
    "bivariate_normal_cdf",
    "check_gram",
    "coupled_kernels",
    "dual_by_quadrature",
    "dual_by_series",
    "explicit_kernels",
    "hermite_coefficients",
    "implicit_kernels",
    "preactivation_variances",
    "resolving_edges",
    "slow_dual",
    "stopped_kernel",
    "with_dual",
]
