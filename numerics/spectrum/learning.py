r"""What a readout on a kernel learns of a mixture, from the population alone: errors on training and on fresh samples.

Theory sheet, section 10, and for the classes' labels y = J c + noise.  With A = Gbar + penalty, w = A^-1 y, and
f(x) = g(x)^T w, the residual of a training sample when it is left out is

    y_i - f_{-i}(x_i) = w_i / (A^-1)_ii,

and it has the law of a fresh sample's residual.  So no moment over fresh samples has to be derived: the classes' means
and second moments of w are those of the residuals, divided by the limit q_b/alpha_1 of (A^-1)_ii and by its square.
Both follow from resolvents.  In the notation of `outliers`,

    Gbar + D = alpha_1 (W^T W - D_z + U Lambda U^T),    z_a = -(gamma_*^2 - tau_0^2 alpha_1 + D_a)/alpha_1,

D a multiple of the identity on the samples of each class, and B = lim U^T (W^T W - D_z)^-1 U.  With e the columns of J
in U and v = (I + Lambda B)^-1 e c:

    mean residual of class b:             (e^T v)_b,
    second moments, penalties z and z':   v^T B_b v' / ((n_b/p) q_b q'_b),

where B_b is the limit of U^T Q P_b Q' U, P_b the samples of class b: for z = z' the derivative of B in z_b.  Noise in
the labels adds its variance times sum_a n_a x_a / (n_b q_b q'_b), x the derivative of q in z_b.  That residuals are
Gaussian is proved for such readouts by Liao and Couillet (IEEE Transactions on Signal Processing 67, 2019) and by Mai
and Liao (2024); deterministic equivalents of this kind are surveyed in Liao and Mahoney (2025).

In time, gradient flow df/dt = -Gbar (f - y) gives residuals exp(-t A) y on the training samples and
int_0^t exp(-s A) ds for A^-1 on fresh ones.  Both are sums of resolvents over a contour about the spectrum (Weideman
and Trefethen, Mathematics of Computation 76, 2007), so that means and second moments are sums of those above.

Labels may have more in them than the classes: a linear function of the samples, as W^T beta, one column of U more, and
one of their norms, as psi.  Any other quadratic function is nearly orthogonal to all that the equivalent keeps, and
acts like noise until n is of the order of p^2.

At width m the readout is on H^T H/m, whose resolvent has the equivalent (mu Sigma + D)^-1 of `finite_width`.  Its
diagonal derivative in D_b moves mu as well.  It is the law of an explicit layer where s = 0; for a DEQ it rests on the
conjecture of section 9.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from numerics.arrays import Array
from numerics.data import GaussianMixture
from numerics.equivalents import identity_coefficient, without_rounding
from numerics.spectrum.finite_width import tied_factor
from numerics.spectrum.fixed_point import Field, solve_below, solve_off_axis
from numerics.spectrum.outliers import core_matrix, moved_blocks, resolvent_blocks
from numerics.spectrum.outputs import Learned, Outputs, class_targets
from numerics.spectrum.population import CommutingCovariances, Population
from theory.kernels import KernelCoefficients

__all__ = ["LearningLaw"]

#: Half the points of the contour: errors of 8.1^-16 of the labels, which is rounding.
_NODES = 16
_DOUBLINGS = 200


class LearningLaw:
    """The law of what readouts on one kernel learn.

    Penalties are relative to tr(kernel)/n, times to its inverse.

    Args:
        data: the mixture, or what the law needs of it; its sizes are those of the training sample.
        coefficients: of the kernel's equivalent.
        targets: (K, o) array, the labels of every class; those of `class_targets` by default.
        noise: variance of independent noise in every label.
        slope: (p,) array beta, of a mixture only: beta^T x_i sqrt(p) is added to every label of sample i.
        norm: norm sqrt(p) (||x_i||^2 - tau_0^2) is added to it.

    With a slope or a norm the outputs' covariances are nan: what is predicted are mean squared errors.

    Raises:
        ValueError: a kernel that is 0, targets of another shape or not finite, a negative noise, a slope of another
            length, without a mixture or with a kernel that has no multiple of X^T X.

    Example:
        >>> from numerics.spectrum import LearningLaw, Population
        >>> from theory.kernels import KernelCoefficients
        >>> population = Population.isotropic([1.0, 1.0], [[4.0, -4.0], [-4.0, 4.0]], [400, 400], 1000)
        >>> law = LearningLaw(population, KernelCoefficients(1.0, 0.0, 0.0, 1.0))
        >>> round(law.ridge(0.1).test.error, 4)
        0.1076
    """

    def __init__(
        self,
        data: Population | GaussianMixture,
        coefficients: KernelCoefficients[float],
        targets: ArrayLike | None = None,
        noise: float = 0.0,
        slope: ArrayLike | None = None,
        norm: float = 0.0,
    ) -> None:
        means = np.zeros(1)
        if isinstance(data, GaussianMixture):
            population = Population.from_mixture(data, slope)
            if slope is not None:
                means = data.means @ np.array(slope, dtype=np.float64)
        elif slope is None:
            population = data
        else:
            raise ValueError("a slope is a direction of the samples: give a mixture with it")
        labels = np.array(class_targets(population.classes) if targets is None else targets, dtype=np.float64)
        if labels.ndim != 2 or labels.shape[0] != population.classes or not np.all(np.isfinite(labels)):
            raise ValueError(f"targets must be a finite array (K, outputs) of {population.classes} rows")
        if not 0 <= noise < np.inf:
            raise ValueError(f"the noise must be a variance, got {noise:g}")
        if not np.isfinite(norm):
            raise ValueError(f"the norm's factor must be finite, got {norm:g}")
        coefficients = without_rounding(coefficients, population.tau0)
        if not coefficients.diagonal > 0:
            raise ValueError("a kernel that is 0 learns nothing; one with a positive diagonal is accepted")
        #: tr(kernel)/n.
        self.unit = coefficients.diagonal
        #: Coefficient of the identity in the equivalent.
        self.identity = identity_coefficient(coefficients, population.tau0)
        if coefficients.linear == 0:
            if slope is not None:
                raise ValueError(
                    "the kernel has no multiple of X^T X: to it a slope is noise of variance beta^T C beta"
                )
            # The kernel does not see W: it is that of samples without any, in a unit of one's own.
            population, coefficients = _without_bulk(population), replace(coefficients, linear=1.0)
        self.population, self.coefficients, self.targets, self.noise = population, coefficients, labels, noise
        self._core = core_matrix(population, coefficients, psi=norm != 0)
        #: The labels are sqrt(p) U times this, (size, o).
        self._labels = np.zeros((self._core.shape[0], labels.shape[1]))
        self._labels[: population.classes] = labels + norm * population.t[:, None]
        if slope is not None:
            # beta^T x_i sqrt(p) is beta^T mu_a, and W^T beta for the noise.
            self._labels[: population.classes] += means[:, None]
            self._labels[2 * population.classes] = 1.0
        if norm:
            self._labels[-1] = norm
        self._of_classes = slope is None and not norm

    def ridge(self, ridge: float, fresh_shifts: ArrayLike | None = None) -> Learned:
        """Ridge regression without an intercept.

        Args:
            ridge: the penalty, positive.
            fresh_shifts: (K,) array, t of the fresh samples, where their covariances' traces are others than those of
                the training samples; tr(C_a - C°)/sqrt(p), C° the mean over the training samples.

        Raises:
            ValueError: a penalty that is not positive, or shifts of another shape or not finite.
            SpectralLawError: the fixed point was not found.
        """
        point = self._at(_positive("ridge", ridge) * self.unit)
        learned = self._learned(point, point.second_moments(), point.penalty)
        if fresh_shifts is None:
            return learned
        shifts = np.array(fresh_shifts, dtype=np.float64)
        if shifts.shape != self.population.t.shape or not np.all(np.isfinite(shifts)):
            raise ValueError(
                f"the fresh samples' shifts must be finite, one for each of {self.population.classes} classes"
            )
        return replace(learned, test=_moved(learned.test, np.outer(shifts - self.population.t, point.response)))

    def features(self, ridge: float, width: int, feedback: float = 0.0) -> Learned:
        """Ridge regression on the features H^T H/m of m neurons, H = (I - s A/sqrt(m))^-1 Y, Y of this covariance.

        For an explicit layer s = 0 and the covariance of the rows is the kernel at infinite width; for a DEQ both are
        those of `deq_rows`, a conjecture, and the kernel at infinite width is the covariance over 1 - s^2.

        Args:
            ridge: the penalty, positive, relative to tr(kernel)/n at infinite width.
            width: m.
            feedback: s.

        Raises:
            ValueError: a penalty that is not positive, or a width below 1.
            SpectralLawError: the fixed point was not found.
        """
        if width < 1:
            raise ValueError(f"a width must be at least 1, got {width}")
        penalty = _positive("ridge", ridge) * self.unit / (1 - feedback**2)

        def gap(logarithm: float) -> float:
            """penalty - effective mu, in units of their sum; the effective penalty is where it is 0."""
            effective = float(np.exp(logarithm))
            g = self._at(effective).rank_share() / width
            there = effective * float(tied_factor(np.array(g), feedback)[0]) if g < 1 else 0.0
            return (there - penalty) / (there + penalty)

        low = high = float(np.log(penalty))
        for _ in range(_DOUBLINGS):
            if gap(high) > 0:
                break
            high += 1.0
        for _ in range(_DOUBLINGS):
            if gap(low) < 0:
                break
            low -= 1.0
        effective = float(np.exp(brentq(gap, low, high, xtol=1e-14, rtol=1e-14)))
        point = self._at(effective)
        return self._learned(point, point.second_moments_at_width(penalty, width, feedback), effective)

    def flow(self, time: float) -> Learned:
        """Gradient flow from 0 on the squared error, up to a time.

        Args:
            time: positive, in units of n/tr(kernel).

        Raises:
            ValueError: a time that is not positive.
            SpectralLawError: a fixed point was not found.
        """
        length = _positive("time", time) / self.unit
        # The parabola (i u + 1)^2 of Weideman and Trefethen, its upper half; the lower one is its mirror image.
        step = 3.0 / _NODES
        u = (np.arange(_NODES) + 0.5) * step
        poles = np.pi * _NODES / 12 * (1j * u + 1) ** 2
        weights = step / (2j * np.pi) * np.exp(poles) * (2j * (1j * u + 1)) * np.pi * _NODES / 12
        poles, weights = np.concatenate([poles, poles.conj()]), np.concatenate([weights, weights.conj()])
        contour = _Contour(self, poles / length)
        fresh = np.repeat((weights / poles)[:, None], self.population.classes, axis=1)
        parts = [fresh, (weights / length)[:, None] * contour.diagonal]
        test, train = (self._outputs(*contour.residuals(part), part.sum(axis=0).real) for part in parts)
        return Learned(test, train, leverage=1 - parts[1].sum(axis=0).real)

    def _at(self, penalty: float) -> _Point:
        return _Point(self, penalty)

    def _learned(self, point: _Point, seconds: Array, effective: float) -> Learned:
        """Residuals of training samples are those of fresh ones, shrunk by the penalty times (A^-1)_ii."""
        shrink = point.penalty * point.q / self.coefficients.linear
        return Learned(
            test=self._outputs(point.means, seconds, np.ones_like(shrink)),
            train=self._outputs(shrink[:, None] * point.means, shrink[:, None, None] ** 2 * seconds, shrink),
            leverage=1 - shrink,
            effective=effective,
        )

    def _outputs(self, means: Array, seconds: Array, own: Array) -> Outputs:
        """From means (K, o) and second moments (K, o, o) of residuals, which hold `own` (K,) of the label's noise."""
        outputs = self.targets.shape[1]
        covariance = seconds - means[:, :, None] * means[:, None, :]
        if not self._of_classes:
            # Of the residuals alone: how they go with the labels is not asked here.
            covariance = np.full_like(covariance, np.nan)
        held = self.population
        return Outputs(
            mean=self._labels[: held.classes] - means,
            covariance=covariance + (self.noise * (1 - 2 * own))[:, None, None] * np.eye(outputs),
            targets=self.targets,
            # After long times rounding leaves less than 0 of what should have vanished.
            class_mse=np.maximum(np.trace(seconds, axis1=1, axis2=2), 0.0) / outputs,
            shares=held.proportions / held.proportions.sum(),
        )

    def _solution(self, blocks: Field) -> Field:
        """v = (I + Lambda B)^-1 e c, shape (..., size, o)."""
        return np.asarray(np.linalg.solve(np.eye(len(self._core)) + self._core @ blocks, self._labels))


