"""The equations of several states, biases and uncentred activations solved: Krawczyk's test in Arb balls.

Theory sheet, section 8.  The variances tau_r^2 solve R coupled equations; given them, the limits q_r of the entries off
the diagonal solve R more, where they do not vanish.  The other coefficients are linear, term by term, in what theory
derives of one state (``theory.equations.state_response``).

Which solution is meant: tau is the one that iteration from tau_r = tau_0 tends to, as for one state.  It is proved by a
contraction that holds the start.  For q there is nothing to choose: its map is monotone and convex on [0, tau^2],
starts at or above 0 and ends at or below tau^2, strictly where the input comes in, so that there is exactly one fixed
point short of tau^2, and iteration from 0 rises to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp
from flint import acb_mat, arb, ctx
from scipy.sparse.csgraph import connected_components

from numerics.arithmetic import (
    BITS_PER_DIGIT,
    RootNotCertifiedError,
    certify_root,
    constant_ball,
    hull,
    moment_threshold,
    pointwise,
    radius_text,
    rounded_decimal,
)
from numerics.arrays import Array
from numerics.budget import OverBudgetError, checkpoint, share, stage
from numerics.equilibrium.terms import TermPrograms, pair_moments, solve_terms
from numerics.moments import (
    MOST_TERMS,
    CertifiedMoments,
    FloatMoments,
    HermiteBalls,
    Key,
    UnboundedError,
    UncertifiedError,
    certified_moments,
    hermite_balls,
    stein_balls,
    terms_needed,
)
from theory.equations import (
    PAIR_ORDERS,
    SQUARE_ORDERS,
    CoupledDEQ,
    CoupledDEQError,
    EquilibriumError,
    State,
    pair_symbol,
    preactivation_symbol,
    slope_energy_symbol,
    square_symbol,
    state_response,
)
from theory.moments import RAW_MOMENTS

__all__ = [
    "CENTRED_KEYS",
    "GENERAL_KEYS",
    "CertifiedStates",
    "certify_states",
    "exchange_scales",
    "is_narrow",
    "state_moments",
]

#: Keys of a state whose correlations vanish, in the notation of theory sheet section 3; alpha_4 is lambda_4.
CENTRED_KEYS = (
    *("gamma2", "alpha1", "alpha2", "alpha3", "alpha4"),
    *("lambda1", "lambda2", "lambda3", "lambda4"),
)
#: Keys of any state, in the notation of section 8.
GENERAL_KEYS = ("q", "g0", "gS", "gd", "gdd", "gSS", "ge", "diagonal")
#: The linear terms in the order in which they are solved, and what drives them.
_TERMS = ("S", "4", "d", "5", "SS", "dd", "e")
_DRIVEN = ("S", "4")
#: Decimal digits by which a ball's relative radius is to be smaller than asked for.
_MARGIN = 3
_FIRST_GUARD = 12
_ATTEMPTS = 5
_MOST_STEPS = 400
_NEWTON_STEPS = 60
#: Precision in bits of the float start and of bounds.
_ROUGH_BITS = 90
#: Precision in bits of the proof of the branch, which bounds slopes.
_BRANCH_BITS = 40
#: Stretches of the box on which the proof of the branch bounds slopes.
_STRETCHES = 24
#: Parts of the processor time left that proofs may take.
_PROOF_SHARE, _BRANCH_SHARE = 0.75, 0.5
#: Moments of f^2 and of f that E[phi^2] and its two derivatives need.
_SQUARE_KEYS: tuple[Key, ...] = ((0, 2), (2, 2), (0, 1), (2, 1))
_CURVATURE_KEYS: tuple[Key, ...] = ((4, 2), (4, 1))
_Balls = dict[str, arb]


@dataclass(frozen=True)
class CertifiedStates:
    """The certified solution of a cell's equations.

    Attributes:
        cell: the cell.
        digits: significant digits asked for; the balls are at least a thousand times narrower than the last one.
        states: Arb balls of each state, by key: ``tau``, ``GENERAL_KEYS``, and ``CENTRED_KEYS`` where its
            correlations vanish.
        means: balls of what is subtracted from each activation, E[phi_0(tau_r xi)]; 0 where a state is not centred.
        margins: what is below 1, as balls: spectral radii of Sigma2 diag(V_1) (``tau``), of Sigma2 diag(F_l) (``ck``)
            and of Sigma2 diag(E[phi'^2]) (``ntk``, absent where that is infinite; not necessarily below 1).
        inputs: by state, moments and the pre-activations' coefficients by theory's symbols.
        series: by state, its Hermite coefficients, or None where its correlations vanish.
        precision: of the balls, in bits.
    """

    cell: CoupledDEQ
    digits: int
    states: tuple[Mapping[str, arb], ...]
    means: tuple[arb, ...]
    margins: Mapping[str, arb]
    inputs: tuple[Mapping[sp.Symbol, arb], ...]
    series: tuple[HermiteBalls | None, ...]
    precision: int

    @cached_property
    def followed(self) -> bool | None:
        """True where it is proved that iteration from tau_0 tends to these scales, None where no proof was found."""
        moments = [state_moments(state) for state in self.cell.states]
        return _followed(self.cell, moments, [balls["tau"] for balls in self.states])

    def floats(self, state: int) -> dict[str, float]:
        """Return a state's numbers in float64, by key."""
        return {key: float(ball) for key, ball in self.states[state].items()}

    def __repr__(self) -> str:
        lines = [f"CertifiedStates({len(self.states)} states certified to {self.digits} digits)"]
        for r, balls in enumerate(self.states):
            keys = ("tau", "alpha1", "alpha2", "alpha3", "gamma2") if "alpha1" in balls else ("tau", "q", "g0", "gS")
            lines.append(f"  {r}: " + ", ".join(f"{key} = {self.decimal(r, key)}" for key in keys))
        return "\n".join(lines)

    def decimal(self, state: int, key: str) -> str:
        """Return ``digits`` significant digits of a state's number.

        Raises:
            KeyError: there is no such key.
        """
        ball = self.states[state][key]
        return rounded_decimal(arb(0) if ball.contains(0) else ball, self.digits)[0]

    def radius(self, state: int, key: str) -> str:
        """Return the radius of a state's ball, rounded up to two digits.

        Raises:
            KeyError: there is no such key.
        """
        return radius_text(self.states[state][key])


def certify_states(cell: CoupledDEQ, digits: int = 15) -> CertifiedStates:
    """Solve a cell's equations with proof, to a number of significant digits.

    Args:
        cell: the cell.
        digits: significant decimal digits, >= 1.

    Raises:
        EquilibriumError: digits out of range, or no stable equilibrium is reached from tau_0.
        UncertifiedError: nothing could be proved, and why.

    Example:
        >>> from theory.equations import DEQ
        >>> found = certify_states(CoupledDEQ.of(DEQ("relu", "2/5", "3/5"), sigma_c2="1/10", centred=False), 20)
        >>> found.decimal(0, "q")
        '0.17423588926322111198'
    """
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")
    scales = _reached(cell)
    with share(_PROOF_SHARE, interrupt=True), stage("certifying the solution of the cell"):
        moments = [state_moments(state) for state in cell.states]
        limits = _rough_limits(cell, moments, scales)
        last = UncertifiedError("the cell's solution is not certified")
        kept: _Solution | None = None
        for attempt in range(_ATTEMPTS):
            working = digits + _FIRST_GUARD * 2**attempt
            try:
                with ctx.workprec(int(working * BITS_PER_DIGIT) + 30):
                    kept = _Certifier(cell, moments, working).run(scales, limits)
            except UnboundedError:
                raise
            except (UncertifiedError, RootNotCertifiedError) as error:
                last = UncertifiedError(str(error))
                continue
            if all(is_narrow(ball, digits) for state in kept.states for ball in state.values()):
                break
            if kept.cut:
                last = UncertifiedError(
                    f"a correlation off the diagonal, {kept.cut:.6g}, is too near to 1 for the terms of its series"
                )
                kept = None
                break
        else:
            kept = None
    if kept is None:
        raise last
    return _certified(cell, digits, kept)


def _certified(cell: CoupledDEQ, digits: int, solution: _Solution) -> CertifiedStates:
    return CertifiedStates(
        cell,
        digits,
        tuple(map(MappingProxyType, solution.states)),
        tuple(solution.means),
        MappingProxyType(solution.margins),
        tuple(map(MappingProxyType, solution.inputs)),
        tuple(solution.series),
        solution.precision,
    )


def exchange_scales(found: CertifiedStates) -> CertifiedStates:
    """Return a wrong theory's numbers: the moments of every state taken at the scale of the next one.

    Args:
        found: the solution of a cell whose correlations all vanish.

    Raises:
        EquilibriumError: a state's correlations do not vanish, or the wrong numbers are those of no equilibrium.
        UncertifiedError: a moment is not enclosed.

    Example:
        >>> cell = CoupledDEQ([State("erf", "1/2"), State("erf", 1)], [[0, "1/4"], ["1/4", 0]])
        >>> right = certify_states(cell)
        >>> exchange_scales(right).decimal(0, "alpha1") == right.decimal(0, "alpha1")
        False
    """
    cell = found.cell
    if not all(cell.decorrelated):
        raise EquilibriumError("scales are exchanged only of states whose correlations all vanish")
    moments = [state_moments(state) for state in cell.states]
    with ctx.workprec(found.precision):
        taus = [balls["tau"] for balls in found.states]
        places, nothing = [*taus[1:], taus[0]], np.zeros(len(taus))
        solution = _Certifier(cell, moments, found.digits).numbers(taus, places, nothing, nothing)
    return _certified(cell, found.digits, solution)


def state_moments(state: State) -> CertifiedMoments:
    """Moments, with E[phi'^2] where it has an enclosure."""
    found = certified_moments(state.activation)
    try:
        found.enclose(arb(1), [(0, 0)], precision=_ROUGH_BITS) if found.has_slope_energy else None
    except UncertifiedError:
        return certified_moments(state.activation, False)
    return found


def is_narrow(ball: arb, digits: int) -> bool:
    """Whether a ball is a thousand times narrower than the last of some digits; about 0, of the digits of 1."""
    size = arb(1) if ball.contains(0) else abs(ball.mid())
    return bool(ball.is_finite() and ball.rad() <= size * arb(10) ** -(digits + _MARGIN))


# --- float64: where to look ---------------------------------------------------------------------------------------


def _weights(cell: CoupledDEQ) -> tuple[Array, Array, Array]:
    """Sigma2, sigma_b^2 tau_0^2 + sigma_c^2 and sigma_c^2 in float64, of shapes (R, R), (R,), (R,)."""

    def floats(values: Iterable[sp.Expr]) -> list[float]:
        return [float(value.evalf(25)) for value in values]

    matrix = np.array([floats(row) for row in cell.sigma_a2])
    drive = np.array(floats(state.sigma_b2 * cell.tau0**2 + state.sigma_c2 for state in cell.states))
    return matrix, drive, np.array(floats(state.sigma_c2 for state in cell.states))


def _no_equilibrium(why: str) -> CoupledDEQError:
    return CoupledDEQError(
        f"sigma_a2: no stable equilibrium is reached from tau_0: {why}; smaller variances would be accepted"
    )


def _reached(cell: CoupledDEQ) -> Array:
    """The scales tau_r that iteration from tau_0 tends to, (R,)."""
    matrix, drive, _ = _weights(cell)
    moments = [FloatMoments(pointwise(state.activation)) for state in cell.states]
    limits = np.array([moment_threshold(state.activation) for state in cell.states]) ** 2
    squares = np.full(len(drive), float((cell.tau0**2).evalf(25)))
    # Far above any equilibrium of use, and far below overflow.
    ceiling = 1e12 * max(1.0, float(drive.max()), float(squares[0]))
    for step in range(_MOST_STEPS):
        checkpoint()
        if not np.all(squares < np.minimum(limits, ceiling)) or np.any(squares <= 0):
            raise _no_equilibrium("the variances leave the range in which the moments are finite")
        energies, slopes = np.transpose([
            _energy(one, state, float(np.sqrt(square)))
            for one, state, square in zip(moments, cell.states, squares, strict=True)
        ])  # fmt: skip
        with np.errstate(all="ignore"):
            new = matrix @ energies + drive
        if not np.all(np.isfinite(new)) or not np.all(np.isfinite(slopes)):
            raise _no_equilibrium("the variances grow beyond all bounds")
        gap = new - squares
        jacobian = matrix * slopes
        stable = np.max(np.abs(np.linalg.eigvals(jacobian))) < 1
        if np.max(np.abs(gap) / new) < 1e-13:
            if not stable:
                raise _no_equilibrium("the spectral radius of Sigma2 diag(d22/2) is not below 1")
            return np.asarray(np.sqrt(new))
        # Newton's step only where iteration has all but arrived: it must not choose another solution.
        near = stable and step > 2 and np.max(np.abs(gap) / new) < 1e-4
        squares = squares + np.linalg.solve(np.eye(len(drive)) - jacobian, gap) if near else new
    raise _no_equilibrium(f"iteration has not settled after {_MOST_STEPS} steps")


def _energy(moments: FloatMoments, state: State, scale: float) -> tuple[float, float]:
    """E[phi^2], and its derivative in tau^2."""
    at = moments.at(scale)
    if state.centred:
        return at.variance, at.d22 / 2
    # A product overflows to infinity where Python's power raises OverflowError.
    return at.variance + at.mean * at.mean, at.d22 / 2 + at.mean * at.d2


def _rough_limits(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], scales: Array) -> Array:
    """The limits q_r to a few digits, (R,): Newton's method from 0, below the solution of a convex monotone map."""
    matrix, _, biases = _weights(cell)
    plain = np.array(cell.uncorrelated)
    if plain.all():
        return np.zeros(len(scales))
    order = 64
    while True:
        energies = _hermite_energies(cell, moments, scales, order)
        found = _solve_limits(matrix, biases, plain, scales**2, energies)
        needed = terms_needed(float(np.max(found / scales**2)), 16)
        if needed <= order:
            return found
        order = min(max(2 * order, needed), MOST_TERMS)


def _hermite_energies(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], scales: Array, order: int) -> Array:
    """Squares c_n^2 of the Hermite coefficients, (R, order + 1)."""
    rows = []
    with ctx.workprec(_ROUGH_BITS):
        for state, one, scale in zip(cell.states, moments, scales, strict=True):
            found = hermite_balls(one, arb(float(scale)), order)
            balls = found.centred() if state.centred else found
            rows.append([float(value.mid()) ** 2 for value in balls.coefficients])
    return np.array(rows)


