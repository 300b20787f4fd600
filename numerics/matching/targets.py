"""The target that a network has to match, as certified balls and exact facts, and the decision about it.

Theory sheet, section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp
from flint import arb, fmpq

from numerics.arithmetic import BallArithmetic, compile_program, constant_ball, exact_bounds
from numerics.equilibrium import CertifiedCoefficients, CertifiedStates
from numerics.matching.explicit_network import ExplicitLayer, ExplicitNetwork
from theory.activations import Activation
from theory.kernels import Kernel, KernelCoefficients, UnknownKernelError
from theory.matching import TARGETS
from theory.moments import GaussianMoments
from theory.named import MatchStatus
from theory.symbols import tau_0, x

__all__ = [
    "Decision",
    "Layers",
    "Target",
    "TargetError",
    "evaluate",
    "infeasible",
    "target_of",
    "undecided",
]

#: Largest denominator of a tau_*^2 that is tried as its exact value.
_SIMPLE = 10_000


class TargetError(ValueError):
    """A kernel that no network can be designed for, because it is not known or does not exist."""


def target_of(solution: CertifiedCoefficients, kernel: str) -> Target:
    """Return a DEQ's four numbers, with what its activation says of them exactly.

    Raises:
        TargetError: an unknown kernel, an NTK that does not exist, numbers that are not certified, or a constant DEQ.
    """
    try:
        which = Kernel.read(kernel)
    except UnknownKernelError as error:
        raise TargetError(str(error)) from error
    if which.is_tangent and solution.ntk_missing:
        raise TargetError(f"the kernel {kernel} cannot be matched: {solution.ntk_missing}")
    for key in which.keys:
        if not solution.certified.get(key, False):
            raise TargetError(f"{key} of the DEQ is not certified: {solution.reason.get(key, 'it does not exist')}")
    deq = solution.deq
    activation, shallow = deq.activation, deq.sigma_a2 == 0
    degree = _degree(activation)
    if degree == 0:
        raise TargetError("the activation is constant, so the DEQ's kernel vanishes and there is nothing to match")
    first, second, third, diagonal = solution.kernel(which)
    # L = sigma_a^2 G + sigma_b^2 S keeps its linear part, and nothing else where sigma_a^2 = 0.
    affine = degree == 1 or (shallow and kernel == "ntk-preactivation")
    even = kernel != "ntk-preactivation" and (activation.parity == 1 or (first.contains(0) and _vanishes(solution, 1)))
    odd = (
        affine
        or _odd_up_to_a_constant(activation)
        or (second.contains(0) and third.contains(0) and _vanishes(solution, 2))
    )
    zero = arb(0)
    return Target(
        kernel,
        KernelCoefficients(zero if even else first, zero if odd else second, zero if odd else third, diagonal),
        deq.tau0,
        odd=odd,
        even=even,
        homogeneous=activation.homogeneity == 1,
        affine=affine,
        quadratic=affine or (shallow and degree == 2),
        # With sigma_a^2 = 0 the DEQ is a network with one layer; its NTKs other than "all" train fewer parameters.
        one_layer=odd or (shallow and kernel in ("ck", "ntk-all")),
        readout_only=shallow and kernel == "ntk-recurrent" and not odd,
    )


def target_of_states(solution: CertifiedStates) -> Target:
    """Return the four numbers of the CK of the state that is read out, with what the cell says of them exactly.

    Raises:
        TargetError: a bias or a mean reaches that state, so that its kernel has other terms, or it is constant.
    """
    cell, readout = solution.cell, solution.cell.readout
    if not cell.decorrelated[readout]:
        raise TargetError(
            f"the CK of state {readout} does not vanish off the diagonal, since a bias or a mean reaches it, and "
            "networks are designed for those that do: centred states without sigma_c2 would be accepted"
        )
    before = cell.leading_to(readout)
    activation = cell.states[readout].activation
    degree = _degree(activation)
    if degree == 0:
        raise TargetError("the activation is constant, so the cell's kernel vanishes and there is nothing to match")
    # E[phi''] = 0 all the way leaves the linear term alone; E[phi'] = 0 at the end takes it away.
    odd = all(_odd_up_to_a_constant(cell.states[r].activation) for r in before)
    affine = all(_degree(cell.states[r].activation) in (0, 1) for r in before)
    even, shallow = activation.parity == 1, before == {readout} and cell.sigma_a2[readout][readout] == 0
    balls, zero = solution.states[readout], arb(0)
    odd = odd or affine
    return Target(
        Kernel.CK,
        KernelCoefficients(
            zero if even else balls["alpha1"],
            zero if odd else balls["alpha2"],
            zero if odd else balls["alpha3"],
            balls["gamma2"],
        ),
        cell.tau0,
        odd=odd,
        even=even,
        homogeneous=shallow and activation.homogeneity == 1,
        affine=affine,
        quadratic=affine or (shallow and degree == 2),
        one_layer=odd or shallow,
    )


def _degree(activation: Activation) -> int | None:
    """Degree of a polynomial of degree at most 2, or None."""
    if len(activation.pieces) > 1 or not activation.pieces[0].expr.is_polynomial(x):
        return None
    degree = max(int(sp.degree(activation.pieces[0].expr, x)), 0) if activation.pieces[0].expr != 0 else 0
    return degree if degree <= 2 else None


def _odd_up_to_a_constant(activation: Activation) -> bool:
    if activation.parity == -1:
        return True
    at_zero = activation.expr.subs(x, 0)
    if not at_zero.is_finite or at_zero == 0:
        return False
    return Activation(activation.name, activation.expr - at_zero).parity == -1


def _vanishes(solution: CertifiedCoefficients, order: int) -> bool:
    """Whether E[phi'] or E[phi''] is proved to vanish at tau_*, which symmetry alone does not tell.

    A proof is found where tau_*^2 is a simple fraction and the moments have closed forms, as for Hermite polynomials.
    """
    low, high = exact_bounds(solution["tau"])
    simple = ((low + high) ** 2 / 4).limit_denominator(_SIMPLE)
    if not (solution["tau"] ** 2 - arb(fmpq(simple.numerator, simple.denominator))).contains(0):
        return False
    deq, square = solution.deq, sp.Rational(simple.numerator, simple.denominator)
    moments = GaussianMoments(deq.activation, sp.sqrt(square))
    wanted = moments.first_derivative if order == 1 else moments.second_derivative
    gap = square - deq.sigma_a2 * moments.variance - deq.sigma_b2 * deq.tau0**2
    return all(GaussianMoments.is_closed(form) and sp.simplify(form) == 0 for form in (wanted, gap))


#: Boxes that a search for a set of targets may look at: there most failures are for good.
_INFLATED_EFFORT = 400
Layers = tuple[ExplicitLayer, ...]


@dataclass(frozen=True)
class Target:
    """The four numbers that a network must have, and what is known of them exactly.

    Attributes:
        kernel: name of a ``theory.kernels.Kernel``.
        coefficients: balls of k_1, k_2, k_3, k_0.
        tau0: exact input scale.
        odd: whether k_2 = k_3 = 0 exactly (a DEQ whose activation is odd up to a constant).
        even: whether k_1 = 0 exactly.
        homogeneous: whether the DEQ's activation has phi(c x) = c phi(x) for c > 0.
        affine: whether it is affine, so that no energy of degree >= 2 exists.
        quadratic: whether no energy of degree >= 3 exists.
        one_layer: whether it is exactly the kernel of some network with one hidden layer, all weights at one rate.
        readout_only: whether it is exactly that of one with one hidden layer of which the readout alone is trained.
        effort: boxes that a search may look at.
    """

    kernel: str
    coefficients: KernelCoefficients[arb]
    tau0: sp.Expr
    odd: bool = False
    even: bool = False
    homogeneous: bool = False
    affine: bool = False
    quadratic: bool = False
    one_layer: bool = False
    readout_only: bool = False
    effort: int = 20_000

    @property
    def scale(self) -> arb:
        """Ball of tau_0 at the current precision."""
        return arb(constant_ball(self.tau0))

    def inflated(self, radius: arb) -> Target:
        """Return the set of all targets that differ from this one by at most ``radius`` in each number.

        The diagonal and k_1, k_2, k_3 of a kernel are not negative, so the set is cut at 0.
        """
        widened = self.coefficients.map(lambda ball: ball + arb(0, radius.upper()))
        cut = widened.map(lambda ball: ball.nonnegative_part() if ball.contains(0) else ball)
        return Target(self.kernel, replace(cut, diagonal=widened.diagonal), self.tau0, effort=_INFLATED_EFFORT)


@dataclass(frozen=True)
class Decision:
    """What was found for one family.

    Attributes:
        status: what was found.
        branches: every network found, up to gauge and signs (for the polynomial family one of infinitely many).
        reason: one sentence: how the networks were found, or why there are none.
        universal: for ``INFEASIBLE``: whether no network of one or two hidden layers of any activation exists, for an
            NTK with all weights trained at one learning rate.
        digits_help: for ``UNDECIDED``: whether more digits may decide it.
        rates: of each branch, the learning rates of its weight matrices, the readout last; none where all are 1.
        one_rate: why one learning rate does not do, where that was asked first, else "".
    """

    status: MatchStatus
    branches: tuple[Layers, ...] = ()
    reason: str = ""
    universal: bool = False
    digits_help: bool = True
    rates: tuple[tuple[arb, ...], ...] = ()
    one_rate: str = ""

    def at_one_rate(self) -> str:
        """Return why all weights at one learning rate do not do, in words."""
        if self.universal:
            return f"no network with one or two hidden layers matches, whatever its activations: {self.reason}"
        return f"none was found: {self.reason}" if self.status is MatchStatus.UNDECIDED else self.reason

    def networks(self, tau0: sp.Expr) -> tuple[ExplicitNetwork, ...]:
        """Return the branches as networks on data of an input scale."""
        rates = self.rates or ((),) * len(self.branches)
        return tuple(ExplicitNetwork(layers, tau0, own) for layers, own in zip(self.branches, rates, strict=True))


def infeasible(reason: str, *, universal: bool = False) -> Decision:
    """Return the decision that no network of the family matches."""
    return Decision(MatchStatus.INFEASIBLE, reason=reason, universal=universal)


def undecided(reason: str, *, digits_help: bool = True) -> Decision:
    """Return the decision that the balls are too wide to tell, or that neither a network nor a proof was found."""
    return Decision(MatchStatus.UNDECIDED, reason=reason, digits_help=digits_help)


def evaluate(expressions: Sequence[sp.Expr], target: Target, extra: Mapping[sp.Symbol, arb] | None = None) -> list[arb]:
    """Return expressions in the targets, tau_0 and other symbols as balls.

    Args:
        expressions: to be evaluated.
        target: gives the targets' symbols and tau_0 their balls.
        extra: balls of the other symbols.
    """
    known = dict(extra or {})
    program = compile_program(expressions, [*TARGETS, tau_0, *known], BallArithmetic())
    return [arb(value) for value in program(*target.coefficients, target.scale, *known.values())]
