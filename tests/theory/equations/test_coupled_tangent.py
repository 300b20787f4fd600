"""NTKs of several states by machine: the closed matrix form where all are centred, and one state's own coefficients."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.equations import (
    TRAINED,
    CoupledDEQ,
    CoupledDEQError,
    NormArgument,
    State,
    TrainedWeights,
    adjoint_symbol,
    centred_moments,
    incoming_symbol,
    ntk_coefficients,
    pair_symbol,
    preactivation_symbol,
    slope_energy_symbol,
    tangent_response,
    trained_symbol,
)
from theory.symbols import alpha, d1, d2, dd, gamma2, lambda_, sigma_a2, sigma_b2, tau_0

TERMS = ("0", "tau2", "S", "d", "SS", "dd", "e")
Vector = list[sp.Expr]


def solved(sigma: sp.Matrix, readout: int, known: list[dict[sp.Symbol, sp.Expr]]) -> dict[str, sp.Expr]:
    """What the responses and (I - Sigma2^T D) y = e + Sigma2^T rest give for sum_r B M, by term."""
    response, count = tangent_response(), len(known)
    unit = sp.Matrix([int(r == readout) for r in range(count)])
    for term in TERMS:
        gains = sp.diag(*(response.gains[term].subs(state) for state in known))
        rests = sp.Matrix([response.rests[term].subs(state) for state in known])
        drive = unit if term in ("0", "tau2") else sp.zeros(count, 1)
        incoming = (sp.eye(count) - sigma.T * gains).LUsolve(drive + sigma.T * rests)
        for r, state in enumerate(known):
            state[incoming_symbol(term)] = incoming[r]
            state[adjoint_symbol(term)] = gains[r, r] * incoming[r] + rests[r]
    return {term: sum(response.contributions[term].subs(state) for state in known) for term in TERMS}


def centred(linear: sp.Expr, trained: Vector, slope: sp.Expr = d1, curvature: sp.Expr = d2) -> dict[sp.Symbol, sp.Expr]:
    """Of one state: its moments, lambda_1, and what of L is trained (S, dd, SS, tau2)."""
    moments = {s: v.subs({d1: slope, d2: curvature}) for s, v in centred_moments().items()}
    found = moments | {preactivation_symbol("S"): linear, preactivation_symbol("d"): 0, slope_energy_symbol(): dd}
    names = dict(zip(("S", "dd", "SS", "tau2"), trained, strict=True))
    return found | {trained_symbol(term): names.get(term, sp.S.Zero) for term in TERMS}


@pytest.mark.parametrize("kind", ["recurrent", "all"])
def test_one_centred_state_has_the_coefficients_of_section_3(kind: str) -> None:
    """As an identity in all symbols."""
    trained = [sigma_a2 * k for k in (alpha[1], alpha[2], alpha[3], gamma2)]
    if kind == "all":
        trained[0] += sigma_b2
        trained[3] += sigma_b2 * tau_0**2
    found = solved(sp.Matrix([[sigma_a2]]), 0, [centred(lambda_[1], trained)])
    stated = ntk_coefficients(kind)
    identities = {lambda_[k]: sigma_a2 * alpha[k] for k in (2, 3)} | {lambda_[1]: sigma_a2 * alpha[1] + sigma_b2}
    identities |= {sp.Symbol("tau", positive=True): sp.sqrt(sigma_a2 * gamma2 + sigma_b2 * tau_0**2)}
    pairs = {"S": (alpha[1], stated.linear), "dd": (alpha[2], stated.variance)}
    pairs |= {"SS": (alpha[3], stated.square), "tau2": (gamma2, stated.diagonal)}
    for term, (own, wanted) in pairs.items():
        assert sp.cancel((own + found[term] - wanted).subs(identities)) == 0, term
    assert [found[term] for term in ("0", "d", "e")] == [0, 0, 0]


def test_centred_states_have_the_closed_matrix_form() -> None:
    """theta_k = alpha_k + (d_1^2 y_0) . m_k and what goes with it, of three states, at numbers."""
    numbers = iter(sp.Rational(k + 2, 7 * k + 11) * (-1) ** k for k in range(40))
    first, second, linear, *trained = ([next(numbers) for _ in range(3)] for _ in range(6))
    sigma, readout = sp.Matrix(3, 3, lambda r, s: sp.Rational(r + 2 * s + 1, 20)), 1
    one, three = trained[0], trained[2]
    known = [centred(linear[r], [*(part[r] for part in trained), sp.S.Zero], first[r], second[r]) for r in range(3)]
    for state in known:
        state[slope_energy_symbol()] = sp.Rational(1, 3)
    found = solved(sigma, readout, known)
    slopes = sp.diag(*(d**2 for d in first))
    curves = sp.diag(*(d**2 * k for d, k in zip(second, linear, strict=True)))
    inverse = (sp.eye(3) - sigma.T * slopes).inv()
    constant = inverse[:, readout]
    moving = inverse * sigma.T * curves * constant
    assert found["S"] == (slopes * constant).dot(sp.Matrix(one))
    assert found["dd"] == (slopes * constant).dot(sp.Matrix(trained[1]))
    bent = curves * constant + slopes * moving
    assert found["SS"] == (slopes * constant).dot(sp.Matrix(three)) + bent.dot(sp.Matrix(one))
    assert [found[term] for term in ("0", "d", "e")] == [0, 0, 0]


def test_uncentred_terms_are_products_of_those_of_the_factors() -> None:
    """The coefficient of delta_i^2 + delta_j^2 in Gdot, written by hand."""
    l_d, l_4, l_5, l_e = (preactivation_symbol(term) for term in ("d", "4", "5", "e"))
    alone = tangent_response().rests["e"].subs({incoming_symbol("0"): 1, incoming_symbol("d"): 0})
    p = pair_symbol
    stated = p(2, 2) * (l_e + 0) + p(3, 1) * l_5 / 2 + p(5, 1) * l_4**2 / 8
    stated += p(4, 2) * l_4 * l_d / 2 + p(3, 3) * l_d**2 / 2
    assert sp.expand(alone - stated) == 0


def test_everything_dropped_vanishes_in_norm() -> None:
    dropped = tangent_response().dropped
    assert all(entry.norm_order >= 1 for entry in dropped)
    assert dropped[-1].argument is NormArgument.FROBENIUS


CELL = CoupledDEQ([State("relu", "1/2"), State("tanh", 0, "1/5")], [["1/4", 0], ["1/3", "1/8"]])


def test_kinds_of_weights_are_all_their_blocks() -> None:
    every = TrainedWeights.of(CELL, TRAINED)
    assert every == TrainedWeights(frozenset({(0, 0), (1, 0), (1, 1)}), frozenset({0}), frozenset({1}))
    rows, inputs, biases = every.variances(CELL)
    assert (rows, inputs, biases) == (CELL.sigma_a2, (sp.Rational(1, 2), 0), (0, sp.Rational(1, 5)))
    rows, inputs, biases = TrainedWeights(recurrent=frozenset({(1, 0)})).variances(CELL)
    assert (rows, inputs, biases) == (((0, 0), (sp.Rational(1, 3), 0)), (0, 0), (0, 0))


def test_weights_that_there_are_not_are_refused() -> None:
    with pytest.raises(CoupledDEQError, match="can be trained are recurrent, input, bias, not 'readout'"):
        TrainedWeights.of(CELL, ["readout"])
    with pytest.raises(CoupledDEQError, match="of the states 0 to 1, not of 2"):
        TrainedWeights.of(CELL, TrainedWeights(recurrent=frozenset({(0, 2)})))
