"""Laws of several coupled states, and balls that hold what other ways find, for random cells."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from flint import arb, ctx
from hypothesis import assume, event, example, given, reject
from hypothesis import strategies as st
from mpmath import mp

from numerics.arithmetic import pointwise
from numerics.equilibrium import CertifiedStates, CertifiedTangent, certify, certify_states, certify_tangent
from numerics.kernels import coupled_kernels
from numerics.moments import FloatMoments, UncertifiedError
from tests.coupled_oracle import CoupledOracle
from tests.strategies import activation_texts
from tests.tiers import examples
from theory.activations import Activation
from theory.analysis import DomainError, GrowthError, UndecidedError
from theory.equations import DEQ, TRAINED, CoupledDEQ, EquilibriumError, State, TrainedWeights
from theory.grammar import ActivationSyntaxError

DIGITS = 18
#: With closed duals that mpmath evaluates: kinked, smooth, odd, even, with no symmetry.
CLOSED = ("relu", "Abs(x)", "Max(x, 0) + x/4", "erf(x)", "x + x**2/5", "sin(3*x/2) + 1/4", "cos(x)", "exp(-x**2/2)")
weights = st.fractions(0, "1/4", max_denominator=12).map(str)
inputs = st.fractions("1/4", 1, max_denominator=12).map(str)
biases = st.one_of(st.just("0"), st.fractions("1/20", "1/2", max_denominator=20).map(str))
scales = st.fractions("1/2", 2, max_denominator=6).map(str)


@st.composite
def cells(draw: st.DrawFn, texts: st.SearchStrategy[str], most: int = 3) -> CoupledDEQ:
    """One to three states, with and without biases and centring."""
    count = draw(st.integers(1, most))
    try:
        states = [State(draw(texts), draw(inputs), draw(biases), centred=draw(st.booleans())) for _ in range(count)]
    except (ActivationSyntaxError, DomainError, GrowthError, UndecidedError):
        reject()
    rows = [[draw(weights) for _ in range(count)] for _ in range(count)]
    return CoupledDEQ(states, rows, draw(scales), draw(st.integers(0, count - 1)))


def solved(cell: CoupledDEQ) -> CertifiedStates:
    """The certified numbers; a cell without a stable equilibrium is not an example."""
    try:
        return certify_states(cell, DIGITS)
    except EquilibriumError:
        assume(False)
        raise


def agree(found: CertifiedStates, other: CertifiedStates, order: list[int]) -> None:
    """State r of one is state order[r] of the other."""
    for r, s in enumerate(order):
        assert found.states[r].keys() == other.states[s].keys()
        for key, ball in found.states[r].items():
            assert ball.overlaps(other.states[s][key]), (r, key)
            assert ball.rad() < arb(10) ** (2 - DIGITS) * (1 + abs(ball))


@examples(6)
@given(cells(st.sampled_from(CLOSED)))
@example(CoupledDEQ([State("relu", "1/4", centred=False)] * 2, [[0, 0], ["1/4", "1/4"]], "1/2"))
@example(CoupledDEQ([State("relu", "1/4", centred=False)], [[0]], "1/2"))
def test_balls_hold_what_mpmath_finds(cell: CoupledDEQ) -> None:
    """Exact entries iterated in mpmath, and their difference quotients."""
    found = solved(cell)
    assume(float(found.margins["tau"]) < 0.9)
    event(f"{len(cell.states)} states")
    for state, wanted in zip(found.states, CoupledOracle(cell).coefficients(), strict=True):
        for key, number in wanted.items():
            digits = DIGITS if key in ("tau", "q", "g0", "diagonal") else 13
            with ctx.workprec(300), mp.workdps(60):
                error = abs(state[key] - arb(mp.nstr(number, 50)))
                assert error < arb(10) ** -digits * (1 + abs(state[key])), (key, state[key], number)


@examples(5)
@given(cells(activation_texts, most=2))
@example(CoupledDEQ([State("x**2", "1/4", "1/5", centred=False)], [["1/20"]]))
def test_any_activation_solves_its_equations(cell: CoupledDEQ) -> None:
    """tau and q put into their equations, with expectations by plain sums in float64, which do not see jumps."""
    assume(not any(FloatMoments(pointwise(state.activation)).has_jumps for state in cell.states))
    try:
        found = solved(cell)
    except UncertifiedError as error:
        event(f"not certified: {error}")
        assume(False)
        raise
    energies, duals = [], []
    for state, balls, mean in zip(cell.states, found.states, found.means, strict=True):
        square, limit = float(balls["tau"]) ** 2, float(balls["q"])
        assume(1e-3 < square < 1e3 and limit < 0.999 * square)
        energies.append(dual(state, float(mean), square, square))
        duals.append(dual(state, float(mean), square, limit))
    for r, (state, balls) in enumerate(zip(cell.states, found.states, strict=True)):
        row = [float(value) for value in cell.sigma_a2[r]]
        drive, bias = float(state.sigma_b2 * cell.tau0**2), float(state.sigma_c2)
        size = max(abs(energies[r]), 1.0)
        assert abs(float(balls["tau"]) ** 2 - np.dot(row, energies) - drive - bias) < 1e-4 * size * (1 + drive)
        assert abs(float(balls["q"]) - np.dot(row, duals) - bias) < 1e-4 * size * (1 + drive)
        assert abs(float(balls["g0"]) - duals[r]) < 1e-4 * size


def dual(state: State, mean: float, square: float, limit: float) -> float:
    """E[phi(u) phi(v)] = E_z[(E_w[phi(sqrt(q) z + sqrt(a - q) w)])^2] on grids that see kinks to some 1e-5."""
    phi = pointwise(state.activation)

    def normal(step: float) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        nodes = np.arange(-9, 9, step) + step / 3
        return nodes, step * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)

    if limit == square:
        nodes, mass = normal(1e-5)
        return float(mass @ (phi.value(np.sqrt(square) * nodes) - mean) ** 2)
    (outer, weight), (inner, mass) = normal(0.1), normal(2e-3)
    points = np.sqrt(limit) * outer[:, None] + np.sqrt(square - limit) * inner
    return float(weight @ ((phi.value(points) - mean) @ mass) ** 2)


@examples(8)
@given(st.lists(st.tuples(st.sampled_from(CLOSED), weights, inputs), min_size=2, max_size=3), scales)
def test_states_that_do_not_meet_are_independent_deqs(parts: list[tuple[str, str, str]], scale: str) -> None:
    """A diagonal Sigma2: each state is the DEQ that it is by itself, by one state's own solver."""
    count = len(parts)
    rows = [[parts[r][1] if r == s else 0 for s in range(count)] for r in range(count)]
    together = solved(CoupledDEQ([State(text, b) for text, _, b in parts], rows, scale))
    for r, (text, a, b) in enumerate(parts):
        alone = certify(DEQ(text, a, b, scale), DIGITS)
        for key in ("tau", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "lambda1", "lambda2", "lambda3"):
            assert together.states[r][key].overlaps(alone[key]), (text, key)


