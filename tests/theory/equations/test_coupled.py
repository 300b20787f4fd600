"""Section 8 by machine: what is printed there, section 3 as a special case, and exact entries to the order claimed."""

from __future__ import annotations

import pytest
import sympy as sp
from mpmath import mp

from theory.activations import registry
from theory.equations import (
    COUPLED_TERMS,
    DIAGONAL_TERMS,
    CoupledSymbols,
    NormArgument,
    centred_moments,
    deq,
    expand_ck,
    expand_coupled,
    expand_preactivation,
    kept_orders,
    pair_symbol,
    preactivation_symbol,
    square_symbol,
    state_response,
)
from theory.equations.orders import S_ij, delta_i, delta_j
from theory.moments import GaussianMoments, bivariate_moment, correlation
from theory.symbols import alpha, d1, d2, lambda_, sigma_a2, sigma_b2, tau, tau_0

R = sp.Rational
F, F_l, F_a, F_ll, F_al, F_aa = (
    pair_symbol(0, 0), pair_symbol(1, 1), pair_symbol(2, 0) / 2, pair_symbol(2, 2), pair_symbol(3, 1) / 2,
    pair_symbol(4, 0) / 4,
)  # fmt: skip
F_ab, V_1, V_2 = pair_symbol(2, 2) / 4, square_symbol(2) / 2, square_symbol(4) / 4
l_s, l_d, l_4, l_5 = (preactivation_symbol(name) for name in ("S", "d", "4", "5"))


def same(left: sp.Expr, right: sp.Expr) -> bool:
    return bool(sp.cancel(sp.together(left - right)) == 0)


# --- equal to what section 8 states -------------------------------------------------------------------------------


def test_one_state_without_centring_is_as_stated() -> None:
    response = state_response()
    assert response.image("0") == F
    stated = {
        "S": F_l * l_s,
        "d": F_l * l_d + F_a * l_4,
        "dd": F_l * preactivation_symbol("dd") + F_ab * l_4**2 + 2 * F_al * l_4 * l_d + F_ll * l_d**2,
        "SS": F_l * preactivation_symbol("SS") + F_ll * l_s**2 / 2,
        "e": F_l * preactivation_symbol("e") + (F_a * l_5 + F_aa * l_4**2 / 2 + F_al * l_4 * l_d + F_ll * l_d**2 / 2),
        "4": V_1 * l_4,
        "5": V_1 * l_5 + V_2 * l_4**2 / 2,
    }
    for term, value in stated.items():
        assert same(response.image(term), value), term


@pytest.mark.parametrize("count", [1, 2, 3])
def test_states_meet_in_linear_equations(count: int) -> None:
    """(I - Sigma2 D) l = Sigma2 rest + drive, term by term."""
    symbols, response, expansion = CoupledSymbols.of(count), state_response(), expand_coupled(count)
    drives = {"S": symbols.sigma_b2, "4": symbols.sigma_b2, "0": symbols.sigma_c2}
    drives["tau2"] = symbols.sigma_b2 * tau_0**2 + symbols.sigma_c2
    for term in (*COUPLED_TERMS, *DIAGONAL_TERMS):
        images = [
            response.image(term).xreplace({s: sp.Symbol(f"{s.name}^({r})", real=True) for s in
                                           response.image(term).free_symbols})
            for r in range(count)
        ]  # fmt: skip
        wanted = symbols.sigma_a2 * sp.Matrix(images) + drives.get(term, sp.zeros(count, 1))
        for r, equation in enumerate(expansion.equations[term]):
            assert equation.lhs == preactivation_symbol(term, r)
            assert same(equation.rhs, wanted[r]), (term, r)


