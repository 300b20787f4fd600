"""Match by one or two polynomial layers, which do whenever any one or two layers of any kind do.

``theory.matching.one_layer`` and ``theory.matching.two_layers`` derive when this works: one layer where k_3 = 2 k_2
(CK) or 6 k_2 (NTK); else a first layer with the right response q = E[(phi_1^2)'']/2, and a second one with the slope,
curvature and variance that are left.  First layers are cubic where that suffices, else the rational one of least
energy, else polynomials with a tail.
"""

from __future__ import annotations

from collections.abc import Iterator

from flint import arb, ctx

from numerics.arithmetic import constant_ball
from numerics.matching.explicit_network import ExplicitLayer
from numerics.matching.first_layers import FirstLayer, first_layers
from numerics.matching.impossibility import ck_is_forbidden, ntk_is_forbidden
from numerics.matching.rational import best_first_layer, energies
from numerics.matching.targets import Decision, Target, evaluate, infeasible, undecided
from theory.matching import OneLayer, chi2, hermite_family, one_layer, two_layers
from theory.named import MatchStatus

__all__ = [
    "match_hermite",
    "no_single_layer",
    "one_hermite",
    "one_layer_excluded",
]

#: Bits that the moments of the rational layer may lose.
_LOST_BITS = 300


def match_hermite(target: Target, layers: int = 2) -> Decision:
    """Construct a matching network of polynomial layers, or prove that none of any kind exists.

    Args:
        target: what to match.
        layers: most hidden layers.
    """
    k1, k2, k3, _ = target.coefficients
    if target.one_layer:
        return one_hermite(target, one_layer(target.kernel))
    if layers == 1:
        if one_layer_excluded(target):
            return no_single_layer(target)
        return undecided("whether k_3 has one layer's ratio to k_2 is not decided")
    if not (k3 > 0 and k2 > 0 and (k1 > 0 or k1.is_zero())):
        return undecided("whether k_1, k_2 and k_3 are positive is not decided")
    return _two_hermite(target)


def one_layer_excluded(target: Target) -> bool:
    """Return whether k_3/k_2 is proved not to be that of every network with one hidden layer."""
    ratio = arb(constant_ball(one_layer(target.kernel).ratio))
    return not (target.coefficients.square - ratio * target.coefficients.variance).contains(0)


def no_single_layer(target: Target) -> Decision:
    """Return the decision where one hidden layer is excluded."""
    ratio = one_layer(target.kernel).ratio
    trained = "" if target.kernel == "ck" else ", all weights at one learning rate,"
    return infeasible(f"every network with one hidden layer{trained} has k_3 = {ratio} k_2, and the DEQ has not")


def one_hermite(target: Target, conditions: OneLayer) -> Decision:
    """Return the polynomial layer that has the target's kernel, where it is known that one layer has.

    Args:
        target: what to match.
        conditions: what one layer needs, at the learning rates that are wanted.
    """
    linear, quadratic, leftover, weight = evaluate(
        [conditions.linear, conditions.quadratic, conditions.leftover, conditions.cubic_weight], target
    )
    present = {1: not target.even, 2: not target.odd, 3: not target.quadratic}
    if present[3] and not leftover > 0:
        return undecided("whether the energy of degree >= 3 is positive is not decided")
    energy = {1: linear, 2: quadratic, 3: leftover / weight}
    values = {f"c{k}": energy[k].nonnegative_part().sqrt() for k in energy if present[k]}
    layer = ExplicitLayer(hermite_family(tuple(k for k in energy if present[k])), values)
    return Decision(
        MatchStatus.EXACT, ((layer,),), "one layer of Hermite polynomials, its energies those of the kernel by degree"
    )


def _two_hermite(target: Target) -> Decision:
    for first, words in _mild_first_layers(target):
        second = _second_layer(target, first)
        if second is not None:
            return Decision(MatchStatus.EXACT, ((first.layer, second),), words)
    if _forbidden(target):
        return infeasible(_inequality(target), universal=True)
    if not evaluate([one_layer(target.kernel).leftover], target)[0] > 0:
        return undecided("whether the energy of degree >= 3 is positive is not decided")
    for first in first_layers(target, tailed=True):
        second = _second_layer(target, first)
        if second is not None:
            words = (
                "first layer with a tail x exp(g x^2): nothing milder leaves a positive variance, and finite networks "
                "are slow to show it"
            )
            return Decision(MatchStatus.EXACT, ((first.layer, second),), words)
    return undecided(
        "k_0 is so near to the least that two hidden layers need that neither a network nor a proof is found",
        digits_help=False,
    )


def _mild_first_layers(target: Target) -> Iterator[tuple[FirstLayer, str]]:
    """First layers without a tail, each with a word of what it is."""
    if target.kernel != "ck":
        for first in first_layers(target, tailed=False):
            yield first, "first layer a polynomial, chosen for a positive variance left over"
        return
    zero = arb(0)
    response2 = evaluate([two_layers("ck").response2], target, {chi2: zero})[0]
    response = response2.sqrt()
    inside = 6 + 12 * (response - 1)
    if inside > 0:
        ratio = (inside.sqrt() - arb(6).sqrt()) / 6
        layer = ExplicitLayer(hermite_family((1, 3)), {"c1": target.scale, "c3": target.scale * ratio})
        words = "first layer x + g He_3 with the DEQ's response alpha_4/lambda_1"
        yield FirstLayer(layer, zero, response2, 1 + ratio**2, 1 + 3 * ratio**2), words
    if response < 1:
        with ctx.workprec(ctx.prec + _LOST_BITS):
            best = best_first_layer(target, response)
            moments = None if best is None else energies(target, best)
        if best is not None and moments is not None:
            words = "first layer x/(1 + x^2/w^2), the least energy there is for alpha_4 < lambda_1"
            yield FirstLayer(best, zero, response2, *moments), words


def _second_layer(target: Target, first: FirstLayer) -> ExplicitLayer | None:
    """The second layer for a first one; None unless the leftover is proved positive."""
    forms = two_layers(target.kernel, flat=first.flat)
    extra = {chi2: first.share, forms.V: first.energy, forms.D: first.slopes, forms.Q2: first.response2}
    slope2, curvature2, leftover, weight = evaluate(
        [forms.slope2, forms.curvature2, forms.leftover, forms.cubic_weight], target, extra
    )
    if not (leftover > 0 and curvature2 > 0):
        return None
    square = target.scale**2 * first.energy
    values = {} if slope2.is_zero() else {1: (slope2 * square).sqrt()}
    values |= {2: (curvature2 / 2).sqrt() * square, 3: (leftover / weight).sqrt()}
    return ExplicitLayer(hermite_family(tuple(values)), {f"c{k}": value for k, value in values.items()})


def _forbidden(target: Target) -> bool:
    """Whether no network of one or two hidden layers has the target's kernel."""
    if target.kernel == "ck":
        return ck_is_forbidden(target.coefficients, target.scale)
    return one_layer_excluded(target) and ntk_is_forbidden(target.coefficients, target.scale)


def _inequality(target: Target) -> str:
    if target.kernel == "ck":
        response = evaluate([two_layers("ck").response2], target, {chi2: arb(0)})[0].sqrt()
        return (
            f"alpha_4/lambda_1 = {response.str(6, radius=False)} < 1 asks for a first layer whose least energy leaves "
            "a negative variance: inequality (1) of theory.matching.two_layers fails for every first layer"
        )
    return (
        "inequality (3) of theory.matching.two_layers fails for every first layer: its response and slope energy leave "
        "a negative variance"
    )
