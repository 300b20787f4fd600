"""Networks of finite width, and their tangent kernels."""

from numerics.networks.deq import FiniteDEQ, NetworkState
from numerics.networks.explicit import FiniteExplicitNetwork
from numerics.networks.iteration import NonConvergenceError, iterate_columns, solve_fixed_point
from numerics.networks.tangent import FiniteKernels, explicit_ntk, implicit_ntks

__all__ = [
    "FiniteDEQ",
    "FiniteExplicitNetwork",
    "FiniteKernels",
    "NetworkState",
    "NonConvergenceError",
    "explicit_ntk",
    "implicit_ntks",
    "iterate_columns",
    "solve_fixed_point",
]
