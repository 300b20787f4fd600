"""The spectral law's fixed point, for complex arguments and along real gaps of the support.

Theory sheet, section 5, in q_a(z) = -1 / (z (1 + delta_a(z))), with R(q) = (I + sum_b c_b q_b C_b)^-1, c_b = n_b / p:

    z = -1/q_a + tr C_a R(q) / p,    a = 1..K;

its derivatives are collected in A(q) = D_q^2 Theta D_c, Theta_ab = tr(C_a R C_b R) / p: q' = (I - A)^-1 q^2.

Why a solution found is the right one.  If Im q_a > 0 for all a, imaginary parts give (I - |A|) v = eta |q|^2 with
v = Im q > 0 and |A| = D_|q|^2 [tr(C_a R C_b R*)/p] D_c, so rho(|A|) < 1 for eta = Im z > 0.  The difference of two such
solutions is mapped to itself by a matrix bounded, entry by entry, by the geometric mean of the two |A| (Cauchy and
Schwarz), of spectral radius < 1: there is one solution.  At a real z a real q with rho(A) < 1 moves into the upper
half plane with z (its derivative (I - A)^-1 q^2 is positive), so it is that solution's limit and z lies outside the
support.  At its edges rho(A) = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.arrays import Array
from numerics.spectrum.population import CommutingCovariances, DenseCovariances

__all__ = [
    "GapCurve",
    "GapPoint",
    "Placement",
    "SpectralLawError",
    "locate",
    "refine_inside",
    "resolvent_trace",
    "solve_below",
    "solve_off_axis",
]

Complex = NDArray[np.complex128]
Field = NDArray[Any]
Covariances = CommutingCovariances | DenseCovariances
#: Residual of a solution, relative to its terms.
_TOLERANCE = 1e-13
#: Where Newton's method stops improving, this residual is still good.
_ACCEPTED = 1e-10
_NEWTON_STEPS = 40
#: Homotopy from Im z of the order of the spectrum down to this share of it.
_LAST_HEIGHT = 1e-9
_HOMOTOPY_ROUNDS = 400
_CURVE_STEPS = 400
#: Newton's method from above: a step halves an error that is large, and squares one that is small.
_DESCENT_STEPS = 200


class SpectralLawError(RuntimeError):
    """The fixed point, an edge or an outlier was not found to the accuracy asked for."""


def _defect(covariances: Covariances, z: Field, q: Field) -> tuple[Field, Field, Array]:
    """q^2 (z + 1/q - tr C_a R/p), shape (N, K); A, shape (N, K, K); and the largest relative defect, (N,)."""
    traces, theta = covariances.evaluate(q)
    terms = q**2 * (traces - z[:, None])
    coupling = q[:, :, None] ** 2 * theta * covariances.proportions
    size = np.abs(q) + np.abs(q**2 * traces) + np.abs(q**2 * z[:, None])
    error = np.max(np.abs(terms - q) / size, axis=1)
    return q - terms, coupling, np.where(np.isfinite(error), error, np.inf)


def _newton(covariances: Covariances, z: Complex, start: Complex) -> tuple[Complex, NDArray[np.bool_]]:
    """Newton's method, damped so that Im q stays positive and the defect falls; and which points it solved."""
    q = start.copy()
    identity = np.eye(q.shape[1])
    with np.errstate(all="ignore"):
        defect, coupling, error = _defect(covariances, z, q)
        active = np.flatnonzero(error > _TOLERANCE)
        damping = np.ones(z.size)
        for _ in range(_NEWTON_STEPS):
            if active.size == 0:
                break
            matrix = identity - coupling[active]
            # A singular point is left to fail, not to stop the others.
            matrix[~np.all(np.isfinite(matrix), axis=(1, 2))] = identity
            step = np.linalg.solve(matrix + 1e-300 * identity, defect[active][:, :, None])[:, :, 0]
            trial = q[active] + damping[active, None] * step
            new_defect, new_coupling, new_error = _defect(covariances, z[active], trial)
            better = np.all(trial.imag > 0, axis=1) & (new_error < error[active])
            taken = active[better]
            q[taken], defect[taken], coupling[taken] = trial[better], new_defect[better], new_coupling[better]
            error[taken] = new_error[better]
            damping[taken] = np.minimum(1.0, 4 * damping[taken])
            damping[active[~better]] /= 4
            active = active[(error[active] > _TOLERANCE) & (damping[active] > 1e-6)]
    return q, (error <= _ACCEPTED) & np.all(q.imag > 0, axis=1)


