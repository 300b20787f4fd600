"""How far each equivalent is from the exact kernel of given samples: predicted from the samples, and measured.

Predicted means without the exact kernel: the series in S_ij to degree 5, in which every sample keeps its own norm,
stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from numerics.arithmetic import Pointwise
from numerics.arrays import Array
from numerics.data import MixtureStatistics, mean_squared_products
from numerics.equilibrium import FloatEquilibrium
from numerics.equivalents import DeterministicEquivalent, EntryPolynomial, entry_polynomial, kept_norms
from numerics.kernels import preactivation_variances
from numerics.linalg import operator_norm, symmetrise
from theory.kernels import Kernel

__all__ = ["Equivalent", "EquivalentsOnData", "Prediction", "Reason"]

#: Degree of the entrywise equivalents, and of the series that stands in for the exact kernel.
_THIRD, _REFERENCE = 3, 5
#: Relative accuracy of an error's norm.
_TOLERANCE = 1e-6


class Equivalent(StrEnum):
    """What stands in for a kernel, from the most averaged to the least."""

    #: Gbar or Kbar of theory sheet section 4.
    GBAR = "gbar"
    #: The same with the class means in E[(x_i . x_j)^2].
    WITH_MEANS = "with_means"
    #: alpha_1 S + alpha_2 delta delta^T + alpha_3 S o S off the diagonal, gamma_*^2 on it.
    SECOND_ORDER = "second_order"
    #: Every term of third total degree or less in S_ij, delta_i, delta_j.
    THIRD_ORDER = "third_order"
    #: The series in S_ij to third degree, every sample with moments at its own tau_i.
    KEPT_NORMS = "kept_norms"


class Reason(StrEnum):
    """Why Gbar differs from a kernel of these samples."""

    #: S o S about E[(x_i . x_j)^2]: the effective dimension is small.
    DIMENSION = "dimension"
    #: E[(x_i . x_j)^2] about T_ab/p: the class means carry energy.
    MEANS = "means"
    #: What depends on the delta_i, beyond their products: the norms differ.
    NORMS = "norms"
    #: S_ij^3 and beyond: the correlations are large.
    CORRELATIONS = "correlations"


@dataclass(frozen=True)
class Prediction:
    """Errors relative to the kernel's norm, without the exact kernel.

    Attributes:
        errors: by equivalent.
        parts: of Gbar's error by reason, each the norm of its own matrix.
    """

    errors: Mapping[Equivalent, float]
    parts: Mapping[Reason, float]

    @property
    def reason(self) -> Reason:
        """The largest part of Gbar's error."""
        return max(self.parts, key=lambda reason: self.parts[reason])


@dataclass(frozen=True)
class EquivalentsOnData:
    """The equivalents of one kernel on given samples.

    Attributes:
        gram: (n, n) array S.
        statistics: of the samples.
        labels: (n,) array of classes.
        solution: the equilibrium at tau_0 = sqrt(tr S/n).
        phi: the activation.
        weights: sigma_a^2 and sigma_b^2.
        kernel: which kernel.
    """

    gram: Array
    statistics: MixtureStatistics
    labels: np.ndarray
    solution: FloatEquilibrium
    phi: Pointwise
    weights: tuple[float, float]
    kernel: Kernel

    def matrix(self, equivalent: Equivalent) -> Array:
        """Return an equivalent as an (n, n) array."""
        coefficients = self.solution.kernel(self.kernel)
        match equivalent:
            case Equivalent.GBAR:
                return self._gbar.dense()
            case Equivalent.WITH_MEANS:
                return DeterministicEquivalent.with_means(
                    self.statistics.indicator, self._products, coefficients, tau0=self._tau0, gram=self.gram
                ).dense()
            case Equivalent.SECOND_ORDER:
                return EntryPolynomial.of_four(coefficients).matrix(self.gram, self._tau0)
            case Equivalent.THIRD_ORDER:
                return self._polynomial(_THIRD, norms=True).matrix(self.gram, self._tau0)
            case Equivalent.KEPT_NORMS:
                return self._kept(_THIRD)

    def errors(self, exact: Array, rng: np.random.Generator) -> dict[Equivalent, float]:
        """Return the operator norms ||K - equivalent||/||K||.

        Args:
            exact: (n, n) array K.
            rng: gives the start vectors.
        """
        scale = operator_norm(exact, rng).value
        return {each: _norm(exact - self.matrix(each), rng) / scale for each in Equivalent}

    def predict(self, rng: np.random.Generator) -> Prediction:
        """Return the errors that the samples alone predict.

        Args:
            rng: gives the start vectors.
        """
        reference = self._kept(_REFERENCE)
        scale = operator_norm(reference, rng).value
        errors = {each: _norm(reference - self.matrix(each), rng) / scale for each in Equivalent}
        parts = {reason: _norm(self._part(reason, reference), rng) / scale for reason in Reason}
        return Prediction(errors, parts)

    @property
    def _tau0(self) -> float:
        return self.statistics.tau0_empirical

    @property
    def _gbar(self) -> DeterministicEquivalent:
        return DeterministicEquivalent.from_statistics(
            self.statistics, self.solution.kernel(self.kernel), tau0=self._tau0, gram=self.gram
        )

    @cached_property
    def _products(self) -> Array:
        return mean_squared_products(self.gram, self.labels)

    def _polynomial(self, degree: int, *, norms: bool) -> EntryPolynomial:
        scale, bias = self.solution["tau"], self.solution["bias"]
        return entry_polynomial(self.phi, scale, bias, self.weights, self.kernel, degree=degree, norms=norms)

    @cached_property
    def _scales(self) -> Array:
        squares = np.diagonal(self.gram).copy()
        return np.sqrt(preactivation_variances(squares, self.phi, *self.weights, self.solution["bias"]))

    def _kept(self, degree: int) -> Array:
        made = kept_norms(self.phi, self._scales, self.solution["bias"], self.weights, self.kernel, degree=degree)
        return made.matrix(self.gram)

    @cached_property
    def _equal_norms(self) -> EntryPolynomial:
        """The entries of samples of norm tau_0."""
        return self._polynomial(_REFERENCE, norms=False)

    def _part(self, reason: Reason, reference: Array) -> Array:
        """A part of the kernel less Gbar."""
        _, variance, square, _ = self.solution.kernel(self.kernel)
        indicator, p = self.statistics.indicator, self.statistics.dimension
        match reason:
            case Reason.DIMENSION:
                return _without_diagonal(square * (self.gram**2 - indicator @ self._products @ indicator.T))
            case Reason.MEANS:
                return np.asarray(square * (indicator @ (self._products - self.statistics.T / p) @ indicator.T))
            case Reason.NORMS:
                fluctuations = self.statistics.low_rank @ np.append(self.statistics.t, 1.0)
                equal = self._equal_norms.matrix(self.gram, self._tau0)
                return symmetrise(reference - equal - variance * np.outer(fluctuations, fluctuations))
            case Reason.CORRELATIONS:
                powers = {m: factor for m, factor in self._equal_norms.off_diagonal.items() if m[0] >= _THIRD}
                return EntryPolynomial(powers, (0.0,)).matrix(self.gram, self._tau0)


def _norm(matrix: Array, rng: np.random.Generator) -> float:
    return operator_norm(matrix, rng, tolerance=_TOLERANCE).value


def _without_diagonal(matrix: Array) -> Array:
    np.fill_diagonal(matrix, 0.0)
    return symmetrise(matrix)
