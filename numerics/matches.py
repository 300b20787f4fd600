"""For one family of layers: every network that matches a target, or the proof that there is none.

The target's four numbers are balls, so that what is found or excluded here holds for every value in them.  Each
function returns a ``Decision``; "undecided" means that the balls are too wide or a gap in the proofs, never
that something is nearly zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp
from flint import arb

from numerics.balls import BallArithmetic, constant_ball, hull
from numerics.branch_and_prune import search
from numerics.explicit_network import ExplicitLayer
from numerics.krawczyk import BallSystem, RootNotCertifiedError, certify_root
from numerics.programs import compile_program
from theory.families import named_family
from theory.matching import (
    TARGETS,
    LeakyReduction,
    compose,
    kernel_part,
    leaky_reductions,
    leaky_relations,
    odd_ratio_limit,
    one_layer,
    two_layers,
)
from theory.symbols import tau, tau_0

__all__ = [
    "Decision",
    "Layers",
    "Target",
    "evaluate",
    "infeasible",
    "match_leaky",
    "match_odd",
    "undecided",
]

#: Halvings and doublings of the width by which the solution of one odd layer is bracketed.
_MOST_DOUBLINGS = 300
_BISECTIONS = 60
#: Boxes that a search for a set of targets may look at: there most failures are for good.
_INFLATED_EFFORT = 400

Layers = tuple[ExplicitLayer, ...]


@dataclass(frozen=True)
class Target:
    """The four numbers that a network must have, and what is known of them exactly.

    Attributes:
        kernel: one of ``theory.theories.KERNELS``.
        numbers: balls of k_1, k_2, k_3, k_0.
        tau0: exact input scale.
        odd: whether k_2 = k_3 = 0 exactly (a DEQ whose activation is odd up to a constant).
        even: whether k_1 = 0 exactly.
        homogeneous: whether the DEQ's activation has phi(c x) = c phi(x) for c > 0.
        affine: whether it is affine, so that no energy of degree >= 2 exists.
        quadratic: whether no energy of degree >= 3 exists.
        one_layer: whether it is exactly the kernel of some network with one hidden layer.
        effort: boxes that a search may look at.
    """

    kernel: str
    numbers: tuple[arb, arb, arb, arb]
    tau0: sp.Expr
    odd: bool = False
    even: bool = False
    homogeneous: bool = False
    affine: bool = False
    quadratic: bool = False
    one_layer: bool = False
    effort: int = 20_000

    @property
    def scale(self) -> arb:
        """Ball of tau_0 at the current precision."""
        return arb(constant_ball(self.tau0))

    def inflated(self, radius: arb) -> Target:
        """Return the set of all targets that differ from this one by at most ``radius`` in each number.

        The diagonal and k_1, k_2, k_3 of a kernel are not negative, so the set is cut at 0.
        """
        widened = [ball + arb(0, radius.upper()) for ball in self.numbers]
        first, second, third = (ball.nonnegative_part() if ball.contains(0) else ball for ball in widened[:3])
        return Target(self.kernel, (first, second, third, widened[3]), self.tau0, effort=_INFLATED_EFFORT)

    def shifted(self, steps: Sequence[arb]) -> Target:
        """Return the target with something added to each number (nothing is known of it exactly)."""
        first, second, third, diagonal = (ball + step for ball, step in zip(self.numbers, steps, strict=True))
        return Target(self.kernel, (first, second, third, diagonal), self.tau0)


@dataclass(frozen=True)
class Decision:
    """What was found for one family.

    Attributes:
        status: "exact", "infeasible" or "undecided".
        branches: every network found, up to gauge and signs (for the polynomial family one of infinitely many).
        reason: one sentence: how the networks were found, or why there are none.
        universal: for "infeasible": whether no network of one or two hidden layers of any activation exists.
        digits_help: for "undecided": whether more digits may decide it.
    """

    status: str
    branches: tuple[Layers, ...] = ()
    reason: str = ""
    universal: bool = False
    digits_help: bool = True


def infeasible(reason: str, *, universal: bool = False) -> Decision:
    """Return the decision that no network of the family matches."""
    return Decision("infeasible", reason=reason, universal=universal)


def undecided(reason: str, *, digits_help: bool = True) -> Decision:
    """Return the decision that the balls are too wide to tell, or that neither a network nor a proof was found."""
    return Decision("undecided", reason=reason, digits_help=digits_help)


def evaluate(expressions: Sequence[sp.Expr], target: Target, extra: Mapping[sp.Symbol, arb] | None = None) -> list[arb]:
    """Return expressions in the targets, tau_0 and other symbols as balls.

    Args:
        expressions: to be evaluated.
        target: gives the targets' symbols and tau_0 their balls.
        extra: balls of the other symbols.
    """
    known = dict(extra or {})
    program = compile_program(expressions, [*TARGETS, tau_0, *known], BallArithmetic())
    return [arb(value) for value in program(*target.numbers, target.scale, *known.values())]


# --------------------------------------------------------------------------------------------------------------------
# Leaky-ReLU pairs


def match_leaky(target: Target, layers: int = 2) -> Decision:
    """Find all networks of one or two layers max(a x, b x), up to gauge and signs, or exclude them.

    Everything but t = (w_1/u_1)^2 is eliminated in closed form; what is left is a polynomial in t, whose roots in
    0 <= t <= t_max (where w_2^2 >= 0) are found or excluded by branch and prune: the search is complete.
    """
    if target.affine:
        return _linear(target, layers)
    for relation in leaky_relations(target.kernel, layers):
        (gap,) = evaluate([sum((x * k for x, k in zip(relation, TARGETS, strict=True)), sp.S.Zero)], target)
        if not gap.contains(0):
            return infeasible(
                "every such network satisfies "
                + " + ".join(f"({x}) {k}" for x, k in zip(relation, TARGETS, strict=True) if x != 0)
                + f" = 0, and the DEQ does not (it gives {gap.str(6, radius=False)})"
            )
    if layers == 1:
        if not (target.homogeneous and target.one_layer):
            return undecided("whether the relations of one leaky-ReLU layer hold is not decided")
        return _one_leaky(target)
    k1, _, k3, _ = target.numbers
    if target.odd:
        return infeasible("k_2 and k_3 vanish, which leaves only linear layers, and the DEQ has energy of degree >= 3")
    if not k3 > 0:
        return undecided("whether k_3 is positive is not decided")
    if not (target.even or k1 > 0):
        return undecided("whether k_1 is positive is not decided")
    redundant = bool(leaky_relations(target.kernel)) and target.homogeneous
    found: list[Layers] = []
    for reduction in leaky_reductions(target.kernel, even=target.even):
        equations = reduction.equations[:-1] if redundant else reduction.equations
        if target.one_layer and target.kernel == "ck" and target.homogeneous and not target.even:
            points: list[arb] | None = [arb(0), *evaluate([reduction.upper], target)]
        else:
            points = _leaky_roots(reduction, equations, target)
        if points is None:
            return undecided(
                "the polynomial for t may have a double root, or a root at which the diagonal is not decided"
            )
        for point in points:
            extra = {} if reduction.unknown is None else {reduction.unknown: point}
            squares = evaluate(reduction.squares, target, extra)
            if target.one_layer:
                squares = [square.nonnegative_part() for square in squares]
            if any(square < 0 for square in squares):
                continue
            if not all(square >= 0 for square in squares):
                return undecided("whether a square of a parameter is negative is not decided")
            found.append(_leaky_layers(squares))
    if not found:
        return infeasible("the polynomial for t = (w_1/u_1)^2 has no root with w_2^2 >= 0: the search is complete")
    return Decision("exact", tuple(found), f"all {len(found)} solutions up to gauge and signs, by a complete search")


def _linear(target: Target, layers: int) -> Decision:
    """Linear layers: for an affine DEQ only the product of their slopes matters."""
    (slope2,) = evaluate([one_layer(target.kernel).linear / tau_0**2], target)
    if layers == 2:
        (slope2,) = evaluate([two_layers(target.kernel).slope2], target)
    slopes = [slope2.sqrt(), arb(1)][:layers][::-1]
    family = named_family("leaky_relu")
    found = tuple(ExplicitLayer(family, {"a": slope, "b": slope}) for slope in slopes)
    return Decision("exact", (found,), "the DEQ is affine, and so is the network")


def _leaky_roots(reduction: LeakyReduction, equations: tuple[sp.Expr, ...], target: Target) -> list[arb] | None:
    """The roots of a reduction, or None where they are not decided."""
    data = [*target.numbers, target.scale]
    if reduction.unknown is None:
        values = evaluate(equations, target) if equations else []
        if any(not value.contains(0) for value in values):
            return []
        return None if values else [arb(0)]
    system = BallSystem(equations, [reduction.unknown], [*TARGETS, tau_0])
    if reduction.upper is not None:
        (top,) = evaluate([reduction.upper], target)
    else:
        # Cauchy's bound of the roots.
        coefficients = evaluate(sp.Poly(equations[0], reduction.unknown).all_coeffs(), target)
        top = 1 + sum((abs(c / coefficients[0]) for c in coefficients[1:]), arb(0))
    if not top.is_finite():
        return None
    outcome = search(system, [hull(arb(0), top.upper())], data, budget=target.effort)
    if not outcome.complete:
        return None
    return [root[0] for root in outcome.roots]


def _leaky_layers(squares: Sequence[arb]) -> Layers:
    """Layers u x + w |x| with the positive roots of their squares."""
    roots = [square.nonnegative_part().sqrt() for square in squares]
    family = named_family("leaky_relu")
    return tuple(
        ExplicitLayer(family, {"a": roots[i] + roots[i + 1], "b": roots[i] - roots[i + 1]}) for i in range(0, 4, 2)
    )


def _one_leaky(target: Target) -> Decision:
    """One layer, from k_1 and k_3."""
    u, w = sp.symbols("u w", nonnegative=True)
    family = named_family("leaky_relu")
    place = dict(zip(family.symbols, (u + w, u - w), strict=True)) | {tau: tau_0}
    moments = replace(
        family.moments,
        **{name: sp.expand(getattr(family.moments, name).subs(place)) for name in family.moments.__dataclass_fields__},
    )
    k1, _, k3, _ = kernel_part(target.kernel, compose([moments]))
    forms = [TARGETS[0] / sp.cancel(sp.expand(k1) / u**2), TARGETS[2] / sp.cancel(sp.expand(k3) / w**2)]
    roots = [value.nonnegative_part().sqrt() for value in evaluate(forms, target)]
    layer = ExplicitLayer(family, {"a": roots[0] + roots[1], "b": roots[0] - roots[1]})
    return Decision("exact", ((layer,),), "the DEQ is itself a network with one layer, up to the scale of its input")


# --------------------------------------------------------------------------------------------------------------------
# One odd bounded layer


def match_odd(target: Target, name: str) -> Decision:
    """Find the layer of an odd family (hard_tanh, erf, sin) that matches, or prove that no width and amplitude does.

    The amplitude drops out of k_0/(tau_0^2 k_1), which falls strictly with the width (``theory.matching``).
    """
    k1, k2, k3, k0 = target.numbers
    if k2 > 0 or k3 > 0:
        return infeasible(f"{name} is odd, so k_2 = k_3 = 0, and the DEQ's are not")
    if target.affine:
        return infeasible(f"the DEQ is affine, which {name} is only in the limit of infinite width")
    if target.even:
        return infeasible(f"k_1 = 0, which {name} has only at amplitude 0")
    if not k1 > 0:
        return undecided("whether k_1 is positive is not decided")
    ratio, limit = k0 / (target.scale**2 * k1), odd_ratio_limit(target.kernel, name)
    if limit.is_finite and not ratio < arb(constant_ball(limit)):
        shown = ratio.str(6, radius=False)
        if ratio > arb(constant_ball(limit)):
            return infeasible(f"k_0/(tau_0^2 k_1) = {shown}, and every {name} stays below {limit}")
        return undecided(f"whether k_0/(tau_0^2 k_1) = {shown} is below {limit} is not decided")
    if not target.odd:
        return undecided("whether k_2 and k_3 vanish is not decided")
    family = named_family(name)
    amplitude, shape = family.symbols
    width = sp.Symbol("y", positive=True)
    place = {amplitude: 1, tau: 1, shape: width if name == "hard_tanh" else 1 / width}
    fields = {field: getattr(family.moments, field).subs(place) for field in family.moments.__dataclass_fields__}
    state = kernel_part(target.kernel, compose([replace(family.moments, **fields)]))
    first, diagonal = (part.subs(tau_0, 1) for part in (state[0], state[3]))
    reached = compile_program([diagonal / first], [width], BallArithmetic())
    low = high = arb(1)
    for _ in range(_MOST_DOUBLINGS):
        too_wide, too_narrow = not reached(low)[0] > ratio, not reached(high)[0] < ratio
        if not (too_wide or too_narrow):
            break
        low, high = (low / 2 if too_wide else low), (2 * high if too_narrow else high)
    else:
        return undecided(f"the width of {name} is not bracketed")
    for _ in range(_BISECTIONS):
        middle = ((low + high) / 2).mid()
        value = reached(middle)[0]
        if not (value > ratio or value < ratio):
            break
        low, high = (middle, high) if value > ratio else (low, middle)
    equation = TARGETS[3] - tau_0**2 * TARGETS[0] * diagonal / first
    system = BallSystem([equation], [width], [*TARGETS, tau_0])
    try:
        (root,) = certify_root(system, [hull(low, high)], [*target.numbers, target.scale])
    except RootNotCertifiedError:
        return undecided(f"the equation for the width of {name} is not decided")
    size = (k1 / compile_program([first], [width], BallArithmetic())(root)[0]).sqrt()
    absolute = root * target.scale
    # A family's frequency is per unit of x; the equation was written for tau_0 = 1.
    parameters = (
        {amplitude.name: size, shape.name: absolute}
        if name == "hard_tanh"
        else {amplitude.name: size * target.scale, shape.name: 1 / absolute}
    )
    reason = "the only solution up to signs, for k_0/(tau_0^2 k_1) falls as the width grows"
    return Decision("exact", ((ExplicitLayer(family, parameters),),), reason)