def _moved(outputs: Outputs, by: Array) -> Outputs:
    """The outputs with (K, o) added to their means."""
    # Labels' noise is independent: the mean squared error moves as that of the means does.
    before, after = outputs.mean - outputs.targets, outputs.mean + by - outputs.targets
    return replace(outputs, mean=outputs.mean + by, class_mse=outputs.class_mse + np.mean(after**2 - before**2, axis=1))


def _positive(name: str, value: float) -> float:
    if not 0 < value < np.inf:
        raise ValueError(f"the {name} must be a positive number, got {value:g}")
    return float(value)


def _without_bulk(population: Population) -> Population:
    classes, directions = population.classes, population.covariances.directions
    grams = np.zeros((1, directions, directions))
    nothing = CommutingCovariances(np.zeros((1, classes)), np.ones(1), grams, population.proportions)
    empty = np.empty((0, classes))
    return replace(
        population,
        covariances=nothing,
        mean_gram=np.zeros((classes, classes)),
        spike_values=empty,
        spike_means=empty,
    )


def _rates(population: Population, q: Field, other: Field) -> Field:
    """x_a of every class b, shape (..., b, a): (I - D_q D_q' Theta D_c)^-1 D_q D_q' e_b."""
    product = q * other
    coupling = product[..., :, None] * population.covariances.joint(q, other) * population.proportions
    each = np.linalg.solve(np.eye(population.classes) - coupling, product[..., :, None] * np.eye(population.classes))
    return np.asarray(np.swapaxes(each, -1, -2))