def _solve_limits(matrix: Array, biases: Array, plain: Array, squares: Array, energies: Array) -> Array:
    degrees = np.arange(energies.shape[1])
    found = np.zeros(len(squares))
    for _ in range(_NEWTON_STEPS):
        powers = (found / squares)[:, None] ** degrees
        duals = np.sum(energies * powers, axis=1)
        slopes = np.sum(degrees[1:] * energies[:, 1:] * powers[:, :-1], axis=1) / squares
        jacobian = np.where(plain, 0.0, matrix * np.where(plain, 0.0, slopes))
        gap = np.where(plain, 0.0, matrix @ duals + biases - found)
        step = np.linalg.solve(np.eye(len(squares)) - jacobian, gap)
        found = np.clip(found + step, 0.0, squares)
        if np.max(np.abs(step) / squares) < 1e-14:
            break
    return found


# --- balls --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Solution:
    """Numbers of each state, means, margins, the correlation whose series was cut short, or 0, and what they are of."""

    states: list[_Balls]
    means: list[arb]
    margins: _Balls
    cut: float
    inputs: list[dict[Any, arb]]
    series: list[HermiteBalls | None]
    precision: int


@dataclass(frozen=True)
class _Squares:
    """E[(phi^2)^(m)(tau xi)] for m = 0, 2, 4 (absent where it was not asked for)."""

    values: tuple[arb, ...]

    @property
    def slope(self) -> arb:
        """V_1, the derivative of E[phi^2] in tau^2."""
        return self.values[1] / 2


