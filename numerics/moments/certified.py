"""Rigorous enclosures of the raw moments E[xi^k f(tau xi)^j] and of E[xi^k f'(tau xi)^2], xi ~ N(0, 1).

Three ways, in this order:

* theory's closed form, evaluated in balls;
* a single analytic piece: the trapezoidal rule over the line.  All moments share its nodes.  Its error is
  at most (M_+ + M_-)/(exp(2 pi a/h) - 1), with M_+- the integral of |g(xi +- i a)| over xi and g analytic for
  |Im xi| <= a (Trefethen and Weideman, SIAM Review 56 (2014), theorem 5.1);
* several pieces, or singularities very near the axis: ``acb.integral`` between the kinks, plus a bound of the tails.

A derivative in tau is again a moment: d/dtau E[xi^k g(tau xi)] = E[(xi^(k+2) - (k+1) xi^k) g(tau xi)]/tau, so that a
second-order Taylor expansion carries thin values to a ball of scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce

import sympy as sp
from flint import acb, arb, ctx

from numerics.arithmetic import (
    BallArithmetic,
    ComplexBallArithmetic,
    Program,
    UnsupportedExpressionError,
    ball_to_text,
    compile_program,
    constant_ball,
    hull,
    integer_power,
    real_part,
)
from numerics.budget import Interruption, OverBudgetError, checkpoint, share, stage
from numerics.moments.node_sums import Key, NodeSums
from numerics.moments.strips import PieceBounds, StripTable
from theory.activations import Activation
from theory.moments import RAW_MOMENTS, DivergentMomentError, GaussianMoments
from theory.symbols import tau, x

__all__ = [
    "CertifiedMoments",
    "MomentExpansion",
    "UnboundedError",
    "UncertifiedError",
    "certified_moments",
]

#: Precision in bits of bounds, which need no more.
_LOW = 64
#: The trapezoidal rule is left to the adaptive integral where it would need more nodes than this.
_MOST_NODES = 120_000
#: Radius of an integral at an exact scale that shows that its evaluations ran out.
_HOPELESS = 1
#: Precision at which a closed form has to show some digits to be used.
_PROBE = 2048
#: Precisions whose compiled closed forms are kept.
_REMEMBERED = 12
#: Bits of a scale that name its cell: the bounds for all of a cell are hardly worse, and serve a whole sweep.
_CELL_BITS = 6
_MOST_RULES = 256
#: Part of the processor time left that closed forms may take, before the integrals stand in.
_CLOSED_FORMS_SHARE = 0.25
#: Bounds of f phi, f^2 phi and f'^2 phi.
_Bounds = tuple[arb, arb, arb]
#: Reach L, bounds of the tails beyond it, and the trapezoidal step with its errors (None: too small a step).
_Rule = tuple[arb, _Bounds, tuple[arb, _Bounds] | None]


class UncertifiedError(ArithmeticError):
    """A quantity that could not be enclosed, and why."""


class UnboundedError(UncertifiedError):
    """One that no precision would enclose: a bound that is needed is not found."""


@dataclass(frozen=True)
class MomentExpansion:
    """Moments as functions of tau on a ball of scales.

    Attributes:
        centre: exact scale m, inside the ball of scales.
        closed: programs of those in closed form, by key, of the precision of the expansion.
        values: moments at m, also those of higher k that the first derivatives need.
        wide: low-precision moments on the whole ball of scales, for the second derivatives.
        scales: the ball of scales.
    """

    centre: arb
    scales: arb
    closed: Mapping[Key, Program]
    values: Mapping[Key, arb]
    wide: Mapping[Key, arb]

    def at(self, scale: arb, keys: Iterable[Key]) -> dict[Key, arb]:
        """Return enclosures over a ball of scales inside the expansion's."""
        step = scale - self.centre
        found: dict[Key, arb] = {}
        for key in keys:
            if key in self.closed:
                found[key] = real_part(self.closed[key](scale)[0])
                continue
            k, j = key
            first = (self.values[k + 2, j] - (k + 1) * self.values[key]) / self.centre
            # Taylor's intermediate point lies anywhere between the centre and the scale.
            above = (self.wide[k + 4, j] - (k + 3) * self.wide[k + 2, j]) / self.scales
            below = (self.wide[k + 2, j] - (k + 1) * self.wide[key]) / self.scales
            second = (above - (k + 1) * below - below) / self.scales
            found[key] = self.values[key] + step * first + step * step * second / 2
        return found


