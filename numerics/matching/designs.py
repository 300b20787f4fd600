"""Design an explicit network with the kernel of a given DEQ, or prove that a family of layers has none.

The DEQ's numbers are certified balls (``numerics.equilibrium.certified``); ``numerics.matching.leaky`` and
``numerics.matching.constructive`` find or exclude the networks of one family.  An ``exact`` design holds the balls of
parameters that are proved to match; an ``infeasible`` one the closest network and a lower bound of every network's
residual, the largest of the four differences between what a network has and what the DEQ has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import threadpoolctl
from flint import arb, ctx

from numerics.arithmetic import BITS_PER_DIGIT
from numerics.equilibrium import CertifiedCoefficients, certify
from numerics.matching.boxes import FamilyBox, FamilyBoxError, closest_in_box, match_own, own_residual_bound
from numerics.matching.constructive import match_hermite
from numerics.matching.explicit_network import ExplicitNetwork
from numerics.matching.leaky import match_leaky
from numerics.matching.nearest import closest_network, largest_difference, residual_bound
from numerics.matching.odd import match_odd
from numerics.matching.rational import match_rational
from numerics.matching.targets import Decision, Target, TargetError, target_of
from theory.equations import DEQ
from theory.matching import FAMILY_NAMES, MatchStatus

__all__ = [
    "LAYER_COUNTS",
    "Design",
    "DesignError",
    "UndecidedDesignError",
    "design",
    "solve_target",
]

#: Numbers of layers that each family offers, the usual one first.
LAYER_COUNTS = {
    "leaky_relu": (2, 1), "hard_tanh": (1,), "rational": (2, 1), "hermite": (2, 1), "erf": (1,), "sin": (1,)
}  # fmt: skip
_GUARD = 15
_ATTEMPTS = 4


class DesignError(ValueError):
    """A network that cannot be designed, or a question that the digits at hand do not decide."""


class UndecidedDesignError(DesignError):
    """Whether a network matches is not decided: neither one nor a proof that there is none was found."""


@dataclass(frozen=True)
class Design:
    """The outcome for one DEQ, one kernel and one family.

    Attributes:
        status: ``EXACT`` or ``INFEASIBLE``.
        network: the matching network (the first branch), or the closest one that was found.
        branches: all matching networks up to gauge and signs, as far as ``reason`` says; empty if infeasible.
        residual: upper bound of the largest difference between the network's four numbers and the DEQ's.
        residual_bound: proved lower bound of that difference over the whole family (within the box, for families of
            one's own); 0 if exact.
        family: the family asked for, or chosen.
        kernel: the kernel that is matched.
        reason: how it was found, or why there is none.
        choice: why this family was chosen, or "".
        universal: for ``INFEASIBLE``: whether no one- or two-layer network of any activation matches.
        target: the DEQ's four numbers.
        digits: digits to which the parameters are known.
        solution: the certified solution of the DEQ.
    """

    status: MatchStatus
    network: ExplicitNetwork
    branches: tuple[ExplicitNetwork, ...]
    residual: arb
    residual_bound: arb
    family: str
    kernel: str
    reason: str
    choice: str
    universal: bool
    target: Target
    digits: int
    solution: CertifiedCoefficients


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
        word = "layer" if counts == "1" else "layers"
        raise DesignError(f"{family} networks have {counts} hidden {word} here, not {layers}")
    if family == "leaky_relu":
        return match_leaky(target, layers)
    if family == "hermite":
        return match_hermite(target, layers)
    if family == "rational":
        found = match_rational(target, layers)
        # What no polynomial layers match, no layers do.
        proof = found if found.status is MatchStatus.EXACT else match_hermite(target, layers)
        return proof if proof.status is MatchStatus.INFEASIBLE else found
    return match_odd(target, family)


def design(
    deq: DEQ,
    *,
    kernel: str = "ck",
    family: str | None = None,
    layers: int | None = None,
    own: FamilyBox | None = None,
    digits: int = 15,
) -> Design:
    """Design a network with the kernel of a DEQ.

    Args:
        deq: the DEQ.
        kernel: name of a ``theory.kernels.Kernel``.
        family: one of ``theory.matching.FAMILY_NAMES``; None lets the DEQ decide.
        layers: number of hidden layers; None for what suits the family.
        own: layers of one's own families, and where to look for their parameters, instead of ``family``.
        digits: significant digits of the parameters.

    Raises:
        DesignError: bad arguments.
        UndecidedDesignError: a question that stays undecided at eight times the digits.
        EquilibriumError, MomentAccuracyError: the DEQ has no solution, or none that is certified.

    Example:
        >>> found = design(DEQ("tanh"))
        >>> print(found.status, found.family)
        exact hard_tanh
    """
    if family is None and layers is not None:
        raise DesignError("a number of layers needs a family: give both or neither")
    if own is not None and family is not None:
        raise DesignError("give a family's name or families of your own, not both")
    question = _NamedFamily(family, layers) if own is None else _OwnFamilies(own)
    # The float64 problems are tiny: threads only hinder each other.
    with threadpoolctl.threadpool_limits(limits=1):
        return _design(deq, kernel, question, digits)


class _Question(Protocol):
    """What is asked of a target."""

    def decide(self, target: Target) -> tuple[str, str, Decision]:
        """Return the family, why it was chosen, and its decision."""

    def nearest(self, target: Target, family: str) -> ExplicitNetwork:
        """Return a network near the target, where none matches."""

    def bound(self, target: Target, family: str, residual: arb) -> arb:
        """Return a lower bound of every network's residual."""


@dataclass(frozen=True)
class _OwnFamilies:
    own: FamilyBox

    def decide(self, target: Target) -> tuple[str, str, Decision]:
        try:
            decision = match_own(target, self.own)
        except FamilyBoxError as error:
            raise DesignError(str(error)) from error
        return ", ".join(family.name for family in self.own.families), "", decision

    def nearest(self, target: Target, family: str) -> ExplicitNetwork:
        try:
            return closest_in_box(target, self.own)
        except FamilyBoxError as error:
            raise DesignError(str(error)) from error

    def bound(self, target: Target, family: str, residual: arb) -> arb:
        return own_residual_bound(target, self.own, residual)


@dataclass(frozen=True)
class _NamedFamily:
    family: str | None
    layers: int | None

    def _count(self, family: str) -> int:
        return LAYER_COUNTS.get(family, (1,))[0] if self.layers is None else self.layers

    def decide(self, target: Target) -> tuple[str, str, Decision]:
        if self.family is None:
            return _chosen(target)
        return self.family, "", solve_target(target, self.family, self._count(self.family))

    def nearest(self, target: Target, family: str) -> ExplicitNetwork:
        return closest_network(target, family, self._count(family))

    def bound(self, target: Target, family: str, residual: arb) -> arb:
        return residual_bound(target, family, self._count(family), residual)


def _chosen(target: Target) -> tuple[str, str, Decision]:
    """The family that suits a target, why, and its decision."""
    if target.odd and not target.affine:
        found = solve_target(target, "hard_tanh", 1)
        if found.status is MatchStatus.EXACT:
            return "hard_tanh", "k_2 = k_3 = 0 (odd activation), so one layer does, and hard tanh is bounded", found
        found = solve_target(target, "sin", 1)
        if found.status is MatchStatus.EXACT:
            return "sin", "k_2 = k_3 = 0 (odd activation), and the variance is beyond what hard tanh reaches", found
    if target.homogeneous:
        found = solve_target(target, "leaky_relu", 2)
        if found.status is MatchStatus.EXACT:
            return "leaky_relu", "the activation is homogeneous, and two leaky-ReLU layers match it", found
    why = "no family of fewer parameters matches in general"
    if target.homogeneous:
        why = "the activation is homogeneous, but two leaky-ReLU layers do not match it"
    found = match_rational(target)
    if found.status is MatchStatus.EXACT:
        return "rational", f"{why}; the constructive family, of bounded layers", found
    return "hermite", f"{why}; the constructive family, of polynomial layers", match_hermite(target)


def _design(deq: DEQ, kernel: str, question: _Question, digits: int) -> Design:
    working, reason = digits + _GUARD, ""
    for _ in range(_ATTEMPTS):
        solution = certify(deq, working)
        with ctx.workprec(int((working + 10) * BITS_PER_DIGIT)):
            try:
                target = target_of(solution, kernel)
            except TargetError as error:
                raise DesignError(str(error)) from error
            family, choice, decision = question.decide(target)
            common: dict[str, Any] = {
                "family": family, "kernel": kernel, "reason": decision.reason, "choice": choice,
                "universal": decision.universal, "target": target, "digits": digits, "solution": solution,
            }  # fmt: skip
            if decision.status is MatchStatus.EXACT and _narrow(decision, digits):
                networks = tuple(ExplicitNetwork(layers, target.tau0) for layers in decision.branches)
                residual = _checked_residual(networks, target, working + 10)
                return Design(MatchStatus.EXACT, networks[0], networks, residual, arb(0), **common)
            if decision.status is MatchStatus.INFEASIBLE:
                nearest = question.nearest(target, family)
                residual = largest_difference(nearest.kernel_balls(kernel, digits + 20), target.numbers)
                return Design(
                    MatchStatus.INFEASIBLE, nearest, (), residual, question.bound(target, family, residual), **common
                )
        reason = decision.reason
        if decision.status is MatchStatus.UNDECIDED and not decision.digits_help:
            raise UndecidedDesignError(f"undecided: {reason}")
        working *= 2
    raise UndecidedDesignError(f"undecided with {working // 2} digits: {reason}")


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


def _checked_residual(networks: Sequence[ExplicitNetwork], target: Target, digits: int) -> arb:
    """Upper bound of the largest difference over all networks, each of which must have the target's kernel.

    Not a proof, which the construction is, but a check of it: the recursion must give the target back.
    """
    residual = arb(0)
    for network in networks:
        found = network.kernel_balls(target.kernel, digits)
        if not all(have.overlaps(want) for have, want in zip(found, target.numbers, strict=True)):
            raise AssertionError(f"the network does not have the target's kernel: {found}, {target.numbers}")
        residual = residual.max(largest_difference(found, target.numbers))
    return residual