def _squares(moments: CertifiedMoments, state: State, scale: arb, *, curvature: bool) -> _Squares:
    """By Stein's identities from the moments of f^2 and f; a centred phi keeps its mean at this scale."""
    raw = moments.enclose(scale, (*_SQUARE_KEYS, *(_CURVATURE_KEYS if curvature else ())))
    mean = raw[0, 1] if state.centred else arb(0)

    def hermite(j: int) -> list[arb]:
        zero, two = raw[0, j], raw[2, j] - raw[0, j]
        return [zero, two, raw[4, j] - 6 * raw[2, j] + 3 * raw[0, j]] if curvature else [zero, two]

    of_square, of_value = hermite(2), hermite(1)
    found = [square - 2 * mean * value for square, value in zip(of_square, of_value, strict=True)]
    found[0] += mean * mean
    return _Squares(tuple(value / scale ** (2 * k) for k, value in enumerate(found)))


class _Scales:
    """The equations tau_r^2 = sum_s sigma_rs^2 E[phi_s^2] + sigma_{b,r}^2 tau_0^2 + sigma_{c,r}^2 in tau."""

    def __init__(self, cell: CoupledDEQ, moments: Sequence[CertifiedMoments], matrix: list[list[arb]]) -> None:
        self._cell, self._moments, self._matrix = cell, moments, matrix
        self._drive = [
            constant_ball(state.sigma_b2 * cell.tau0**2 + state.sigma_c2) for state in cell.states
        ]  # fmt: skip
        self._known: tuple[str, list[_Squares]] | None = None

    def squares(self, box: Sequence[arb]) -> list[_Squares]:
        """E[phi_s^2] and its derivative on a box, remembered for the last one."""
        key = " ".join(f"{part.mid().man_exp()} {part.rad().man_exp()}" for part in box)
        if self._known is None or self._known[0] != key:
            checkpoint()
            found = [
                _squares(one, state, scale, curvature=False)
                for one, state, scale in zip(self._moments, self._cell.states, box, strict=True)
            ]
            self._known = (key, found)
        return self._known[1]

    def values(self, box: Sequence[arb], data: Sequence[arb]) -> list[arb]:
        """The equations' left side less the right."""
        energies = [one.values[0] for one in self.squares(box)]
        return [
            box[r] ** 2 - sum((w * e for w, e in zip(row, energies, strict=True)), self._drive[r])
            for r, row in enumerate(self._matrix)
        ]

    def jacobian(self, box: Sequence[arb], data: Sequence[arb]) -> list[list[arb]]:
        """Derivatives in tau: 2 tau_s (1 - sigma_rs^2 V_1)."""
        slopes = [one.slope for one in self.squares(box)]
        return [
            [2 * box[s] * (int(r == s) - weight * slopes[s]) for s, weight in enumerate(row)]
            for r, row in enumerate(self._matrix)
        ]


