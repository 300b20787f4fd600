"""Deterministic equivalents as linear operators: a multiple of S, a low rank and a multiple of the identity.

Theory sheet, section 4:  Gbar = alpha_1 S + V C V^T + (gamma_*^2 - tau_0^2 alpha_1) I_n  with V = [J/sqrt(p), psi] and
C = [[alpha_2 t t^T + alpha_3 T, alpha_2 t], [alpha_2 t^T, alpha_2]].  The NTK's equivalent has the same form in its own
four numbers (beta_1, beta_2, beta_3, kappa_*^2), so the operator serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from scipy.linalg import block_diag
from scipy.sparse.linalg import LinearOperator

from numerics.arrays import Array
from numerics.data import MixtureStatistics
from theory.kernels import KernelCoefficients

__all__ = [
    "DeterministicEquivalent",
    "TraceStatistics",
    "equivalent_parts",
    "low_rank_core",
]


class TraceStatistics(Protocol):
    """What the middle factor needs of the data: ``MixtureStatistics`` has it."""

    @property
    def t(self) -> Array:
        """(K,) array, tr(C_a - C°)/sqrt(p)."""
        ...

    @property
    def T(self) -> Array:
        """(K, K) array, tr(C_a C_b)/p."""
        ...


def low_rank_core(variance: float, square: float, statistics: TraceStatistics) -> Array:
    """C (or D) = [[a_2 t t^T + a_3 T, a_2 t], [a_2 t^T, a_2]], shape (K+1, K+1); theory sheet, section 4.

    Args:
        variance: a_2, which is alpha_2 (or beta_2).
        square: a_3, which is alpha_3 (or beta_3).
        statistics: t and T.
    """
    t = statistics.t
    classes = t.shape[0]
    core = np.empty((classes + 1, classes + 1))
    core[:classes, :classes] = variance * np.outer(t, t) + square * statistics.T
    core[:classes, classes] = core[classes, :classes] = variance * t
    core[classes, classes] = variance
    return core


def equivalent_parts(
    coefficients: KernelCoefficients[float], statistics: MixtureStatistics, tau0: float, gram: Array
) -> dict[str, LinearOperator]:
    """What each coefficient contributes to an equivalent, by name: the change that doubling it makes.

    That of S is changed at a fixed diagonal: alpha_1 (S - tau_0^2 I).

    Args:
        coefficients: of the kernel.
        statistics: of the sample.
        tau0: the reading for which the coefficients were solved.
        gram: (n, n) array S.
    """

    def part(linear: float, core: Array, identity: float) -> DeterministicEquivalent:
        return DeterministicEquivalent(linear, core, statistics.low_rank, identity, gram=gram)

    nothing = low_rank_core(0.0, 0.0, statistics)
    return {
        "linear": part(coefficients.linear, nothing, -(tau0**2) * coefficients.linear),
        "variance": part(0.0, low_rank_core(coefficients.variance, 0.0, statistics), 0.0),
        "square": part(0.0, low_rank_core(0.0, coefficients.square, statistics), 0.0),
        "diagonal": part(0.0, nothing, coefficients.diagonal),
    }


class DeterministicEquivalent(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """first S + V core V^T + diagonal I, applied without being formed.

    Args:
        first: float, coefficient of S: alpha_1 (or beta_1 for the NTK).
        core: (r, r) array, symmetric middle factor of the low rank.
        factor: (n, r) array, V.
        diagonal: float, coefficient of the identity: gamma_*^2 - tau_0^2 alpha_1.
        gram: (n, n) array S; give either this or `data`.
        data: (p, n) array X: a product then costs O(n p) and S is never formed.

    Raises:
        ValueError: shapes that do not fit, or both or neither of S and X given.
    """

    def __init__(
        self,
        first: float,
        core: Array,
        factor: Array,
        diagonal: float,
        *,
        gram: Array | None = None,
        data: Array | None = None,
    ) -> None:
        held = gram if data is None else data
        if held is None or (gram is not None and data is not None):
            raise ValueError("give exactly one of gram (S, n x n) and data (X, p x n)")
        n, rank = factor.shape
        if core.shape != (rank, rank):
            raise ValueError(f"core must have shape {(rank, rank)} to fit the factor, got {core.shape}")
        if gram is not None and gram.shape != (n, n):
            raise ValueError(f"gram must have shape {(n, n)}, got {gram.shape}")
        if data is not None and (data.ndim != 2 or data.shape[1] != n):
            raise ValueError(f"data must have {n} columns, got shape {data.shape}")
        numbers = (first, diagonal)
        if not all(np.isfinite(number) for number in numbers):
            raise ValueError(f"coefficients must be finite, got {numbers}")
        super().__init__(np.dtype(np.float64), (n, n))
        self.first = float(first)
        self.diagonal = float(diagonal)
        self.core = core
        self.factor = factor
        self._is_gram = gram is not None
        self._held = held

    @classmethod
    def from_statistics(
        cls,
        statistics: MixtureStatistics,
        coefficients: KernelCoefficients[float],
        *,
        tau0: float,
        gram: Array | None = None,
        data: Array | None = None,
    ) -> DeterministicEquivalent:
        """Gbar of theory sheet section 4, or Kbar for an NTK's coefficients.

        Args:
            statistics: J, t, T and psi of the data.
            coefficients: of the kernel.
            tau0: tau_0 in the reading for which the coefficients were solved.
            gram: (n, n) array S; give either this or `data`.
            data: (p, n) array X.

        Raises:
            ValueError: shapes that do not fit, or both or neither of S and X given.
        """
        core = low_rank_core(coefficients.variance, coefficients.square, statistics)
        identity = coefficients.identity(tau0)
        return cls(coefficients.linear, core, statistics.low_rank, identity, gram=gram, data=data)

    @classmethod
    def with_means(
        cls, indicator: Array, products: Array, coefficients: KernelCoefficients[float], *, tau0: float, gram: Array
    ) -> DeterministicEquivalent:
        """Gbar where the class means carry a share of the energy.

        J T J^T/p becomes J P J^T, P_ab = E[(x_i . x_j)^2] with the means in it, and t_a/sqrt(p) + psi_i becomes delta_i
        itself: alpha_1 S + alpha_2 delta delta^T + alpha_3 J P J^T + (gamma_*^2 - tau_0^2 alpha_1) I.

        Args:
            indicator: (n, K) array J.
            products: (K, K) array P (``numerics.data.mean_squared_products``).
            coefficients: of the kernel.
            tau0: tau_0 for which the coefficients were solved.
            gram: (n, n) array S.

        Raises:
            ValueError: shapes that do not fit.
        """
        delta = np.diagonal(gram) - tau0**2
        core = block_diag(coefficients.square * products, coefficients.variance)
        factor = np.column_stack([indicator, delta])
        return cls(coefficients.linear, core, factor, coefficients.identity(tau0), gram=gram)

    @classmethod
    def about_limit(
        cls,
        statistics: MixtureStatistics,
        coefficients: Mapping[str, float],
        delta: Array | None = None,
        *,
        tau0: float,
        gram: Array,
    ) -> DeterministicEquivalent:
        """Gbar of theory sheet section 8, about a limit of the entries off the diagonal that need not be 0.

        With delta_i = ||x_i||^2 - tau_0^2 it is
        g_0 1 1^T + g_S S + g_d (delta 1^T + 1 delta^T) + g_dd delta delta^T + (g_SS/p) J T J^T
        + g_e (1 (delta^2)^T + delta^2 1^T) + (E[phi^2] - g_0 - tau_0^2 g_S) I.

        Args:
            statistics: J and T of the data.
            coefficients: g0, gS, gd, gdd, gSS, ge and diagonal by key.
            delta: (n,) array; the samples' own where left out.
            tau0: tau_0 for which the coefficients were solved.
            gram: (n, n) array S.

        Raises:
            ValueError: shapes that do not fit.
        """
        delta = np.diagonal(gram) - tau0**2 if delta is None else delta
        factor = np.column_stack(
            [np.ones_like(delta), delta, delta**2, statistics.indicator / np.sqrt(statistics.dimension)]
        )
        norms = np.zeros((3, 3))
        norms[0, 0], norms[1, 1] = coefficients["g0"], coefficients["gdd"]
        norms[0, 1] = norms[1, 0] = coefficients["gd"]
        norms[0, 2] = norms[2, 0] = coefficients["ge"]
        core = block_diag(norms, coefficients["gSS"] * statistics.T)
        rest = coefficients["diagonal"] - coefficients["g0"] - tau0**2 * coefficients["gS"]
        return cls(coefficients["gS"], core, factor, rest, gram=gram)

    def _apply_gram(self, block: Array | None) -> Array:
        """S times a block, or S itself (block None), from whichever of S and X is held."""
        if self._is_gram:
            return self._held if block is None else np.asarray(self._held @ block)
        return np.asarray(self._held.T @ (self._held if block is None else self._held @ block))

    def _matmat(self, block: Array) -> Array:
        product = self._apply_gram(block)
        low = self.factor @ (self.core @ (self.factor.T @ block))
        return np.asarray(self.first * product + low + self.diagonal * block)

    def _matvec(self, vector: Array) -> Array:
        return self._matmat(vector.reshape(-1, 1)).ravel()

    def _adjoint(self) -> DeterministicEquivalent:
        return self

    def _transpose(self) -> DeterministicEquivalent:
        return self

    def dense(self) -> Array:
        """The (n, n) matrix, symmetric to the last bit."""
        gram = self._apply_gram(None)
        matrix = self.first * gram + self.factor @ self.core @ self.factor.T
        matrix = (matrix + matrix.T) / 2
        matrix[np.diag_indices_from(matrix)] += self.diagonal
        return np.asarray(matrix)