class _Point:
    """Everything that one penalty needs."""

    def __init__(self, law: LearningLaw, penalty: float) -> None:
        if not law.identity + penalty > 0:
            raise ValueError(f"the penalty must exceed {-law.identity:g}, where the equivalent is singular")
        self._law, self.penalty = law, penalty
        self._held = law.population
        self.q = solve_below(self._held.covariances, -(law.identity + penalty) / law.coefficients.linear)

    def rank_share(self) -> float:
        """tr Gbar (Gbar + penalty)^-1."""
        held, linear = self._held, self._law.coefficients.linear
        return float(held.dimension * (held.proportions @ (1 - self.penalty * self.q / linear)))

    def _forms(self) -> tuple[Array, Array, Array, Array]:
        """B, v, x (b, a) and v^T B_b v, (b, o, o)."""
        law, held, size = self._law, self._held, self._law._core.shape[0]
        blocks = resolvent_blocks(held, self.q, size)
        solution = law._solution(blocks)
        rates = _rates(held, self.q, self.q)
        moved = moved_blocks(held, self.q, self.q, rates, size)
        return blocks, solution, rates, np.asarray(solution.T @ moved @ solution)

    @property
    def means(self) -> Array:
        """Mean residuals, (K, o)."""
        solution = self._law._solution(resolvent_blocks(self._held, self.q, self._law._core.shape[0]))
        return np.asarray(solution[: self._held.classes])

    @property
    def response(self) -> Array:
        """By how much outputs move with t_b of a fresh sample, (o,): alpha_2 delta^T w/sqrt(p).

        U^T w = sqrt(p) B v/alpha_1, and delta/sqrt(p) is the sum of t_a times J's columns of U, and psi's.
        """
        law, held, size = self._law, self._held, self._law._core.shape[0]
        blocks = resolvent_blocks(held, self.q, size)
        delta = np.zeros(size)
        if law.coefficients.variance:
            delta[: held.classes], delta[-1] = held.t, 1.0
        share = law.coefficients.variance / law.coefficients.linear
        return np.asarray(share * delta @ blocks @ law._solution(blocks))

    def second_moments(self) -> Array:
        """Of residuals at infinite width, (K, o, o)."""
        _, _, rates, forms = self._forms()
        shares, outputs = self._held.proportions, forms.shape[-1]
        noise = self._law.noise * (rates @ shares)[:, None, None] * np.eye(outputs)
        return np.asarray((forms + noise) / (shares * self.q**2)[:, None, None])

    def second_moments_at_width(self, penalty: float, width: int, feedback: float) -> Array:
        """Of residuals at width m, (K, o, o); this point's penalty is the effective one, penalty/mu.

        y^T A^-1 y has the equivalent (p/(alpha_1 mu)) c^T e^T B (I + Lambda B)^-1 e c for labels, and n_a q_a/(alpha_1
        mu) for noise; its derivative in D_b, with mu's own, is minus the sum of w_i^2 over class b.
        """
        law, held, linear = self._law, self._held, self._law.coefficients.linear
        counts = held.dimension * held.proportions
        blocks, solution, rates, forms = self._forms()
        outputs = forms.shape[-1]
        mu, mu_rate = (float(value) for value in tied_factor(np.array(self.rank_share() / width), feedback))
        total, moves = float(counts @ self.q), rates @ counts
        # g = (n - sum_a (D_a/mu) n_a q_a/alpha_1)/m, and mu(g): both move with D_b.
        own = -mu_rate / (width * linear) * (counts * self.q / mu - penalty * moves / (mu**2 * linear))
        back = mu_rate * penalty / (width * linear * mu**2)
        back *= total - penalty * float(moves.sum()) / (mu * linear)
        mu_moves = own / (1 - back)
        energy = held.dimension * law._labels.T @ blocks @ solution + law.noise * total * np.eye(outputs)
        changes = held.dimension * forms + law.noise * moves[:, None, None] * np.eye(outputs)
        shift = (np.eye(held.classes) - penalty / mu * mu_moves[:, None]) / mu
        squares = mu_moves[:, None, None] / (mu**2 * linear) * energy
        squares = squares + np.tensordot(shift, changes, axes=1) / (mu * linear**2)
        diagonal = self.q / (mu * linear)
        return np.asarray(squares / (counts * diagonal**2)[:, None, None])