def test_centred_states_are_as_stated() -> None:
    """lambda_1 .. lambda_4 of section 8, of two states, in closed form."""
    symbols = CoupledSymbols.of(2)
    centred = {**centred_moments(0), **centred_moments(1), **dict.fromkeys(symbols.sigma_c2, sp.S.Zero)}
    first, second = (sp.Matrix([sp.Symbol(f"{d.name}^({r})", real=True) for r in (0, 1)]) for d in (d1, d2))
    square = sp.Matrix([sp.Symbol(f"d_22^({r})", real=True) for r in (0, 1)])
    numbers = dict(zip(symbols.sigma_a2, (R(1, 5), R(3, 10), R(1, 2), R(1, 7)), strict=True))
    numbers |= dict(zip(symbols.sigma_b2, (R(1, 2), R(1, 3)), strict=True))
    numbers |= dict(
        zip((*first, *second, *square), (R(1, 2), R(2, 3), R(1, 4), R(-1, 3), R(1, 2), R(3, 4)), strict=True)
    )
    sigma, drive = symbols.sigma_a2.subs(numbers), symbols.sigma_b2.subs(numbers)
    first, second, square = (vector.subs(numbers) for vector in (first, second, square))
    inverse = (sp.eye(2) - sigma * sp.diag(*(d**2 for d in first))).inv()
    four = (sp.eye(2) - sigma * sp.diag(*(d / 2 for d in square))).inv() * drive
    one = inverse * drive
    stated = {
        "S": one,
        "4": four,
        "dd": inverse * sigma * sp.Matrix([second[r] ** 2 * four[r] ** 2 / 4 for r in (0, 1)]),
        "SS": inverse * sigma * sp.Matrix([second[r] ** 2 * one[r] ** 2 / 2 for r in (0, 1)]),
        "d": sp.zeros(2, 1),
        "e": sp.zeros(2, 1),
    }
    values = {preactivation_symbol(term, r): vector[r] for term, vector in stated.items() for r in (0, 1)}
    for term in stated:
        for equation in expand_coupled(2).equations[term]:
            residual = (equation.lhs - equation.rhs).subs(centred).subs(values).subs(numbers)
            assert residual.subs(values) == 0, (term, residual)


def test_section_3_is_the_case_of_one_centred_state() -> None:
    symbols, expansion = CoupledSymbols.of(1), expand_coupled(1)
    names = {"S": lambda_[1], "dd": lambda_[2], "SS": lambda_[3], "4": alpha[4], "d": 0, "e": 0, "tau2": tau**2}
    values = {preactivation_symbol(term, 0): value for term, value in names.items()}
    values |= {preactivation_symbol("Sd", 0): expand_preactivation().cross, preactivation_symbol("0", 0): 0}
    values |= {preactivation_symbol("5", 0): expand_ck().equations["alpha5"].lhs}
    values |= {symbols.sigma_a2[0]: sigma_a2, symbols.sigma_b2[0]: sigma_b2, symbols.sigma_c2[0]: 0}
    own = {s: sp.Symbol(s.name.removesuffix("^(0)"), **s.assumptions0)
           for v in centred_moments(0).values() for s in v.free_symbols}  # fmt: skip
    stated = {**expand_preactivation().equations, **expand_ck().equations}
    keys = {"S": "lambda1", "dd": "lambda2", "SS": "lambda3", "Sd": "lambda_cross", "4": "alpha4", "5": "alpha5"}
    for term, key in {**keys, "tau2": "tau"}.items():
        (equation,) = expansion.equations[term]
        derived = (equation.lhs - equation.rhs).subs(centred_moments(0)).subs(values).subs(own)
        assert same(derived, stated[key].lhs - stated[key].rhs), term
    for term in ("0", "d", "e"):
        (equation,) = expansion.equations[term]
        assert equation.rhs.subs(centred_moments(0)).subs(values) == 0, term
    assert same(stated["alpha4"].rhs, deq.ck_equations()["alpha4"].rhs)


# --- what is dropped, and what is not -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_everything_dropped_vanishes_in_norm(count: int) -> None:
    for terms in expand_coupled(count).dropped:
        assert all(entry.norm_order >= 1 for entry in terms)
        assert terms[-1].argument is NormArgument.FROBENIUS


def test_what_is_kept_does_not_vanish() -> None:
    assert all(entry.norm_order <= 0 for entry in kept_orders().values())


