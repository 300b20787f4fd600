"""Statistics of the data as the released code has them, and its estimate of the kernels: means over finite networks.

Read in StephenLi24/INN_eqvi_ENN, folder ck_ntk.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from numerics.arithmetic import PointwiseActivation
from numerics.arrays import Array
from numerics.data import MixtureStatistics
from theory.kernels import Kernel

__all__ = ["ReleasedDEQ", "released_image_statistics", "released_mixture_statistics"]

#: Steps at most, and the change of the states at which they end (here in Frobenius norm, which is the stricter one).
_STEPS, _TOLERANCE = 25, 5e-6


def released_mixture_statistics(statistics: MixtureStatistics) -> MixtureStatistics:
    """The statistics with T of centred covariances, T_ab = tr(C_a° C_b°)/p.

    Args:
        statistics: of a mixture.
    """
    shares = statistics.indicator.mean(axis=0)
    along = statistics.T @ shares
    return replace(statistics, T=statistics.T - along[:, None] - along[None, :] + shares @ along)


def released_image_statistics(
    samples: Array, labels: NDArray[np.intp], statistics: MixtureStatistics
) -> MixtureStatistics:
    """The statistics that the released code makes of images: t = 0, psi over p, and T as it stands there.

    Its T_ab is the sum of the products of the diagonals of C_a - C and C_b - C, over p, with C half the covariance of
    all samples and no factor p between covariances of x and C_a.

    Args:
        samples: (n, p) array, a sample in each row.
        labels: (n,) array of two classes.
        statistics: estimated from the same samples.
    """
    classes, p = statistics.t.size, statistics.dimension
    half = samples.var(axis=0, ddof=1) / classes
    diagonals = np.array([samples[labels == a].var(axis=0, ddof=1) - half for a in range(classes)])
    return replace(
        statistics, t=np.zeros(classes), T=diagonals @ diagonals.T / p, psi=_psi(samples, labels) / statistics.dimension
    )


def _psi(samples: Array, labels: NDArray[np.intp]) -> Array:
    """||x_i - mean||^2 less the trace of the class's covariance."""
    psi = np.empty(len(samples))
    for a in np.unique(labels):
        rows = samples[labels == a]
        squares = np.sum((rows - rows.mean(axis=0)) ** 2, axis=1)
        psi[labels == a] = squares - squares.sum() / (len(rows) - 1)
    return psi


class ReleasedDEQ:
    """One finite DEQ as the released code iterates it: z = phi(sigma_a A z + sigma_b B x)/sqrt(m), from 0.

    Args:
        phi: the activation.
        bias: subtracted from it.
        weights: sigma_a^2 and sigma_b^2.
        recurrent: (m, m) array A.
        inputs: (m, p) array B.
        data: (p, n) array X.

    Attributes:
        states: (m, n) array, z.
    """

    def __init__(
        self,
        phi: PointwiseActivation,
        bias: float,
        weights: tuple[float, float],
        recurrent: Array,
        inputs: Array,
        data: Array,
    ) -> None:
        self._phi, self._sigma_a2 = phi, weights[0]
        self._recurrent = np.sqrt(weights[0]) * recurrent
        self._drive = np.sqrt(weights[1]) * (inputs @ data)
        self._root = float(np.sqrt(recurrent.shape[0]))
        self.states = np.zeros_like(self._drive)
        for _ in range(_STEPS):
            following = (phi.value(self._recurrent @ self.states + self._drive) - bias) / self._root
            moved = float(np.linalg.norm(following - self.states))
            self.states = following
            if moved <= _TOLERANCE:
                break

    def kernel(self, kernel: Kernel) -> Array:
        """The CK Z^T Z, or the recurrent NTK made of it entry by entry, an (n, n) array.

        Args:
            kernel: which of the two.
        """
        gram = self.states.T @ self.states
        if kernel is Kernel.CK:
            return np.asarray(gram)
        slopes = self._phi.derivative(self._recurrent @ self.states + self._drive) / self._root
        return np.asarray(gram / (1 - self._sigma_a2 * (slopes.T @ slopes)))