class _Contour:
    """Residuals at points z of a contour about the spectrum, the second half of which mirrors the first."""

    def __init__(self, law: LearningLaw, penalties: Field) -> None:
        self._law = law
        held, linear = law.population, law.coefficients.linear
        z = -(law.identity + penalties[: penalties.size // 2]) / linear
        scale = float(np.sqrt(held.dimension * np.diagonal(held.T).max())) * (1 + held.ratio)
        # The points of the upper half of the parabola are z in the lower half plane.
        half = solve_off_axis(held.covariances, np.asarray(z.conj(), np.complex128), scale).conj()
        self._q = np.concatenate([half, half.conj()])
        #: (N, K), limit of (A^-1)_ii.
        self.diagonal = self._q / linear

    def residuals(self, weights: Field) -> tuple[Array, Array]:
        """Means (K, o) and second moments (K, o, o) of the sum of residuals with weights (N, K)."""
        law, held, q, size = self._law, self._law.population, self._q, self._law._core.shape[0]
        solution = law._solution(resolvent_blocks(held, q, size))
        means = np.einsum("ka,kao->ao", weights, solution[:, : held.classes])
        outputs = solution.shape[-1]
        seconds = np.zeros((held.classes, outputs, outputs), np.complex128)
        for k in range(q.shape[0]):
            rates = _rates(held, q[k], q)
            moved = moved_blocks(held, q[k], q[:, None], rates, size)
            forms = np.einsum("so,kbst,ktu->kbou", solution[k], moved, solution)
            forms = forms + law.noise * (rates @ held.proportions)[..., None, None] * np.eye(outputs)
            share = weights[k] * weights / (held.proportions * q[k] * q)
            seconds += np.einsum("kb,kbou->bou", share, forms)
        return means.real, seconds.real