class _Limits:
    """The equations q_r = sum_s sigma_rs^2 F_s(tau_s^2, tau_s^2, q_s) + sigma_{c,r}^2, where q is not 0."""

    def __init__(
        self,
        cell: CoupledDEQ,
        series: Sequence[HermiteBalls | None],
        means: Sequence[arb],
        matrix: list[list[arb]],
        chosen: Sequence[int],
    ) -> None:
        self._series, self._matrix, self._chosen = series, matrix, chosen
        # A state whose own limit is 0 gives the square of its mean to the others.
        fixed = [s for s in range(len(matrix)) if s not in chosen]
        self._drive = [
            sum((row[s] * means[s] ** 2 for s in fixed), constant_ball(state.sigma_c2))
            for row, state in zip(matrix, cell.states, strict=True)
        ]

    def _pair(self, s: int, order: int, limit: arb) -> arb:
        series = self._series[s]
        if series is None:
            raise UncertifiedError("a correlation that vanishes has no series")
        return series.pair_moment(order, order, limit / series.scale**2)

    def values(self, box: Sequence[arb], data: Sequence[arb]) -> list[arb]:
        """The equations' left side less the right."""
        duals = {s: self._pair(s, 0, part) for s, part in zip(self._chosen, box, strict=True)}
        return [
            part - sum((self._matrix[r][s] * dual for s, dual in duals.items()), self._drive[r])
            for r, part in zip(self._chosen, box, strict=True)
        ]

    def jacobian(self, box: Sequence[arb], data: Sequence[arb]) -> list[list[arb]]:
        """Derivatives in q: 1 - sigma_rs^2 F_l."""
        slopes = {s: self._pair(s, 1, part) for s, part in zip(self._chosen, box, strict=True)}
        return [[int(r == s) - self._matrix[r][s] * slopes[s] for s in self._chosen] for r in self._chosen]