def _spectral_radius(covariances: Covariances, q: Array) -> float:
    """rho(A) for real q, through the symmetric matrix similar to it."""
    _, theta = covariances.evaluate(q)
    side = np.sqrt(covariances.proportions) * np.abs(q)
    return float(np.linalg.eigvalsh(side[:, None] * theta * side)[-1])


@dataclass(frozen=True)
class GapPoint:
    """A point of the real axis proved to lie outside the support (or on its edge).

    Attributes:
        z: its place.
        q: (K,) real solution.
        margin: 1 - rho(A), positive outside, 0 on an edge.
    """

    z: float
    q: Array
    margin: float


@dataclass(frozen=True)
class Placement:
    """A point of the real axis, inside or outside the support.

    Attributes:
        z: its place.
        q: (K,) limit of the solution from above, real outside.
        outside: the certificate where it is outside, else None.
    """

    z: float
    q: Complex
    outside: GapPoint | None


def _settle(covariances: Covariances, z: float, start: Array) -> GapPoint | None:
    """The real solution near `start` if there is a stable one."""
    q = start.copy()
    identity = np.eye(q.size)
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            defect, coupling, error = _defect(covariances, np.array([z]), q[None])
            if not np.isfinite(error[0]):
                return None
            if error[0] <= _TOLERANCE:
                break
            try:
                q = q + np.linalg.solve(identity - coupling[0], defect[0])
            except np.linalg.LinAlgError:
                return None
        if not error[0] <= _ACCEPTED:
            return None
    margin = 1 - _spectral_radius(covariances, q)
    return GapPoint(z, q, margin) if margin > 0 else None


def locate(covariances: Covariances, places: Array, scale: float) -> list[Placement | None]:
    """Find on which side of the support's edges points of the real axis lie.

    From Im z of the order of `scale`, where the solution is near -1/z, Newton's method follows it down to the axis.

    Args:
        covariances: of the bulk.
        places: (N,) array, nonzero.
        scale: of the spectrum, an upper bound of it for choice.

    Returns:
        One placement a point, None for those too near an edge to tell.

    Raises:
        SpectralLawError: the solution was lost on the way to the axis.
    """
    classes = covariances.proportions.size
    height = np.full(places.size, 4 * scale + float(np.abs(places).max(initial=0.0)))
    z = places + 1j * height
    q, solved = _newton(covariances, z, np.repeat(-1 / z[:, None], classes, axis=1))
    if not np.all(solved):
        raise SpectralLawError(f"no solution at z = {z[~solved][0]:.6g}, far above the axis")
    ratio = np.full(places.size, 0.25)
    last = _LAST_HEIGHT * np.minimum(scale, np.abs(places))
    active = np.arange(places.size)
    for _ in range(_HOMOTOPY_ROUNDS):
        lower = np.maximum(height[active] * ratio[active], last[active])
        found, solved = _newton(covariances, places[active] + 1j * lower, q[active])
        good = active[solved]
        q[good], height[good] = found[solved], lower[solved]
        ratio[active] = np.where(solved, np.maximum(0.05, ratio[active] / 2), np.sqrt(ratio[active]))
        if np.any(ratio[active] > 1 - 1e-4):
            stuck = active[ratio[active] > 1 - 1e-4][0]
            raise SpectralLawError(f"the solution at {places[stuck]:.8g} was lost at Im z = {height[stuck]:.3g}")
        active = active[height[active] > last[active]]
        if active.size == 0:
            break
    else:
        raise SpectralLawError(f"{active.size} of {places.size} points did not reach the axis from above")
    onto_axis, inside = _newton(covariances, places.astype(np.complex128), q)
    results: list[Placement | None] = []
    for k, place in enumerate(places):
        # Outside, Im q is of the order of the height left, which is 1e-9.
        flat = np.all(q[k].imag < 1e-3 * np.abs(q[k]))
        outside = _settle(covariances, float(place), q[k].real) if flat else None
        if outside is not None:
            results.append(Placement(float(place), outside.q.astype(np.complex128), outside))
        else:
            results.append(Placement(float(place), onto_axis[k], None) if inside[k] else None)
    return results


def refine_inside(covariances: Covariances, places: Field, guesses: Complex) -> tuple[Complex, NDArray[np.bool_]]:
    """Solve at points of the upper half plane, or real ones inside the support, from good guesses.

    Args:
        covariances: of the classes.
        places: (N,) array of points, real or complex.
        guesses: (N, K) array, complex, of the unknowns there.

    Returns:
        The (N, K) solutions, and an (N,) array of booleans: which points were solved.
    """
    return _newton(covariances, places.astype(np.complex128), guesses)


