"""Match by one or two bounded layers (a x + b x^2 + c x^3)/(1 + x^2/w^2)^2, with explicit formulas.

At a given width w a layer's E[phi'] is linear in a and c, its E[phi''] in b, and q and the energies are quadratic: two
linear equations and a quadratic one give the layer.  As w grows the layers tend to cubic polynomials, so that a width
is found wherever cubics match with something left over (``theory.matching.two_layers``); the smallest that does is
taken, because narrow layers are small where finite networks see little of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import BallArithmetic, BallSystem, RootNotCertifiedError, certify_root, compile_program
from numerics.matching.explicit_network import ExplicitLayer
from numerics.matching.first_layers import first_layers
from numerics.matching.impossibility import width_of_rational
from numerics.matching.targets import Decision, Layers, Target, evaluate, undecided
from theory.matching import OneLayer, chi2, named_family, one_layer, rational_layer, rational_width, two_layers
from theory.named import MatchStatus
from theory.symbols import tau

__all__ = [
    "LOST_BITS",
    "best_first_layer",
    "energies",
    "match_rational",
    "one_rational",
]

#: Widths w that are tried, in standard deviations of the layer's pre-activations.
_WIDTHS = tuple(arb(width) / 2 for width in (3, 4, 5, 6, 8, 12, 16, 32, 64, 128, 256))
#: Bits that the moments lose at the largest width.
LOST_BITS = 300


@cache
def _coefficients() -> dict[str, tuple[sp.Expr, ...]]:
    """E[phi'] by a and c, E[phi''] by b, and the quadratic forms (aa, ac, cc, bb) of the others, at w and tau."""
    family = named_family("rational")
    a, b, c, _ = family.symbols
    monomials = {"d1": (a, c), "d2": (b,)} | dict.fromkeys(("d22", "dd", "variance"), (a**2, a * c, c**2, b**2))
    coefficients = {}
    for name, wanted in monomials.items():
        form = sp.Poly(getattr(family.moments, name), a, b, c)
        coefficients[name] = tuple(form.coeff_monomial(monomial) for monomial in wanted)
    return coefficients


def _layer(
    scale: arb, width: arb, slope: arb, curvature: arb, weights: Mapping[str, arb], value: arb
) -> ExplicitLayer | None:
    """The rational layer with given E[phi'], E[phi''] and weighted sum of moments, or None where there is none.

    Args:
        scale: standard deviation of the pre-activations.
        width: w/scale.
        slope: E[phi'].
        curvature: E[phi''].
        weights: of the moments whose sum is wanted.
        value: the sum.
    """
    family = named_family("rational")
    forms = _coefficients()
    program = compile_program(
        [part for name in ("d1", "d2", *weights) for part in forms[name]], [family.symbols[-1], tau], BallArithmetic()
    )
    by_a, by_c, by_b, *rest = map(arb, program(width * scale, scale))
    quadratic = [sum((w * rest[4 * n + i] for n, w in enumerate(weights.values())), arb(0)) for i in range(4)]
    aa, ac, cc, bb = quadratic
    bend = curvature / by_b
    start, step = slope / by_a, -by_c / by_a
    second, first, last = (
        aa * step**2 + ac * step + cc,
        2 * aa * start * step + ac * start,
        aa * start**2 + bb * bend**2 - value,
    )
    inside = first**2 - 4 * second * last
    if not (inside > 0 and (second > 0 or second < 0)):
        return None
    roots = [(-first + sign * inside.sqrt()) / (2 * second) for sign in (1, -1)]
    cubic = min(roots, key=lambda root: abs(float(root.mid())))
    parameters = {"a": start + step * cubic, "b": bend, "c": cubic, "w": width * scale}
    return ExplicitLayer(family, parameters) if all(ball.is_finite() for ball in parameters.values()) else None


def match_rational(target: Target, layers: int = 2) -> Decision:
    """Construct a matching network of bounded rational layers.

    Args:
        target: what to match.
        layers: most hidden layers.
    """
    k1, k2, k3, _ = target.coefficients
    if target.affine:
        return undecided("the DEQ is affine, which rational layers are not", digits_help=False)
    if not target.one_layer and layers == 1:
        return undecided("that two layers are needed is for the polynomial family to prove", digits_help=False)
    if not (target.one_layer or (k3 > 0 and k2 > 0 and (k1 > 0 or k1.is_zero()))):
        return undecided("whether k_1, k_2 and k_3 are positive is not decided")
    with ctx.workprec(ctx.prec + LOST_BITS):
        found = next(one_rational(target, one_layer(target.kernel)) if target.one_layer else _double(target), None)
    if found is None:
        return undecided("no bounded rational layers of the widths tried match", digits_help=False)
    return Decision(
        MatchStatus.EXACT, (found,), "bounded layers, of the smallest width tried that leaves enough variance"
    )


def one_rational(target: Target, conditions: OneLayer) -> Iterator[Layers]:
    """Yield networks with one layer that have the target's kernel, narrow ones first.

    Args:
        target: what to match.
        conditions: what one layer needs, at the learning rates that are wanted.
    """
    linear, quadratic, weight = evaluate([conditions.linear, conditions.quadratic, conditions.slope_weight], target)
    scale, zero = target.scale, arb(0)
    slope = zero if target.even else linear.nonnegative_part().sqrt() / scale
    curvature = zero if target.odd else (2 * quadratic).nonnegative_part().sqrt() / scale**2
    for width in _WIDTHS:
        layer = _layer(scale, width, slope, curvature, {"variance": arb(1), "dd": weight}, target.coefficients.diagonal)
        if layer is not None:
            yield (layer,)


def _double(target: Target) -> Iterator[Layers]:
    """Networks with two layers, narrow ones first; for the CK also behind the best first layer."""
    reduced, scale, one = two_layers(target.kernel), target.scale, arb(1)
    if target.kernel == "ck":
        wanted = [(arb(0), evaluate([reduced.response2], target, {chi2: arb(0)})[0].sqrt())]
    else:
        candidates = first_layers(target, tailed=False)
        wanted = [(first.share, first.response2.sqrt()) for first in candidates if not first.flat]
    for share, response in wanted:
        bend = (2 * share).sqrt() / scale
        for width in _WIDTHS:
            first = _layer(scale, width, one, bend, {"d22": one / 2}, response)
            last = None if first is None else _last(target, first, share, width)
            if first is not None and last is not None:
                yield first, last
        best = best_first_layer(target, response) if target.kernel == "ck" and response < 1 else None
        for width in _WIDTHS:
            last = None if best is None else _last(target, best, share, width)
            if best is not None and last is not None:
                yield best, last


def _last(target: Target, first: ExplicitLayer, share: arb, width: arb) -> ExplicitLayer | None:
    """The second layer behind a first one, or None where there is none of that width."""
    reduced = two_layers(target.kernel)
    energy, slopes = energies(target, first)
    slope2, curvature2, weight = evaluate(
        [reduced.slope2, reduced.curvature2, reduced.slope_weight],
        target,
        {chi2: share, reduced.V: energy, reduced.D: slopes},
    )
    if not (curvature2 > 0 and slope2 >= 0):
        return None
    scale = target.scale * energy.sqrt()
    return _layer(
        scale, width, slope2.sqrt(), curvature2.sqrt(), {"variance": arb(1), "dd": weight}, target.coefficients.diagonal
    )


def energies(target: Target, first: ExplicitLayer) -> tuple[arb, arb]:
    """Return V = E[phi_1^2]/tau_0^2 and D = E[phi_1'^2] of a first layer."""
    moments = first.family.moments
    symbols = [symbol for symbol in first.family.symbols if symbol.name != first.family.own_scale]
    program = compile_program([moments.variance / tau**2, moments.dd], [*symbols, tau], BallArithmetic())
    energy, slopes = program(*(first.parameters[symbol.name] for symbol in symbols), target.scale)
    return arb(energy), arb(slopes)


def best_first_layer(target: Target, response: arb) -> ExplicitLayer | None:
    """Return the layer proportional to x/(1 + x^2/w^2) with E[phi'] = 1 and a given q < 1, or None out of reach.

    No first layer with that q has less energy (inequality (2) of ``theory.matching.two_layers``).
    """
    try:
        start = width_of_rational(float(response.mid()))
    except ValueError:
        return None
    slope, form, _, _ = rational_layer()
    wanted = sp.Symbol("q", real=True)
    try:
        (width,) = certify_root(BallSystem([form - wanted], [rational_width], [wanted]), [arb(start)], [response])
    except RootNotCertifiedError:
        return None
    value = arb(compile_program([slope], [rational_width], BallArithmetic())(width)[0])
    absolute = width * target.scale
    return ExplicitLayer(named_family("rational"), {"a": value, "b": arb(0), "c": value / absolute**2, "w": absolute})