class _Certifier:
    """One cell at one precision, that which is set."""

    def __init__(self, cell: CoupledDEQ, moments: Sequence[CertifiedMoments], digits: int) -> None:
        self._cell, self._moments, self._digits = cell, moments, digits
        self._matrix = [[constant_ball(value) for value in row] for row in cell.sigma_a2]
        self._cut = 0.0

    def run(self, scales: Array, limits: Array) -> _Solution:
        """Every state's balls, and the margins.

        Raises:
            UncertifiedError, RootNotCertifiedError: something is not proved.
            EquilibriumError: the equilibrium is not stable.
        """
        taus = list(certify_root(_Scales(self._cell, self._moments, self._matrix), [arb(t) for t in scales], ()))
        return self.numbers(taus, taus, scales, limits)

    def numbers(self, taus: Sequence[arb], places: Sequence[arb], scales: Array, limits: Array) -> _Solution:
        """The same from the scales.

        Args:
            taus: tau_r.
            places: where each state's moments are taken: tau_r, but for a wrong theory.
            scales: places in float64, (R,).
            limits: rough limits q_r, (R,).

        Raises:
            UncertifiedError, RootNotCertifiedError, EquilibriumError: as for ``run``.
        """
        states = self._cell.states
        squares = [
            _squares(one, state, scale, curvature=True)
            for one, state, scale in zip(self._moments, states, places, strict=True)
        ]
        series, crossed = self._limits(places, scales, limits)
        pairs = [
            pair_moments(*arguments, PAIR_ORDERS)
            for arguments in zip(self._moments, places, series, crossed, self._cell.mean_free, strict=True)
        ]
        energies = self._slope_energies(places)
        margins = self._margins(squares, pairs, energies)
        inputs = [
            {square_symbol(m): value for m, value in zip(SQUARE_ORDERS, square.values, strict=True)}
            | {pair_symbol(*orders): value for orders, value in pair.items()}
            | {preactivation_symbol("0"): limit, preactivation_symbol("tau2"): tau**2}
            for square, pair, limit, tau in zip(squares, pairs, crossed, taus, strict=True)
        ]
        for state, energy in zip(inputs, energies, strict=False):
            state[slope_energy_symbol()] = energy
        self._terms(inputs)
        means = [
            one.enclose(tau, [(0, 1)])[0, 1] if state.centred else arb(0)
            for one, state, tau in zip(self._moments, states, places, strict=True)
        ]
        named = [self._named(r, taus[r], crossed[r], inputs[r]) for r in range(len(states))]
        return _Solution(named, means, margins, self._cut, inputs, series, ctx.prec)

    def _limits(self, taus: Sequence[arb], scales: Array, limits: Array) -> tuple[list[HermiteBalls | None], list[arb]]:
        """The Hermite series and the limits q of each state; no series and 0 where the covariance vanishes."""
        plain = self._cell.uncorrelated
        chosen = [r for r, vanishing in enumerate(plain) if not vanishing]
        series: list[HermiteBalls | None] = [None] * len(taus)
        found = [arb(0)] * len(taus)
        if not chosen:
            return series, found
        for r in chosen:
            rho = float(limits[r] / scales[r] ** 2)
            order = terms_needed(rho, self._digits)
            self._cut = max(self._cut, rho if order == MOST_TERMS else 0.0)
            balls = hermite_balls(self._moments[r], taus[r], order + 8)
            series[r] = balls.centred() if self._cell.states[r].centred else balls
        means = [
            arb(0) if free else one.enclose(tau, [(0, 1)])[0, 1]
            for free, one, tau in zip(self._cell.mean_free, self._moments, taus, strict=True)
        ]
        system = _Limits(self._cell, series, means, self._matrix, chosen)
        for r, limit in zip(chosen, certify_root(system, [arb(limits[r]) for r in chosen], ()), strict=True):
            if not (limit < taus[r] ** 2 and limit > 0):
                raise UncertifiedError("a limit off the diagonal is not proved to lie between 0 and tau^2")
            found[r] = limit
        return series, found

    def _slope_energies(self, taus: Sequence[arb]) -> list[arb]:
        """E[phi'^2] of all states; none where one is infinite."""
        if not all(one.has_slope_energy for one in self._moments):
            return []
        return [one.enclose(tau, [(0, 0)])[0, 0] for one, tau in zip(self._moments, taus, strict=True)]

    def _margins(
        self,
        squares: Sequence[_Squares],
        pairs: Sequence[Mapping[tuple[int, int], arb]],
        energies: Sequence[arb],
    ) -> _Balls:
        found = {
            "tau": _spectral_radius(self._matrix, [one.slope for one in squares]),
            "ck": _spectral_radius(self._matrix, [pair[1, 1] for pair in pairs]),
        }
        names = {"tau": "Sigma2 diag(d22/2)", "ck": "Sigma2 diag(E[phi'(u) phi'(v)])"}
        for key, name in names.items():
            if found[key] >= 1:
                raise _no_equilibrium(f"the spectral radius of {name} is {float(found[key]):.6g}, not below 1")
            if not found[key] < 1:
                raise UncertifiedError(f"whether the spectral radius of {name} is below 1 is not decided")
        if energies:
            found["ntk"] = _spectral_radius(self._matrix, energies)
        return found

    def _terms(self, inputs: Sequence[dict[Any, arb]]) -> None:
        """The pre-activations' coefficients, added to the inputs: (I - Sigma2 D) l = Sigma2 rest + drive."""
        weights = [constant_ball(state.sigma_b2) for state in self._cell.states]
        drive = dict.fromkeys(_DRIVEN, weights)
        solve_terms(_TERMS, _programs(), self._matrix, drive, inputs, preactivation_symbol)

    def _named(self, r: int, tau: arb, limit: arb, inputs: Mapping[Any, arb]) -> _Balls:
        """One state's numbers by key."""
        solved = {term: inputs[preactivation_symbol(term)] for term in _TERMS}
        kernel = {}
        for term in ("S", "d", "dd", "SS", "e"):
            gain, rest = _programs().evaluate(term, inputs)
            kernel[term] = gain * solved[term] + rest
        diagonal = inputs[square_symbol(0)]
        found = {"tau": tau, "q": limit, "g0": inputs[pair_symbol(0, 0)]}
        found |= {f"g{term}": value for term, value in kernel.items()} | {"diagonal": diagonal}
        if self._cell.decorrelated[r]:
            alphas = (diagonal, kernel["S"], kernel["dd"], kernel["SS"], solved["4"])
            lambdas = (solved["S"], solved["dd"], solved["SS"], solved["4"])
            found |= dict(zip(CENTRED_KEYS, (*alphas, *lambdas), strict=True))
        return found


