"""The printed equations of several states are read back and hold at the solution of theory sheet section 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.latex_reader import equations, evaluate
from theory.equations import PAIR_ORDERS
from theory.latex import coupled_sets

WIDTHS = (23_500, 39_000)
COUNT = 2


def printed(name: str, available: int, *, centred: bool) -> dict[str, str]:
    """Right sides by left side, both without braces, moments under the names that the reader is given."""
    text = coupled_sets(centred=centred)[name].latex(available)
    for j, k in PAIR_ORDERS:
        text = text.replace(rf"\mathbb{{E}}[\phi_r{chr(39) * j}(u)\,\phi_r{chr(39) * k}(v)]", f"P_{{{j}{k}}}")
    for state in "rs":
        for primes in ("", "''", "''''"):
            text = text.replace(
                rf"(\phi_{state}^2){primes}(\tau_{state}\xi)", rf"\phi_{state}{primes}(\tau_{state}\xi)^2"
            )
            moment = rf"\mathbb{{E}}[\phi_{state}{primes}(\tau_{state}\xi)^2]"
            text = text.replace(moment, f"Q_{{{len(primes)},{state}}}")
    for k in (1, 2):
        text = text.replace(rf"\mathbb{{E}}[\phi_r{chr(39) * k}(\tau_r\xi)]", f"D_{k}")
    rows = equations(text)
    assert all(sign == "=" for _, sign, _ in rows)
    return {left.replace("{", "").replace("}", ""): right for left, _, right in rows}


def at(values: dict[str, Any], r: int) -> dict[str, Any]:
    """What a formula of the state r may name."""
    found = {f"{name},r" if "_" in name else f"{name}_r": value[r] for name, value in values.items()}
    sums = [{f"{name},s" if "_" in name else f"{name}_s": v[s] for name, v in values.items()} for s in range(COUNT)]
    return found | {"s": [each | {r"\sigma_rs": np.sqrt(SIGMA[r, s])} for s, each in enumerate(sums)], r"\tau_0": TAU0}


rng = np.random.default_rng(8)
SIGMA, TAU0 = rng.uniform(0.05, 0.4, (COUNT, COUNT)), 1.3
INPUTS, BIASES = rng.uniform(0.2, 1, (2, COUNT))
STD = {r"\sigma_b": np.sqrt(INPUTS), r"\sigma_c": np.sqrt(BIASES)}


def solved(gains: np.ndarray, right: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """(I - Sigma2 D)^{-1} right."""
    return np.linalg.solve(np.eye(COUNT) - SIGMA * gains, right)


def held(sets: dict[str, dict[str, str]], values: dict[str, Any]) -> int:
    """Check every equation at values by name and state, and return how many there are."""
    count = 0
    for rows in sets.values():
        for left, right in rows.items():
            name = left.removesuffix(",r").removesuffix("_r")
            for r in range(COUNT):
                assert evaluate(right, at(values, r)) == pytest.approx(values[name][r], rel=1e-13), left
            count += 1
    return count


@pytest.mark.parametrize("available", WIDTHS)
def test_the_expansion_about_a_limit_reads_back(available: int) -> None:
    """Section 8 with its own names, for R states; the printed system holds at its solution."""
    p = {orders: rng.uniform(0.1, 0.9, COUNT) for orders in PAIR_ORDERS}
    q0, q2, q4 = rng.uniform(0.1, 0.9, (3, COUNT))
    f = {"": p[0, 0], "l": p[1, 1], "a": p[2, 0] / 2, "ll": p[2, 2], "al": p[3, 1] / 2, "aa": p[4, 0] / 4}
    v1, v2, f_ab = q2 / 2, q4 / 4, p[2, 2] / 4
    coefficients = {"S": solved(f["l"], INPUTS), "4": solved(v1, INPUTS)}
    four = coefficients["4"]
    coefficients["5"] = solved(v1, SIGMA @ (v2 / 2 * four**2))
    coefficients["d"] = d = solved(f["l"], SIGMA @ (f["a"] * four))
    rests = {
        "dd": f_ab * four**2 + 2 * f["al"] * four * d + f["ll"] * d**2,
        "SS": f["ll"] * coefficients["S"] ** 2 / 2,
        "e": f["a"] * coefficients["5"] + f["aa"] * four**2 / 2 + f["al"] * four * d + f["ll"] * d**2 / 2,
    }
    coefficients |= {term: solved(f["l"], SIGMA @ rest) for term, rest in rests.items()}
    kernels = {term: f["l"] * coefficients[term] + rests.get(term, 0) for term in ("S", "d", *rests)}
    kernels["d"] = kernels["d"] + f["a"] * four
    kernels |= {"4": v1 * four, "5": v1 * coefficients["5"] + v2 / 2 * four**2}
    values: dict[str, Any] = {f"F_{name}" if name else "F": value for name, value in f.items()}
    values |= {"V_1": v1, "V_2": v2} | STD | {"Q_0": q0, "Q_2": q2, "Q_4": q4}
    values |= {f"l_{term}": value for term, value in coefficients.items()}
    values |= {f"g_{term}": value for term, value in kernels.items()}
    values |= {r"\tau": np.sqrt(SIGMA @ q0 + INPUTS * TAU0**2 + BIASES), "q": SIGMA @ p[0, 0] + BIASES}
    sets = {name: printed(name, available, centred=False) for name in coupled_sets(centred=False)}
    (square,) = (sets["coupled-equilibrium"].pop(left) for left in (r"\tau_r^2",))
    for r in range(COUNT):
        assert evaluate(square, at(values, r)) == pytest.approx(values[r"\tau"][r] ** 2, rel=1e-13)
        for left, right in sets["coupled-moments"].items():
            known = at(values, r) | {f"P_{j}{k}": moment[r] for (j, k), moment in p.items()}
            assert evaluate(right, known) == pytest.approx(values[left.removesuffix(",r").removesuffix("_r")][r])
    del sets["coupled-moments"]
    assert held(sets, values) == 1 + 7 + 7


@pytest.mark.parametrize("available", WIDTHS)
def test_centred_states_have_the_equations_of_section_3(available: int) -> None:
    d1, d2, q0, q2 = rng.uniform(0.1, 0.9, (4, COUNT))
    v1 = q2 / 2
    one, four = solved(d1**2, INPUTS), solved(v1, INPUTS)
    square, cross = d2**2 * four**2 / 4, d2**2 * one**2 / 2
    two, three = solved(d1**2, SIGMA @ square), solved(d1**2, SIGMA @ cross)
    values: dict[str, Any] = {"d_1": d1, "d_2": d2, "V_1": v1, "Q_0": q0, "Q_2": q2} | STD
    values |= {rf"\lambda_{k}": value for k, value in enumerate((one, two, three, four), start=1)}
    values |= {r"\alpha_1": d1**2 * one, r"\alpha_2": d1**2 * two + square, r"\alpha_3": d1**2 * three + cross}
    sets = {name: printed(name, available, centred=True) for name in coupled_sets(centred=True)}
    for r in range(COUNT):
        known = at(values, r)
        scale = evaluate(sets["coupled-equilibrium"][r"\tau_r^2"], known)
        assert scale == pytest.approx((SIGMA @ q0 + INPUTS * TAU0**2)[r], rel=1e-13)
        found = sets["coupled-moments"]
        assert evaluate(found["V_1,r"], known) == pytest.approx(v1[r])
        assert evaluate(found[r"\gamma_r^2"], known) == q0[r]
        assert [evaluate(found[f"d_{k},r"], known | {"D_1": 2.0, "D_2": 3.0}) for k in (1, 2)] == [2.0, 3.0]
    del sets["coupled-equilibrium"], sets["coupled-moments"]
    assert held(sets, values) == 3 + 4
