"""Match an NTK by one or two layers with a learning rate for each weight matrix: every NTK of a DEQ has such a network.

``theory.matching.rates`` derives when one hidden layer does, at which rates, and that elsewhere two do of which only
the readout is trained.
"""

from __future__ import annotations

from dataclasses import replace

from flint import arb, ctx

from numerics.matching.constructive import match_hermite, one_hermite
from numerics.matching.explicit_network import ExplicitNetwork
from numerics.matching.nearest import closest_network
from numerics.matching.odd import ODD_FAMILIES, match_odd
from numerics.matching.rational import LOST_BITS, match_rational, one_rational
from numerics.matching.targets import Decision, Target, evaluate, infeasible, undecided
from theory.kernels import Kernel
from theory.matching import OneLayer, one_layer, two_rate_layer, two_rates
from theory.named import MatchStatus

__all__ = ["RATED_FAMILIES", "closest_per_layer", "match_per_layer", "per_layer_bound"]

#: Families that are searched at learning rates of their own: of the odd ones k_2 and k_3 vanish at any rates.
RATED_FAMILIES = ("rational", "hermite", *ODD_FAMILIES)
_TRAINED_ALONE = "only the readout is trained"


def match_per_layer(target: Target, family: str, layers: int = 2) -> Decision:
    """Construct a network with a learning rate for each weight matrix, or prove that one hidden layer is too few.

    Args:
        target: an NTK to match.
        family: of the layers, one of ``RATED_FAMILIES``.
        layers: most hidden layers.
    """
    if target.odd or family in ODD_FAMILIES:
        return _at_any_rates(target, family, layers)
    if target.readout_only:
        return _one_layer(target, family, one_layer(Kernel.CK), (arb(0), arb(1)))
    _, k2, k3, _ = target.coefficients
    gap = k3 - 2 * k2
    if gap < 0:
        return _too_few() if layers == 1 else _readout_alone(target, family)
    if not (gap > 0 and k2 > 0):
        return undecided("whether k_3 is at least 2 k_2 is not decided")
    first, last = evaluate(two_rates(), target)
    return _one_layer(target, family, two_rate_layer(), (first, last))


def _too_few() -> Decision:
    return infeasible(
        "every network with one hidden layer has k_3 >= 2 k_2, at whatever learning rates; the DEQ has not"
    )


def _at_any_rates(target: Target, family: str, layers: int) -> Decision:
    """The answers at one rate that hold at any: odd targets and odd layers, whose k_2 and k_3 vanish."""
    if family == "rational":
        found = match_rational(target, layers)
    elif family == "hermite":
        found = match_hermite(target, layers)
    else:
        found = match_odd(target, family)
    if found.status is not MatchStatus.EXACT:
        return found
    return replace(found, reason=f"{found.reason}; k_2 = k_3 = 0, so that no rates are needed but one")


def _one_layer(target: Target, family: str, conditions: OneLayer, rates: tuple[arb, arb]) -> Decision:
    """One hidden layer at given rates."""
    words = _TRAINED_ALONE if rates[0].is_zero() else "its weights learn at (k_3/k_2 - 2)/4 times the readout's rate"
    if family == "hermite":
        found = one_hermite(target, conditions)
        kind = "one hidden layer of Hermite polynomials"
    else:
        with ctx.workprec(ctx.prec + LOST_BITS):
            layer = next(one_rational(target, conditions), None)
        if layer is None:
            return undecided("no bounded rational layer of the widths tried matches", digits_help=False)
        found = Decision(MatchStatus.EXACT, (layer,))
        kind = "one bounded hidden layer, of the smallest width tried that leaves enough variance"
    if found.status is not MatchStatus.EXACT:
        return found
    return replace(found, reason=f"{kind}; {words}; more layers are not needed", rates=(rates,))


def _readout_alone(target: Target, family: str) -> Decision:
    """Two hidden layers of which only the readout is trained, so that their NTK is their CK."""
    features = replace(target, kernel=Kernel.CK)
    found = match_rational(features) if family == "rational" else match_hermite(features)
    if found.status is not MatchStatus.EXACT:
        return found
    why = f"k_3 < 2 k_2, which one hidden layer has at no learning rates; of two {_TRAINED_ALONE}"
    rates = (arb(0), arb(0), arb(1))
    return replace(found, reason=f"{why}; {found.reason}", rates=(rates,) * len(found.branches))


def closest_per_layer(target: Target, family: str) -> ExplicitNetwork:
    """Return a network with one hidden layer near a target with k_3 < 2 k_2: only its readout is trained.

    Args:
        target: an NTK that no such network has.
        family: of the layer.
    """
    found = closest_network(replace(target, kernel=Kernel.CK), family, 1)
    return ExplicitNetwork(found.layers, target.tau0, (arb(0), arb(1)))


def per_layer_bound(target: Target) -> arb:
    """Return a number below which no network with one hidden layer has its residual: 2 k_2 - k_3 is shared out."""
    _, k2, k3, _ = target.coefficients
    return ((2 * k2 - k3) / 3).lower().max(arb(0))