@cache
def _programs() -> TermPrograms:
    """The gains and rests of theory's response."""
    response = state_response()
    return TermPrograms({term: (response.gains[term], response.rests[term]) for term in _TERMS})


def _spectral_radius(matrix: Sequence[Sequence[arb]], factors: Sequence[arb]) -> arb:
    """A ball of the spectral radius of a matrix times a diagonal one: the largest of its strongly connected parts."""
    product = [[weight * factor for weight, factor in zip(row, factors, strict=True)] for row in matrix]
    pattern = np.array([[not entry.is_zero() for entry in row] for row in product])
    count, labels = connected_components(pattern, directed=True, connection="strong")
    found = arb(0)
    for label in range(count):
        chosen = np.flatnonzero(labels == label)
        found = found.max(_radius_of_part([[product[r][s] for s in chosen] for r in chosen]))
    return found


def _radius_of_part(block: list[list[arb]]) -> arb:
    """Of an irreducible matrix: from its eigenvalues, or a bound where they are not told apart (Collatz, Wielandt)."""
    if len(block) == 1:
        return abs(block[0][0])
    found = arb(0)
    try:
        for value in acb_mat(block).eig(multiple=True):
            found = found.max(abs(value))
    except ValueError:
        sizes = np.array([[float(abs(entry).upper()) for entry in row] for row in block])
        v = [arb(float(value)) for value in np.linalg.matrix_power(np.eye(len(block)) + sizes, 64).sum(axis=1)]
        for row, weight in zip(block, v, strict=True):
            total = sum((abs(entry) * other for entry, other in zip(row, v, strict=True)), arb(0))
            found = found.max((total / weight).upper())
        return hull(arb(0), found)
    return found