class CertifiedMoments:
    """Certified moments of one activation without free parameters.

    Args:
        activation: the activation.
        with_slope_energy: unset to leave E[phi'^2] out, where it exists but cannot be enclosed.

    Attributes:
        activation: the activation.
    """

    def __init__(self, activation: Activation, *, with_slope_energy: bool = True) -> None:
        self.activation = activation
        self._with_slope_energy = with_slope_energy
        self._symbolic = GaussianMoments(activation)
        self._programs: dict[int, dict[Key, Program]] = {}
        self._excluded: set[Key] = set()
        self._rules: dict[tuple[str, int, int], _Rule] = {}
        self._tails: dict[tuple[str, int], tuple[arb, tuple[arb, arb]]] = {}

    @cached_property
    def has_slope_energy(self) -> bool:
        """Whether E[phi'^2] is finite (and wanted)."""
        if not self._with_slope_energy:
            return False
        try:
            self._symbolic.require_slope_energy()
        except DivergentMomentError:
            return False
        return True

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The moments that the theory needs."""
        return (*RAW_MOMENTS, (0, 0)) if self.has_slope_energy else tuple(RAW_MOMENTS)

    @cached_property
    def _closed(self) -> dict[Key, sp.Expr]:
        found = {}
        # What is not found in time is left to the integral, and so is what would come after it.
        with suppress(OverBudgetError), share(_CLOSED_FORMS_SHARE, interrupt=True):
            for key in self.keys:
                with stage(f"looking for closed forms of the moments of {self.activation.name}"):
                    value = self._symbolic.slope_energy if key[1] == 0 else self._symbolic.moment(*key)
                if self._symbolic.is_closed(value):
                    found[key] = value
        return found

    def variance_polynomial(self) -> tuple[sp.Expr, ...] | None:
        """Return the coefficients of Var f(tau xi) in tau^2, constant first, or None where it is no polynomial."""
        if not {(0, 1), (0, 2)} <= set(self._closed):
            return None
        variance = sp.expand(self._closed[0, 2] - self._closed[0, 1] ** 2)
        if not variance.is_polynomial(tau):
            return None
        coefficients = sp.Poly(variance, tau).all_coeffs()[::-1]
        return tuple(coefficients[::2]) if not any(coefficients[1::2]) else None

    def _closed_programs(self) -> dict[Key, Program]:
        """Programs of the closed forms at the current precision; those that Arb cannot evaluate are left out."""
        if ctx.prec not in self._programs:
            arithmetic, programs = BallArithmetic(), {}
            for key, expression in self._closed.items():
                try:
                    programs[key] = compile_program([expression], [tau], arithmetic)
                except UnsupportedExpressionError:
                    continue
            if len(self._programs) >= _REMEMBERED:
                self._programs.clear()
            self._programs[ctx.prec] = programs
        return {key: p for key, p in self._programs[ctx.prec].items() if key not in self._excluded}

    def choose_closed_forms(self, scale: arb) -> None:
        """Leave out closed forms that are of no use at a scale: removable singularities, or hopeless cancellation."""
        self._excluded = set()
        with ctx.workprec(_PROBE):
            for key, program in self._closed_programs().items():
                value = real_part(program(scale)[0])
                if not value.is_finite() or (value.contains(0) and not value.is_zero()):
                    self._excluded.add(key)

    def values(self, scale: arb, keys: Iterable[Key] | None = None) -> dict[Key, arb]:
        """Return enclosures at a scale (thin, or a ball over all of which they hold), at the current precision.

        Raises:
            UncertifiedError: an enclosure was not found, with the reason.
        """
        self._check_scale(scale)
        wanted = self.keys if keys is None else tuple(dict.fromkeys(keys))
        closed = self._closed_programs()
        found = {key: real_part(closed[key](scale)[0]) for key in wanted if key in closed}
        missing = [key for key in wanted if key not in closed]
        if missing:
            found |= self._integrals(scale, missing)
        return found

    def expand(self, centre: arb, scales: arb, known: Mapping[Key, arb] | None = None) -> MomentExpansion:
        """Expand round an exact scale, for use on a ball of scales that contains it.

        Args:
            centre: exact scale.
            scales: ball of scales.
            known: values of an earlier expansion round the same centre, at the same precision.

        Raises:
            UncertifiedError: an enclosure was not found, with the reason.
        """
        self._check_scale(scales)
        closed = self._closed_programs()
        missing = [key for key in self.keys if key not in closed]
        values: Mapping[Key, arb] = known or {}
        if missing and known is None:
            values = self.values(centre, [(k + i, j) for k, j in missing for i in (0, 2)])
        wide: dict[Key, arb] = {}
        if missing:
            with ctx.workprec(_LOW):
                wide = self._integrals(scales, sorted({(k + i, j) for k, j in missing for i in (0, 2, 4)}))
        return MomentExpansion(centre, scales, closed, values, wide)

    def enclose(self, scales: arb) -> dict[Key, arb]:
        """Return enclosures over a wide ball of scales by the mean value form, which is tighter than ``values``."""
        self._check_scale(scales)
        centre = scales.mid()
        closed = self._closed_programs()
        wanted = [key for key in self.keys if key[1] != 0]
        missing = [key for key in wanted if key not in closed]
        found = {key: real_part(closed[key](scales)[0]) for key in wanted if key in closed}
        if missing:
            thin = self._integrals(centre, missing)
            wide = self._integrals(scales, sorted({(k + i, j) for k, j in missing for i in (0, 2)}))
            for k, j in missing:
                slope = (wide[k + 2, j] - (k + 1) * wide[k, j]) / scales
                form = thin[k, j] + (scales - centre) * slope
                direct = wide[k, j]
                found[k, j] = form if form.rad() < direct.rad() or not direct.is_finite() else direct
        return found

    @property
    def all_closed(self) -> bool:
        """Whether the raw moments are all evaluated in closed form."""
        return set(RAW_MOMENTS) <= self._closed_programs().keys()

    def tails(self, scales: arb, bits: int) -> tuple[arb, tuple[arb, arb]]:
        """Return L, and bounds of the integrals of (1 + |xi|)^2 |f(tau xi)|^j phi(xi), j = 1 and 2, beyond +-L.

        Args:
            scales: ball of scales.
            bits: both bounds are below 2^-bits.

        Raises:
            UncertifiedError: no bound was found, with the reason.
        """
        self._check_scale(scales)
        cell = _cell(scales)
        key = ball_to_text(cell), bits
        if key not in self._tails:
            if len(self._tails) >= _MOST_RULES:
                self._tails.clear()
            length, bounds = self._reach(cell, bits, 2)
            self._tails[key] = length, (bounds[0], bounds[1])
        return self._tails[key]

    # ----------------------------------------------------------------------------------------------------------------

    @cached_property
    def _threshold(self) -> sp.Expr:
        return self.activation.threshold(2)

    def _check_scale(self, scale: arb) -> None:
        """A closed form goes on beyond the scales at which its moment exists, and means nothing there."""
        if self._threshold is not sp.oo and not scale < constant_ball(self._threshold):
            raise UncertifiedError(f"the moments are proved to exist only for tau < {self._threshold}")

    @cached_property
    def _bounds(self) -> tuple[PieceBounds, ...]:
        with ctx.workprec(_LOW):
            return tuple(
                PieceBounds(piece.expr, slope.expr)
                for piece, slope in zip(self.activation.pieces, self.activation.slope_pieces, strict=True)
            )

    def _integrals(self, scale: arb, keys: Iterable[Key]) -> dict[Key, arb]:
        wanted = tuple(dict.fromkeys(keys))
        parity = self.activation.parity
        # An odd integrand; f'^2 is even whenever f has a parity.
        zero = {(k, j) for k, j in wanted if parity and (-1) ** k * (parity**j if j else 1) == -1}
        rest = [key for key in wanted if key not in zero]
        found = {key: arb(0) for key in zero}
        if not rest:
            return found
        if not scale > 0:
            raise UncertifiedError("the scale is not proved positive")
        power = max(k for k, _ in rest)
        if len(self.activation.pieces) > 1:
            reach, tails = self._reach(_outward(scale), ctx.prec, power)
            return found | self._adaptive(scale, rest, reach, tails)
        reach, tails, rule = self._shared_rule(_cell(scale), ctx.prec, power)
        if rule is None:
            return found | self._adaptive(scale, rest, reach, tails)
        step, errors = rule
        return found | self._trapezoid(scale, rest, step, reach, tails, errors)

    def _shared_rule(self, cell: arb, bits: int, power: int) -> _Rule:
        """Reach, tails and trapezoidal step for all scales of a cell, remembered: neighbouring scales share them."""
        key = ball_to_text(cell), bits, power
        if key not in self._rules:
            reach, tails = self._reach(cell, bits, power)
            if len(self._rules) >= _MOST_RULES:
                self._rules.clear()
            self._rules[key] = reach, tails, self._trapezoidal_step(cell, reach, bits, power)
        return self._rules[key]

    def _reach(self, scale: arb, bits: int, power: int) -> tuple[arb, _Bounds]:
        """L and bounds of what lies beyond +-L, each below 2^-bits, also for sums with a step up to 1."""
        with ctx.workprec(_LOW):
            exponent = bits * arb.const_log2() + 3
            first = (2 * exponent).sqrt()
            length = (2 * (exponent + power * (1 + first).log())).sqrt().mid()
            goal = arb(2) ** -bits
            kinks = [constant_ball(point) / scale for point in self.activation.breakpoints]
            for _ in range(150):
                checkpoint()
                if not any(kink.overlaps(length) or kink.overlaps(-length) for kink in kinks):
                    left, right = (self._side_tail(side, scale, length, power, kinks) for side in (-1, 1))
                    total = tuple(a + b for a, b in zip(left, right, strict=True))
                    wanted = total if self.has_slope_energy else total[:2]
                    if all(bool(value < goal) for value in wanted):
                        return length, (total[0], total[1], total[2])
                length = (length * arb("1.04")).mid()
        raise UncertifiedError(f"the tails of the moments of {self.activation.name} are not bounded at this scale")

    def _side_tail(self, side: int, scale: arb, length: arb, power: int, kinks: list[arb]) -> _Bounds:
        """Bounds of what lies beyond +L (side 1) or -L; kinks out there cut it into stretches of several pieces."""
        ordered = self._bounds if side > 0 else self._bounds[::-1]
        outer = [side * kink for kink in (kinks if side > 0 else kinks[::-1])]
        beyond = [(index, kink) for index, kink in enumerate(outer) if kink > length]
        # The lower end: between it and the kink itself either piece may hold, and both are bounded there.
        start = length if not beyond else outer[-1].lower()
        found = ordered[-1].tail(side, scale, start, power, arb(1))
        if found is None or (self.has_slope_energy and found[2].is_nan()):
            what = "" if found is None else "the slope of "
            raise UnboundedError(f"no bound of {what}{self.activation.name} for large |x| is found")
        total = list(found)
        near = length
        for index, kink in beyond:
            stretch = ordered[index].stretch(side, scale, near, kink, power, arb(1), length)
            if stretch is None:
                raise UnboundedError(f"{self.activation.name} or its slope is not bounded near a far kink")
            total = [a + b for a, b in zip(total, stretch, strict=True)]
            near = kink
        return total[0], total[1], total[2]

    def _trapezoidal_step(self, scale: arb, reach: arb, bits: int, power: int) -> tuple[arb, _Bounds] | None:
        """The largest step with errors below 2^-bits over the strips at hand, and the errors; None if too small."""
        with ctx.workprec(_LOW):
            best: tuple[arb, _Bounds] | None = None
            exponent = bits * arb.const_log2()
            for table in self._bounds[0].strips():
                checkpoint()
                found = self._step_on(table, scale, exponent, power)
                if found is not None and (best is None or found[0] > best[0]):
                    best = found
            if best is None or reach / best[0] > _MOST_NODES:
                return None
            return best

    def _step_on(self, table: StripTable, scale: arb, exponent: arb, power: int) -> tuple[arb, _Bounds] | None:
        shift = (table.half_width / scale).lower().min((2 * exponent).sqrt()).lower()
        masses = table.line_integral(scale, shift, power)
        used = masses if self.has_slope_energy else masses[:2]
        if not all(mass.is_finite() for mass in used):
            return None
        largest = reduce(lambda first, second: first.max(second), used)
        # The bound of the tails is for steps up to 1.
        wanted = (2 * arb.pi() * shift / (exponent + (4 * largest + 1).log())).min(arb(1))
        # An exact dyadic step makes the nodes exact.
        scaled = int(float(wanted.lower()) * 2.0 ** _step_bits(wanted))
        step = arb((scaled, -_step_bits(wanted)))
        divisor = (2 * arb.pi() * shift / step).expm1()
        errors = tuple((2 * mass / divisor).upper() for mass in masses)
        return step, (errors[0], errors[1], errors[2])

    def _trapezoid(
        self,
        scale: arb,
        keys: list[Key],
        step: arb,
        reach: arb,
        tails: _Bounds,
        errors: _Bounds,
    ) -> dict[Key, arb]:
        bits = ctx.prec
        count = int(float((reach / step).upper())) + 1
        guard = 2 * count.bit_length() + 10
        with ctx.workprec(bits + guard):
            sums = NodeSums(self.activation, keys, scale, step)
            sums.run(count, bits + guard)
            normal = step / (2 * arb.pi()).sqrt()
            found = {}
            for key in keys:
                slot = 2 if key[1] == 0 else key[1] - 1
                found[key] = sums.totals[key] * normal + arb(0, (tails[slot] + errors[slot]).upper())
        return {key: +value for key, value in found.items()}

    def _adaptive(self, scale: arb, keys: list[Key], reach: arb, tails: _Bounds) -> dict[Key, arb]:
        pieces, slopes = self.activation.pieces, self.activation.slope_pieces
        panels: list[tuple[arb, arb, dict[bool, Program]]] = []
        for piece, slope in zip(pieces, slopes, strict=True):
            exprs = [piece.expr, slope.expr] if self.has_slope_energy else [piece.expr]
            programs = {
                flag: compile_program(exprs, [x], ComplexBallArithmetic(analytic=flag)) for flag in (False, True)
            }
            low = -reach if piece.lower is -sp.oo else constant_ball(piece.lower) / scale
            high = reach if piece.upper is sp.oo else constant_ball(piece.upper) / scale
            if low > reach or high < -reach:
                continue
            low = -reach if low < -reach else low
            high = reach if high > reach else high
            cuts = [low]
            if low < 0 and high > 0:
                cuts.append(arb(0))
            panels.extend(zip(cuts, [*cuts[1:], high], [programs] * len(cuts), strict=True))
        found = {}
        for key in keys:
            slot = 2 if key[1] == 0 else key[1] - 1
            total = arb(0, tails[slot])
            for low, high, programs in panels:
                total += self._panel(scale, key, low, high, programs)
            found[key] = total
        return found

    def _panel(self, scale: arb, key: Key, low: arb, high: arb, programs: Mapping[bool, Program]) -> arb:
        """E[xi^k g; low < xi < high]; ends may lie a little beyond the tails' bound, which only adds to it."""
        power, order = key
        normal = 1 / (2 * arb.pi()).sqrt()

        stopped: list[BaseException] = []

        def guarded(point: acb, analytic: bool) -> acb:
            # An error must not pass through Arb, which would go on: it is kept, and the rest ends at once.
            if stopped:
                return acb("nan")
            try:
                checkpoint()
                return integrand(point, analytic)
            except (OverBudgetError, Interruption, KeyboardInterrupt) as error:
                stopped.append(error)
                return acb("nan")

        def integrand(point: acb, analytic: bool) -> acb:
            outputs = programs[analytic](scale * point)
            value = integer_power(outputs[0], order) if order else outputs[1] * outputs[1]
            weighted: acb = value * integer_power(point, power) * (-(point * point) / 2).exp() * normal
            return weighted

        start, end = low.mid(), high.mid()
        sliver = (end - start) * arb(2) ** (-2 * ctx.prec)
        for corner in (hull(start, start + sliver), hull(end - sliver, end)):
            if not integrand(acb(corner), False).is_finite():
                # No subdivision helps: the integral would only be given up after all its evaluations.
                raise self._no_enclosure()
        # Over a wide ball of scales no subdivision makes the value narrower than the ball.
        tolerance = (arb(2) ** -ctx.prec).max((scale.rad() / scale.mid() / 8).upper())
        try:
            value = acb.integral(
                guarded, acb(start), acb(end), abs_tol=tolerance, rel_tol=tolerance, eval_limit=200 * ctx.prec + 20_000
            ).real
        except SystemError:
            # So Arb reports an interruption that arrives outside ``guarded``'s own lines.
            if not stopped:
                raise
        if stopped:
            raise stopped[0]
        # Ends that are not exact (a kink over a ball of scales): the strips between are bounded by evaluation.
        for end_ball in (low, high):
            if not end_ball.is_exact():
                width = end_ball - end_ball.mid()
                value += integrand(acb(end_ball), False).real * width
        if not value.is_finite():
            raise UncertifiedError(f"the integral of a moment of {self.activation.name} is not enclosed")
        if scale.is_exact() and value.rad() > _HOPELESS:
            # All evaluations went into a function that turns too fast: more digits ask for more of them.
            raise UnboundedError(
                f"the integral of a moment of {self.activation.name} needs too many evaluations: it oscillates too fast"
            )
        return value

    def _no_enclosure(self) -> UnboundedError:
        return UnboundedError(
            f"the integral of a moment of {self.activation.name} between kinks has no finite enclosure"
        )


@lru_cache(maxsize=16)
def certified_moments(activation: Activation, with_slope_energy: bool = True) -> CertifiedMoments:
    """Return the moments of an activation, remembered: its closed forms and bounds serve every parameter."""
    return CertifiedMoments(activation, with_slope_energy=with_slope_energy)


def _outward(scale: arb) -> arb:
    """The scale as a low-precision ball."""
    with ctx.workprec(_LOW):
        return +scale


def _cell(scale: arb) -> arb:
    """A low-precision ball round a scale whose ends have few bits, so that neighbouring scales have the same one."""
    rough = _outward(scale)
    with ctx.workprec(_LOW):
        unit = arb(2) ** (math.frexp(float(rough.mid()))[1] - _CELL_BITS)
        if rough.rad() > unit:
            return rough
        return hull((rough.lower() / unit).floor() * unit, (rough.upper() / unit).ceil() * unit)


def _step_bits(step: arb) -> int:
    """Bits after the binary point that give a step some 20 significant bits."""
    return 20 - int(float(step.log() / arb.const_log2()))
