"""Where the slope at correlation 1 reaches 1: against closed forms, and one centred state's own search."""

from __future__ import annotations

import pytest
from flint import arb
from mpmath import mp, mpf

from numerics.equilibrium import LossKind, locate_ntk_loss, locate_slope_loss
from theory.equations import DEQ, CoupledDEQ, EquilibriumError, State


def _cell(activation: str, *numbers: str, centred: bool = False) -> CoupledDEQ:
    return CoupledDEQ([State(activation, *numbers, centred=centred)], [[0]])


def test_the_ball_holds_the_closed_form() -> None:
    """E[erf^2] = (2/pi) asin(2v/(1 + 2v)) and E[erf'^2] = (4/pi)/sqrt(1 + 4v); v_0 = 1/10 + 1/5."""
    found = locate_slope_loss(_cell("erf", "1/10", "1/5"), 25)
    with mp.workdps(60):

        def slope(v: mpf) -> mpf:
            return 4 / mp.pi / mp.sqrt(1 + 4 * v)

        v = mp.findroot(lambda v: (v - mpf(3) / 10) * slope(v) - 2 / mp.pi * mp.asin(2 * v / (1 + 2 * v)), 1)
        weight, tau = arb(mp.nstr(1 / slope(v), 50)), arb(mp.nstr(mp.sqrt(v), 50))
    assert found.kind is LossKind.NTK
    assert found.certified
    assert found.sigma_a2 is not None
    assert found.tau is not None
    assert found.sigma_a2.overlaps(weight)
    assert found.tau.overlaps(tau)
    assert found.sigma_a2.rad() < 1e-26


def test_one_centred_state_without_a_bias_loses_its_ntk_there() -> None:
    found = locate_slope_loss(_cell("tanh", "4/5", centred=True))
    assert found.decimal() == locate_ntk_loss(DEQ("tanh", 0, "4/5")).decimal()
    assert found.certified


def test_what_stays_below_1_has_no_such_point() -> None:
    """sigma_a^2/2 of ReLU is the slope and the stability's: tau goes to infinity before either is 1."""
    assert locate_slope_loss(_cell("relu", "3/5")).kind is LossKind.NONE
    assert locate_slope_loss(_cell("sign(x) + x", "3/5")).kind is LossKind.NONE
    with pytest.raises(EquilibriumError, match="one state, not of 2"):
        locate_slope_loss(CoupledDEQ.loop(["relu", "relu"], "1/2", "1/2"))