@examples(6)
@given(cells(st.sampled_from(CLOSED), most=2), cells(st.sampled_from(CLOSED), most=2))
def test_blocks_of_sigma2_are_independent_cells(first: CoupledDEQ, second: CoupledDEQ) -> None:
    m, n = len(first.states), len(second.states)
    rows = [[*row, *[0] * n] for row in first.sigma_a2] + [[*[0] * m, *row] for row in second.sigma_a2]
    second = CoupledDEQ(second.states, second.sigma_a2, first.tau0)
    together = solved(CoupledDEQ(first.states + second.states, rows, first.tau0))
    agree(solved(first), together, list(range(m)))
    agree(solved(second), together, list(range(m, m + n)))


@examples(6)
@given(cells(st.sampled_from(CLOSED)), st.randoms(use_true_random=False))
def test_the_order_of_the_states_is_a_name(cell: CoupledDEQ, random: object) -> None:
    order = list(range(len(cell.states)))
    random.shuffle(order)  # type: ignore[attr-defined]
    rows = [[cell.sigma_a2[r][s] for s in order] for r in order]
    moved = CoupledDEQ([cell.states[r] for r in order], rows, cell.tau0)
    agree(solved(moved), solved(cell), order)


@examples(6)
@given(cells(st.sampled_from(CLOSED)), st.fractions("1/3", 3, max_denominator=5))
def test_a_factor_of_a_state_is_one_of_the_weights_from_it(cell: CoupledDEQ, factor: Fraction) -> None:
    """phi_s -> c phi_s, sigma_rs -> sigma_rs/c for all r: no pre-activation changes, and G^(s) is c^2 times itself."""
    c = sp.Rational(factor.numerator, factor.denominator)
    louder = [
        State(Activation("louder", c * s.activation.expr), s.sigma_b2, s.sigma_c2, centred=s.centred)
        for s in cell.states
    ]
    rows = [[value / c**2 for value in row] for row in cell.sigma_a2]
    found, plain = solved(CoupledDEQ(louder, rows, cell.tau0)), solved(cell)
    with ctx.workprec(200):
        number = arb(factor.numerator) / factor.denominator
        for one, other in zip(found.states, plain.states, strict=True):
            for key in ("g0", "gS", "gd", "gdd", "gSS", "ge", "diagonal"):
                assert one[key].overlaps(number**2 * other[key]), key
            assert one["tau"].overlaps(other["tau"])
            assert one["q"].overlaps(other["q"])


