"""Several states, biases and uncentred activations: against one state's own solver, and exact entries in mpmath."""

from __future__ import annotations

import time

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx
from mpmath import mp

from numerics.equilibrium import CENTRED_KEYS, GENERAL_KEYS, CertifiedStates, certify, certify_states
from numerics.moments import UncertifiedError, certified_moments, hermite_balls
from tests.coupled_oracle import CoupledOracle
from theory.activations import resolve
from theory.equations import DEQ, CoupledDEQ, CoupledDEQError, EquilibriumError, State
from theory.moments import bivariate_moment, correlation
from theory.symbols import tau

#: Cells whose activations have closed duals: with and without biases and centring, states that feed none, a chain.
CELLS = {
    "uncentred": CoupledDEQ.of(DEQ("relu", "2/5", "3/5"), sigma_c2="1/10", centred=False),
    "centred with a bias": CoupledDEQ.of(DEQ("x**2/5 + sin(x)", "1/4", "3/5", "6/5"), sigma_c2="1/5"),
    "two centred": CoupledDEQ([State("relu", "1/2"), State("erf", "1/2")], [["0.2", "0.3"], ["0.5", 0]]),
    "mixed": CoupledDEQ(
        [State("relu", "0.6", centred=False), State("abs", "0.35", "0.1"), State("erf", 0)],
        [["0.25", "0.3", 0], ["0.15", "0.1", "0.1"], ["0.3", "0.4", 0]],
        "1.1",
    ),
    "one bias feeds another state": CoupledDEQ(
        [State("relu", "0.6"), State("relu", "0.2", "0.3")], [["0.3", 0], ["0.5", "0.2"]], "0.9", 1
    ),
    "explicit": CoupledDEQ.feedforward(["relu", "abs", "erf"], {(2, 0): "1/3"}, sigma_c2="1/20", centred=False),
}
#: With a jump, and as steep as exp.
STEEP = "Piecewise((sign(x), x < -2), (x**2, x <= 0), (exp(x), True))"


@pytest.fixture(scope="module", params=CELLS)
def solved(request: pytest.FixtureRequest) -> CertifiedStates:
    return certify_states(CELLS[request.param], 20)


def close(ball: arb, number: object, digits: int) -> bool:
    with ctx.workprec(300), mp.workdps(60):
        return bool(abs(ball - arb(mp.nstr(number, 50))) < arb(10) ** -digits)


def test_balls_hold_what_mpmath_finds(solved: CertifiedStates) -> None:
    """tau and q to all digits of the balls, derivatives to those of the difference quotients."""
    for state, wanted in zip(solved.states, CoupledOracle(solved.cell).coefficients(), strict=True):
        assert set(GENERAL_KEYS) < set(state)
        for key, number in wanted.items():
            assert close(state[key], number, 22 if key in ("tau", "q", "g0", "diagonal") else 14), key


def test_balls_are_as_narrow_as_was_asked_for(solved: CertifiedStates) -> None:
    for state in solved.states:
        for ball in state.values():
            size = arb(1) if ball.contains(0) else abs(ball)
            assert ball.rad() < size * arb(10) ** -22


@pytest.mark.parametrize("text", ["relu", "tanh", "x*sigmoid(x)", "Abs(x) + x**2/7"])
def test_one_centred_state_is_the_deq(text: str) -> None:
    deq = DEQ(text, "0.3", "0.6", "1.2")
    found, wanted = certify_states(CoupledDEQ.of(deq), 25), certify(deq, 25)
    assert found.followed
    for key in (*CENTRED_KEYS, "tau"):
        own = "alpha4" if key == "lambda4" else key
        assert found.states[0][key].overlaps(wanted[own]), key
    for key in ("tau", "ck", "ntk"):
        assert found.margins[key].overlaps(wanted.margins[key]), key
    with ctx.workprec(200):
        assert all(found.states[0][key].is_zero() for key in ("q", "g0", "gd", "ge"))
        assert found.states[0]["gdd"].overlaps(wanted["alpha2"])


def test_smooth_activations_without_a_closed_dual() -> None:
    """Swish and tanh, uncentred: moments by smoothing with the common part of u and v, in float64."""
    cell = CoupledDEQ(
        [State("swish", "1/2", centred=False), State("tanh", "2/5", "1/5")], [["1/5", "1/4"], ["1/3", "1/5"]]
    )
    found = certify_states(cell, 15)
    for r, state in enumerate(found.states):
        square, limit = float(state["tau"]) ** 2, float(state["q"])
        others = sum(float(cell.sigma_a2[r][s]) * float(other["g0"]) for s, other in enumerate(found.states))
        assert limit == pytest.approx(others + float(cell.states[r].sigma_c2), rel=1e-13)
        phi = np.tanh if r else lambda v: v / (1 + np.exp(-v))
        assert float(state["g0"]) == pytest.approx(smoothed(phi, square, limit, 0), rel=1e-11)
        assert float(state["diagonal"]) == pytest.approx(smoothed(phi, square, square * (1 - 1e-14), 0), rel=1e-10)