# --- which solution -----------------------------------------------------------------------------------------------


def _followed(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], taus: Sequence[arb]) -> bool | None:
    """Whether iteration of tau^2 from tau_0^2 is proved to tend to the solution: it starts within a contraction."""
    try:
        with (
            share(_BRANCH_SHARE, interrupt=True),
            stage("proving which solution is reached"),
            ctx.workprec(_BRANCH_BITS),
        ):
            return True if _contracts(cell, moments, [tau**2 for tau in taus]) else None
    except (OverBudgetError, UncertifiedError):
        return None


def _contracts(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], squares: Sequence[arb]) -> bool:
    """Find weights v with |T'| v < v on {|a - a_*| <= reach v, a at or above what enters}, which holds the start.

    The Jacobian of the map is Sigma2 diag(V_1), so that K v < v with K its bound on the set makes the set invariant
    and the map a contraction in the norm max |.|/v.
    """
    matrix = [[constant_ball(value) for value in row] for row in cell.sigma_a2]
    start = constant_ball(cell.tau0**2)
    drive = [constant_ball(state.sigma_b2 * cell.tau0**2 + state.sigma_c2) for state in cell.states]
    floors = [entry.min(start).lower() for entry in drive]
    count = len(squares)
    slopes = [
        abs(_slopes(one, state, square)) for one, state, square in zip(moments, cell.states, squares, strict=True)
    ]
    for _ in range(4):
        bounds = [[weight * slope for weight, slope in zip(row, slopes, strict=True)] for row in matrix]
        v = _weights_of(bounds)
        if v is None:
            return False
        reach = arb(0)
        for square, weight in zip(squares, v, strict=True):
            reach = reach.max((abs(square - start) / weight).upper())
        boxes = [
            hull(floor.max((square - reach * weight).lower()), (square + reach * weight).upper())
            for floor, square, weight in zip(floors, squares, v, strict=True)
        ]
        slopes = [_largest_slope(one, state, box) for one, state, box in zip(moments, cell.states, boxes, strict=True)]
        rows = [sum((matrix[r][s] * slopes[s] * v[s] for s in range(count)), arb(0)) for r in range(count)]
        if all(row < weight for row, weight in zip(rows, v, strict=True)):
            return True
    return False