@examples(6)
@given(cells(st.sampled_from(CLOSED)))
def test_a_state_that_nobody_reads_changes_nothing(cell: CoupledDEQ) -> None:
    more = CoupledDEQ(
        [*cell.states, State("tanh", "1/2", "1/3")],
        [*([*row, 0] for row in cell.sigma_a2), ["1/8"] * (len(cell.states) + 1)],
        cell.tau0,
    )
    agree(solved(cell), solved(more), list(range(len(cell.states))))


@examples(6)
@given(cells(st.sampled_from(CLOSED)), st.integers(0, 2**32 - 1))
def test_kernels_of_all_states_are_positive(cell: CoupledDEQ, seed: int) -> None:
    found = solved(cell)
    samples = np.random.default_rng(seed).standard_normal((12, 9)) * float(cell.tau0) / np.sqrt(12)
    kernels = coupled_kernels(samples.T @ samples, cell, [float(mean) for mean in found.means])
    for kernel in kernels.ck:
        assert np.linalg.eigvalsh(kernel).min() > -1e-11 * kernel.max()


# --- NTKs ---------------------------------------------------------------------------------------------------------


@st.composite
def trained_cells(draw: st.DrawFn) -> tuple[CoupledDEQ, TrainedWeights]:
    """A cell, and weights of it that are trained."""
    cell = draw(cells(st.sampled_from(CLOSED)))
    every = TrainedWeights.of(cell, TRAINED)
    chosen = [frozenset(part for part in sorted(kind) if draw(st.booleans())) for kind in parts_of(every)]
    return cell, TrainedWeights(*chosen, readout=draw(st.booleans()))  # type: ignore[arg-type]


def parts_of(trained: TrainedWeights) -> tuple[frozenset[Any], ...]:
    return trained.recurrent, trained.input, trained.bias


def tangent(cell: CoupledDEQ, trained: TrainedWeights) -> CertifiedTangent:
    """The NTK's numbers; a cell without one is not an example."""
    try:
        return certify_tangent(solved(cell), trained)
    except EquilibriumError:
        assume(False)
        raise


@examples(2)
@given(trained_cells())
def test_ntks_hold_what_mpmath_finds(drawn: tuple[CoupledDEQ, TrainedWeights]) -> None:
    """Exact entries by the definition in mpmath, and their difference quotients."""
    cell, trained = drawn
    found = tangent(cell, trained)
    assume(float(found.found.margins["ntk"]) < 0.9)
    with ctx.workprec(300), mp.workdps(60):
        for key, number in CoupledOracle(cell).tangent_coefficients(trained).items():
            error = abs(found.balls[key] - arb(mp.nstr(number, 50)))
            assert error < arb(10) ** -12 * (1 + abs(found.balls[key])), (key, found.balls[key], number)


@examples(5)
@given(trained_cells())
def test_an_ntk_is_the_sum_of_its_parts(drawn: tuple[CoupledDEQ, TrainedWeights]) -> None:
    """Each block of weights adds its own; and a state that nobody reads changes nothing."""
    cell, trained = drawn
    whole = tangent(cell, trained)
    more = CoupledDEQ(
        [*cell.states, State("tanh", "1/2", "1/3")],
        [*([*row, 0] for row in cell.sigma_a2), ["1/8"] * (len(cell.states) + 1)],
        cell.tau0,
        cell.readout,
    )
    recurrent, inputs_, biases_ = parts_of(trained)
    single = [TrainedWeights(recurrent=frozenset({pair}), readout=False) for pair in recurrent]
    single += [TrainedWeights(input=frozenset({r}), readout=False) for r in inputs_]
    single += [TrainedWeights(bias=frozenset({r}), readout=False) for r in biases_]
    single += [TrainedWeights()] if trained.readout else []
    parts, beside = [certify_tangent(whole.found, part) for part in single], tangent(more, trained)
    for key, ball in whole.balls.items():
        assert ball.overlaps(sum((part.balls[key] for part in parts), arb(0))), key
        assert ball.overlaps(beside.balls[key]), key
