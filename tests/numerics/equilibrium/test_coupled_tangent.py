"""The NTK's numbers of a cell: one state's own, exact entries in mpmath, and the rate against exact kernels."""

from __future__ import annotations

import pytest
from flint import arb, ctx
from mpmath import mp

from numerics.equilibrium import TANGENT_KEYS, certify, certify_states, certify_tangent
from tests.coupled_oracle import CoupledOracle
from theory.equations import DEQ, TRAINED, CoupledDEQ, EquilibriumError, State, TrainedWeights
from theory.kernels import Kernel

BLOCKS = TrainedWeights(recurrent=frozenset({(0, 1), (2, 0)}), input=frozenset({0}), readout=False)


@pytest.mark.parametrize("text", ["relu", "x**2/5 + sin(x)"])
@pytest.mark.parametrize(
    ("trained", "kernel"),
    [(("recurrent",), Kernel.NTK_RECURRENT), (("recurrent", "input"), Kernel.NTK_ALL), ((), Kernel.CK)],
)
def test_one_state_has_its_own_coefficients(text: str, trained: tuple[str, ...], kernel: Kernel) -> None:
    """The two proofs of the same number, by different code, overlap, and neither is wide."""
    deq = DEQ(text, "1/4", "3/5", "11/10")
    wanted, found = certify(deq, 25), certify_tangent(certify_states(CoupledDEQ.of(deq), 25), trained)
    for key, ball in zip(kernel.keys, found.coefficients, strict=True):
        assert ball.overlaps(wanted[key]), key
        assert ball.rad() < arb(10) ** -25
    assert all(found.balls[key] == 0 for key in ("g0", "gd", "ge"))


CELLS = {
    "uncentred": CoupledDEQ.of(DEQ("relu", "2/5", "3/5"), sigma_c2="1/10", centred=False),
    "two centred": CoupledDEQ([State("relu", "1/2"), State("erf", "1/2")], [["0.2", "0.3"], ["0.5", 0]], readout=1),
    "mixed": CoupledDEQ(
        [State("relu", "0.6", centred=False), State("abs", "0.35", "0.1"), State("erf", 0)],
        [["0.25", "0.3", 0], ["0.15", "0.1", "0.1"], ["0.3", "0.4", 0]],
        "1.1",
        2,
    ),
}


@pytest.mark.parametrize(
    ("name", "trained"),
    [("uncentred", TRAINED), ("two centred", ("recurrent",)), ("mixed", BLOCKS)],
)
def test_balls_hold_what_mpmath_finds(name: str, trained: tuple[str, ...] | TrainedWeights) -> None:
    """Derivatives of the entry that the definition gives, from closed duals, in S_ij and the two norms."""
    cell = CELLS[name]
    found = certify_tangent(certify_states(cell, 20), trained)
    wanted = CoupledOracle(cell).tangent_coefficients(TrainedWeights.of(cell, trained))
    assert set(wanted) == set(TANGENT_KEYS)
    with ctx.workprec(300), mp.workdps(60):
        for key, number in wanted.items():
            assert abs(found.balls[key] - arb(mp.nstr(number, 50))) < arb(10) ** -13, key


def test_what_has_no_ntk_says_so() -> None:
    jump = certify_states(CoupledDEQ([State("sign", 1), State("relu", 0)], [[0, 0], ["1/2", 0]], readout=1), 15)
    with pytest.raises(EquilibriumError, match=r"no NTK: E\[phi'\^2\] of a state is infinite"):
        certify_tangent(jump, ["recurrent"])
    far = certify_states(CoupledDEQ([State("relu", 1)], [["5/2"]]), 15)
    with pytest.raises(EquilibriumError, match=r"is 1\.25, and it must be below 1"):
        certify_tangent(far, ["recurrent"])


def test_seven_numbers_are_not_four() -> None:
    with pytest.raises(EquilibriumError, match="has seven numbers"):
        certify_tangent(certify_states(CELLS["uncentred"], 15), ()).coefficients  # noqa: B018
