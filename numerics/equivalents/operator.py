"""Deterministic equivalents as linear operators: a multiple of S, a low rank and a multiple of the identity.

Theory sheet, section 4:  Gbar = alpha_1 S + V C V^T + (gamma_*^2 - tau_0^2 alpha_1) I_n  with V = [J/sqrt(p), psi] and
C = [[alpha_2 t t^T + alpha_3 T, alpha_2 t], [alpha_2 t^T, alpha_2]].  The NTK's equivalent has the same form in its own
four numbers (beta_1, beta_2, beta_3, kappa_*^2), so the operator serves both.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numerics.arrays import Array
from numerics.data import MixtureStatistics

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


def low_rank_core(second: float, third: float, statistics: TraceStatistics) -> Array:
    """C (or D) = [[a_2 t t^T + a_3 T, a_2 t], [a_2 t^T, a_2]], shape (K+1, K+1); theory sheet, section 4.

    Args:
        second: a_2, which is alpha_2 (or beta_2).
        third: a_3, which is alpha_3 (or beta_3).
        statistics: t and T.
    """
    t = statistics.t
    classes = t.shape[0]
    core = np.empty((classes + 1, classes + 1))
    core[:classes, :classes] = second * np.outer(t, t) + third * statistics.T
    core[:classes, classes] = core[classes, :classes] = second * t
    core[classes, classes] = second
    return core


def equivalent_parts(
    numbers: tuple[float, float, float, float], statistics: MixtureStatistics, tau0: float, gram: Array
) -> dict[str, LinearOperator]:
    """What each of an equivalent's four numbers contributes to it, by name: the change that doubling it makes.

    Args:
        numbers: coefficients of S (at a fixed diagonal: alpha_1 (S - tau_0^2 I)), of t and psi, of T, and the diagonal.
        statistics: of the sample.
        tau0: the reading for which the numbers were solved.
        gram: (n, n) array S.
    """
    first, second, third, diagonal = numbers

    def part(linear: float, core: Array, identity: float) -> DeterministicEquivalent:
        return DeterministicEquivalent(linear, core, statistics.low_rank, identity, gram=gram)

    nothing = low_rank_core(0.0, 0.0, statistics)
    return {
        "linear": part(first, nothing, -(tau0**2) * first),
        "variance": part(0.0, low_rank_core(second, 0.0, statistics), 0.0),
        "square": part(0.0, low_rank_core(0.0, third, statistics), 0.0),
        "diagonal": part(0.0, nothing, diagonal),
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
        *,
        alpha1: float,
        alpha2: float,
        alpha3: float,
        gamma2: float,
        tau0: float,
        gram: Array | None = None,
        data: Array | None = None,
    ) -> DeterministicEquivalent:
        """Gbar of theory sheet section 4 (Kbar when given beta_1, beta_2, beta_3 and kappa_*^2 instead).

        Args:
            statistics: J, t, T and psi of the data.
            alpha1: coefficient of S.
            alpha2: coefficient of the norms' fluctuations.
            alpha3: coefficient of the covariances' traces.
            gamma2: diagonal.
            tau0: tau_0 in the reading for which the coefficients were solved.
            gram: (n, n) array S; give either this or `data`.
            data: (p, n) array X.

        Raises:
            ValueError: shapes that do not fit, or both or neither of S and X given.
        """
        core = low_rank_core(alpha2, alpha3, statistics)
        diagonal = gamma2 - tau0**2 * alpha1
        return cls(alpha1, core, statistics.low_rank, diagonal, gram=gram, data=data)

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