def resolvent_trace(covariances: Covariances, z: Field, q: Field) -> tuple[Field, Field]:
    """Stieltjes transform of the law, sum_a n_a q_a/n, and its derivative, at solutions.

    Args:
        covariances: of the classes.
        z: (N,) array of points.
        q: (N, K) array of solutions there.
    """
    _, coupling, _ = _defect(covariances, z, q)
    slopes = np.linalg.solve(np.eye(q.shape[1]) - coupling, (q**2)[:, :, None])[:, :, 0]
    shares = covariances.proportions / covariances.proportions.sum()
    return q @ shares, slopes @ shares


def solve_below(covariances: Covariances, z: float) -> Array:
    """The (K,) solution at a negative z, left of the whole spectrum.

    q is there the fixed point of F_a(q) = 1 / (-z + tr C_a R(q)/p), which is increasing, concave and positive at 0, and
    -1/z is above it.  Where q >= F(q) the spectral radius of F' is below 1 (F'(q) q <= F(q) - F(0) < q), so that
    Newton's steps descend onto it.

    Raises:
        ValueError: z is not negative.
        SpectralLawError: the residual stayed above 1e-10 of q.
    """
    if not z < 0:
        raise ValueError(f"z must be negative, got {z:g}")
    q = np.full(covariances.proportions.size, -1 / z)
    for _ in range(_DESCENT_STEPS):
        traces, theta = covariances.evaluate(q)
        image = 1 / (traces - z)
        step = np.linalg.solve(np.eye(q.size) - image[:, None] ** 2 * theta * covariances.proportions, q - image)
        q = q - step
        if np.all(np.abs(step) <= _TOLERANCE * q):
            return np.asarray(q)
    raise SpectralLawError(f"no solution was found at z = {z:.8g}, below the spectrum")


def solve_off_axis(covariances: Covariances, z: Complex, scale: float) -> Complex:
    """The (N, K) solutions at points of the upper half plane, followed from far above, where they are near -1/z.

    Args:
        covariances: of the classes.
        z: (N,) array of points.
        scale: of the spectrum.

    Raises:
        ValueError: a point that is not in the upper half plane.
        SpectralLawError: a solution was lost on the way.
    """
    if not np.all(z.imag > 0):
        raise ValueError("points must lie in the upper half plane, at Im z > 0")
    lift = 4 * scale + np.abs(z)
    q, solved = _newton(
        covariances, z + 1j * lift, np.repeat(-1 / (z + 1j * lift)[:, None], covariances.proportions.size, 1)
    )
    ratio, active = np.full(z.size, 0.25), np.flatnonzero(solved)
    for _ in range(_HOMOTOPY_ROUNDS):
        if not np.all(solved) or active.size == 0 or np.any(ratio > 1 - 1e-4):
            break
        lower = lift[active] * ratio[active]
        # The last step is onto the point itself.
        lower[lower < 0.1 * z[active].imag] = 0.0
        found, done = _newton(covariances, z[active] + 1j * lower, q[active])
        good = active[done]
        q[good], lift[good] = found[done], lower[done]
        ratio[active] = np.where(done, np.maximum(0.05, ratio[active] / 2), np.sqrt(ratio[active]))
        active = active[lift[active] > 0]
    if active.size or not np.all(solved):
        lost = active[0] if active.size else np.flatnonzero(~solved)[0]
        raise SpectralLawError(f"the solution at z = {z[lost]:.8g} was lost on the way from above")
    return q


