"""Match the DEQ of an odd activation by one bounded odd layer, or prove that none does.

Theory sheet, section 7.
"""

from __future__ import annotations

import sympy as sp
from flint import arb

from numerics.arithmetic import (
    BallArithmetic,
    BallSystem,
    RootNotCertifiedError,
    certify_root,
    compile_program,
    constant_ball,
    hull,
)
from numerics.matching.explicit_network import ExplicitLayer
from numerics.matching.targets import Decision, Target, infeasible, undecided
from theory.matching import TARGETS, compose, kernel_part, named_family, odd_ratio_limit
from theory.named import MatchStatus
from theory.symbols import tau, tau_0

__all__ = ["ODD_FAMILIES", "match_odd"]

#: The families of odd layers, whose k_2 and k_3 vanish.
ODD_FAMILIES = ("hard_tanh", "erf", "sin")

#: Halvings and doublings of the width by which the solution of one odd layer is bracketed.
_MOST_DOUBLINGS = 300
_BISECTIONS = 60


def match_odd(target: Target, name: str) -> Decision:
    """Find the layer of an odd family (hard_tanh, erf, sin) that matches, or prove that no width and amplitude does.

    The amplitude drops out of k_0/(tau_0^2 k_1), which falls strictly with the width (``theory.matching.one_layer``).
    """
    k1, k2, k3, k0 = target.coefficients
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
    state = kernel_part(target.kernel, compose([family.moments.subs(place)]))
    first, diagonal = (part.subs(tau_0, 1) for part in (state.linear, state.diagonal))
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
    equation = TARGETS.diagonal - tau_0**2 * TARGETS.linear * diagonal / first
    system = BallSystem([equation], [width], [*TARGETS, tau_0])
    try:
        (root,) = certify_root(system, [hull(low, high)], [*target.coefficients, target.scale])
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
    return Decision(MatchStatus.EXACT, ((ExplicitLayer(family, parameters),),), reason)
