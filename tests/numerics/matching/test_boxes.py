"""Families of one's own: all solutions in a box, proofs that there is none, and sentences for what does not fit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx
from scipy.optimize import least_squares

from numerics.equilibrium import certify
from numerics.matching import Design, DesignError, FamilyBox, Target, design, match_own, search_networks, target_of
from theory.activations import Activation, Parameter, resolve
from theory.equations import DEQ
from theory.grammar import parse_activation
from theory.matching import Family, MatchStatus, family_of, named_family

R = sp.Rational
ZERO, ONE, TWO = sp.S.Zero, sp.S.One, sp.Integer(2)


def own(text: str, *names: str) -> Family:
    symbols = {name: sp.Symbol(name, real=True) for name in names}
    parameters = tuple(Parameter(symbol, sp.S.One) for symbol in symbols.values())
    return family_of(Activation(text, parse_activation(text, symbols), parameters))


def made(name: str, wanted: FamilyBox, **options: object) -> Design:
    return design(DEQ(resolve(name).with_parameters(), R(1, 5), R(4, 5), ONE), own=wanted, **options)  # type: ignore[arg-type]


def assert_matches(outcome: Design) -> None:
    assert outcome.status is MatchStatus.EXACT
    for network in outcome.branches:
        numbers = network.kernel_balls(outcome.kernel, 30)
        assert all(have.overlaps(want) for have, want in zip(numbers, outcome.target.numbers, strict=True))


def test_sums_of_families() -> None:
    """tanh by s x + u erf(x): four solutions, that is two up to sign."""
    wanted = FamilyBox((own("s*x + u*erf(x)", "s", "u"),), {"s_1": (ZERO, TWO), "u_1": (-TWO, TWO)}, {})
    outcome = made("tanh", wanted)
    assert len(outcome.branches) == 2
    assert_matches(outcome)
    both = made("tanh", FamilyBox(wanted.families, {"s_1": (-TWO, TWO), "u_1": (-TWO, TWO)}, {}))
    assert len(both.branches) == 4


def test_searching_the_slopes_themselves_finds_the_two_leaky_networks() -> None:
    """Three unknowns by branch and prune, no elimination: both branches, each with w_2 of either sign."""
    leaky = named_family("leaky_relu")
    outcome = design(DEQ(resolve("relu"), R(1, 5), R(4, 5), ONE), family="leaky_relu")
    half = R(1, 2)
    box = {"b_1": (ZERO, ONE), "a_2": (half, R(3, 2)), "b_2": (-half, R(3, 2))}
    found = search_networks(outcome.target, FamilyBox((leaky, leaky), box, {"a_1": ONE}))
    assert found.complete
    ours = set()
    for network in outcome.branches:
        (a1, b1), (a2, b2) = ([float(b) for b in layer.parameters.values()] for layer in network.layers)
        ours |= {(round(b1 / a1, 9), round(a2 * a1, 9), round(b2 * a1, 9)),
                 (round(b1 / a1, 9), round(b2 * a1, 9), round(a2 * a1, 9))}  # fmt: skip
    # Two of the four lie in the box.
    inside = {triple for triple in ours if 0.5 <= triple[1] <= 1.5}
    assert {tuple(round(float(part), 9) for part in root) for root in found.roots} == inside


def test_the_gauge_is_fixed_without_losing_signs() -> None:
    """u x + w |x| twice, nothing fixed: E[phi_1']^2 = 1 leaves two branches, each with four free signs."""
    pair = own("u*x + w*Abs(x)", "u", "w")
    box = {f"{name}_{layer}": (-R(3, 2), R(3, 2)) for layer in (1, 2) for name in ("u", "w")}
    outcome = made("relu", FamilyBox((pair, pair), box, {}))
    assert_matches(outcome)
    points = {
        tuple(round(float(b), 6) for layer in n.layers for b in layer.parameters.values()) for n in outcome.branches
    }
    assert len(points) == len(outcome.branches) == 32
    assert len({tuple(map(abs, point)) for point in points}) == 2
    for signs in product((1, -1), repeat=4):
        assert {tuple(s * part for s, part in zip(signs, point, strict=True)) for point in points} == points


def test_a_drawn_network_is_found_again_and_many_starts_find_no_other() -> None:
    """A cubic and a kinked layer, four unknowns: all solutions of the target that one such network sets."""
    families = (own("a*x + b*x**3", "a", "b"), own("c*x + d*Abs(x) + f*x**3", "c", "d", "f"))
    ends = {"b_1": (R(1, 10), R(1, 2)), "c_2": (R(1, 2), ONE), "d_2": (R(1, 5), R(4, 5)), "f_2": (ZERO, R(1, 10))}
    wanted = FamilyBox(families, ends, {"a_1": ONE})
    drawn = {"b_1": arb(1) / 4, "c_2": arb(3) / 4, "d_2": arb(1) / 2, "f_2": arb(1) / 32}
    with ctx.workdps(30):
        numbers = wanted.network(drawn, ONE).kernel_balls("ck", 30)
        decision = match_own(Target("ck", numbers, ONE), wanted)
    assert decision.status is MatchStatus.EXACT
    known = [[float(b) for layer in layers for b in layer.parameters.values()][1:] for layers in decision.branches]
    assert any(np.allclose(point, [0.25, 0.75, 0.5, 1 / 32], atol=1e-9) for point in known)

    def gaps(point: np.ndarray) -> np.ndarray:
        b, c, d, f = point
        slope, energy, response = 1 + 3 * b, 1 + 6 * b + 15 * b**2, 1 + 12 * b + 45 * b**2
        d1, d2 = slope * (c + 3 * f * energy), d * np.sqrt(2 / np.pi / energy)
        last = c**2 * energy + 6 * c * f * energy**2 + 15 * f**2 * energy**3 + d**2 * energy * (1 - 2 / np.pi)
        have = [d1**2, d2**2 * response**2 / 4, d2**2 * slope**4 / 2, last]
        return np.array(have) - np.array([float(ball) for ball in numbers])

    rng = np.random.default_rng(0)
    low, high = (np.array([float(pair[i]) for pair in ends.values()]) for i in (0, 1))
    hits = 0
    for _ in range(30):
        found = least_squares(gaps, rng.uniform(low, high), bounds=(low, high), xtol=1e-15, ftol=1e-15)
        if found.cost < 1e-24:
            hits += 1
            assert any(np.allclose(found.x, point, atol=1e-5) for point in known)
    assert hits > 0


def test_a_box_without_a_solution() -> None:
    erf = own("s*x + u*erf(x)", "s", "u")
    outcome = made("tanh", FamilyBox((erf,), {"s_1": (ONE, TWO), "u_1": (ZERO, TWO)}, {}))
    assert outcome.status is MatchStatus.INFEASIBLE
    assert 0.5 * float(outcome.residual) < float(outcome.residual_bound) <= float(outcome.residual)
    relu = made("relu", FamilyBox((erf,), {"s_1": (-TWO, TWO), "u_1": (-TWO, TWO)}, {}))
    assert "k_3 = 2 k_2" in relu.reason
    assert float(relu.residual_bound) > 0


def test_a_box_beyond_the_moments_is_not_searched_to_the_end() -> None:
    """v x exp(g x^2) has no variance from g = 1/4 on: nothing can be said of that part."""
    tail = own("v*x*exp(g*x**2)", "v", "g")
    inside = {"v_1": (ZERO, TWO), "g_1": (-ONE, -R(1, 100))}
    assert_matches(made("tanh", FamilyBox((tail,), inside, {})))
    with pytest.raises(DesignError, match="moments are finite: give another box"):
        made("relu", FamilyBox((tail,), {"v_1": (ONE, TWO), "g_1": (R(3, 10), R(2, 5))}, {}))
    with pytest.raises(DesignError, match="may hold a solution"):
        made("tanh", FamilyBox((tail,), inside | {"g_1": (-R(1, 100), R(1, 3))}, {}))


@pytest.mark.parametrize(
    ("box", "fixed", "words"),
    [
        ({"u_1": (ZERO, ONE)}, {}, "must cover u_1, w_1, u_2, w_2, each once; given are u_1"),
        ({f"{n}_{k}": (ZERO, ONE) for n in "uw" for k in (1, 2)}, {"u_1": ONE}, "each once"),
        ({f"{n}_{k}": (ZERO, ONE) for n in "uwv" for k in (1, 2)}, {}, "must cover"),
    ],
)
def test_boxes_that_do_not_fit(box: dict[str, object], fixed: dict[str, object], words: str) -> None:
    pair = own("u*x + w*Abs(x)", "u", "w")
    with pytest.raises(DesignError, match=words):
        made("relu", FamilyBox((pair, pair), box, fixed))  # type: ignore[arg-type]


def test_too_many_unknowns_and_no_gauge() -> None:
    hermite = named_family("hermite")
    box = {f"c{k}_{layer}": (ZERO, TWO) for k in (1, 2, 3) for layer in (1, 2)}
    with pytest.raises(DesignError, match="5 equations do not determine the 6 unknowns"):
        made("elu", FamilyBox((hermite, hermite), box, {}))
    pair = own("u*x + w*Abs(x)", "u", "w")
    slopes = {f"{n}_{k}": (ZERO, ONE) for n in "uw" for k in (1, 2)}
    with pytest.raises(DesignError, match="fix a parameter of layer 1"):
        made("abs", FamilyBox((pair, pair), slopes, {}))
    with pytest.raises(DesignError, match="not both"):
        made("relu", FamilyBox((pair, pair), slopes, {}), family="leaky_relu")


def test_targets_know_nothing_of_the_box() -> None:
    target = target_of(certify(DEQ(resolve("tanh"), R(1, 5), R(4, 5), ONE), 20), "ck")
    assert target.odd
    assert target.numbers[1] == arb(0)
