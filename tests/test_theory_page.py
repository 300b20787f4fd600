"""The formulas of docs/theory.md are those of the code: read back and evaluated like the LaTeX export's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.latex_checks import check_equilibrium, check_ntk, check_systems
from tests.latex_reader import equations, evaluate
from tests.scripts.test_latex_readback import check_equivalents
from theory.equations import pair_symbol, preactivation_symbol, square_symbol, state_response
from theory.latex import general_sets, run
from theory.latex.layout import flat

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "theory.md").read_text("utf-8")


def _displays() -> dict[str, str]:
    """The displays of equations by their first left side, as align environments."""
    blocks = re.findall(r"```math\n(.*?)\n```", PAGE, re.DOTALL)
    texts = [re.sub(r"\{aligned\}", "{align*}", block) for block in blocks if "aligned" in block]
    return {equations(text)[0][0]: text for text in texts}


def test_the_equations() -> None:
    found = _displays()
    assert len(found) == 7
    check_equilibrium(found[r"\tau_*^2"])
    solution = general_sets()["solution"].latex(39_000)
    check_systems(solution, found[r"\alpha_{*,1}"], found[r"\lambda_{*,1}"])
    check_ntk(found[r"\beta_{*,1}"].replace(";", "."), "recurrent")


def test_the_equivalents() -> None:
    found = _displays()
    (inline,) = re.findall(r"\$V = [^$]*\$", PAGE)
    check_equivalents({"equivalents": "\n".join([found[r"\bar G"], inline, found["C"]])})


def test_the_layers() -> None:
    known = {"d_1": 0.6, "d_2": -0.35, "d_22": 0.8, "a_l-1,1": 0.9, "a_l-1,2": 0.3, "a_l-1,3": 0.2, "a_l-1,4": 0.7}
    values = [evaluate(right, known) for _, _, right in equations(_displays()["a_{l,1}"])]
    first, square = 0.6**2, 0.35**2
    expected = [first * 0.9, first * 0.3 + square * 0.49 / 4, first * 0.2 + square * 0.81 / 2, 0.4 * 0.7]
    assert values == pytest.approx(expected)


def test_several_states() -> None:
    """Section 8 as it is derived: what one state does to the coefficients, at numbers."""
    (block,) = (b for b in re.findall(r"```math\n(.*?)\n```", PAGE, re.DOTALL) if "gathered" in b)
    printed = {}
    for line in re.sub(r"\\(begin|end)\{gathered\}", "", block).replace(r"\\\\", "").split("\n"):
        left, equals, right = line.strip(" ,").partition(" = ")
        if equals:
            printed[re.sub("[{}]", "", left)] = right.strip(" ,\\")
    terms = ("S", "d", "dd", "SS", "e", "4", "5")
    numbers = {f"l_{term}": 0.3 + 0.1 * k for k, term in enumerate(terms)}
    pairs = {(1, 1): 0.7, (2, 0): -0.4, (2, 2): 0.9, (3, 1): 0.35, (4, 0): -0.6}
    known = {"F_l": pairs[1, 1], "F_a": pairs[2, 0] / 2, "F_ll": pairs[2, 2], "F_ab": pairs[2, 2] / 4}
    known |= {"F_al": pairs[3, 1] / 2, "F_aa": pairs[4, 0] / 4, "V_1": 0.55, "V_2": -0.8}
    values = {preactivation_symbol(term): numbers[f"l_{term}"] for term in terms}
    values |= {pair_symbol(*orders): value for orders, value in pairs.items()}
    values |= {square_symbol(2): 2 * known["V_1"], square_symbol(4): 4 * known["V_2"]}
    assert set(printed) == {f"g_{term}" for term in terms}
    for term in terms:
        derived = float(state_response().image(term).subs(values))
        assert evaluate(printed[f"g_{term}"], numbers | known) == pytest.approx(derived), term


def test_symbols_are_those_of_the_export() -> None:
    """The systems are written as the export writes them."""
    page = re.sub(r"\s+", "", PAGE)
    for name in ("system", "preactivation", "ntk-recurrent"):
        for equation in general_sets()[name].equations:
            assert re.sub(r"\s+", "", flat(run(equation.right))) in page, equation.left
