"""Enclosures of E[xi^k f(tau xi)^j] and E[xi^k f'(tau xi)^2] as integrals over the line, in balls.

* A single analytic piece: the trapezoidal rule.  All moments share its nodes.  Its error is at most
  (M_+ + M_-)/(exp(2 pi a/h) - 1), with M_+- the integral of |g(xi +- i a)| over xi and g analytic for |Im xi| <= a
  (Trefethen and Weideman, SIAM Review 56 (2014), theorem 5.1).
* Several pieces, or singularities very near the axis: ``acb.integral`` on panels between the kinks.

Both leave out what lies beyond +-L, which is bounded by majorants of f.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, reduce

import sympy as sp
from flint import acb, arb, ctx

from numerics.arithmetic import (
    ComplexBallArithmetic,
    Program,
    ball_to_text,
    compile_program,
    constant_ball,
    hull,
    integer_power,
)
from numerics.budget import Interruption, OverBudgetError, checkpoint
from numerics.moments.node_sums import NodeSums
from numerics.moments.strips import PieceBounds, StripTable
from numerics.moments.values import Key
from theory.activations import Activation
from theory.symbols import x

__all__ = [
    "BOUND_BITS",
    "Integrand",
    "LineIntegrals",
    "Tails",
    "TrapezoidalRule",
    "UnboundedError",
    "UncertifiedError",
    "panel_integrals",
    "tail_bounds",
    "trapezoidal_integrals",
    "trapezoidal_rule",
]

#: Precision in bits of bounds, which need no more.
BOUND_BITS = 64
#: The trapezoidal rule is left to the adaptive integral where it would need more nodes than this.
_MOST_NODES = 120_000
#: Radius of an integral at an exact scale that shows that its evaluations ran out.
_HOPELESS = 1
#: Bits of a scale that name its cell: the bounds for all of a cell are hardly worse, and serve a whole sweep.
_CELL_BITS = 6
#: Cells whose bounds are kept.
_REMEMBERED = 256
#: How far the tails' start is moved outwards, a step of 4 per cent at a time.
_MOST_STEPS = 150
#: Bounds of f phi, f^2 phi and f'^2 phi, phi the normal density.
_Bounds = tuple[arb, arb, arb]


class UncertifiedError(ArithmeticError):
    """A quantity that could not be enclosed, and why."""


class UnboundedError(UncertifiedError):
    """One that no precision would enclose: a bound that is needed is not found."""


@dataclass(frozen=True)
class Integrand:
    """f with the bounds of its pieces.

    Attributes:
        activation: f, without free parameters.
        with_slopes: whether moments of f'^2 are wanted, and finite.
    """

    activation: Activation
    with_slopes: bool

    @cached_property
    def pieces(self) -> tuple[PieceBounds, ...]:
        """Bounds of each piece, from left to right."""
        with ctx.workprec(BOUND_BITS):
            return tuple(
                PieceBounds(piece.expr, slope.expr)
                for piece, slope in zip(self.activation.pieces, self.activation.slope_pieces, strict=True)
            )

    def vanishes(self, key: Key) -> bool:
        """Whether a moment is 0 because its integrand is odd (f'^2 is even whenever f has a parity)."""
        k, j = key
        parity = self.activation.parity
        return bool(parity) and (-1) ** k * (parity**j if j else 1) == -1


@dataclass(frozen=True)
class Tails:
    """What is left out of an integral over the line.

    Attributes:
        start: L.
        bounds: of the integrals of (1 + |xi|)^k |g| beyond +-L, for g = f phi, f^2 phi and f'^2 phi.
    """

    start: arb
    bounds: _Bounds


@dataclass(frozen=True)
class TrapezoidalRule:
    """A step of the trapezoidal rule, and what it errs by.

    Attributes:
        step: exact.
        errors: bounds of the errors, for the same integrands as the bounds of ``Tails``.
    """

    step: arb
    errors: _Bounds


class LineIntegrals:
    """Integrals over the line of one integrand.

    Bounds are remembered by cell of scales: they depend on the arguments alone, so that threads may share them.

    Args:
        integrand: f.
    """

    def __init__(self, integrand: Integrand) -> None:
        self._integrand = integrand
        self._tails = lru_cache(maxsize=_REMEMBERED)(self._cell_tails)
        self._rule = lru_cache(maxsize=_REMEMBERED)(self._cell_rule)

    def at(self, scale: arb, keys: Iterable[Key]) -> dict[Key, arb]:
        """Enclose moments at a scale, or over a ball of scales, at the precision that is set.

        Args:
            scale: tau.
            keys: of the moments.

        Raises:
            UncertifiedError: an enclosure was not found, with the reason.
        """
        wanted = list(dict.fromkeys(keys))
        zero = {key: arb(0) for key in wanted if self._integrand.vanishes(key)}
        others = [key for key in wanted if key not in zero]
        if not others:
            return zero
        if not scale > 0:
            raise UncertifiedError("the scale is not proved positive")
        power = max(k for k, _ in others)
        if len(self._integrand.activation.pieces) > 1:
            # The kinks in xi are known only as well as the scale: a cell would be too coarse.
            tails, rule = tail_bounds(self._integrand, _outward(scale), ctx.prec, power), None
        else:
            tails, rule = self._rule(_cell(scale), ctx.prec, power)
        if rule is None:
            return zero | panel_integrals(self._integrand, scale, others, tails)
        return zero | trapezoidal_integrals(self._integrand, scale, others, tails, rule)

    def tails(self, scales: arb, bits: int, power: int) -> Tails:
        """Return ``tail_bounds`` for the cell of a ball of scales."""
        return self._tails(_cell(scales), bits, power)

    def _cell_tails(self, cell: _Cell, bits: int, power: int) -> Tails:
        return tail_bounds(self._integrand, cell.scales, bits, power)

    def _cell_rule(self, cell: _Cell, bits: int, power: int) -> tuple[Tails, TrapezoidalRule | None]:
        tails = tail_bounds(self._integrand, cell.scales, bits, power)
        return tails, trapezoidal_rule(self._integrand, cell.scales, tails.start, bits, power)


@dataclass(frozen=True)
class _Cell:
    """A ball of scales that can be looked up: balls themselves have no equality to go by."""

    text: str
    scales: arb = field(compare=False)


def _cell(scale: arb) -> _Cell:
    """A low-precision ball round a scale whose ends have few bits, so that neighbouring scales have the same one."""
    rough = _outward(scale)
    if not rough.is_finite():
        # The square root of a ball so wide that it reaches below 0.
        raise UncertifiedError("a ball of scales has no finite ends")
    with ctx.workprec(BOUND_BITS):
        unit = arb(2) ** (math.frexp(float(rough.mid()))[1] - _CELL_BITS)
        if not rough.rad() > unit:
            rough = hull((rough.lower() / unit).floor() * unit, (rough.upper() / unit).ceil() * unit)
    return _Cell(ball_to_text(rough), rough)


def _outward(scale: arb) -> arb:
    """The scale as a low-precision ball."""
    with ctx.workprec(BOUND_BITS):
        return +scale


# --- tails ------------------------------------------------------------------------------------------------------------


def tail_bounds(integrand: Integrand, scale: arb, bits: int, power: int) -> Tails:
    """Find L such that what lies beyond +-L is below 2^-bits, also for sums over nodes with a step up to 1.

    Args:
        integrand: f.
        scale: ball of tau.
        bits: see above.
        power: highest power of xi that is needed.

    Raises:
        UncertifiedError: no bound was found, with the reason.
    """
    activation = integrand.activation
    with ctx.workprec(BOUND_BITS):
        exponent = bits * arb.const_log2() + 3
        first = (2 * exponent).sqrt()
        start = (2 * (exponent + power * (1 + first).log())).sqrt().mid()
        goal = arb(2) ** -bits
        kinks = [constant_ball(point) / scale for point in activation.breakpoints]
        for _ in range(_MOST_STEPS):
            checkpoint()
            if not any(kink.overlaps(start) or kink.overlaps(-start) for kink in kinks):
                left, right = (_side_tail(integrand, side, scale, start, power, kinks) for side in (-1, 1))
                bounds = _sum(left, right)
                if all(bool(value < goal) for value in (bounds if integrand.with_slopes else bounds[:2])):
                    return Tails(start, bounds)
            start = (start * arb("1.04")).mid()
    raise UncertifiedError(f"the tails of the moments of {activation.name} are not bounded at this scale")


def _side_tail(integrand: Integrand, side: int, scale: arb, start: arb, power: int, kinks: list[arb]) -> _Bounds:
    """Bounds of what lies beyond +L (side 1) or -L; kinks out there cut it into stretches of several pieces."""
    name = integrand.activation.name
    ordered = integrand.pieces if side > 0 else integrand.pieces[::-1]
    outer = [side * kink for kink in (kinks if side > 0 else kinks[::-1])]
    beyond = [(index, kink) for index, kink in enumerate(outer) if kink > start]
    # The lower end: between it and the kink itself either piece may hold, and both are bounded there.
    total = ordered[-1].tail(side, scale, start if not beyond else outer[-1].lower(), power, arb(1))
    if total is None or (integrand.with_slopes and total[2].is_nan()):
        what = "" if total is None else "the slope of "
        raise UnboundedError(f"no bound of {what}{name} for large |x| is found")
    near = start
    for index, kink in beyond:
        stretch = ordered[index].stretch(side, scale, near, kink, power, arb(1), start)
        if stretch is None:
            raise UnboundedError(f"{name} or its slope is not bounded near a far kink")
        total = _sum(total, stretch)
        near = kink
    return total


def _sum(first: _Bounds, second: _Bounds) -> _Bounds:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


# --- the trapezoidal rule ---------------------------------------------------------------------------------------------


def trapezoidal_rule(integrand: Integrand, scale: arb, start: arb, bits: int, power: int) -> TrapezoidalRule | None:
    """Find the largest step with errors below 2^-bits over the strips at hand; None if that is too small.

    Args:
        integrand: f, of one piece.
        scale: ball of tau.
        start: L, which the nodes have to reach.
        bits: see above.
        power: highest power of xi that is needed.
    """
    with ctx.workprec(BOUND_BITS):
        best: TrapezoidalRule | None = None
        exponent = bits * arb.const_log2()
        for table in integrand.pieces[0].strips():
            checkpoint()
            rule = _rule_on(table, scale, exponent, power, with_slopes=integrand.with_slopes)
            if rule is not None and (best is None or rule.step > best.step):
                best = rule
        return None if best is None or start / best.step > _MOST_NODES else best


def _rule_on(table: StripTable, scale: arb, exponent: arb, power: int, *, with_slopes: bool) -> TrapezoidalRule | None:
    shift = (table.half_width / scale).lower().min((2 * exponent).sqrt()).lower()
    masses = table.line_integral(scale, shift, power)
    used = masses if with_slopes else masses[:2]
    if not all(mass.is_finite() for mass in used):
        return None
    largest = reduce(lambda first, second: first.max(second), used)
    # The bound of the tails is for steps up to 1.
    wanted = (2 * arb.pi() * shift / (exponent + (4 * largest + 1).log())).min(arb(1))
    # An exact dyadic step of some 20 significant bits makes the nodes exact.
    places = 20 - int(float(wanted.log() / arb.const_log2()))
    step = arb((int(float(wanted.lower()) * 2.0**places), -places))
    divisor = (2 * arb.pi() * shift / step).expm1()
    first, second, third = ((2 * mass / divisor).upper() for mass in masses)
    return TrapezoidalRule(step, (first, second, third))


def trapezoidal_integrals(
    integrand: Integrand, scale: arb, keys: Iterable[Key], tails: Tails, rule: TrapezoidalRule
) -> dict[Key, arb]:
    """Enclose moments by the trapezoidal rule, at the precision that is set.

    Args:
        integrand: f, of one piece.
        scale: tau.
        keys: of the moments.
        tails: for the scale and at least the highest power of xi.
        rule: likewise.
    """
    bits = ctx.prec
    count = int(float((tails.start / rule.step).upper())) + 1
    guard = 2 * count.bit_length() + 10
    with ctx.workprec(bits + guard):
        sums = NodeSums(integrand.activation, list(keys), scale, rule.step)
        sums.run(count, bits + guard)
        normal = rule.step / (2 * arb.pi()).sqrt()
        errors = _sum(tails.bounds, rule.errors)
        balls = {key: total * normal + arb(0, _bound_of(key, errors).upper()) for key, total in sums.totals.items()}
    return {key: +ball for key, ball in balls.items()}


def _bound_of(key: Key, bounds: _Bounds) -> arb:
    """The bound that belongs to a moment's integrand: f phi, f^2 phi or f'^2 phi."""
    return bounds[2] if key[1] == 0 else bounds[key[1] - 1]


# --- panels -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Panel:
    """An interval of xi on which one piece holds.

    Attributes:
        low: left end.
        high: right end.
        programs: f, and f' where it is wanted, by whether branch cuts are refused.
    """

    low: arb
    high: arb
    programs: Mapping[bool, Program]


def panel_integrals(integrand: Integrand, scale: arb, keys: Iterable[Key], tails: Tails) -> dict[Key, arb]:
    """Enclose moments by adaptive integration between the kinks, at the precision that is set.

    Args:
        integrand: f.
        scale: tau.
        keys: of the moments.
        tails: for the scale and at least the highest power of xi.

    Raises:
        UncertifiedError: an integral is not enclosed.
    """
    panels = list(_panels(integrand, scale, tails.start))
    balls = {}
    for key in keys:
        balls[key] = arb(0, _bound_of(key, tails.bounds))
        for panel in panels:
            balls[key] += _panel_integral(integrand.activation, panel, scale, key)
    return balls


def _panels(integrand: Integrand, scale: arb, start: arb) -> Iterable[_Panel]:
    """Panels over -L .. L that end at kinks, and at 0."""
    activation = integrand.activation
    for piece, slope in zip(activation.pieces, activation.slope_pieces, strict=True):
        low = -start if piece.lower is -sp.oo else constant_ball(piece.lower) / scale
        high = start if piece.upper is sp.oo else constant_ball(piece.upper) / scale
        if low > start or high < -start:
            continue
        exprs = [piece.expr, slope.expr] if integrand.with_slopes else [piece.expr]
        programs = {flag: compile_program(exprs, [x], ComplexBallArithmetic(analytic=flag)) for flag in (False, True)}
        low = -start if low < -start else low
        high = start if high > start else high
        if low < 0 and high > 0:
            yield _Panel(low, arb(0), programs)
            low = arb(0)
        yield _Panel(low, high, programs)


def _panel_integral(activation: Activation, panel: _Panel, scale: arb, key: Key) -> arb:
    """E[xi^k g; low < xi < high]; ends may lie a little beyond the tails' bound, which only adds to it."""
    power, order = key
    low, high = panel.low, panel.high
    normal = 1 / (2 * arb.pi()).sqrt()

    def weighted(point: acb, analytic: bool) -> acb:
        outputs = panel.programs[analytic](scale * point)
        value = integer_power(outputs[0], order) if order else outputs[1] * outputs[1]
        product: acb = value * integer_power(point, power) * (-(point * point) / 2).exp() * normal
        return product

    start, end = low.mid(), high.mid()
    sliver = (end - start) * arb(2) ** (-2 * ctx.prec)
    for corner in (hull(start, start + sliver), hull(end - sliver, end)):
        if not weighted(acb(corner), False).is_finite():
            # No subdivision helps: the integral would only be given up after all its evaluations.
            raise UnboundedError(f"the integral of a moment of {activation.name} between kinks has no finite enclosure")
    # Over a wide ball of scales no subdivision makes the value narrower than the ball.
    tolerance = (arb(2) ** -ctx.prec).max((scale.rad() / scale.mid() / 8).upper())
    value = _arb_integral(weighted, start, end, tolerance)
    # Ends that are not exact (a kink over a ball of scales): the strips between are bounded by evaluation.
    for end_ball in (low, high):
        if not end_ball.is_exact():
            value += weighted(acb(end_ball), False).real * (end_ball - end_ball.mid())
    if not value.is_finite():
        raise UncertifiedError(f"the integral of a moment of {activation.name} is not enclosed")
    if scale.is_exact() and value.rad() > _HOPELESS:
        # All evaluations went into a function that turns too fast: more digits ask for more of them.
        raise UnboundedError(
            f"the integral of a moment of {activation.name} needs too many evaluations: it oscillates too fast"
        )
    return value


#: What may arrive at any time.
_INTERRUPTIONS = (OverBudgetError, Interruption, KeyboardInterrupt)


def _arb_integral(function: Callable[[acb, bool], acb], start: arb, end: arb, tolerance: arb) -> arb:
    """``acb.integral`` that can be interrupted.

    An error must not pass through Arb, which would go on: it is kept, and the evaluations left end at once.
    """
    stopped: list[BaseException] = []

    def guarded(point: acb, analytic: bool) -> acb:
        if stopped:
            return acb("nan")
        try:
            checkpoint()
            return function(point, analytic)
        except _INTERRUPTIONS as error:
            stopped.append(error)
            return acb("nan")

    try:
        value: arb = acb.integral(
            guarded, acb(start), acb(end), abs_tol=tolerance, rel_tol=tolerance, eval_limit=200 * ctx.prec + 20_000
        ).real
    except SystemError as error:
        # So Python reports one that arrives between the lines of ``guarded``, and that Arb was not told of.
        first = _first_cause(error)
        if isinstance(first, _INTERRUPTIONS):
            raise first from None
        if not stopped:
            raise
    if stopped:
        raise stopped[0]
    return value


def _first_cause(error: BaseException) -> BaseException:
    """The error that led to this one, through as many calls as there are."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
