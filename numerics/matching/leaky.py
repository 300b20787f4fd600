"""For one family of layers: every network that matches a target, or the proof that there is none.

The target's four numbers are balls, so that what is found or excluded here holds for every value in them.  Each
function returns a ``Decision``; "undecided" means that the balls are too wide or a gap in the proofs, never
that something is nearly zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp
from flint import arb

from numerics.arithmetic import BallSystem, hull, search
from numerics.matching.explicit_network import ExplicitLayer
from numerics.matching.targets import Decision, Layers, Target, evaluate, infeasible, undecided
from theory.matching import (
    TARGETS,
    LeakyReduction,
    MatchStatus,
    compose,
    kernel_part,
    leaky_reductions,
    leaky_relations,
    named_family,
    one_layer,
    two_layers,
)
from theory.symbols import tau, tau_0

__all__ = ["match_leaky"]


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
    return Decision(
        MatchStatus.EXACT, tuple(found), f"all {len(found)} solutions up to gauge and signs, by a complete search"
    )


def _linear(target: Target, layers: int) -> Decision:
    """Linear layers: for an affine DEQ only the product of their slopes matters."""
    (slope2,) = evaluate([one_layer(target.kernel).linear / tau_0**2], target)
    if layers == 2:
        (slope2,) = evaluate([two_layers(target.kernel).slope2], target)
    slopes = [slope2.sqrt(), arb(1)][:layers][::-1]
    family = named_family("leaky_relu")
    found = tuple(ExplicitLayer(family, {"a": slope, "b": slope}) for slope in slopes)
    return Decision(MatchStatus.EXACT, (found,), "the DEQ is affine, and so is the network")


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
    return Decision(
        MatchStatus.EXACT, ((layer,),), "the DEQ is itself a network with one layer, up to the scale of its input"
    )


# --------------------------------------------------------------------------------------------------------------------
# One odd bounded layer