class GapCurve:
    """The real solutions over one gap of the support, followed by sigma = mean_a sign(q_a) log |q_a|.

    In a gap every q_a increases with z and keeps its sign, so sigma increases too.  Unlike z, sigma goes on smoothly
    through the edge, where dz/dsigma = 0 (its null vector is positive) and the margin 1 - rho(A) changes sign.
    """

    def __init__(self, covariances: Covariances, start: GapPoint) -> None:
        self.covariances = covariances
        self.start = start
        self._signs = np.sign(start.q)
        self._negative = covariances.negative(start.q)
        self._known: dict[float, GapPoint] = {self.coordinate(start): start}

    def coordinate(self, point: GapPoint) -> float:
        """Sigma of a point."""
        return float(np.mean(self._signs * np.log(np.abs(point.q))))

    @property
    def share_above(self) -> float:
        """Share of the spectrum above this gap: negative directions of R and classes with positive q.

        (z - W^T W has as many negative eigenvalues as [[z, W^T], [W, 1]].  The inverse of the latter has the
        deterministic equivalent diag(-q_a) + R; the count does not change within a gap.)
        """
        proportions = self.covariances.proportions
        positive = float(proportions @ (self._signs > 0))
        return (self._negative + positive) / float(proportions.sum())

    def at(self, sigma: float) -> GapPoint:
        """The point of a coordinate, continued from the nearest one known that lies outside the support.

        Raises:
            SpectralLawError: the curve ends before.
        """
        near = min(self._known, key=lambda known: abs(known - sigma))
        position, point, step = near, self._known[near], sigma - near
        for _ in range(_CURVE_STEPS):
            if position == sigma:
                return point
            target = sigma if abs(sigma - position) <= abs(step) else position + step
            found = self._solve(target, point)
            if found is None:
                step /= 2
                continue
            position, point, step = target, found, 2 * step
            if found.margin > 0:
                self._known[position] = point
        raise SpectralLawError(f"the real solutions next to z = {self.start.z:.8g} do not reach sigma = {sigma:.8g}")

    def _solve(self, sigma: float, near: GapPoint) -> GapPoint | None:
        """Newton's method in (q, z) with sigma given."""
        size = near.q.size
        q, z = near.q.copy(), near.z
        matrix, right = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                defect, coupling, error = _defect(self.covariances, np.array([z]), q[None])
                # In relative steps of the q_a the equation of sigma is linear to first order and scales are even.
                matrix[:size, :size] = (np.eye(size) - coupling[0]) * q / q[:, None]
                matrix[:size, size] = -q
                matrix[size, :size] = self._signs / size
                gap = sigma - float(np.mean(self._signs * np.log(np.abs(q))))
                right[:size], right[size] = defect[0] / q, gap
                if not (np.all(np.isfinite(matrix)) and np.all(np.isfinite(right))):
                    return None
                try:
                    move = np.linalg.solve(matrix, right)
                except np.linalg.LinAlgError:
                    return None
                if np.any(np.abs(move[:size]) > 1):
                    return None
                q, z = q * np.exp(move[:size]), z + float(move[size])
                # Convergence is quadratic: the step just taken from here was the last that could matter.
                if error[0] <= 1e-9 and abs(gap) <= 1e-9:
                    break
            error = _defect(self.covariances, np.array([z]), q[None])[2]
        # On this branch, and somewhat past its edge, every q_a moves the way sigma does.
        forth = (q - near.q) * np.sign(sigma - self.coordinate(near))
        if not error[0] <= _ACCEPTED or np.any(forth < -1e-12 * np.abs(q)):
            return None
        if self.covariances.negative(q) != self._negative:
            return None
        return GapPoint(z, q, 1 - _spectral_radius(self.covariances, q))

    def edge(self, *, upwards: bool) -> GapPoint:
        """The edge of the support at the upper (else lower) end of the gap.

        Raises:
            SpectralLawError: no edge is met.
        """
        inner, step = self.coordinate(self.start), 0.05 if upwards else -0.05
        point, beyond = self.start, None
        for attempt in range(_CURVE_STEPS):
            found = self._solve(inner + step, point)
            if found is None:
                # Too far for Newton's method; a point found beyond the edge may then belong to another branch.
                beyond, step = None, step / 2
            elif found.margin > 0:
                inner, point = inner + step, found
                self._known[inner] = found
                step = float(np.clip(2 * step, -1.0, 1.0)) if beyond is None else beyond[0] - inner
            else:
                beyond = (inner + step, found.margin)
            if beyond is not None:
                width = beyond[0] - inner
                # z is stationary in sigma here: its error is of the order of the margin's square.
                if point.margin < 1e-11 or abs(width) <= 1e-15 * (1 + abs(inner)):
                    if point.margin < 1e-7:
                        return GapPoint(point.z, point.q, 0.0)
                    break
                # The margin is linear across the edge: a secant step, and now and then a bisection.
                share = point.margin / (point.margin - beyond[1])
                step = width * (0.5 if attempt % 4 == 0 else float(np.clip(1.01 * share, 1e-3, 0.999)))
        raise SpectralLawError(
            f"no edge of the support was found {'above' if upwards else 'below'} z = {self.start.z:.8g} (margin "
            f"{self.start.margin:.3g} there)"
        )
