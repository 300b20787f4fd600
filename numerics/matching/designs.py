"""Design an explicit network with the kernel of a given DEQ, or prove that a family of layers has none.

The DEQ's numbers are certified balls (``numerics.equilibrium``).  The modules ``leaky``, ``odd``, ``rational``,
``constructive`` and ``boxes`` of this package each find or exclude the networks of one family, all weights trained at
one learning rate; ``rates`` those with a rate for each weight matrix.  An ``exact`` design
holds the balls of parameters that are proved to match; an ``infeasible`` one the closest network and a lower bound of
every network's residual, the largest of the four differences between what a network has and what the DEQ has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import threadpoolctl
from flint import arb, ctx

from numerics.arithmetic import BITS_PER_DIGIT
from numerics.display import axes_or_new, html_table
from numerics.equilibrium import CertifiedCoefficients, CertifiedStates, certify, certify_states
from numerics.matching.boxes import FamilyBox, FamilyBoxError, closest_in_box, match_own, own_residual_bound
from numerics.matching.constructive import match_hermite
from numerics.matching.deep import DEPTHS, match_deep
from numerics.matching.explicit_network import ExplicitNetwork
from numerics.matching.leaky import match_leaky
from numerics.matching.nearest import closest_network, largest_difference, residual_bound
from numerics.matching.odd import ODD_FAMILIES, match_odd
from numerics.matching.rates import RATED_FAMILIES, closest_per_layer, match_per_layer, per_layer_bound
from numerics.matching.rational import match_rational
from numerics.matching.targets import Decision, Target, TargetError, target_of, target_of_states
from theory.equations import DEQ, CoupledDEQ
from theory.kernels import Kernel, UnknownKernelError
from theory.matching import FAMILY_NAMES
from theory.named import MatchStatus, RateChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "LAYER_COUNTS",
    "Design",
    "DesignError",
    "ForwardCost",
    "UndecidedDesignError",
    "design",
    "solve_target",
]

#: Numbers of layers that each family offers, the usual one first.
LAYER_COUNTS = {
    "leaky_relu": (2, 1), "hard_tanh": (1,), "rational": (2, 1), "hermite": (2, 1), "erf": (1,), "sin": (1,)
}  # fmt: skip
_GUARD = 15
#: Relative accuracy at which the DEQ's iteration is compared with the explicit network.
_ACCURACY = 1e-6
_ATTEMPTS = 4


class DesignError(ValueError):
    """A network that cannot be designed, or a question that the digits at hand do not decide."""


class UndecidedDesignError(DesignError):
    """Whether a network matches is not decided: neither one nor a proof that there is none was found."""


@dataclass(frozen=True)
class ForwardCost:
    """Products of an m x m matrix with a vector in a forward pass, at equal width m.

    Attributes:
        deq_products: of the DEQ's iteration, to the relative accuracy.
        explicit_products: of the explicit network.
        accuracy: relative accuracy of the iteration's limit.
        contraction: factor by which a step of the iteration shrinks the error, sigma_a sqrt(E[phi'^2]).
    """

    deq_products: int
    explicit_products: int
    accuracy: float
    contraction: float


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
        universal: for ``INFEASIBLE``: whether no one- or two-layer network of any activation matches; for an NTK with
            all weights trained at one learning rate.
        target: the DEQ's four numbers.
        digits: digits to which the parameters are known.
        solution: the certified solution of the DEQ, of one state or several.
        one_rate: where a rate for each weight matrix was taken because one rate does not do: why it does not, else "".
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
    solution: CertifiedCoefficients | CertifiedStates
    one_rate: str = ""

    def __repr__(self) -> str:
        trained = f"\n  {self.training}" if self.training else ""
        which = f"{len(self.network.layers)} x {self.family}"
        return f"Design({self.kernel}: {self.status}, {which})\n  {self.reason}{trained}"

    @property
    def training(self) -> str:
        """Which weights are trained, and at which rates, in words; "" for the CK, which trains none."""
        if self.kernel == Kernel.CK:
            return ""
        if not self.network.rates:
            return "all weights are trained at one learning rate"
        rates = zip(self.network.weights, self.network.rates, strict=True)
        shown = [f"{name} at {float(rate.mid()):.6g}" for name, rate in rates if not rate.is_zero()]
        return f"trained: {', '.join(shown)}"

    def _repr_html_(self) -> str:
        rows = [
            (str(number), layer.family.name, ", ".join(f"{k} = {float(v):.10g}" for k, v in layer.parameters.items()))
            for number, layer in enumerate(self.network.layers, start=1)
        ]
        title = "; ".join(part for part in (f"{self.kernel}, {self.status}: {self.reason}", self.training) if part)
        return html_table(title, ("layer", "family", "parameters"), rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the centred activations of the network's layers over three standard deviations of their inputs.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        axes = axes_or_new(ax)
        for number, ((phi, bias), report) in enumerate(
            zip(self.network.pointwise(), self.network.ball_reports(self.digits), strict=True), start=1
        ):
            places = np.linspace(-3, 3, 601)
            name = self.network.layers[number - 1].family.name
            axes.plot(places, phi.value(float(report.scale) * places) - bias, label=f"layer {number}: {name}")
        axes.set(xlabel="input in standard deviations", ylabel="activation, centred")
        axes.legend()
        return axes

    @property
    def cost(self) -> ForwardCost | None:
        """What a forward pass costs; None where networks of finite width do not contract.

        The spectral radius of their Jacobian tends to sigma_a sqrt(E[phi'^2]) (theory sheet, section 3), of several
        states to the root of that of Sigma2 diag(E[phi'^2]), the variances of its blocks.
        """
        margin = self.solution.margins.get("ntk")
        if margin is None or not 0 < float(margin) < 1:
            return None
        rate = math.sqrt(float(margin))
        products = math.ceil(math.log(_ACCURACY) / math.log(rate))
        if isinstance(self.solution, CertifiedStates):
            products *= sum(weight != 0 for row in self.solution.cell.sigma_a2 for weight in row)
        return ForwardCost(products, len(self.network.layers) - 1, _ACCURACY, rate)


def solve_target(target: Target, family: str, layers: int, rates: RateChoice = RateChoice.ONE) -> Decision:
    """Match one target with one family at the current precision.

    Args:
        target: the four numbers to be matched, in balls.
        family: name of the layers' family.
        layers: how many there are.
        rates: whether all weights of the network are trained at one learning rate.

    Raises:
        DesignError: a family, a number of layers or rates that are not offered.
    """
    if family not in FAMILY_NAMES:
        raise DesignError(f"unknown family {family!r}: accepted are {', '.join(FAMILY_NAMES)}")
    if family == "hermite" and layers in DEPTHS and rates is RateChoice.ONE and target.kernel != Kernel.CK:
        return match_deep(target, range(layers, layers + 1))
    if layers not in LAYER_COUNTS[family]:
        counts = " or ".join(map(str, sorted(LAYER_COUNTS[family])))
        word = "layer" if counts == "1" else "layers"
        raise DesignError(f"{family} networks have {counts} hidden {word} here, not {layers}")
    if rates is RateChoice.PER_LAYER:
        return match_per_layer(target, family, layers)
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
    deq: DEQ | CoupledDEQ,
    *,
    kernel: str = "ck",
    family: str | None = None,
    layers: int | None = None,
    own: FamilyBox | None = None,
    rates: str | None = None,
    digits: int = 15,
) -> Design:
    """Design a network with the kernel of a DEQ.

    An NTK depends on how the network is trained.  With all weights at one learning rate some kernels are out of reach
    of two hidden layers; with a rate for each weight matrix none is (``theory.matching.rates``).

    Args:
        deq: the DEQ, of one state or several.  Of several it is the CK of the state that is read out that is matched,
            which must be centred and without a bias, like all that lead to it.
        kernel: name of a ``theory.kernels.Kernel``.
        family: one of ``theory.matching.FAMILY_NAMES``; None lets the DEQ decide.
        layers: number of hidden layers; None for what suits the family.
        own: layers of one's own families, and where to look for their parameters (and their learning rates), instead of
            ``family``.
        rates: for an NTK: "one" trains all weights at one learning rate, "per-layer" gives each weight matrix its own;
            None is one rate, and a rate for each where that does not match.  Where "one" is asked for, no family, and
            no network with one or two hidden layers matches, deeper ones are tried: the least depth found is not proved
            to be the least.
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
    if own is not None and rates is not None:
        raise DesignError("with families of your own the learning rates are given like parameters: rate_0, rate_1, ...")
    question = _question(kernel, family, layers, rates) if own is None else _OwnFamilies(own)
    # The float64 problems are tiny: threads only hinder each other.
    with threadpoolctl.threadpool_limits(limits=1):
        return _design(_of_one_state(deq, kernel), kernel, question, digits)


def _of_one_state(deq: DEQ | CoupledDEQ, kernel: str) -> DEQ | CoupledDEQ:
    """A cell as the DEQ that it is, where it is one.

    Raises:
        DesignError: an NTK of a cell that is none.
    """
    only = deq if isinstance(deq, DEQ) else deq.deq
    if only is not None:
        return only
    if kernel != Kernel.CK:
        raise DesignError(f"kernel {kernel} of several states is not designed for here: ck would be accepted")
    return deq


def _solved(deq: DEQ | CoupledDEQ, digits: int) -> CertifiedCoefficients | CertifiedStates:
    return certify(deq, digits) if isinstance(deq, DEQ) else certify_states(deq, digits)


def _target(solution: CertifiedCoefficients | CertifiedStates, kernel: str) -> Target:
    if isinstance(solution, CertifiedStates):
        return target_of_states(solution)
    return target_of(solution, kernel)


def _question(kernel: str, family: str | None, layers: int | None, rates: str | None) -> _Question:
    """What named families, or any, are asked.

    Raises:
        DesignError: rates that there are not, or where there are none.
    """
    try:
        choice = None if rates is None else RateChoice(rates)
        tangent = Kernel.read(kernel).is_tangent
    except UnknownKernelError as error:
        raise DesignError(str(error)) from error
    except ValueError:
        raise DesignError(f"unknown rates {rates!r}: accepted are {', '.join(RateChoice)}") from None
    if choice is not None and not tangent:
        raise DesignError("learning rates are of an NTK, and the kernel is the CK: no weights are trained")
    if choice is RateChoice.PER_LAYER and family not in (None, *RATED_FAMILIES):
        raise DesignError(
            f"{family} networks are looked for at one learning rate here; with a rate for each weight matrix the "
            f"families are {', '.join(RATED_FAMILIES)}, and those of your own"
        )
    if choice is None and tangent and family in (None, *RATED_FAMILIES) and layers not in DEPTHS:
        return _EitherRates(_NamedFamily(family, layers), _NamedFamily(family, layers, RateChoice.PER_LAYER))
    return _NamedFamily(family, layers, choice or RateChoice.ONE, deeper=choice is RateChoice.ONE)


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
    rates: RateChoice = RateChoice.ONE
    deeper: bool = False

    def _count(self, family: str) -> int:
        return LAYER_COUNTS.get(family, (1,))[0] if self.layers is None else self.layers

    def decide(self, target: Target) -> tuple[str, str, Decision]:
        if self.family is None:
            if self.rates is RateChoice.PER_LAYER:
                return _chosen_per_layer(target)
            return _chosen_deeper(target) if self.deeper else _chosen(target)
        return self.family, "", solve_target(target, self.family, self._count(self.family), self.rates)

    def nearest(self, target: Target, family: str) -> ExplicitNetwork:
        if self.rates is RateChoice.PER_LAYER and family not in ODD_FAMILIES:
            return closest_per_layer(target, family)
        return closest_network(target, family, self._count(family))

    def bound(self, target: Target, family: str, residual: arb) -> arb:
        if self.rates is RateChoice.PER_LAYER and family not in ODD_FAMILIES:
            return per_layer_bound(target)
        return residual_bound(target, family, self._count(family), residual)


@dataclass(frozen=True)
class _EitherRates:
    """One learning rate, or a rate for each weight matrix where that does not match."""

    one: _NamedFamily
    per_layer: _NamedFamily

    def decide(self, target: Target) -> tuple[str, str, Decision]:
        answer = self.one.decide(target)
        if answer[2].status is MatchStatus.EXACT:
            return answer
        family, choice, decision = self.per_layer.decide(target)
        if decision.status is not MatchStatus.EXACT:
            return answer
        return family, choice, replace(decision, one_rate=answer[2].at_one_rate())

    def nearest(self, target: Target, family: str) -> ExplicitNetwork:
        return self.one.nearest(target, family)

    def bound(self, target: Target, family: str, residual: arb) -> arb:
        return self.one.bound(target, family, residual)


def _chosen_deeper(target: Target) -> tuple[str, str, Decision]:
    """The family that suits a target at one learning rate; deeper networks where two hidden layers are excluded."""
    answer = _chosen(target)
    if not answer[2].universal:
        return answer
    found = match_deep(target)
    if found.status is not MatchStatus.EXACT:
        return answer
    between = "" if len(found.branches[0]) == DEPTHS[0] else "; what lies between is not excluded"
    choice = (
        "the least depth found: no network with one or two hidden layers, all weights at one learning rate, matches, "
        f"whatever its activations{between}"
    )
    return "hermite", choice, found


def _chosen_per_layer(target: Target) -> tuple[str, str, Decision]:
    """The family that suits a target at learning rates of its own, why, and its decision."""
    if target.odd:
        return _chosen(target)
    found = match_per_layer(target, "rational")
    if found.status is MatchStatus.EXACT:
        return "rational", "the constructive family, of bounded layers", found
    return "hermite", "the constructive family, of polynomial layers", match_per_layer(target, "hermite")


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


def _design(deq: DEQ | CoupledDEQ, kernel: str, question: _Question, digits: int) -> Design:
    working, reason = digits + _GUARD, ""
    for _ in range(_ATTEMPTS):
        solution = _solved(deq, working)
        with ctx.workprec(int((working + 10) * BITS_PER_DIGIT)):
            try:
                target = _target(solution, kernel)
            except TargetError as error:
                raise DesignError(str(error)) from error
            family, choice, decision = question.decide(target)
            common: dict[str, Any] = {
                "family": family, "kernel": kernel, "reason": decision.reason, "choice": choice,
                "universal": decision.universal, "target": target, "digits": digits, "solution": solution,
                "one_rate": decision.one_rate,
            }  # fmt: skip
            if decision.status is MatchStatus.EXACT and _narrow(decision, digits):
                networks = decision.networks(target.tau0)
                residual = _checked_residual(networks, target, working + 10)
                return Design(MatchStatus.EXACT, networks[0], networks, residual, arb(0), **common)
            if decision.status is MatchStatus.INFEASIBLE:
                nearest = question.nearest(target, family)
                residual = largest_difference(nearest.kernel_balls(kernel, digits + 20), target.coefficients)
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

    def known(ball: arb) -> bool:
        within = ball.rad() <= limit * abs(ball.mid()) or (ball.contains(0) and ball.rad() < limit)
        return ball.is_finite() and bool(within)

    balls = [ball for layers in decision.branches for layer in layers for ball in layer.parameters.values()]
    return all(map(known, [*balls, *(rate for rates in decision.rates for rate in rates)]))


def _checked_residual(networks: Sequence[ExplicitNetwork], target: Target, digits: int) -> arb:
    """Upper bound of the largest difference over all networks, each of which must have the target's kernel.

    Not a proof, which the construction is, but a check of it: the recursion must give the target back.
    """
    residual = arb(0)
    for network in networks:
        found = network.kernel_balls(target.kernel, digits)
        if not all(have.overlaps(want) for have, want in zip(found, target.coefficients, strict=True)):
            raise AssertionError(f"the network does not have the target's kernel: {found}, {target.coefficients}")
        residual = residual.max(largest_difference(found, target.coefficients))
    return residual