def _weights_of(bounds: list[list[arb]]) -> list[arb] | None:
    """Exact positive weights that a matrix shrinks, by floats; the caller proves it."""
    floats = np.array([[float(entry.upper()) for entry in row] for row in bounds])
    if not np.all(np.isfinite(floats)):
        return None
    radius = float(np.max(np.abs(np.linalg.eigvals(floats))))
    if not radius < 1:
        return None
    found = np.linalg.solve((1 + radius) / 2 * np.eye(len(floats)) - floats, np.ones(len(floats)))
    return [arb(float(value)) for value in found] if np.all(found > 0) else None


def _slopes(moments: CertifiedMoments, state: State, square: arb) -> arb:
    """V_1 over a ball of tau^2; of a centred phi the mean moves along."""
    scale = square.sqrt()
    raw = moments.enclose(scale, tuple(RAW_MOMENTS))
    if state.centred:
        return stein_balls(scale, raw).d22 / 2
    return (raw[2, 2] - raw[0, 2]) / (2 * square)


def _largest_slope(moments: CertifiedMoments, state: State, box: arb) -> arb:
    """A bound of |V_1| over a wide ball of tau^2, stretch by stretch."""
    low, width = box.lower(), (box.upper() - box.lower()) / _STRETCHES
    if not low > 0:
        raise UncertifiedError("a variance may vanish")
    largest = arb(0)
    for k in range(_STRETCHES):
        checkpoint()
        largest = largest.max(abs(_slopes(moments, state, hull(low + k * width, low + (k + 1) * width))).upper())
    return largest
