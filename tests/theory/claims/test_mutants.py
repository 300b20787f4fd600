"""Generated wrong theories: how many there are, and that every one is wrong or proved to be the truth."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from theory.claims import (
    AT_TAU_0,
    Formula,
    Theory,
    formulas,
    mutant_census,
    mutations,
    planted_errors,
    true_theory,
    wrong_theories,
)
from theory.equations import kernel_coefficients
from theory.kernels import Kernel
from theory.symbols import d1, d2, d22, sigma_a2, sigma_b2

#: Errors that the planted ones of before, on ReLU at sigma_a^2 = 1/5, let pass.
BLIND_SPOTS = (
    "beta_3: second term halved",
    "beta_3: alpha_1 for lambda_1 in the second term",
    "theta_3: exponent -2 of D in the third term halved",
    "equation of alpha_4: d_22 at tau_0 in the second term",
)


def found(name: str) -> Theory:
    return mutant_census().theory(name)


def expressions(theory: Theory) -> tuple[sp.Expr, ...]:
    return (*theory.coefficients, theory.scale, *vars(theory.assembly).values())


def random_point(rng: np.random.Generator) -> dict[sp.Symbol, float]:
    """Floats for all symbols, at which no denominator of a true formula is near 0."""
    wrong = mutant_census().wrong.values()
    symbols = {symbol for theory in wrong for one in expressions(theory) for symbol in one.free_symbols}
    return {symbol: float(rng.uniform(0.3, 0.9)) for symbol in sorted(symbols, key=str)}


def test_every_formula_with_its_true_expression_is_the_true_theory() -> None:
    for formula in formulas():
        theory, true = formula.theory(formula.expression), true_theory(formula.kernel)
        for one, two in zip(expressions(theory), expressions(true), strict=True):
            assert sp.cancel(sp.together(one - two)) == 0, formula.name


def test_the_changes_of_a_small_formula_are_those_counted_by_hand() -> None:
    changes = dict(mutations(1 - sigma_a2 * d1**2))
    # The whole; two terms; in the second -1, sigma_a^2, d1^2, its base and its exponent: four changes at each.
    # The exchanges: sigma_b^2; d2, d22, dd, v; d1 at tau_0.
    assert len(changes) == 4 * 8 + 1 + 4 + 1
    assert changes["second term halved"] == 1 - sigma_a2 * d1**2 / 2
    assert changes["first term dropped"] == -sigma_a2 * d1**2
    assert changes["exponent 2 of d_1 in the second term halved"] == 1 - sigma_a2 * d1
    assert changes["d_1 at tau_0 in the second term"] == 1 - sigma_a2 * AT_TAU_0[d1] ** 2


@pytest.mark.parametrize("formula", formulas(), ids=lambda formula: formula.name)
def test_every_formula_is_changed_at_every_place(formula: Formula) -> None:
    def places(node: sp.Basic) -> int:
        return 1 + sum(map(places, node.args))

    names = [name for name, _ in mutations(formula.expression)]
    assert len(set(names)) == len(names) == mutant_census().generated[formula.name]
    assert sum(name.endswith((" dropped", " doubled", " halved", "other sign")) for name in names) == 4 * places(
        formula.expression
    )


def test_every_change_is_wrong_merged_equal_or_undefined() -> None:
    census = mutant_census()
    kinds = [*census.wrong], [*census.merged], [one.identifier for one in census.equal], [*census.undefined]
    assert sum(map(len, kinds)) == len(set().union(*kinds)) == sum(census.generated.values())
    assert set(census.merged.values()) <= set(census.wrong)


def test_wrong_theories_differ_from_the_truth_at_a_point_and_from_one_another() -> None:
    point = random_point(np.random.default_rng(3))
    arguments = list(point)

    # A wrong theory shares all but a few of its expressions with the true one.
    @cache
    def value(expression: sp.Expr) -> complex:
        program = sp.lambdify(arguments, expression, modules="math")
        return complex(program(*point.values()))

    def values(theory: Theory) -> tuple[complex, ...]:
        return tuple(value(expression) for expression in expressions(theory))

    seen: dict[tuple[str, ...], str] = {}
    for name, theory in mutant_census().wrong.items():
        here, true = values(theory), values(true_theory(theory.kernel))
        assert max(abs(a - b) for a, b in zip(here, true, strict=True)) > 1e-9, name
        rounded = (theory.kernel, *(f"{value:.9e}" for value in here))
        assert rounded not in seen, (name, seen[rounded])
        seen[rounded] = name


def test_what_is_set_aside_as_equal_is_equal() -> None:
    by_name = {formula.name: formula for formula in formulas()}
    for one in mutant_census().equal:
        formula = by_name[one.formula]
        theory = formula.theory(dict(mutations(formula.expression))[one.identifier.removeprefix(f"{one.formula}: ")])
        for wrong, right in zip(expressions(theory), expressions(true_theory(formula.kernel)), strict=True):
            assert sp.cancel(sp.together(wrong - right)) == 0, one.identifier


@pytest.mark.parametrize("name", BLIND_SPOTS)
def test_known_blind_spots_are_among_them(name: str) -> None:
    assert found(name).source == "generated"


def test_known_blind_spots_are_what_they_say() -> None:
    lost = 1 - sigma_a2 * d1**2
    lambda_1 = sigma_b2 / lost
    alpha_1 = d1**2 * lambda_1
    alpha_3 = d2**2 * lambda_1**2 / (2 * lost)
    expected = {
        BLIND_SPOTS[0]: alpha_3 / lost + sigma_a2 * d2**2 * alpha_1 * lambda_1 / lost**2 / 2,
        BLIND_SPOTS[1]: alpha_3 / lost + sigma_a2 * d2**2 * alpha_1**2 / lost**2,
        BLIND_SPOTS[2]: alpha_3 + d1**2 * sigma_a2 * alpha_3 / lost + d2**2 * lambda_1**2 / lost,
    }
    for name, square in expected.items():
        assert sp.cancel(found(name).coefficients.square - square) == 0, name
    response = sigma_b2 / (1 - sigma_a2 * AT_TAU_0[d22] / 2)
    assert sp.cancel(found(BLIND_SPOTS[3]).coefficients.variance - d2**2 * response**2 / 4 / lost) == 0


def test_one_change_alters_one_place() -> None:
    for theory in mutant_census().wrong.values():
        true = true_theory(theory.kernel)
        changed = [
            theory.coefficients != true.coefficients,
            theory.scale != true.scale,
            theory.assembly != true.assembly,
        ]
        assert sum(changed) == 1, theory.identifier


def test_an_equation_s_exchanged_symbol_has_its_true_value() -> None:
    theory = found("equation of alpha_1: alpha_3 for alpha_1 in the second term of alpha_1*sigma_a^2 + sigma_b^2")
    true = kernel_coefficients(Kernel.CK)
    assert sp.cancel(theory.coefficients.linear - d1**2 * (sigma_a2 * true.square + sigma_b2)) == 0


def test_generating_twice_gives_the_same_in_the_same_order() -> None:
    first = list(mutant_census().wrong)
    mutant_census.cache_clear()
    assert list(mutant_census().wrong) == first


def test_the_documentation_counts_what_is_made() -> None:
    text = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text()
    table = dict(re.findall(r"^\| ([a-z][^|]*?) \| (\d+) \|$", text, flags=re.MULTILINE))
    census = mutant_census()
    counted = {
        "changes": sum(census.generated.values()),
        "equal to the truth, proved by normal forms": len(census.equal),
        "undefined (they divide by 0)": len(census.undefined),
        "the same as another": len(census.merged),
        "wrong theories": len(census.wrong),
    }
    assert {name: int(table[name]) for name in counted} == counted
    listed = len(wrong_theories()) - len(census.wrong)
    assert f"added {listed} from a list" in text
    assert f"they are {len(wrong_theories())}." in text


def test_a_listed_error_is_kept_only_where_none_that_is_made_says_the_same() -> None:
    kept = set(wrong_theories()) & set(planted_errors())
    # alpha_2 without its term is also made; a tenth more, a wrong T and another NTK's coefficients are not.
    assert "alpha_2 absent" not in kept
    assert {"ck variance +10 %", "centred-T", "uncentred diagonal"} <= kept
    assert len(kept) + len(mutant_census().wrong) == len(wrong_theories())
