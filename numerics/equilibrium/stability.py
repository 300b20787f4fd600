"""Where the equilibrium that starts at sigma_a^2 = 0 loses its stability as sigma_a^2 grows.

Along this branch v = tau^2 is the parameter.  With sigma_b^2 fixed, or tied to it by sigma_b^2 = 1 - sigma_a^2,

    sigma_a^2(v) = (v - v_0)/(Var(v) - o),    (v_0, o) = (sigma_b^2 tau_0^2, 0) or (tau_0^2, tau_0^2),

whose derivative vanishes where the slope sigma_a^2 d22/2 reaches 1 (theory sheet, section 3): at the first zero of

    H(v) = Var(v) - o - (v - v_0) d22(v)/2

two equilibria meet and disappear.  H has opposite signs at the ends of a small ball of v, so a zero lies in it; as
sigma_a^2(v) is stationary there, its value is known to twice as many digits as v.

Before the fold, or where there is none, sigma_a^2 E[phi'^2] may reach 1: from there on there is no NTK, and networks of
finite width stop converging.  On the branch that is the first zero of

    N(v) = (v - v_0) E[phi'(sqrt(v) xi)^2] - (Var(v) - o).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.optimize
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import (
    ball_from_text,
    ball_to_text,
    constant_ball,
    moment_threshold,
    pointwise,
    rounded_decimal,
)
from numerics.equilibrium.all_equilibria import VarianceEnclosure
from numerics.equilibrium.asymptotics import asymptote
from numerics.moments import FloatMoments, MomentValues, UncertifiedError
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError

__all__ = [
    "LossKind",
    "StabilityLoss",
    "locate_ntk_loss",
    "locate_stability_loss",
]

#: Step of log v along the branch, and how far it is followed.
_STEP = 0.03
_REACH = 16.0
_SECANT_STEPS = 60
#: Share of two float64 moments below which their difference has no sign.
_ROUNDING = 1e-13
#: Relative distance in v at which the NTK is lost with the equilibrium, not before it.
_SAME = 1e-9


class LossKind(StrEnum):
    """What happens to a branch of equilibria as sigma_a^2 grows."""

    #: The slope sigma_a^2 E[(phi^2)'']/2 reaches 1, and the equilibrium disappears.
    FOLD = "fold"
    #: It goes to infinity.
    ESCAPE = "escape"
    #: sigma_a^2 E[phi'^2] reaches 1.
    NTK = "ntk"
    #: Nothing, for all admitted sigma_a^2.
    NONE = "none"


@dataclass(frozen=True)
class StabilityLoss:
    """Where a branch of equilibria ends.

    Attributes:
        kind: what happens there.
        sigma_a2: ball of the sigma_a^2 at which that happens, or None.
        tau: ball of tau_* there, or None.
        certified: whether the point (or the limit of an escape) is proved to lie in the ball.  That it is the first
            along the branch is seen in float64 only.
        digits: significant digits asked for.
        explanation: one sentence.
    """

    kind: LossKind
    sigma_a2: arb | None
    tau: arb | None
    certified: bool
    digits: int
    explanation: str

    def decimal(self) -> str | None:
        """Return sigma_a^2 to ``digits`` significant digits, or None."""
        return None if self.sigma_a2 is None else rounded_decimal(self.sigma_a2, self.digits)[0]

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("sigma_a2", "tau"):
            state[name] = None if state[name] is None else (ball_to_text(state[name]),)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, ball_from_text(value[0]) if isinstance(value, tuple) else value)


def locate_stability_loss(deq: DEQ, digits: int = 15, *, tied: bool = False) -> StabilityLoss:
    """Follow the equilibrium from sigma_a^2 = 0 to where it is lost.

    Args:
        deq: the DEQ; its sigma_a^2 plays no part, nor does its sigma_b^2 where that is tied.
        digits: significant digits of sigma_a^2.
        tied: whether sigma_b^2 = 1 - sigma_a^2 along the branch.

    Raises:
        EquilibriumError: the branch cannot be followed.

    Example:
        >>> loss = locate_stability_loss(DEQ("x + x**3/10", 0, "4/5"), 20)
        >>> print(loss.kind, loss.decimal())
        fold 0.21650645720975156638
    """
    activation, branch = deq.activation, _branch(deq.activation, None if tied else deq.sigma_b2, deq.tau0)
    bracket = branch.first_sign_change(branch.fold_function)
    if bracket is None:
        return _unfolded(activation, branch, digits)
    return _folded(activation, branch, bracket, digits)


def locate_ntk_loss(deq: DEQ, digits: int = 15, *, tied: bool = False) -> StabilityLoss:
    """Follow the equilibrium from sigma_a^2 = 0 to where sigma_a^2 E[phi'^2] reaches 1.

    Args:
        deq: the DEQ; its sigma_a^2 plays no part, nor does its sigma_b^2 where that is tied.
        digits: significant digits of sigma_a^2.
        tied: whether sigma_b^2 = 1 - sigma_a^2 along the branch.

    Returns:
        The point, of kind ``NTK``; of kind ``NONE`` where none is met while there is a stable equilibrium, or
        where E[phi'^2] is infinite.
    """
    activation, branch = deq.activation, _branch(deq.activation, None if tied else deq.sigma_b2, deq.tau0)
    if not activation.has_finite_slope_energy:
        why = "E[phi'^2] is infinite, so the NTKs do not exist"
        return StabilityLoss(LossKind.NONE, None, None, True, digits, why)
    bracket = branch.first_sign_change(branch.tangent_function)
    fold = branch.first_sign_change(branch.fold_function)
    none = StabilityLoss(LossKind.NONE, None, None, False, digits, "sigma_a^2 E[phi'^2] stays below 1 along the branch")
    if bracket is None:
        return none
    square = float(scipy.optimize.brentq(branch.tangent_function, *bracket, xtol=1e-300, rtol=1e-14))
    if fold is not None:
        end = float(scipy.optimize.brentq(branch.fold_function, *fold, xtol=1e-300, rtol=1e-14))
        if abs(square - branch.start) >= (1 - _SAME) * abs(end - branch.start):
            return none
    why = "sigma_a^2 E[phi'^2] reaches 1: from there on there is no NTK, and networks of finite width stop converging"
    enclosure = VarianceEnclosure(activation, arb(square).sqrt().mid(), with_slope_energy=True)
    small = max(0.0, -np.log10(min(square, 1.0)))
    failure = ""
    for extra in (8, 40, 160):
        with ctx.workprec(int(3.33 * (digits + extra + 3 * small)) + 80):
            try:
                weight, tau = _certified_crossing(enclosure, branch.exact, square, digits + 4)
            except UncertifiedError as error:
                failure = str(error)
                continue
            if weight.rad() < weight * arb(10) ** -(digits + 2):
                return StabilityLoss(LossKind.NTK, weight, tau, True, digits, why)
            failure = "the ball does not reach the digits asked for"
    value = (square - branch.start) / branch.parts(square)[0]
    seen = arb(value, abs(value) * 1e-8), arb(float(np.sqrt(square)), 1e-6)
    return StabilityLoss(LossKind.NTK, *seen, False, digits, f"{why}; seen in float64, not certified: {failure}")


@lru_cache(maxsize=8)
def _branch(activation: Activation, sigma_b2: sp.Expr | None, tau0: sp.Expr) -> _Branch:
    """The branch, whose moments serve both questions."""
    return _Branch(activation, sigma_b2, tau0)


class _Branch:
    """The branch in float64."""

    def __init__(self, activation: Activation, sigma_b2: sp.Expr | None, tau0: sp.Expr) -> None:
        self.exact = (sigma_b2, tau0)
        source = tau0**2 if sigma_b2 is None else sigma_b2 * tau0**2
        self.start = float(source)
        self.offset = float(tau0**2) if sigma_b2 is None else 0.0
        self._threshold = moment_threshold(activation) ** 2
        self._moments = FloatMoments(pointwise(activation))
        self._known: dict[float, MomentValues[float]] = {}
        self.largest = 1.0 if sigma_b2 is None else np.inf

    def _at(self, square: float) -> MomentValues[float]:
        """The moments at v, remembered."""
        if square not in self._known:
            self._known[square] = self._moments.at(float(np.sqrt(square)))
        return self._known[square]

    def parts(self, square: float) -> tuple[float, float]:
        """Var - o and d22/2 at v."""
        values = self._at(square)
        return values.variance - self.offset, values.d22 / 2

    def tangent_function(self, square: float) -> float:
        """N(v), 0 where rounding decides its sign."""
        values = self._at(square)
        return _difference((square - self.start) * float(values.slope_energy or 0.0), values.variance - self.offset)

    def fold_function(self, square: float) -> float:
        """H(v), 0 where rounding decides its sign."""
        gain, half = self.parts(square)
        return _difference(gain, (square - self.start) * half)

    def first_sign_change(self, function: Callable[[float], float]) -> tuple[float, float] | None:
        """Two values of v between which H or N has its first zero, or None where sigma_a^2 grows out of range before.

        H has the sign of Var - o at the start of the branch, N the other.
        """
        gain, _ = self.parts(self.start)
        if gain == 0.0:
            return None
        way = 1.0 if gain > 0 else -1.0
        sign = np.sign(function(self.start))
        before = self.start
        for count in range(1, int(_REACH / _STEP)):
            square = self.start * float(np.exp(way * _STEP * count))
            if square >= self._threshold:
                return None
            here, half = self.parts(square)
            if not np.isfinite(here) or not np.isfinite(half) or here * way <= 0:
                return None
            value = function(square)
            if value * sign < 0:
                return before, square
            if (square - self.start) / here >= self.largest:
                return None
            if value != 0:
                before = square
        return None


def _difference(first: float, second: float) -> float:
    """first - second, 0 where it is lost in the rounding of the two: a line and an oscillation have H -> const."""
    difference = float(first - second)
    return difference if abs(difference) > _ROUNDING * (abs(first) + abs(second)) else 0.0


def _unfolded(activation: Activation, branch: _Branch, digits: int, reach: float | None = None) -> StabilityLoss:
    """The end of a branch without a fold, in float64 up to v = ``reach``, by default as far as it is followed."""
    with ctx.workprec(int(3.33 * digits) + 60):
        lines = asymptote(activation)
        if lines is not None and lines.share > 0 and (1 / lines.share < arb(1) or np.isinf(branch.largest)):
            value = 1 / lines.share
            why = "the equilibrium goes to infinity as sigma_a2 tends to 1/Var h(xi), h the lines that phi follows"
            return StabilityLoss(LossKind.ESCAPE, value, None, True, digits, why)
    limit = "1" if np.isfinite(branch.largest) else "infinity"
    far = f"e^{_REACH:g}" if reach is None else f"{reach:.4g}"
    why = f"tau_* keeps its stability for sigma_a2 up to {limit} (followed in float64 over tau^2 up to {far})"
    return StabilityLoss(LossKind.NONE, None, None, False, digits, why)


def _folded(activation: Activation, branch: _Branch, bracket: tuple[float, float], digits: int) -> StabilityLoss:
    square = float(scipy.optimize.brentq(branch.fold_function, *bracket, xtol=1e-300, rtol=1e-14))
    enclosure = VarianceEnclosure(activation, arb(square).sqrt().mid())
    small = max(0.0, -np.log10(min(square, 1.0)))
    failure = ""
    for extra in (8, 40, 160):
        with ctx.workprec(int(3.33 * (digits + extra + 3 * small)) + 80):
            try:
                found = _certified_fold(enclosure, branch.exact, square, digits // 2 + 5)
            except UncertifiedError as error:
                failure = str(error)
                continue
            weight, tau = found
            if weight.rad() < weight * arb(10) ** -(digits + 2):
                why = "the slope sigma_a^2 E[(phi^2)'']/2 reaches 1: two equilibria meet and disappear"
                return StabilityLoss(LossKind.FOLD, weight, tau, True, digits, why)
            failure = "the ball does not reach the digits asked for"
    if _keeps_sign(enclosure, branch.exact, bracket):
        return _unfolded(activation, branch, digits, bracket[0])
    value = (square - branch.start) / branch.parts(square)[0]
    if not value > 0:
        raise EquilibriumError(f"the branch of equilibria cannot be followed: {failure}")
    why = f"a fold seen in float64, not certified: {failure}"
    return StabilityLoss(
        LossKind.FOLD, arb(value, abs(value) * 1e-8), arb(float(np.sqrt(square)), 1e-6), False, digits, why
    )


def _keeps_sign(
    enclosure: VarianceEnclosure, exact: tuple[sp.Expr | None, sp.Expr], bracket: tuple[float, float]
) -> bool:
    """Whether H is proved to have one sign at both ends of a bracket: quadrature misses fast oscillations."""
    start, offset = _constants(exact)
    try:
        pairs = [(v, *enclosure.at(v)) for v in map(arb, bracket)]
    except UncertifiedError:
        return False
    values = [variance - offset - (v - start) * half for v, variance, half in pairs]
    return all(value > 0 for value in values) or all(value < 0 for value in values)


def _certified_fold(
    enclosure: VarianceEnclosure, exact: tuple[sp.Expr | None, sp.Expr], near: float, digits: int
) -> tuple[arb, arb]:
    """Balls of sigma_a^2 and tau at the fold, v being known to ``digits`` digits."""
    start, offset = _constants(exact)

    def fold(pair: tuple[arb, arb], at: arb) -> arb:
        value: arb = pair[0] - offset - (at - start) * pair[1]
        return value

    reach = arb(10) ** -digits
    centre = _secant(lambda v: fold(enclosure.at(v), v), arb(near), reach / 100)
    radius = (centre * reach).upper()
    low, high = (centre - radius).mid(), (centre + radius).mid()
    first, second = (fold(enclosure.at(v), v) for v in (low, high))
    if not ((first < 0 and second > 0) or (first > 0 and second < 0)):
        raise UncertifiedError("H does not change sign round the fold")
    box = arb(centre, (2 * radius).upper())
    scale = centre.sqrt().mid()
    scales = box.sqrt()
    pair = enclosure.pair(enclosure.expanded(scale, scales), box)
    derivative = fold(pair, box) / ((pair[0] - offset) * (pair[0] - offset))
    thin = enclosure.at(centre)[0] - offset
    weight: arb = (centre - start) / thin + (box - centre) * derivative
    return weight, scales


def _certified_crossing(
    enclosure: VarianceEnclosure, exact: tuple[sp.Expr | None, sp.Expr], near: float, digits: int
) -> tuple[arb, arb]:
    """Balls of sigma_a^2 and tau where N changes its sign, v being known to ``digits`` digits."""
    start, offset = _constants(exact)

    def tangent(at: arb) -> arb:
        raw = enclosure.moments.enclose(at.sqrt(), closed=enclosure.closed)
        value: arb = (at - start) * raw[0, 0] - (enclosure.pair(raw, at)[0] - offset)
        return value

    reach = arb(10) ** -digits
    centre = _secant(tangent, arb(near), reach / 100)
    radius = (centre * reach).upper()
    first, second = (tangent(v) for v in ((centre - radius).mid(), (centre + radius).mid()))
    if not ((first < 0 and second > 0) or (first > 0 and second < 0)):
        raise UncertifiedError("sigma_a^2 E[phi'^2] - 1 does not change sign round the point")
    box = arb(centre, (2 * radius).upper())
    scales = box.sqrt()
    variance, half = enclosure.pair(enclosure.expanded(centre.sqrt().mid(), scales), box)
    derivative = (variance - offset - (box - start) * half) / ((variance - offset) * (variance - offset))
    weight: arb = (centre - start) / (enclosure.at(centre)[0] - offset) + (box - centre) * derivative
    return weight, scales


def _constants(exact: tuple[sp.Expr | None, sp.Expr]) -> tuple[arb, arb]:
    """Balls of v_0 and o."""
    scale0 = constant_ball(exact[1])
    square = scale0 * scale0
    return (square, square) if exact[0] is None else (square * constant_ball(exact[0]), arb(0))


def _secant(function: Callable[[arb], arb], start: arb, tolerance: arb) -> arb:
    """A point next to a zero, relative to itself within about the tolerance; without proof."""
    before = (start * (1 + arb(10) ** -7)).mid()
    value_before = function(before)
    for _ in range(_SECANT_STEPS):
        value = function(start)
        if not (value.is_finite() and value_before.is_finite()):
            raise UncertifiedError("the secant method for the fold leaves the range where the moments are known")
        difference = (value - value_before).mid()
        if difference.is_zero():
            return start
        step = (value.mid() * (start - before) / difference).mid()
        before, value_before, start = start, value, (start - step).mid()
        if abs(step) < abs(start) * tolerance:
            return start
    raise UncertifiedError("the secant method for the fold does not settle")
