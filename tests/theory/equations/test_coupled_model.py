"""What describes a cell: exact numbers, shapes, what the input reaches, and the usual cells by name."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import sympy as sp

from theory.equations import DEQ, CoupledDEQ, CoupledDEQError, State

R = sp.Rational


def test_a_cell_of_one_centred_state_is_a_deq() -> None:
    deq = DEQ("leaky_relu", "0.3", "0.6", "1.1", parameters={"a": "1/10"})
    cell = CoupledDEQ.of(deq)
    assert cell.deq == deq
    assert CoupledDEQ.of(deq, sigma_c2=1).deq is None
    assert CoupledDEQ.of(deq, centred=False).deq is None
    assert CoupledDEQ.of(DEQ("tanh"), centred=False).deq == DEQ("tanh")  # an odd function has mean 0
    assert CoupledDEQ.loop(["relu", "relu"], "0.3", "0.6").deq is None


def test_correlations_vanish_where_nothing_that_leads_there_has_a_mean() -> None:
    states = [State("relu", 1), State("relu", 0, centred=False), State("relu", 0), State("relu", 0, "1/10")]
    rows = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    cell = CoupledDEQ(states, rows)
    assert cell.mean_free == (True, False, True, True)
    assert cell.uncorrelated == (True, True, False, False)
    assert cell.decorrelated == (True, False, False, False)


def test_usual_cells() -> None:
    loop = CoupledDEQ.loop(["relu", "tanh", "erf"], "1/2", "1/3", centred=False)
    assert loop.sigma_a2 == ((0, 0, R(1, 2)), (R(1, 2), 0, 0), (0, R(1, 2), 0))
    assert [state.sigma_b2 for state in loop.states] == [R(1, 3), 0, 0]
    assert loop.readout == 2
    assert not any(state.centred for state in loop.states)
    scales = CoupledDEQ.two_scales(["relu", "tanh"], "1/4", "1/8", 1)
    assert scales.sigma_a2 == ((R(1, 4), R(1, 8)), (R(1, 8), R(1, 4)))
    chain = CoupledDEQ.feedforward(["tanh"] * 3, {(2, 0): "1/4", (2, 1): "1/2"})
    assert chain.sigma_a2 == ((0, 0, 0), (1, 0, 0), (R(1, 4), R(1, 2), 0))
    assert CoupledDEQ.stopped(DEQ("relu", "1/5"), 3).sigma_a2 == ((0, 0, 0), (R(1, 5), 0, 0), (0, R(1, 5), 0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], []), "states must be 1 to 32"),
        (([State("relu", 1)], [[1, 2]]), "sigma_a2 must have 1 rows of 1"),
        (([State("relu", 1)], "1"), "sigma_a2 must have 1 rows of 1"),
        (([State("relu", 1)], [["-1/2"]]), r"sigma_a2\[0\]\[0\] must be a number >= 0"),
        (([State("relu", 1)], [[0]], -1), "tau0 must be a number > 0"),
        (([State("relu", 1)], [[0]], 1, 1), "readout must be the number of a state"),
        (([State("relu", 1)], [[0]], 1, True), "readout must be the number of a state"),
        (([State("relu", 0)], [[1]]), "sigma_b2 of state 0 is 0"),
        (([State("relu", 1), State("relu", 0)], [[0, 1], [0, 1]]), "sigma_b2 of state 1 is 0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(CoupledDEQError, match=said):
        CoupledDEQ(*arguments)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: State("relu", -1), "sigma_b2 must be a number >= 0"),
        (lambda: State("relu", 1, "x"), "sigma_c2 must be a finite number"),
        (lambda: State("relu", 1, centred=1), "centred must be true or false"),  # type: ignore[arg-type]
        (lambda: CoupledDEQ.two_scales(["relu"], 1, 1, 1), "must be 2, not 1"),
        (lambda: CoupledDEQ.feedforward(["relu"] * 2, {(0, 1): 1}), "to a later one"),
        (lambda: CoupledDEQ.stopped(DEQ("relu"), 0), "steps must be 1 to 32"),
    ],
)
def test_what_a_constructor_refuses(call: Any, said: str) -> None:
    with pytest.raises(CoupledDEQError, match=said):
        call()


def test_numbers_are_exact_and_a_cell_pickles() -> None:
    data = {
        "tau0": "sqrt(2)",
        "sigma_a2": [[0, "1e-3"], ["1/7", 1]],
        "states": [{"activation": "relu", "sigma_b2": "0.1"}, {"activation": "elu", "parameters": {"a": "2"}}],
    }
    cell = CoupledDEQ.from_mapping(data)
    assert (cell.tau0, cell.states[0].sigma_b2, cell.sigma_a2[0][1]) == (sp.sqrt(2), R(1, 10), R(1, 1000))
    assert not cell.states[1].activation.parameters
    assert pickle.loads(pickle.dumps(cell)) == cell  # noqa: S301 - its own bytes


@pytest.mark.parametrize(
    "cell",
    [
        CoupledDEQ([State("leaky_relu", "sqrt(2)", "1/3", centred=False, parameters={"a": "1/7"})], [["1/5"]], "6/5"),
        CoupledDEQ.loop(["x + cos(2*x)/3", "gelu", "abs"], "1/2", "2/3", sigma_c2="1/9"),
    ],
)
def test_a_mapping_makes_the_same_cell(cell: CoupledDEQ) -> None:
    """A name stands for an activation only where it has its default parameters."""
    found = CoupledDEQ.from_mapping(json.loads(json.dumps(cell.mapping)))
    assert [state.activation.expr for state in found.states] == [state.activation.expr for state in cell.states]
    assert (found.sigma_a2, found.tau0, found.readout) == (cell.sigma_a2, cell.tau0, cell.readout)
    assert [(s.sigma_b2, s.sigma_c2, s.centred) for s in found.states] == [
        (s.sigma_b2, s.sigma_c2, s.centred) for s in cell.states
    ]


def test_a_constant_activation_passes_nothing_of_the_input_on() -> None:
    """What it alone drives has correlation 1 for any two samples; a step still passes signs on."""
    driven = State("cosh(x/2)", centred=False)
    with pytest.raises(CoupledDEQError, match="sigma_b2 of state 1 is 0"):
        CoupledDEQ([State("Max(sigmoid(x), 2)**2", "1/3", centred=False), driven], [[0, 0], ["1/5", 0]])
    assert CoupledDEQ([State("Heaviside(x)", "1/3", centred=False), driven], [[0, 0], ["1/5", 0]]).readout == 0