def smoothed(phi, square: float, limit: float, order: int) -> float:  # type: ignore[no-untyped-def]
    """E_z[(E_w[phi(sqrt(q) z + sqrt(a - q) w)])^2] by the trapezoidal rule."""
    nodes = np.arange(-12, 12, 0.05)
    weights = 0.05 * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    inner = phi(np.sqrt(limit) * nodes[:, None] + np.sqrt(square - limit) * nodes[None, :]) @ weights
    return float(weights @ inner**2)


@pytest.mark.parametrize("text", ["relu", "erf", "Abs(x) - x/3", "x**2/3 + sin(2*x)"])
@pytest.mark.parametrize("rho", ["1/10", "3/5"])
def test_pair_moments_hold_the_closed_forms(text: str, rho: str) -> None:
    phi = resolve(text)
    with ctx.workprec(150):
        series = hermite_balls(certified_moments(phi), arb(7) / 5, 300)
        for j, k in ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0)):
            closed = bivariate_moment(phi, j, k).subs({tau: sp.Rational(7, 5), correlation: sp.Rational(rho)})
            if closed.has(sp.Function("bivariate_normal")) or "bivariate_normal" in str(closed):
                continue
            ball = series.pair_moment(j, k, arb(sp.Rational(rho).p) / sp.Rational(rho).q)
            assert abs(ball - arb(str(closed.evalf(50)))) < arb(10) ** -30, (j, k)
            assert ball.rad() < arb(10) ** -30


def test_too_few_terms_are_refused_or_make_wide_balls() -> None:
    with ctx.workprec(120):
        few = hermite_balls(certified_moments(resolve("relu")), arb(1), 12)
        many = hermite_balls(certified_moments(resolve("relu")), arb(1), 200)
        for orders in ((0, 0), (1, 1), (2, 2), (4, 0)):
            wide = few.pair_moment(*orders, arb("0.4"))
            assert wide.contains(many.pair_moment(*orders, arb("0.4")))
            assert wide.rad() > arb(10) ** -12
        with pytest.raises(UncertifiedError, match="more terms"):
            few.pair_moment(4, 4, arb("0.9"))


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        (CoupledDEQ.of(DEQ("relu", 3, "3/5"), centred=False), "sigma_a2"),
        (CoupledDEQ([State("x**2", "1/4", centred=False)], [["1/4"]], "3/2"), "sigma_a2"),
        (CoupledDEQ([State("relu", 1), State("relu", 1)], [["1/2", 4], [4, "1/2"]]), "sigma_a2"),
        # Means overflow float64 on the way.
        (
            CoupledDEQ([State(STEEP, "1/10", "15/34", centred=False), State(STEEP)], [["1/16", 0], ["1/20", 0]]),
            "sigma_a2",
        ),
    ],
)
def test_without_an_equilibrium_the_key_is_named(cell: CoupledDEQ, word: str) -> None:
    with pytest.raises(CoupledDEQError, match=word):
        certify_states(cell)


def test_a_bound_that_is_infinite_proves_nothing() -> None:
    """On the way from tau_0 to this solution the enclosures of the slopes have no bound."""
    steep = "(exp(-x**2 + x/2) + exp(-x**2/2))**4"
    cell = CoupledDEQ(
        [State("erf(x)**2*exp(-x**2)", "3/17", "5/16", centred=False), State(steep, "9/10", "15/34", centred=False)],
        [[0, 0], ["1/11", "14/37"]],
        "1/2",
    )
    assert certify_states(cell, 8).followed is None


def test_digits_must_be_positive() -> None:
    with pytest.raises(EquilibriumError, match="digits"):
        certify_states(CELLS["uncentred"], 0)


def test_what_cannot_be_enclosed_says_why() -> None:
    with pytest.raises(UncertifiedError):
        certify_states(CoupledDEQ.of(DEQ("x*log(Abs(x))", "1/5", "3/5"), centred=False))


def test_three_states_to_30_digits_are_quick() -> None:
    begun = time.process_time()
    certify_states(CELLS["mixed"], 30)
    assert time.process_time() - begun < 5
