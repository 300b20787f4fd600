"""All equilibria of a DEQ, with proof, and where the one that is followed loses its stability.

Theory sheet, section 3.  Equilibria are the roots of F(v) = v - sigma_a^2 Var phi(sqrt(v) xi) - sigma_b^2 tau_0^2 over
v = tau^2 > 0.  None lies below sigma_b^2 tau_0^2 or beyond the bound of ``numerics.equilibrium.asymptotics``; between,
boxes of v are halved until F is proved to have no zero in a box, or F' = 1 - sigma_a^2 d22/2 one sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import ball_from_text, ball_to_text, constant_ball, hull, pointwise, proved_decimal
from numerics.budget import OverBudgetError, spent
from numerics.display import MARK, axes_or_new, html_table
from numerics.equilibrium.asymptotics import largest_scale
from numerics.equilibrium.interval_newton import enclose_equilibrium
from numerics.moments import (
    TAIL_BITS,
    CertifiedMoments,
    FloatMoments,
    Key,
    UncertifiedError,
    certified_moments,
    coarse_variance,
)
from theory.activations import Activation
from theory.analysis import GrowthError, UndecidedError, limit_at
from theory.equations import DEQ, EquilibriumError
from theory.symbols import x

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Equilibrium",
    "EquilibriumSet",
    "VarianceEnclosure",
    "find_equilibria",
    "find_followed",
    "is_followed",
]

#: Ratio of the ends of the boxes of v that are tried first, and of the smallest that are halved.
_FIRST_RATIO = 1.15
_LAST_RATIO = 1 + 1e-10
#: Panels of the quick enclosures that are tried in turn before a sharp one.
_COARSE_PANELS = 100, 600
#: Relative width at which a box without an enclosure is given up.
_NARROW = 1e-3
#: Where no bound is proved the search ends at this multiple of the larger of tau_0^2 and sigma_b^2 tau_0^2.
_REACH = 1e4
_MOST_BOXES = 20_000
#: Boxes that the way from tau_0 to one equilibrium may cost.
_MOST_STEPS = 200
_BASE_BITS = 90
#: Of a root from which Newton's method starts.
_START_DIGITS = 12


@dataclass(frozen=True)
class Equilibrium:
    """One root of the tau equation.

    Attributes:
        tau: ball that holds this root and no other.
        slope: ball of sigma_a^2 E[(phi^2)'']/2 at the root; it is not 1.
        stable: whether the slope is below 1.
        followed: whether it is the one reached from tau_0; None where that is not decided.
    """

    tau: arb
    slope: arb
    stable: bool
    followed: bool | None = False

    def __getstate__(self) -> dict[str, Any]:
        balls = {"tau": ball_to_text(self.tau), "slope": ball_to_text(self.slope)}
        return balls | {"stable": self.stable, "followed": self.followed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, ball_from_text(value) if isinstance(value, str) else value)


@dataclass(frozen=True)
class EquilibriumSet:
    """The equilibria of a DEQ.

    Attributes:
        deq: the DEQ.
        equilibria: the isolated roots, ascending.
        unresolved: (low, high) intervals of tau, in floats rounded outwards, in which roots are neither isolated nor
            excluded: double roots, or moments that have no enclosure.
        searched_to: the largest tau that was searched.
        bounded: whether roots beyond ``searched_to`` are excluded.
        reason: why they are, or why not.
    """

    deq: DEQ
    equilibria: tuple[Equilibrium, ...]
    unresolved: tuple[tuple[float, float], ...]
    searched_to: float
    bounded: bool
    reason: str

    @property
    def complete(self) -> bool:
        """Whether these are proved to be all equilibria."""
        return self.bounded and not self.unresolved

    @property
    def followed(self) -> Equilibrium | None:
        """The equilibrium that iteration from tau_0 is proved to reach, or None."""
        return next((root for root in self.equilibria if root.followed), None)

    def _rows(self) -> list[tuple[str, str, str]]:
        """Of each root its tau, whether it is stable, and whether it is reached from tau_0."""
        reached = {True: "reached from tau_0", False: "", None: "perhaps reached from tau_0"}
        return [
            (proved_decimal(root.tau, 10), "stable" if root.stable else "unstable", reached[root.followed])
            for root in self.equilibria
        ]

    def __repr__(self) -> str:
        roots = ", ".join(f"{tau} ({', '.join(filter(None, words))})" for tau, *words in self._rows())
        known = "complete" if self.complete else "not proved to be all"
        return f"EquilibriumSet({known}: tau_* = {roots or 'none'})"

    def _repr_html_(self) -> str:
        caption = "all equilibria" if self.complete else f"equilibria, not proved to be all: {self.reason}"
        return html_table(caption, ("tau_*", "stability", ""), self._rows())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the map of tau^2 whose fixed points the equilibria are, on axes that are given or new.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        phi = pointwise(self.deq.activation)
        weight_a, weight_b, scale0 = map(float, (*self.deq.variances, self.deq.tau0))
        axes, places = axes_or_new(ax), [float(root.tau) ** 2 for root in self.equilibria]
        squares = np.linspace(0, 1.3 * max(*places, scale0**2), 200)[1:]
        response = weight_a * FloatMoments(phi).variance(np.sqrt(squares)) + weight_b * scale0**2
        axes.plot(squares, response, label=r"$\sigma_a^2 \mathrm{Var}\,\phi_0(\tau\xi) + \sigma_b^2 \tau_0^2$")
        axes.plot(squares, squares, color="black", lw=0.9, label=r"$\tau^2$")
        for place, root in zip(places, self.equilibria, strict=True):
            axes.plot(place, place, "o", color=MARK, mfc=MARK if root.stable else "white", zorder=3)
        axes.plot(scale0**2, 0, "|", color="black", ms=12, clip_on=False, label=r"$\tau_0^2$")
        axes.set(xlabel=r"$\tau^2$", ylim=(0, None))
        axes.legend()
        return axes


class VarianceEnclosure:
    """Var phi(sqrt(v) xi) and its derivative E[(phi^2)'']/2 with respect to v, over balls of v.

    Both ignore constants added to phi, so that phi - phi(0) is used: its moments do not cancel for small tau.

    Args:
        activation: phi, without free parameters.
        near: exact scale tau near which it is used: the closed forms that serve there are used, all where left out.
        with_slope_energy: whether the moments include E[phi'^2], where that is finite.

    Attributes:
        moments: of phi - phi(0).
        closed: the closed forms that are used, as ``CertifiedMoments.enclose`` takes them.
    """

    def __init__(self, activation: Activation, near: arb | None = None, *, with_slope_energy: bool = False) -> None:
        shift = activation.expr.subs(x, 0)
        shifted = Activation(f"{activation.name} - phi(0)", activation.expr - shift) if shift.is_finite else activation
        self.moments: CertifiedMoments = certified_moments(shifted, with_slope_energy)
        self.closed: frozenset[Key] | None = None if near is None else self.moments.closed_forms_at(near)
        self._thin: dict[tuple[int, str], tuple[arb, arb]] = {}

    def at(self, square: arb) -> tuple[arb, arb]:
        """Return both at an exact v."""
        key = ctx.prec, ball_to_text(square)
        if key not in self._thin:
            scale = square.sqrt()
            self._thin[key] = self.pair(self.moments.enclose(scale, closed=self.closed), square)
        return self._thin[key]

    def over(self, squares: arb) -> tuple[arb, arb]:
        """Return both over a ball of v."""
        raw = self.moments.enclose_by_mean_value(squares.sqrt(), closed=self.closed)
        variance, half = self.pair(raw, squares)
        centre = squares.mid()
        thin, _ = self.at(centre)
        form = thin + (squares - centre) * half
        if not variance.is_finite() or form.rad() < variance.rad():
            variance = form
        return variance, half

    def expanded(self, centre: arb, scales: arb) -> dict[Key, arb]:
        """Return the raw moments over a narrow ball of scales by their expansion round an exact scale in it."""
        return self.moments.expand(centre, scales, closed=self.closed).at(scales, self.moments.keys)

    @property
    def all_closed(self) -> bool:
        """Whether all moments of phi are evaluated in closed form."""
        return self.moments.all_closed(self.closed)

    def coarse(self, squares: arb, panels: int) -> tuple[arb, arb] | None:
        """Return both over a ball of v quickly, to a few digits, or None where that is not possible."""
        try:
            return coarse_variance(
                self.moments.activation, squares, lambda scales: self.moments.tails(scales, TAIL_BITS), panels
            )
        except UncertifiedError:
            return None

    @staticmethod
    def pair(raw: Mapping[Key, arb], square: arb) -> tuple[arb, arb]:
        """Return both from the raw moments at v."""
        mean, second = raw[0, 1], raw[0, 2]
        variance = second - mean * mean
        half = ((raw[2, 2] - second) / 2 - mean * (raw[2, 1] - mean)) / square
        return variance, half


def find_equilibria(deq: DEQ, digits: int = 15) -> EquilibriumSet:
    """Isolate every equilibrium over tau > 0, and say which is reached from tau_0.

    Iteration from tau_0 moves to the nearest root in the direction of response(v) - v at v = tau_0^2.

    Args:
        deq: the DEQ.
        digits: significant digits of the roots.

    Example:
        >>> [root.stable for root in find_equilibria(DEQ("cubic", "1/5")).equilibria]
        [True, False]
    """
    with ctx.workprec(_precision(deq)):
        return _Search(deq, digits).run()


def is_followed(deq: DEQ, root: arb) -> bool | None:
    """Return True where a stable equilibrium is proved to be the one reached from tau_0, None where it is not.

    That is proved by showing that no other equilibrium lies between, which is much less than finding them all.

    Args:
        deq: the DEQ.
        root: ball of tau_* that holds this root and no other.
    """
    with ctx.workprec(_precision(deq)):
        return _Search(deq, 1, root.mid()).nothing_before(root)


def find_followed(deq: DEQ) -> float | None:
    """Return the equilibrium that is proved to be reached from tau_0, to float64, or None where none is proved to be.

    Args:
        deq: the DEQ.

    Raises:
        EquilibriumError: it is proved that none is reached, or two nearly meet and it cannot be decided.
    """
    limit = largest_scale(deq, certified_moments(deq.activation, False))
    if limit.bound is None and deq.activation.threshold(2) is sp.oo:
        # The search would be long, and prove nothing.
        return None
    found = find_equilibria(deq, _START_DIGITS)
    if found.followed is not None:
        return float(found.followed.tau)
    if found.bounded and found.unresolved:
        raise EquilibriumError(
            "whether a stable equilibrium is reached from tau_0 is not decided: between tau = {:.10g} and {:.10g} "
            "roots are neither isolated nor excluded; a smaller sigma_a2 would be accepted".format(*found.unresolved[0])
        )
    if found.complete and all(root.followed is False for root in found.equilibria):
        others = f", though it has the root tau = {float(found.equilibria[0].tau):.6g}" if found.equilibria else ""
        # Where the inputs alone are beyond all moments, recurrence is not to blame.
        beyond = float(deq.sigma_b2 * deq.tau0**2) > found.searched_to**2
        raise EquilibriumError(
            "no stable equilibrium: it is proved that tau^2 = sigma_a^2 Var phi(tau xi) + sigma_b^2 tau_0^2 has no "
            f"root that is reached from tau_0{others} ({found.reason}); a smaller "
            f"{'tau0' if beyond else 'sigma_a2'} would be accepted"
        )
    return None


def _precision(deq: DEQ) -> int:
    """Bits for boxes of v: the moments of small scales cancel."""
    smallest = float(sp.sqrt(deq.sigma_b2).evalf(20)) * float(deq.tau0.evalf(20))
    return _BASE_BITS + int(6 * max(0.0, -np.log2(min(smallest, 1.0))))


class _Search:
    def __init__(self, deq: DEQ, digits: int, near: arb | None = None) -> None:
        self._deq = deq
        self._digits = digits
        self._moments = certified_moments(deq.activation, False)
        self._unresolved: list[tuple[arb, arb]] = []
        self._found: list[Equilibrium] = []
        self._weight, source_weight, scale0 = (constant_ball(value) for value in (*deq.variances, deq.tau0))
        self._start = scale0 * scale0
        self._source = source_weight * self._start
        self._enclosure = VarianceEnclosure(deq.activation, self._start.sqrt().mid() if near is None else near)

    def nothing_before(self, root: arb) -> bool | None:
        """Whether F has no zero between tau_0 and a stable root: boxes of v are halved until F is not 0, or F' > 0.

        Every zero on the way is then a rise of F through 0.  Between two of those there would be a fall, so the root is
        the only one, and F has the sign that leads from tau_0 towards it.
        """
        goal = root * root
        pending = [] if goal.overlaps(self._start) else [(self._start, goal)]
        for _ in range(_MOST_STEPS):
            if not pending:
                return True
            near, far = pending.pop()
            box = hull(near, far)
            try:
                value, slope = self._over(box)
            except UncertifiedError:
                # Over a narrower ball of scales an enclosure may exist.
                if abs(far / near - 1) < _NARROW:
                    return None
                value = slope = arb(0, 1)
            if not (slope > 0 or value > 0 or value < 0):
                middle = box.mid()
                pending += [(near, middle), (middle, far)]
        return None

    def run(self) -> EquilibriumSet:
        start = self._start
        limit = largest_scale(self._deq, self._moments)
        threshold = self._deq.activation.threshold(2)
        low = (self._source * arb("0.999")).lower()
        bounded = limit.bound is not None
        if limit.bound is not None:
            high, reason = (limit.bound * limit.bound * arb("1.001")).upper(), limit.reason
        elif threshold is not sp.oo:
            end = constant_ball(threshold)
            high, reason = (end * end).upper(), f"the moments exist only for tau < {threshold}"
            bounded = _moments_end_at_threshold(self._deq.activation)
            reason = reason if bounded else f"the moments are proved to exist only for tau < {threshold}"
        else:
            high, reason = (_REACH * start.max(self._source)).upper(), limit.reason
        if low < high:
            self._isolate(low, high)
        roots = self._distinct()
        return EquilibriumSet(
            self._deq,
            equilibria=self._with_followed(roots, start),
            unresolved=self._intervals(),
            searched_to=float(np.nextafter(float(high.sqrt().lower()), 0.0)),
            bounded=bounded,
            reason=reason,
        )

    # ----------------------------------------------------------------------------------------------------------------

    def _at(self, square: arb) -> tuple[arb, arb]:
        """F and F' at an exact v."""
        variance, half = self._enclosure.at(square)
        return square - self._weight * variance - self._source, 1 - self._weight * half

    def _over(self, box: arb) -> tuple[arb, arb]:
        """F and F' over a ball of v, no more sharply than one of them needs to exclude 0."""
        if self._enclosure.all_closed:  # quick themselves
            return self._sharply(box)
        for panels in _COARSE_PANELS:
            coarse = self._coarsely(box, panels)
            if coarse is not None and not (coarse[0].contains(0) and coarse[1].contains(0)):
                return coarse
        return self._sharply(box)

    def _coarsely(self, box: arb, panels: int) -> tuple[arb, arb] | None:
        found = self._enclosure.coarse(box, panels)
        if found is None:
            return None
        return box - self._weight * found[0] - self._source, 1 - self._weight * found[1]

    def _sharply(self, box: arb) -> tuple[arb, arb]:
        variance, half = self._enclosure.over(box)
        slope = 1 - self._weight * half
        centre = box.mid()
        form = self._at(centre)[0] + (box - centre) * slope
        direct = box - self._weight * variance - self._source
        return (form if form.rad() < direct.rad() or not direct.is_finite() else direct), slope

    def _isolate(self, low: arb, high: arb) -> None:
        """Work through boxes [a, b] of v from left to right."""
        pending = self._boxes(low, high)
        done = 0
        while pending:
            a, b = pending.pop()
            done += 1
            small = float(b / a) < _LAST_RATIO
            if done > _MOST_BOXES or spent():
                self._unresolved.append((a, b))
                continue
            try:
                verdict = self._judge(a, b)
            except OverBudgetError:
                self._unresolved.append((a, b))
                continue
            except UncertifiedError:
                verdict = None
                small = small or float(b / a) < 1 + _NARROW
            if verdict is not None:
                continue
            if small:
                self._unresolved.append((a, b))
                continue
            middle = (a * b).sqrt().mid()
            pending += [(middle, b), (a, middle)]

    @staticmethod
    def _boxes(low: arb, high: arb) -> list[tuple[arb, arb]]:
        edges = [low]
        while edges[-1] < high:
            edges.append((edges[-1] * arb(_FIRST_RATIO)).mid().min(high))
        return list(pairwise(edges))[::-1]

    def _judge(self, low: arb, high: arb) -> bool | None:
        """True or False: a box is settled with or without a root; None: halve it."""
        value, slope = self._over(hull(low, high))
        if value.is_finite() and not value.contains(0):
            return False
        if not (slope.is_finite() and not slope.contains(0)):
            return None
        first, second = self._at(low)[0], self._at(high)[0]
        if (first > 0 and second > 0) or (first < 0 and second < 0):
            return False
        start = self._bisected(low, high, rising=bool(slope > 0))
        found = self._refined(start)
        if found is None or not self._belongs(found.tau * found.tau, low, high, first, second):
            return None
        self._found.append(found)
        return True

    @staticmethod
    def _belongs(square: arb, low: arb, high: arb, first: arb, second: arb) -> bool:
        """Whether a root is the box's own: inside, or on an end where the sign of F is not decided."""
        above = square > low or (first.contains(0) and square.overlaps(low))
        below = square < high or (second.contains(0) and square.overlaps(high))
        return bool(above and below)

    def _bisected(self, low: arb, high: arb, *, rising: bool) -> float:
        """The root of a monotone F in a box, to some seven digits."""
        for _ in range(24):
            middle = (low * high).sqrt().mid()
            value = self._at(middle)[0]
            if value.contains(0):
                return float(middle.sqrt())
            if (value > 0) == rising:
                high = middle
            else:
                low = middle
        return float(low.sqrt())

    def _refined(self, start: float) -> Equilibrium | None:
        try:
            tau, slope = enclose_equilibrium(self._moments, self._deq, self._digits, start)
        except UncertifiedError:
            return None
        return Equilibrium(tau, slope, stable=bool(slope < 1))

    def _distinct(self) -> list[Equilibrium]:
        """Roots ascending; one on the border of two boxes was found twice, in balls that overlap.

        F being monotone in either box, it is so over both where the slopes agree, and the two are one root; where they
        do not, they are two.
        """
        ordered: list[Equilibrium] = []
        for root in sorted(self._found, key=lambda one: float(one.tau)):
            if not (ordered and ordered[-1].tau.overlaps(root.tau) and ordered[-1].stable == root.stable):
                ordered.append(root)
        return ordered

    def _intervals(self) -> tuple[tuple[float, float], ...]:
        """Neighbouring unresolved boxes joined, as intervals of tau."""
        joined: list[tuple[float, float]] = []
        for a, b in sorted(self._unresolved, key=lambda box: float(box[0])):
            low = float(np.nextafter(float(a.sqrt()), 0.0))
            high = float(np.nextafter(float(b.sqrt()), np.inf))
            if joined and low <= joined[-1][1] * (1 + 1e-12):
                joined[-1] = (joined[-1][0], high)
            else:
                joined.append((low, high))
        return tuple(joined)

    def _with_followed(self, roots: list[Equilibrium], start: arb) -> tuple[Equilibrium, ...]:
        """Mark the root reached from tau_0; None for all where the way is not decided."""
        scale0 = start.sqrt()
        chosen, blocked = self._next_root(roots, start, scale0)
        if blocked:
            return tuple(replace(root, followed=None) for root in roots)
        return tuple(replace(root, followed=i == chosen) for i, root in enumerate(roots))

    def _next_root(self, roots: list[Equilibrium], start: arb, scale0: arb) -> tuple[int | None, bool]:
        """The index of the root (None for none), and whether it could be another one."""
        near = [i for i, root in enumerate(roots) if root.tau.overlaps(scale0)]
        if near:
            # In the ball of a stable root F points towards it from either side.
            return (near[0], False) if len(near) == 1 and roots[near[0]].stable else (None, True)
        try:
            gap = -self._at(start)[0]
        except (UncertifiedError, OverBudgetError):
            return None, True
        if not (gap > 0 or gap < 0):
            return None, True
        onward = [i for i, root in enumerate(roots) if (root.tau > scale0 if gap > 0 else root.tau < scale0)]
        chosen = None if not onward else onward[0] if gap > 0 else onward[-1]
        reach = np.inf if gap > 0 else 0.0
        ends = sorted((float(scale0), reach if chosen is None else float(roots[chosen].tau)))
        return chosen, any(low <= ends[1] and high >= ends[0] for low, high in self._intervals())


def _moments_end_at_threshold(activation: Activation) -> bool:
    """Whether phi is proved to reach the rate exp(q x^2) that its threshold stands for, so that E[phi^2] ends there."""
    decay = sp.exp(-activation.growth.quadratic * x**2)
    for piece, side in ((activation.pieces[0], -1), (activation.pieces[-1], 1)):
        try:
            limit = limit_at(sp.expand(sp.expand(piece.expr) * decay), side)
        except (GrowthError, UndecidedError):
            continue
        if limit.is_zero is False:
            return True
    return False
