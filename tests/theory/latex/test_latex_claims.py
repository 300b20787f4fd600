"""The formulas of the ledger's claims, as they are printed, read back and evaluated."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.latex_reader import evaluate
from theory.claims import CLAIMS
from theory.equations import deq, layers, linear_network
from theory.matching import TARGETS, two_rates
from theory.symbols import alpha, d1, d2, d22, dd, gamma2, lambda_, sigma_a2, sigma_b2, tau, variance

WEIGHT_A, WEIGHT_B = 0.3, 0.7
D1, D2, D22, DD = 0.6, -0.35, 0.8, 0.5
VALUES = {sigma_a2: WEIGHT_A, sigma_b2: WEIGHT_B, d1: D1, d2: D2, d22: D22, dd: DD, gamma2: 0.4}


def _environment() -> dict[str, Any]:
    """Moments, and the coefficients that theory derives from them."""
    found: dict[str, Any] = {"d_1": D1, "d_2": D2, "d_22": D22, "d22": D22, "d1": D1, "variance": 0.4}
    found |= {
        r"\sigma_a": WEIGHT_A**0.5,
        r"\sigma_b": WEIGHT_B**0.5,
        r"\tau_0": 1.1,
        r"\tau_*": 0.83,
        r"\gamma_*": 0.4**0.5,
    }
    known = deq.ck_coefficients() | deq.preactivation_coefficients()
    coefficients = {key: float(expr.subs(VALUES)) for key, expr in known.items()}
    found |= {rf"\{key[:-1]}_{key[-1]}": value for key, value in coefficients.items()}
    values = VALUES | {alpha[k]: coefficients[f"alpha{k}"] for k in alpha}
    values |= {lambda_[k]: coefficients[f"lambda{k}"] for k in lambda_}
    ntk = deq.ntk_coefficients("recurrent")
    parts = zip((r"\beta_1", r"\beta_2", r"\beta_3"), (ntk.linear, ntk.variance, ntk.square), strict=True)
    return found | {name: float(part.subs(values)) for name, part in parts}


def _equations(identifier: str) -> list[tuple[str, str]]:
    """(left, right) of the equations of a claim."""
    parts = re.split(r",\s*(?:\\quad|\\ )\s*", CLAIMS[identifier].latex)
    return [tuple(part.split(" = ", 1)) for part in parts if " = " in part]  # type: ignore[misc]


@pytest.mark.parametrize(("identifier", "count"), [("system", 2), ("forms", 2), ("ntk-system", 4)])
def test_equations_between_coefficients(identifier: str, count: int) -> None:
    known = _environment()
    found = _equations(identifier)
    assert len(found) == count
    for left, right in reversed(found):  # abbreviations stand last
        if left.startswith("("):
            factor, pair = right.split(" (")
            for one, other in zip(left.strip("()").split(", "), pair.strip("()").split(", "), strict=True):
                assert known[one] == pytest.approx(evaluate(factor, known) * known[other])
        elif left in known:
            assert evaluate(right, known) == pytest.approx(known[left], rel=1e-13), left
        else:
            known[left] = evaluate(right, known)


def test_the_layers() -> None:
    """Against the step that theory states, at numbers for the layer before."""
    known = _environment() | {"a_l-1,1": 0.9, "a_l-1,2": 0.3, "a_l-1,4": 0.7}
    before = replace(layers.input_layer(), a1=0.9, a2=0.3, a4=0.7)
    after = layers.next_layer(before)
    printed = {left: evaluate(right, known) for left, right in _equations("layers")}
    assert printed == pytest.approx({"a_{l,1}": float(after.a1.subs(VALUES)), "a_{l,2}": float(after.a2.subs(VALUES))})


def test_equilibrium_and_gains() -> None:
    known = _environment()
    ((left, right),) = _equations("equilibrium")
    assert left == r"\tau_*^2"
    assert evaluate(right, known) == pytest.approx(WEIGHT_A * 0.4 + WEIGHT_B * 1.1**2)
    *_, (r, first), (s, second) = _equations("tied-layers")
    assert (r, s) == ("r", "s")
    assert evaluate(first, known) == pytest.approx(WEIGHT_A * D22 / 2)
    assert evaluate(second, known) == pytest.approx(WEIGHT_A * D1**2)
    ((left, right),) = _equations("limit-unstable")
    assert (evaluate(left, known), right) == (pytest.approx(WEIGHT_A * D22 / 2), "1")
    image = CLAIMS["bulk"].latex.removeprefix(r"x \mapsto ")
    expected = known[r"\alpha_1"] * 0.7 + 0.4 - 1.1**2 * known[r"\alpha_1"]
    assert evaluate(image, known | {"x": 0.7}) == pytest.approx(expected)


def test_the_layer_with_two_rates() -> None:
    """Against the layer that theory derives, at numbers for the targets."""
    targets = dict(zip(TARGETS, (0.3, 0.05, 0.2, 0.7), strict=True))
    known = {symbol.name: value for symbol, value in targets.items()}
    squares = {}
    for left, right in _equations("layers-with-rates"):
        squares[left] = known[left.removesuffix("^2")] = evaluate(right, known)
    assert squares["w_0"] == pytest.approx(float(two_rates()[0].subs(targets)))
    energies = {k: (1 + k * squares["w_0"]) * squares[f"c_{k}^2"] for k in (1, 2, 3)}
    assert energies == pytest.approx({1: 0.3, 2: 0.2, 3: 0.7 - 0.3 - 0.2})
    assert squares["c_2^2"] == pytest.approx(2 * 0.05)


def test_the_linear_networks() -> None:
    """Against the expressions that theory has, S or the kernel below being a number."""
    known = _environment() | {r"\gamma_l": 0.4**0.5, r"\tau_l": 0.83, "S": 0.7, "I": 1.0, "G_l-1": 0.7}
    network, values = linear_network(), VALUES | {tau: 0.83, variance: 0.4}
    s, rows = (evaluate(right, known) for _, right in _equations("width-law-deq")[1:])
    assert s**2 == pytest.approx(float(network.feedback2.subs(values)))
    assert rows == pytest.approx(float((0.7 * network.linear + network.identity).subs(values)))
    sigma, *parts = _equations("width-law-explicit")
    known |= {left: evaluate(right, known) for left, right in parts}
    untied = values | {sigma_a2: 0, sigma_b2: 1}
    assert evaluate(sigma[1], known) == pytest.approx(float((0.7 * network.linear + network.identity).subs(untied)))


#: Claims whose formula is no equation between numbers: a limit, a rate, a reading, an assumption.
_STATEMENTS = {
    "stability", "ck-rate", "ck-slope", "ck", "ntk-recurrent", "ntk-preactivation", "ntk-all", "explicit-ck",
    "explicit-ntk", "ntk-rate", "finite-width", "ntk-parameters", "universality-weights", "universality-data",
    "few-coefficients", "outliers", "transition", "variant-extra-diagonal", "variant-centred-T",
    "variant-elementwise-T", "tau0-reading", "limit-spike", "limit-jump", "limit-traces",
    "plain-layers", "leaky-pairs", "quadratic-layers", "released-parameters",
    "real-gbar", "real-second-order", "real-design", "real-accuracy", "released-pairs",
    "states-rate", "uncentred-rate", "states-ntk-rate", "width-law-tied-differs", "width-law-universal",
    "learning-ck", "learning-ntk", "learning-matched", "learning-features",
}  # fmt: skip
_EVALUATED = {
    "equilibrium",
    "system",
    "forms",
    "ntk-system",
    "layers",
    "tied-layers",
    "limit-unstable",
    "bulk",
    "layers-with-rates",
    "width-law-explicit",
    "width-law-deq",
}


def test_every_claim_is_evaluated_or_a_statement() -> None:
    assert set(CLAIMS) == _STATEMENTS | _EVALUATED
    assert not _STATEMENTS & _EVALUATED
