"""Drawn DEQs: each is matched by the constructive family, or an inequality forbids it; never a near miss."""

from __future__ import annotations

import sympy as sp
from flint import arb
from hypothesis import assume, given
from hypothesis import strategies as st

from numerics.matching import (
    DesignError,
    ExplicitLayer,
    ExplicitNetwork,
    Target,
    ck_is_forbidden,
    design,
    match_hermite,
    match_leaky,
    ntk_is_forbidden,
)
from tests.tiers import examples
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError
from theory.kernels import Kernel
from theory.matching import hermite_family, named_family
from theory.named import MatchStatus

#: Shapes with coefficients to be filled in: kinked, saturating, polynomial, even, odd, oscillating.
SHAPES = (
    "x + ({a})*x**2/8 - x**3/({b})/8",
    "tanh(({b})*x) + ({a})*x**2/10",
    "Max(x, 0) + ({a})*x",
    "Max(x - ({a}), 0)",
    "({b})*erf(x) + ({a})*Abs(x)",
    "sin(({b})*x) + ({a})",
    "exp(-x**2/2) + ({a})*x",
    "cos(({b})*x)",
    "Piecewise((x, x > 0), (({b})*(exp(x) - 1), True))",
    "x*Phi(({b})*x) + ({a})",
)
shifts = st.fractions(min_value=-1, max_value=1, max_denominator=8).map(str)
sizes = st.fractions(min_value="1/2", max_value=2, max_denominator=6).map(str)
texts = st.builds(lambda shape, a, b: shape.format(a=a, b=b), st.sampled_from(SHAPES), shifts, sizes)
variances = st.integers(1, 9).map(lambda k: sp.Rational(k, 10))
scales = st.sampled_from([sp.Rational(1, 2), sp.S.One, sp.Rational(3, 2)])


@examples(25)
@given(texts, variances, scales, st.sampled_from(list(Kernel)), st.sampled_from(["hermite", "rational", None]))
def test_every_kernel_is_matched_or_forbidden(
    text: str, sigma_a2: sp.Expr, tau0: sp.Expr, kernel: str, family: str | None
) -> None:
    activation = Activation.from_text(text)
    assume(activation.expr.has(sp.Symbol("x", real=True)))
    refusal = ""
    try:
        outcome = design(DEQ(activation, sigma_a2, 1 - sigma_a2, tau0), kernel=kernel, family=family, digits=12)
    except EquilibriumError:
        assume(False)
    except DesignError as error:
        refusal = str(error)
    if refusal:
        # An NTK that does not exist; bounded layers where only unbounded ones match.
        assert "cannot be matched" in refusal or (family == "rational" and "of the widths tried" in refusal)
        return
    if outcome.status is MatchStatus.INFEASIBLE:
        assert outcome.universal
        assert outcome.residual > outcome.residual_bound >= 0
        return
    wanted = outcome.target.coefficients
    for network in outcome.branches:
        assert family != "rational" or all(layer.family.bounded for layer in network.layers)
        for have, want in zip(network.kernel_balls(kernel, 40), wanted, strict=True):
            assert have.overlaps(want)
            assert abs(have - want) < arb(10) ** -14 * (1 + wanted.diagonal)


parts = st.integers(-64, 64).map(lambda k: arb(k) / 32)
positive = st.integers(1, 64).map(lambda k: arb(k) / 32)


@examples(15)
@given(positive, positive, positive, positive)
def test_a_pair_of_leaky_layers_is_found_again(a1: arb, b1: arb, a2: arb, b2: arb) -> None:
    """The kernel of a drawn network, as a target, gives that network back up to gauge and signs."""
    family = named_family("leaky_relu")
    assume(a1 != b1 and a2 != b2)
    drawn = ExplicitNetwork(tuple(ExplicitLayer(family, {"a": a, "b": b}) for a, b in ((a1, b1), (a2, b2))), sp.S.One)
    target = Target("ck", drawn.kernel_balls("ck", 40), sp.S.One, homogeneous=True)
    found = match_leaky(target)
    # The only excuse is a double root.
    assume(found.status is not MatchStatus.UNDECIDED)
    assert found.status is MatchStatus.EXACT
    ratio = ((a1 - b1) / (a1 + b1)) ** 2
    ratios = []
    for first, _ in found.branches:
        a, b = first.parameters.values()
        ratios.append(((a - b) / (a + b)) ** 2)
    assert any(abs(value - ratio) < arb("1e-9") for value in ratios)


