"""Cells in float64: against mpmath's own solution, within the errors that are estimated, and refused beyond."""

from __future__ import annotations

import pytest
from flint import arb
from mpmath import mp

from numerics.equilibrium import FLOAT_DIGITS, solve_states
from numerics.moments import MomentAccuracyError
from tests.coupled_oracle import CoupledOracle
from theory.equations import DEQ, CoupledDEQ, CoupledDEQError, EquilibriumError, State

CELLS = {
    "uncentred": CoupledDEQ.of(DEQ("relu", "2/5", "3/5"), sigma_c2="1/10", centred=False),
    "mixed": CoupledDEQ(
        [State("relu", "0.6", centred=False), State("erf", "0.35", "0.1")], [["0.25", "0.3"], ["0.15", "0.1"]], "1.1"
    ),
    "centred": CoupledDEQ([State("relu", "1/2"), State("erf", "1/2")], [["0.2", "0.3"], ["0.5", 0]]),
}


@pytest.mark.parametrize("name", CELLS)
def test_estimated_balls_hold_what_mpmath_finds(name: str) -> None:
    found, expected = solve_states(CELLS[name]), CoupledOracle(CELLS[name]).coefficients()
    for r, numbers in enumerate(expected):
        for key, value in numbers.items():
            ball = found.states[r][key]
            # The oracle's derivatives have 16 digits.
            assert abs(ball - arb(mp.nstr(value, 25))) < 1e-15 + ball.rad(), (r, key)
            assert ball.rad() < 1e-10, (r, key)


def test_digits_are_those_of_float64_at_most() -> None:
    found = solve_states(CELLS["uncentred"], 40)
    assert found.digits == FLOAT_DIGITS
    # tau^2 = sigma_a^2 tau^2/2 + 0.7.
    assert found.decimal(0, "tau") == "0.935414346693"
    assert found.floats(0)["tau"] == pytest.approx((0.7 / 0.8) ** 0.5, rel=1e-15)
    with pytest.raises(EquilibriumError, match="digits"):
        solve_states(CELLS["uncentred"], 0)


def test_correlations_next_to_1_are_refused() -> None:
    """The series of a kink needs more terms than are tried."""
    cell = CoupledDEQ.of(DEQ("relu", "1.9", "1/1000"), sigma_c2=1, centred=False)
    with pytest.raises(MomentAccuracyError, match="does not settle"):
        solve_states(cell)


def test_what_panels_of_two_widths_see_differently_is_refused() -> None:
    """phi'' is a peak of width 1e-4 next to 0.3."""
    cell = CoupledDEQ.of(DEQ("sqrt((x - 0.3)**2 + 1e-8)", "1/2", "1/2"), centred=False)
    with pytest.raises(MomentAccuracyError, match="does not settle"):
        solve_states(cell)


def test_without_an_equilibrium_the_key_is_named() -> None:
    with pytest.raises(CoupledDEQError, match="sigma_a2"):
        solve_states(CoupledDEQ.of(DEQ("relu", 3, 1), centred=False))


@pytest.mark.parametrize("weight", ["1/10", "1/1000", "1/100000"])
def test_samples_collapse_with_the_input_below_slope_1_only(weight: str) -> None:
    """sigma_b^2 <= tau^2 - q <= sigma_b^2/(1 - chi), chi the slope at correlation 1, as F is convex; tau_0 = 1."""
    for recurrent, bias, collapses in (("1/2", 1, True), (4, "1/10", False)):
        found = solve_states(CoupledDEQ.of(DEQ("erf", recurrent, weight), sigma_c2=bias, centred=False))
        numbers, chi = found.states[0], found.margins["ntk"]
        gap, drive = numbers["tau"] ** 2 - numbers["q"], arb(1) / int(weight.removeprefix("1/"))
        assert gap > drive
        assert (chi < 1) is collapses
        if collapses:
            assert gap < drive / (1 - chi)
        else:
            assert gap > 2
