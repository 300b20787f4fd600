"""Design an explicit network with the kernel of a given DEQ, or prove that a family of layers has none.

The DEQ's numbers are certified balls (``numerics.certified``); ``numerics.matches`` and ``numerics.constructive`` find
or exclude the networks of one family.  An ``exact`` design holds the balls of parameters that are proved to match; an
``infeasible`` one the closest network and a lower bound of every network's residual, the largest of the four
differences between what a network has and what the DEQ has.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp
from flint import arb, ctx

from numerics import closest
from numerics.certified import CertifiedCoefficients, certify
from numerics.constructive import match_hermite
from numerics.equilibrium import NTK_KEYS
from numerics.explicit_network import ExplicitNetwork
from numerics.matches import Decision, Target, match_leaky, match_odd
from theory.activations import Activation
from theory.families import FAMILY_NAMES
from theory.matching import KERNELS
from theory.symbols import x

__all__ = ["LAYER_COUNTS", "Design", "DesignError", "design", "solve_target", "target_of"]

#: Numbers of layers that each family offers, the usual one first.
LAYER_COUNTS = {"leaky_relu": (2, 1), "hard_tanh": (1,), "hermite": (2, 1), "erf": (1,), "sin": (1,)}
_GUARD = 15
_ATTEMPTS = 4
_BITS_PER_DIGIT = 3.3219281


class DesignError(ValueError):
    """A network that cannot be designed, or a question that the digits at hand do not decide."""


@dataclass(frozen=True)
class Design:
    """The outcome for one DEQ, one kernel and one family.

    Attributes:
        status: "exact" or "infeasible".
        family: the family asked for, or chosen.
        kernel: the kernel that is matched.
        network: the matching network (the first branch), or the closest one that was found.
        branches: all matching networks up to gauge and signs, as far as ``reason`` says; empty if infeasible.
        reason: how it was found, or why there is none.
        choice: why this family was chosen, or "".
        universal: for "infeasible": whether no one- or two-layer network of any activation matches.
        residual: upper bound of the largest difference between the network's four numbers and the DEQ's.
        residual_bound: proved lower bound of that difference over the whole family; 0 if exact.
        target: the DEQ's four numbers.
        digits: digits to which the parameters are known.
        deq: the certified solution of the DEQ.
    """

    status: str
    family: str
    kernel: str
    network: ExplicitNetwork
    branches: tuple[ExplicitNetwork, ...]
    reason: str
    choice: str
    universal: bool
    residual: arb
    residual_bound: arb
    target: Target
    digits: int
    deq: CertifiedCoefficients


def target_of(deq: CertifiedCoefficients, kernel: str) -> Target:
    """Return a DEQ's four numbers, with what its activation says of them exactly.

    Raises:
        DesignError: an unknown kernel, an NTK that does not exist, numbers that are not certified, or a constant DEQ.
    """
    if kernel not in KERNELS:
        raise DesignError(f"unknown kernel {kernel!r}: accepted are {', '.join(KERNELS)}")
    if kernel != "ck" and deq.ntk_missing:
        raise DesignError(f"the kernel {kernel} cannot be matched: {deq.ntk_missing}")
    keys = ("alpha1", "alpha2", "alpha3", "gamma2") if kernel == "ck" else NTK_KEYS[kernel.removeprefix("ntk-")]
    for key in keys:
        if not deq.certified.get(key, False):
            raise DesignError(f"{key} of the DEQ is not certified: {deq.reason.get(key, 'it does not exist')}")
    activation = deq.activation
    pieces = activation.pieces
    affine = len(pieces) == 1 and not sp.diff(pieces[0].expr, x, 2).has(x) and sp.diff(pieces[0].expr, x, 2) == 0
    if affine and activation.parity == 1:
        raise DesignError("the activation is constant, so the DEQ's kernel vanishes and there is nothing to match")
    # L = sigma_a^2 G + sigma_b^2 S keeps its linear part.
    even = activation.parity == 1 and kernel != "ntk-preactivation"
    odd = affine or _odd_up_to_a_constant(activation)
    first, second, third, diagonal = (deq[key] for key in keys)
    zero = arb(0)
    return Target(
        kernel,
        (zero if even else first, zero if odd else second, zero if odd else third, diagonal),
        deq.tau0,
        odd=odd,
        even=even,
        homogeneous=activation.homogeneity == 1,
        affine=affine,
        # With sigma_a^2 = 0 the DEQ is a network with one layer; its NTKs other than "all" train fewer parameters.
        one_layer=odd or (deq.sigma_a2 == 0 and kernel in ("ck", "ntk-all")),
    )


def _odd_up_to_a_constant(activation: Activation) -> bool:
    if activation.parity == -1:
        return True
    at_zero = activation.expr.subs(x, 0)
    if not at_zero.is_finite or at_zero == 0:
        return False
    return Activation(activation.name, activation.expr - at_zero).parity == -1


def solve_target(target: Target, family: str, layers: int) -> Decision:
    """Match one target with one family at the current precision.

    Args:
        target: the four numbers to be matched, in balls.
        family: name of the layers' family.
        layers: how many there are.

    Raises:
        DesignError: a family or a number of layers that is not offered.
    """
    if family not in FAMILY_NAMES:
        raise DesignError(f"unknown family {family!r}: accepted are {', '.join(FAMILY_NAMES)}")
    if layers not in LAYER_COUNTS[family]:
        counts = " or ".join(map(str, sorted(LAYER_COUNTS[family])))
        raise DesignError(f"{family} networks have {counts} hidden layers here, not {layers}")
    if family == "leaky_relu":
        return match_leaky(target, layers)
    if family == "hermite":
        return match_hermite(target, layers)
    return match_odd(target, family)


def design(
    activation: Activation,
    sigma_a2: sp.Expr,
    sigma_b2: sp.Expr,
    tau0: sp.Expr,
    *,
    kernel: str = "ck",
    family: str | None = None,
    layers: int | None = None,
    digits: int = 15,
) -> Design:
    """Design a network with the kernel of a DEQ.

    Args:
        activation: the DEQ's activation, without free parameters.
        sigma_a2: exact variance of the recurrent weights, >= 0.
        sigma_b2: exact variance of the input weights, > 0.
        tau0: exact input scale.
        kernel: one of ``theory.matching.KERNELS``.
        family: one of ``theory.families.FAMILY_NAMES``; None lets the DEQ decide.
        layers: number of hidden layers; None for what suits the family.
        digits: significant digits of the parameters.

    Raises:
        DesignError: bad arguments, or a question that stays undecided at four times the digits.
        EquilibriumError, MomentAccuracyError: the DEQ has no solution, or none that is certified.
    """
    if family is None and layers is not None:
        raise DesignError("a number of layers needs a family: give both or neither")
    working, reason = digits + _GUARD, ""
    for _ in range(_ATTEMPTS):
        deq = certify(activation, sigma_a2, sigma_b2, tau0, working)
        with ctx.workprec(int((working + 10) * _BITS_PER_DIGIT)):
            target = target_of(deq, kernel)
            chosen, choice, decision = _decide(target, family, layers)
            if decision.status == "exact" and _narrow(decision, digits):
                return _exact(deq, target, chosen, choice, decision, digits)
            if decision.status == "infeasible":
                return _infeasible(deq, target, chosen, choice, decision, digits, layers)
        reason = decision.reason
        if decision.status == "undecided" and not decision.digits_help:
            raise DesignError(f"undecided: {reason}")
        working *= 2
    raise DesignError(f"undecided with {working // 2} digits: {reason}")


def _decide(target: Target, family: str | None, layers: int | None) -> tuple[str, str, Decision]:
    """The family, why it was chosen, and its decision."""
    if family is not None:
        return family, "", solve_target(target, family, LAYER_COUNTS.get(family, (1,))[0] if layers is None else layers)
    if target.odd and not target.affine:
        found = solve_target(target, "hard_tanh", 1)
        if found.status == "exact":
            return "hard_tanh", "k_2 = k_3 = 0 (odd activation), so one layer does, and hard tanh is bounded", found
        found = solve_target(target, "sin", 1)
        if found.status == "exact":
            return "sin", "k_2 = k_3 = 0 (odd activation), and the variance is beyond what hard tanh reaches", found
    if target.homogeneous:
        found = solve_target(target, "leaky_relu", 2)
        if found.status == "exact":
            return "leaky_relu", "the activation is homogeneous, and two leaky-ReLU layers match it", found
    found = solve_target(target, "hermite", 2)
    if target.homogeneous:
        return "hermite", "the activation is homogeneous, but two leaky-ReLU layers do not match it", found
    return "hermite", "the constructive family: no family of fewer parameters matches in general", found


def _narrow(decision: Decision, digits: int) -> bool:
    """Whether every parameter is known to the digits asked for."""
    limit = arb(10) ** -(digits + 1)
    for layers in decision.branches:
        for layer in layers:
            for ball in layer.parameters.values():
                size = abs(ball.mid())
                if not (ball.is_finite() and (ball.rad() <= limit * size or (ball.contains(0) and ball.rad() < limit))):
                    return False
    return True


def _networks(decision: Decision, target: Target) -> tuple[ExplicitNetwork, ...]:
    return tuple(ExplicitNetwork(layers, target.tau0) for layers in decision.branches)


def _exact(
    deq: CertifiedCoefficients, target: Target, family: str, choice: str, decision: Decision, digits: int
) -> Design:
    networks = _networks(decision, target)
    residual = arb(0)
    for network in networks:
        # Not a proof, which the construction is, but a check of it: the recursion must give the target back.
        found = network.kernel_balls(target.kernel, deq.digits + 10)
        if not all(have.overlaps(want) for have, want in zip(found, target.numbers, strict=True)):
            raise AssertionError(f"the {family} network does not have the target's kernel: {found}, {target.numbers}")
        residual = residual.max(closest.largest_difference(found, target.numbers))
    return Design(
        "exact", family, target.kernel, networks[0], networks, decision.reason, choice, False, residual, arb(0), target,
        digits, deq,
    )  # fmt: skip


def _infeasible(
    deq: CertifiedCoefficients,
    target: Target,
    family: str,
    choice: str,
    decision: Decision,
    digits: int,
    layers: int | None,
) -> Design:
    count = LAYER_COUNTS[family][0] if layers is None else layers

    def decide(candidate: Target) -> Decision:
        return solve_target(candidate, family, count)

    nearest = closest.closest_network(target, family, count)
    residual = closest.largest_difference(nearest.kernel_balls(target.kernel, digits + 20), target.numbers)
    bound = closest.residual_bound(target, family, count, decide, residual)
    return Design(
        "infeasible", family, target.kernel, nearest, (), decision.reason, choice, decision.universal, residual, bound,
        target, digits, deq,
    )  # fmt: skip