def drawn_pair(first: dict[str, arb], slope: arb, bend: arb) -> ExplicitNetwork:
    """Two Hermite layers, the second with next to nothing in degree 3."""
    second = {"c1": slope, "c2": bend, "c3": arb(1) / 64}
    degrees = tuple(int(name[1:]) for name in first)
    return ExplicitNetwork(
        (ExplicitLayer(hermite_family(degrees), first), ExplicitLayer(hermite_family((1, 2, 3)), second)), sp.S.One
    )


@examples(25)
@given(parts, parts, parts, parts, positive, parts)
def test_what_two_layers_can_do_is_never_forbidden(c2: arb, c3: arb, c4: arb, c5: arb, slope: arb, bend: arb) -> None:
    """Soundness of both proofs of impossibility, close to where they begin to hold."""
    assume(bend != 0)
    network = drawn_pair({"c1": arb(1), "c2": c2 / 8, "c3": c3 / 4, "c4": c4 / 16, "c5": c5 / 16}, slope, bend)
    assert not ck_is_forbidden(network.kernel_balls("ck", 25), arb(1))
    found = match_hermite(Target("ck", network.kernel_balls("ck", 40), sp.S.One))
    assert found.status is not MatchStatus.INFEASIBLE


@examples(15)
@given(parts, parts, st.sampled_from(["both", "no slope behind", "no slope in front"]), positive, parts)
def test_ntks_of_two_layers_are_never_forbidden(c2: arb, c3: arb, slopes: str, slope: arb, bend: arb) -> None:
    """k_1 = 0 in two ways, and inflated targets, included."""
    assume(bend != 0)
    first = {"c1": arb(0), "c2": arb(1), "c4": c3 / 4} if slopes == "no slope in front" else {
        "c1": arb(1), "c2": c2 / 8, "c3": c3 / 4
    }  # fmt: skip
    network = drawn_pair(first, arb(0) if slopes == "no slope behind" else slope, bend)
    numbers = network.kernel_balls("ntk-all", 25)
    assert not ntk_is_forbidden(numbers, arb(1))
    off = numbers.map(lambda number: number + arb(1) / 512)
    inflated = Target("ntk-all", off, sp.S.One).inflated(arb(1) / 500)
    assert not ntk_is_forbidden(inflated.coefficients, arb(1))


@examples(10)
@given(st.integers(1, 32), st.integers(1, 12), positive, parts)
def test_tails_are_never_forbidden(tail: int, level: int, slope: arb, bend: arb) -> None:
    """First layers x + v x exp(g x^2) with 4 g up to 1 - 2^-12: what the proofs come closest to."""
    assume(bend != 0)
    g = (1 - arb(2) ** -level) / 4
    v = arb(tail) / 16 * arb(2) ** (-(5 * level) // 4)
    zero = arb(0)
    first = ExplicitLayer(named_family("tail"), {"a": arb(1), "b": zero, "c": zero, "d": zero, "v": v, "g": g})
    second = ExplicitLayer(hermite_family((1, 2, 3)), {"c1": slope, "c2": bend, "c3": arb(1) / 64})
    network = ExplicitNetwork((first, second), sp.S.One)
    assert not ck_is_forbidden(network.kernel_balls("ck", 25), arb(1))
    assert not ntk_is_forbidden(network.kernel_balls("ntk-all", 25), arb(1))


def test_a_forbidden_deq_is_called_so() -> None:
    """Draws rarely reach one: here it is certain."""
    activation = Activation.from_text("x + x**2/1000 - x**3/50")
    outcome = design(DEQ(activation, sp.Rational(9, 10), sp.Rational(1, 10), sp.S.One), family="hermite", digits=8)
    assert outcome.status is MatchStatus.INFEASIBLE
    assert outcome.universal
    assert not outcome.branches
