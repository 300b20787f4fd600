"""Explicit networks with the CK of a cell of several centred states: exact kernels on data agree, proofs stand."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.data import GaussianMixture
from numerics.equilibrium import CertifiedStates
from numerics.kernels import coupled_kernels
from numerics.matching import DesignError, design, explicit_kernel
from theory.equations import DEQ, CoupledDEQ, State
from theory.named import MatchStatus

PAIR = CoupledDEQ([State("relu", "1/2"), State("tanh", "1/2")], [["1/5", "3/10"], ["1/2", 0]], "4/5")
CELLS = {
    "two states": PAIR,
    "odd": CoupledDEQ([State("erf", "1/2"), State("tanh", "1/2")], [["1/5", "3/10"], ["1/2", 0]]),
    "layers": CoupledDEQ.feedforward(["swish"] * 3),
    "one layer": CoupledDEQ([State("relu", "1/2"), State("cos", "1/2")], [[0, 0], ["1/2", 0]]),
    "a bias elsewhere": CoupledDEQ([State("relu", "1/2"), State("abs", "1/2", "1/5")], [["1/5", 0], ["1/2", 0]]),
}


@pytest.mark.parametrize("name", CELLS)
def test_exact_kernels_agree_on_data(name: str) -> None:
    """They differ by what vanishes as p grows, and a network for another cell by much more than that."""
    near = []
    for p in (60, 240):
        mixture = GaussianMixture.released_experiment(p, means=3.0)
        gram = mixture.sample(np.random.default_rng(5)).gram()
        cell = CELLS[name].at(str(mixture.tau0))
        found = design(cell)
        assert isinstance(found.solution, CertifiedStates)
        means = [float(mean) for mean in found.solution.means]
        target = coupled_kernels(gram, cell, means).ck[cell.readout]
        near.append(np.linalg.norm(explicit_kernel(gram, found.network.pointwise()) - target, 2))
    wrong = design(CoupledDEQ([State("abs", "3/4")], [["1/10"]], cell.tau0)).network
    assert near[1] < max(0.8 * near[0], 1e-12)
    assert np.linalg.norm(explicit_kernel(gram, wrong.pointwise()) - target, 2) > 5 * near[1]


def test_a_cell_of_one_centred_state_is_its_deq() -> None:
    found, wanted = design(CoupledDEQ.of(DEQ("tanh")), kernel="ntk-all"), design(DEQ("tanh"), kernel="ntk-all")
    assert (found.status, found.kernel, found.solution.digits) == (wanted.status, "ntk-all", wanted.solution.digits)


def test_what_no_network_of_a_family_matches_is_proved() -> None:
    found = design(CELLS["two states"], family="hard_tanh", layers=1)
    assert found.status is MatchStatus.INFEASIBLE
    assert found.residual_bound > 0


@pytest.mark.parametrize(
    ("cell", "kernel", "said"),
    [
        (CoupledDEQ.of(DEQ("relu"), sigma_c2="1/10"), "ck", "a bias or a mean reaches it"),
        (CoupledDEQ([State("erf", 1), State("relu", 1, centred=False)], [[0, "1/4"], [0, 0]]), "ck", "centred states"),
        (PAIR, "ntk-all", "ck would be"),
        (CoupledDEQ([State("1 + 0*x", 1), State("relu", 1)], [[0, "1/4"], [0, 0]]), "ck", "constant"),
    ],
)
def test_what_cannot_be_designed_for_is_refused(cell: CoupledDEQ, kernel: str, said: str) -> None:
    with pytest.raises(DesignError, match=said):
        design(cell, kernel=kernel)