# --- true of exact entries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "erf", "abs", "swish-like"])
def test_the_entry_of_a_pair_to_second_order(name: str) -> None:
    """F at moved variances and covariance, against the series whose moments are at the centre: an error of order 3."""
    phi = registry.resolve(name if name != "swish-like" else "x**2/3 + sin(x) + 1/4")
    scale, rho = R(6, 5), R(1, 4)
    at = {tau: scale, correlation: rho}
    values = {
        pair_symbol(j, k): bivariate_moment(phi, j, k).subs(at)
        for j, k in ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0))
    }
    moments = GaussianMoments(phi)
    energy = moments.second_moment
    # d/da E[phi^2] = E[(phi^2)'']/2.
    slope = sp.diff(energy, tau) / (2 * tau)
    values |= {square_symbol(0): energy.subs(tau, scale), square_symbol(2): 2 * slope.subs(tau, scale)}
    values[square_symbol(4)] = 4 * (sp.diff(slope, tau) / (2 * tau)).subs(tau, scale)
    numbers = {
        "0": rho * scale**2,
        "S": R(1, 2),
        "d": R(1, 5),
        "SS": R(1, 3),
        "dd": R(2, 7),
        "e": R(-1, 4),
        "Sd": R(1, 9),
    }
    numbers |= {"tau2": scale**2, "4": R(3, 4), "5": R(-2, 5)}
    values |= {preactivation_symbol(term): value for term, value in numbers.items()}
    response = state_response()
    dual = bivariate_pair(phi)
    errors = []
    for size in (R(1, 50), R(1, 100)):
        entry = {S_ij: size, delta_i: -2 * size, delta_j: size / 2}
        series = sum(response.image(t).subs(values) * term.subs(entry) for t, term in COUPLED_TERMS.items())
        square_i, square_j, covariance = (
            sum(numbers[t] * term.subs(place) for t, term in table.items())
            for table, place in (
                (DIAGONAL_TERMS, entry), (DIAGONAL_TERMS, {delta_i: size / 2}), (COUPLED_TERMS, entry),
            )
        )  # fmt: skip
        errors.append(abs((dual(square_i, square_j, covariance) - series).evalf(30)))
        energies = sum(response.image(t).subs(values) * term.subs(entry) for t, term in DIAGONAL_TERMS.items())
        assert abs((energy.subs(tau, sp.sqrt(square_i)) - energies).evalf(30)) < 20 * size**3
    assert errors[0] < 20 * R(1, 50) ** 3
    assert 5 < errors[0] / errors[1] < 12


def bivariate_pair(phi):  # type: ignore[no-untyped-def]
    """F(a, b, l) from the dual activation's own closed form."""
    from theory.moments import dual_form, left_scale, right_scale, sine

    form = dual_form(phi)

    def value(a: sp.Expr, b: sp.Expr, covariance: sp.Expr) -> sp.Expr:
        rho = covariance / sp.sqrt(a * b)
        at = {left_scale: sp.sqrt(a), right_scale: sp.sqrt(b), correlation: rho, sine: sp.sqrt(1 - rho**2)}
        return form.value.subs(at)

    return value


@pytest.mark.parametrize("name", ["relu", "erf"])
@pytest.mark.parametrize(("j", "k"), [(0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0)])
def test_closed_bivariate_moments_are_hermite_series(name: str, j: int, k: int) -> None:
    """sum_n q^n/n! D_{n+j} D_{n+k}, D_n = E[phi^(n)], from closed moments of one variable."""
    moments = GaussianMoments(registry.resolve(name))
    scale, rho = R(6, 5), R(1, 4)
    with mp.workdps(30):
        count = 40
        x_ = sp.Dummy("x")
        raw = [mp.mpf(str(moments.moment(n).subs(tau, scale).evalf(40))) for n in range(count + 5)]
        derivatives = [
            sum(int(c) * raw[m] for (m,), c in sp.Poly(sp.hermite_prob(n, x_), x_).terms()) / mp.mpf(6) ** n * 5**n
            for n in range(count + 5)
        ]
        q = mp.mpf(36) / 25 / 4
        series = mp.fsum(q**n / mp.factorial(n) * derivatives[n + j] * derivatives[n + k] for n in range(count))
        closed = bivariate_moment(registry.resolve(name), j, k).subs({tau: scale, correlation: rho})
        assert abs(series - mp.mpf(str(closed.evalf(30)))) < mp.mpf(10) ** -18


def test_bivariate_expectations_obey_the_heat_equation() -> None:
    unevaluated = bivariate_moment(registry.resolve("tanh"), 1, 1)
    assert unevaluated.free_symbols == {tau, correlation}
    relu = registry.resolve("relu")
    closed = sp.diff(bivariate_moment(relu, 1, 1), tau)
    parts = [bivariate_moment(relu, j, k) for j, k in ((3, 1), (1, 3), (2, 2))]
    whole = tau * (parts[0] + parts[1]) + 2 * correlation * tau * parts[2]
    assert sp.simplify(closed - whole) == 0
    with pytest.raises(ValueError, match="orders >= 0"):
        bivariate_moment(relu, -1, 1)
