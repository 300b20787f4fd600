"""Match an NTK by three or more polynomial layers, all weights at one learning rate, where one and two are too few.

``theory.matching.deep`` has the networks: certified where they match, which they do from some depth on if at all.  That
they fail at a depth excludes no other network of that depth.
"""

from __future__ import annotations

from flint import arb

from numerics.matching.explicit_network import ExplicitLayer
from numerics.matching.targets import Decision, Layers, Target, evaluate, undecided
from theory.matching import DeepNetwork, cubic_share, deep_network, hermite_family
from theory.named import MatchStatus

__all__ = ["DEPTHS", "match_deep"]

#: Numbers of hidden layers that are tried.
DEPTHS = range(3, 13)


def match_deep(target: Target, depths: range = DEPTHS) -> Decision:
    """Construct a network of the least depth at which one with a single quadratic layer matches.

    Args:
        target: an NTK to match, not that of one hidden layer.
        depths: numbers of hidden layers that are tried, in order.
    """
    k1, k2, k3, _ = target.coefficients
    if target.one_layer or not (k1 > 0 and k2 > 0 and k3 > 0):
        return undecided("deeper networks are looked for where k_1, k_2 and k_3 are positive", digits_help=False)
    for depth in depths:
        for place in range(2, depth + 1):
            layers = _layers(target, deep_network(depth, place), place)
            if layers is not None:
                reason = (
                    f"{depth} hidden layers of polynomials, curved in layer {place}, all weights at one learning rate"
                )
                return Decision(MatchStatus.EXACT, (layers,), reason)
    shown = f"{depths[0]}" if len(depths) == 1 else f"{depths[0]} to {depths[-1]}"
    return undecided(
        f"no polynomial network of {shown} hidden layers was found, and none is excluded", digits_help=False
    )


def _layers(target: Target, network: DeepNetwork, place: int) -> Layers | None:
    """The layers with a quadratic part in one of them, or None unless the leftover is proved positive."""
    (response2,) = evaluate([network.response2], target)
    inside = 6 + 12 * (response2.sqrt().root(place - 1) - 1)
    if not inside > 0:
        return None
    ratio = (inside.sqrt() - arb(6).sqrt()) / 6
    slope2, curvature2, leftover, weight, *scales2 = evaluate(
        [network.slope2, network.curvature2, network.leftover, network.cubic_weight, *network.scale2],
        target,
        {cubic_share: ratio**2},
    )
    if not (leftover > 0 and curvature2 > 0):
        return None
    built = []
    for number, scale2 in enumerate(scales2, start=1):
        last = number == len(scales2)
        values = {1: (slope2 * scale2).sqrt() if last else scale2.sqrt()}
        if number == place:
            values[2] = (curvature2 / 2).sqrt() * scale2
        if number < place:
            values[3] = ratio * scale2.sqrt()
        if last:
            values[3] = (leftover / weight).sqrt()
        built.append(ExplicitLayer(hermite_family(tuple(values)), {f"c{k}": value for k, value in values.items()}))
    return tuple(built)
