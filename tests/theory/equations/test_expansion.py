"""The derivation by machine: equal to the stated systems, and true of exact kernels to the order it claims.

The exact kernels are those of a pair of samples.  Their recursion is solved for the data: choosing the preactivations'
variances tau^2 + T_i, tau^2 + T_j and covariance L gives G in closed form (Isserlis' theorem for polynomials,
arc-cosine and arc-sine formulas), and L = sigma_a^2 G + sigma_b^2 S gives S and the norms without solving anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import sympy as sp
from mpmath import mp

from numerics.data import GaussianMixture
from numerics.equilibrium import solve
from theory.activations import registry
from theory.equations import DEQ, ExpansionError, NormArgument, deq, expansion, layers, orders
from theory.equations.orders import EntrySeries, S_ij, delta_i, delta_j, derivative_moment, dual, epsilon, square_moment
from theory.kernels import NTK_KINDS, PARTS, Kernel
from theory.moments import GaussianMoments
from theory.symbols import alpha, d2, dd, gamma2, lambda_, sigma_a2, sigma_b2, tau, tau_0, variance, x

KINDS = NTK_KINDS
EXPANSIONS: dict[str, Callable[[], expansion.Expansion]] = {
    "ck": expansion.expand_ck,
    "preactivation form": expansion.expand_preactivation,
    **{kind: partial(expansion.expand_ntk, kind) for kind in KINDS},
    "layer ck": lambda: expansion.expand_layer().ck,
    "layer ntk": lambda: expansion.expand_layer().ntk,
}


#: Layer 0, the data: the coefficients of S, by the names of ``PREVIOUS_LAYER``.
INPUT_LAYER = {
    letter + name: orders.coefficient(orders.GRAM.off_diagonal, term)
    for letter in "ab"
    for name, term in (
        ("1", S_ij), ("2", delta_i * delta_j), ("3", S_ij**2), ("_cross", S_ij * (delta_i + delta_j)),
    )
} | {
    name: orders.coefficient(orders.GRAM.diagonal, delta_i**k)
    for names in (("tau2", "a4", "a5"), ("kappa2", "b4", "b5"))
    for k, name in enumerate(names)
}  # fmt: skip


def _same(left: sp.Expr, right: sp.Expr) -> bool:
    return bool(sp.cancel(sp.together(left - right)) == 0)


def _same_equation(left: sp.Eq, right: sp.Eq) -> bool:
    return _same(left.lhs - left.rhs, right.lhs - right.rhs)


# --- equal to the stated systems -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("expanded", "stated"),
    [(expansion.expand_ck, deq.ck_equations), (expansion.expand_preactivation, deq.preactivation_equations)],
)
def test_equations_are_derived(expanded: Callable[[], Any], stated: Callable[[], Mapping[str, sp.Eq]]) -> None:
    for name, equation in stated().items():
        assert _same_equation(expanded().equations[name], equation), name


@pytest.mark.parametrize("expanded", [expansion.expand_ck, expansion.expand_preactivation])
def test_scale_is_derived(expanded: Callable[[], expansion.Expansion]) -> None:
    equations = expanded().equations
    assert equations["tau"] == deq.tau_equation()
    assert _same_equation(equations["alpha4"], deq.ck_equations()["alpha4"])
    assert _same(equations["alpha4"].rhs.coeff(alpha[4]), deq.stability_slope())


def test_moving_the_centre_does_not_change_the_stability_slope() -> None:
    """Var phi = E[phi^2] - E[phi]^2, and E[phi] at another scale is of first order."""
    moved = dual(EntrySeries(sp.S.Zero, tau**2 + delta_i))
    mean = delta_i * d2 / 2
    slope = sp.diff(moved.diagonal - mean**2, delta_i).subs(delta_i, 0)
    assert _same(sigma_a2 * slope, deq.stability_slope())


@pytest.mark.parametrize("kind", KINDS)
def test_ntk_coefficients_are_derived(kind: str) -> None:
    derived, stated = expansion.expand_ntk(kind).coefficients, deq.ntk_coefficients(kind)
    for part, one, other in zip(PARTS, derived, stated, strict=True):
        assert _same(one, other), part


def _at_the_deq() -> dict[sp.Symbol, sp.Expr]:
    """The layer before, at the fixed point of the weight-tied network: a_4 is that of G, alpha_4 that of L."""
    values = {f"a{k}": alpha[k] for k in (1, 2, 3)} | {"a4": (alpha[4] - sigma_b2) / sigma_a2}
    values["a_cross"] = expansion.expand_ck().cross
    return {expansion.PREVIOUS_LAYER[name]: value for name, value in values.items()}


def test_ntk_of_all_parameters_solves_its_own_recursion() -> None:
    """K = G + Gdot (sigma_a^2 K + sigma_b^2 S), the layer recursion at its fixed point, and no other route to it."""
    layer = expansion.expand_layer(sigma_a2, sigma_b2).ntk.equations
    whole, ck = expansion.expand_ntk("all"), expansion.expand_ck()
    on_shell = {lambda_[1]: sigma_a2 * alpha[1] + sigma_b2, lambda_[2]: sigma_a2 * alpha[2]}
    on_shell |= {lambda_[3]: sigma_a2 * alpha[3], tau**2: sigma_a2 * gamma2 + sigma_b2 * tau_0**2}
    on_shell[expansion.expand_preactivation().cross] = sigma_a2 * ck.cross
    values = dict(zip(("b1", "b2", "b3", "kappa2"), whole.coefficients, strict=True)) | {"b_cross": whole.cross}
    fixed = _at_the_deq() | {expansion.PREVIOUS_LAYER[name]: value for name, value in values.items()}
    solved = {alpha[k]: deq.ck_coefficients()[f"alpha{k}"] for k in alpha}
    cross = ck.equations["alpha_cross"]
    solved[cross.lhs] = sp.solve(cross, cross.lhs)[0].subs(solved)
    for name, value in values.items():
        residual = (value - layer[name].rhs.subs(fixed).subs(variance, gamma2)).subs(on_shell).subs(solved)
        assert _same(residual, sp.S.Zero), name


@pytest.mark.parametrize("rate", [sp.S.One, sp.Symbol("r", nonnegative=True)], ids=["one rate", "own rate"])
@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("weights", [(sp.S.One, sp.S.Zero), (sigma_a2, sigma_b2)], ids=["plain", "tied"])
def test_layer_recursion_is_derived(weights: tuple[sp.Expr, sp.Expr], trained: bool, rate: sp.Expr) -> None:
    names = [field.name for field in fields(layers.LayerCoefficients)]
    previous = layers.LayerCoefficients(**{name: expansion.PREVIOUS_LAYER[name] for name in names})
    stated = layers.next_layer(previous, *weights, input_weights_trained=trained, rate=rate)
    found = expansion.expand_layer(*weights, input_weights_trained=trained, rate=rate)
    derived = {**found.ck.equations, **found.ntk.equations}
    for name in names:
        assert _same(derived[name].rhs, getattr(stated, name)), name
    assert _same(found.scale2, layers.preactivation(previous, *weights).tau2)


def test_input_layer_is_derived() -> None:
    stated = layers.input_layer()
    for field in fields(stated):
        assert _same(INPUT_LAYER[field.name], getattr(stated, field.name)), field.name


def test_tied_layers_have_the_deq_as_fixed_point() -> None:
    layer = expansion.expand_layer(sigma_a2, sigma_b2).ck.equations
    deq = expansion.expand_ck().equations
    for name in ("1", "2", "3", "_cross"):
        assert _same(layer[f"a{name}"].rhs.subs(_at_the_deq()), deq[f"alpha{name}"].rhs)
    assert _same(sigma_a2 * layer["a4"].rhs.subs(_at_the_deq()) + sigma_b2, deq["alpha4"].rhs)


def test_one_hidden_layer_has_a3_twice_a2() -> None:
    first = expansion.expand_layer().ck.equations
    start = {symbol: INPUT_LAYER[name] for name, symbol in expansion.PREVIOUS_LAYER.items()}
    assert first["a2"].rhs.subs(start) == d2**2 / 4
    assert _same(first["a3"].rhs.subs(start), 2 * first["a2"].rhs.subs(start))


def test_unknown_ntk_is_refused() -> None:
    with pytest.raises(ValueError, match="accepted are recurrent"):
        expansion.expand_ntk("full")


def test_what_the_form_assumed_excludes_is_refused() -> None:
    with pytest.raises(ExpansionError, match="vanish"):
        dual(EntrySeries(sp.Rational(1, 2) + S_ij, tau**2))
    with pytest.raises(ExpansionError, match="not symmetric"):
        orders.coefficient(S_ij * delta_i, S_ij * (delta_i + delta_j))


def test_without_centring_there_is_no_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    """With E[phi] != 0 the entries do not vanish, and next to them delta_i + delta_j has a coefficient."""
    monkeypatch.setattr(orders, "derivative_moment", lambda order: sp.Symbol(f"d_{order}"))
    with pytest.raises(ExpansionError, match=r"tend to d_0\*\*2"):
        expansion.expand_ck.__wrapped__()


@pytest.mark.parametrize("term", [delta_i + delta_j, delta_i**2 + delta_j**2], ids=str)
def test_a_term_that_nothing_makes_small_is_refused(term: sp.Expr) -> None:
    with pytest.raises(ExpansionError, match="does not vanish"):
        expansion._matched(expansion._ALPHA, alpha[1] * S_ij + term / 3)


# --- polynomial activations: exact to the order claimed ------------------------------------------

#: Any numbers will do; none of them is special.
WEIGHTS = {sigma_a2: sp.Rational(1, 5), sigma_b2: sp.Rational(3, 4)}
TAU2 = sp.Rational(9, 10)
DIRECTION = {"T_i": sp.Rational(1, 2), "T_j": -sp.Rational(1, 3), "L": sp.Rational(2, 5)}
PHI = x + x**2 / 10 + x**3 / 20


@cache
def _isserlis(m: int, n: int, at: tuple[sp.Expr, sp.Expr, sp.Expr]) -> sp.Expr:
    """E[u^m v^n] for variances at[0], at[1] and covariance at[2], by pairing the first factor with each other one."""
    if m == 0 and n == 0:
        return sp.S.One
    if m == 0:
        return _isserlis(n, 0, (at[1], at[0], at[2]))
    total = sp.S.Zero
    if m > 1:
        total += (m - 1) * at[0] * _isserlis(m - 2, n, at)
    if n > 0:
        total += n * at[2] * _isserlis(m - 1, n - 1, at)
    return sp.expand(total)


def _pair(f: sp.Expr, g: sp.Expr, at: tuple[sp.Expr, sp.Expr, sp.Expr]) -> sp.Expr:
    """E[f(u) g(v)] of polynomials."""
    left, right = sp.Poly(f, x), sp.Poly(g, x)
    return sp.expand(sp.Add(*(a * b * _isserlis(m, n, at) for (m,), a in left.terms() for (n,), b in right.terms())))


def _mean(f: sp.Expr, scale2: sp.Expr) -> sp.Expr:
    return _pair(f, sp.S.One, (scale2, sp.S.Zero, sp.S.Zero))


def _polynomial_moments(phi: sp.Expr, scale2: sp.Expr) -> dict[sp.Symbol, sp.Expr]:
    """The moments' symbols and values for a centred polynomial, each the mean of a derivative."""
    values = {derivative_moment(k): _mean(sp.diff(phi, x, k), scale2) for k in range(1, 6)}
    for derivative, f in enumerate((phi, sp.diff(phi, x))):
        values |= {square_moment(derivative, k): _mean(sp.diff(f**2, x, k), scale2) for k in (0, 2, 4)}
    return values


def _solved(equations: Mapping[str, sp.Eq], known: Mapping[sp.Symbol, sp.Expr], skip: set[str]) -> dict[sp.Symbol, Any]:
    """Solve the equations for their left sides, one after the other."""
    values = dict(known)
    for name in sorted(set(equations) - skip, key=lambda n: ("4" not in n, "5" not in n, "1" not in n, n)):
        equation = equations[name]
        residual = equation.lhs - equation.rhs.subs(values)
        # Every equation is linear in its own unknown.
        at_zero, at_one = (residual.subs(equation.lhs, value) for value in (0, 1))
        values[equation.lhs] = at_zero / (at_zero - at_one)
    return values


class _Pair:
    """Two samples of a DEQ with a polynomial activation: kernels and data as exact polynomials in epsilon."""

    def __init__(self, phi_0: sp.Expr) -> None:
        phi = phi_0 - _mean(phi_0, TAU2)
        slope = sp.diff(phi, x)
        s, b = WEIGHTS[sigma_a2], WEIGHTS[sigma_b2]
        self.variances = [TAU2 + DIRECTION[key] * epsilon for key in ("T_i", "T_j")]
        self.L = DIRECTION["L"] * epsilon
        at = (*self.variances, self.L)
        self.G, self.Gdot = _pair(phi, phi, at), _pair(slope, slope, at)
        self.S = sp.expand((self.L - s * self.G) / b)
        self.tau02 = (TAU2 - s * _mean(phi**2, TAU2)) / b
        self.deltas = [sp.expand((v - s * _mean(phi**2, v)) / b - self.tau02) for v in self.variances]
        self.G_ii = _mean(phi**2, self.variances[0])
        self.Gdot_ii = _mean(slope**2, self.variances[0])
        known = _polynomial_moments(phi, TAU2) | WEIGHTS | {gamma2: _mean(phi**2, TAU2)}
        known[tau] = sp.sqrt(TAU2)
        known = _solved(expansion.expand_ck().equations, known, {"tau", "gamma2"})
        self.values = _solved(expansion.expand_preactivation().equations, known, {"tau", "alpha4", "alpha5"})

    def entry(self, expr: sp.Expr) -> sp.Expr:
        """A polynomial of the theory's entries, off the diagonal or on it, at this pair."""
        di, dj = self.deltas
        return sp.expand(expr.subs(self.values).subs({S_ij: self.S, delta_i: di, delta_j: dj}, simultaneous=True))


@cache
def _deq() -> _Pair:
    return _Pair(PHI)


def _coefficients(expr: sp.Expr) -> list[sp.Expr]:
    """Coefficients of 1, epsilon, epsilon^2, epsilon^3."""
    polynomial = sp.Poly(sp.expand(expr), epsilon)
    return [polynomial.coeff_monomial(epsilon**k) for k in range(4)]


def _defect(kind: str, *, diagonal: bool = False, extra: sp.Expr = sp.S.Zero) -> sp.Expr:
    """Exact entry less its expansion (plus ``extra``), an NTK's times 1 - sigma_a^2 Gdot so as to have no fraction."""
    pair, kernel = _deq(), EXPANSIONS[kind]().kernel
    G, L, Gdot, series = pair.G, pair.L, pair.Gdot, kernel.off_diagonal
    if diagonal:
        G, L, Gdot, series = pair.G_ii, pair.variances[0], pair.Gdot_ii, kernel.diagonal
    gap = 1 - WEIGHTS[sigma_a2] * Gdot if kind in KINDS else sp.S.One
    exact = {"ck": G, "preactivation form": L, "recurrent": G, "preactivation": L, "all": G * gap + L * Gdot}[kind]
    return sp.expand(exact - gap * pair.entry(series + extra))


DEQ_KERNELS = ("ck", "preactivation form", *KINDS)


@pytest.mark.parametrize("kind", DEQ_KERNELS)
@pytest.mark.parametrize("diagonal", [False, True], ids=["off diagonal", "diagonal"])
def test_expansion_is_exact_to_second_order(kind: str, diagonal: bool) -> None:
    *lower, third = _coefficients(_defect(kind, diagonal=diagonal))
    assert lower == [0, 0, 0]
    assert third != 0


def test_halving_epsilon_divides_the_error_by_eight() -> None:
    """The fixed point's error as a number: eight from one epsilon to the next, and only four without the cross term."""
    cross = expansion.expand_ck().cross * S_ij * (delta_i + delta_j)
    for error, ratio in ((_defect("ck"), 8), (_defect("ck", extra=-cross), 4)):
        first, second = (abs(error.subs(epsilon, sp.Rational(1, 2**k))) for k in (10, 11))
        assert abs(first / second - ratio) < sp.Rational(1, 50)


@pytest.mark.parametrize("term", orders.BASIS, ids=str)
@pytest.mark.parametrize("kind", DEQ_KERNELS)
def test_a_wrong_coefficient_is_seen(kind: str, term: sp.Expr) -> None:
    """The comparison above has power: any coefficient off by a thousandth, even the vanishing ones, leaves an order."""
    assert any(_coefficients(_defect(kind, extra=term / 1000))[:3])


@pytest.mark.parametrize("weights", [(sp.S.One, sp.S.Zero), tuple(WEIGHTS.values())], ids=["plain", "tied"])
def test_two_layers_are_exact_to_second_order(weights: tuple[sp.Expr, sp.Expr]) -> None:
    """Two layers of different polynomials from the data up, G and K by Isserlis' theorem, as polynomials in epsilon."""
    w_a, w_b = weights
    tau02 = sp.Rational(4, 5)
    S, deltas = 2 * epsilon / 5, [epsilon / 2, -epsilon / 3]
    data = {S_ij: S, delta_i: deltas[0], delta_j: deltas[1], tau_0: sp.sqrt(tau02)}
    found = expansion.expand_layer(w_a, w_b)
    values = {name: value.subs(data) for name, value in INPUT_LAYER.items()}
    G, K = S, S
    norms, K_ii = [tau02 + delta for delta in deltas], tau02 + deltas[0]
    for phi_0 in (x + x**2 / 10, x / 2 + x**2 / 7 + x**3 / 20):
        symbols = {expansion.PREVIOUS_LAYER[name]: value for name, value in values.items()}
        scale2 = found.scale2.subs(symbols).subs(data)
        phi = phi_0 - _mean(phi_0, scale2)
        slope = sp.diff(phi, x)
        variances = [sp.expand(w_a * norm + w_b * (tau02 + delta)) for norm, delta in zip(norms, deltas, strict=True)]
        at = (*variances, sp.expand(w_a * G + w_b * S))
        G = _pair(phi, phi, at)
        K = sp.expand(G + _pair(slope, slope, at) * (w_a * K + w_b * S))
        norms = [_mean(phi**2, v) for v in variances]
        K_ii = sp.expand(norms[0] + _mean(slope**2, variances[0]) * (w_a * K_ii + w_b * (tau02 + deltas[0])))
        known = symbols | _polynomial_moments(phi, scale2)
        for exact, exact_ii, part in ((G, norms[0], found.ck), (K, K_ii, found.ntk)):
            assert _coefficients(exact - part.kernel.off_diagonal.subs(known).subs(data))[:3] == [0, 0, 0]
            assert _coefficients(exact_ii - part.kernel.diagonal.subs(known).subs(data))[:3] == [0, 0, 0]
        equations = {**found.ck.equations, **found.ntk.equations}
        values = {name: equation.rhs.subs(known).subs(data) for name, equation in equations.items()}


# --- activations with closed-form kernels --------------------------------------------------------


def _relu_pair(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """E[phi phi] and E[phi' phi'] of the ReLU centred at scale 1: arc-cosine kernels."""
    angle = mp.acos(c / mp.sqrt(a * b))
    product = mp.sqrt(a * b) * (mp.sin(angle) + (mp.pi - angle) * mp.cos(angle)) / (2 * mp.pi)
    mean, mean_a, mean_b = (mp.sqrt(v / (2 * mp.pi)) for v in (mp.mpf(1), a, b))
    return product - mean * (mean_a + mean_b) + mean**2, (mp.pi - angle) / (2 * mp.pi)


def _erf_pair(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """The same for erf: arc-sine kernels."""
    spread = (1 + 2 * a) * (1 + 2 * b)
    return 2 / mp.pi * mp.asin(2 * c / mp.sqrt(spread)), 4 / (mp.pi * mp.sqrt(spread - 4 * c**2))


def _concrete(name: str, scale: sp.Expr, weights: Mapping[sp.Symbol, sp.Expr]) -> dict[sp.Symbol, sp.Expr]:
    """The derived system of a registered activation solved in closed form, at a given tau_*."""
    moments = GaussianMoments(registry.registered(name).with_parameters())
    definitions = deq.moment_definitions(moments) | {dd: moments.slope_energy}
    # By Stein: E[f'''(tau xi)] = E[(xi^3 - 3 xi) f(tau xi)]/tau^3.
    definitions[derivative_moment(3)] = (moments.moment(3) - 3 * moments.moment(1)) / moments.scale**3
    at = {symbol: value.subs(tau, scale) for symbol, value in definitions.items()}
    known = dict(weights) | at | {gamma2: at[variance], tau: scale}
    known = _solved(expansion.expand_ck().equations, known, {"tau", "gamma2", "alpha5"})
    return _solved(expansion.expand_preactivation().equations, known, {"tau", "alpha4", "alpha5"})


@pytest.mark.parametrize(("name", "kernels"), [("relu", _relu_pair), ("erf", _erf_pair)])
def test_closed_form_kernels_agree_to_second_order(name: str, kernels: Callable[..., tuple[Any, Any]]) -> None:
    """A kinked activation and a smooth one at tau_* = 1: the error of G and of every NTK falls by eight."""
    values = _concrete(name, sp.S.One, WEIGHTS)
    off = {"ck": expansion.expand_ck().kernel.off_diagonal}
    off |= {kind: expansion.expand_ntk(kind).kernel.off_diagonal for kind in KINDS}
    with mp.workdps(60):
        s, b = (mp.mpf(WEIGHTS[key].p) / WEIGHTS[key].q for key in (sigma_a2, sigma_b2))
        predict = {key: sp.lambdify((S_ij, delta_i, delta_j), expr.subs(values), "mpmath") for key, expr in off.items()}
        base = kernels(mp.mpf(1), mp.mpf(1), mp.mpf(1))[0]
        errors = []
        for eps in (mp.mpf(2) ** -12, mp.mpf(2) ** -13):
            t_i, t_j, L = eps / 2, -eps / 3, 2 * eps / 5
            G, Gdot = kernels(1 + t_i, 1 + t_j, L)
            deltas = [(t - s * (kernels(1 + t, 1 + t, 1 + t)[0] - base)) / b for t in (t_i, t_j)]
            exact = {"ck": G, "recurrent": G / (1 - s * Gdot), "preactivation": L / (1 - s * Gdot)}
            exact["all"] = G + L * Gdot / (1 - s * Gdot)
            S = (L - s * G) / b
            errors.append({key: abs(exact[key] - predict[key](S, *deltas)) for key in exact})
        for key in errors[0]:
            assert errors[1][key] > mp.mpf(10) ** -40, key
            assert abs(errors[0][key] / errors[1][key] - 8) < mp.mpf(1) / 10, key


@pytest.mark.parametrize("name", ["relu", "erf", "elu"])
def test_derived_system_reproduces_the_solver(name: str) -> None:
    """At the solver's tau_*, the derived system in closed form has the solver's digits, of every coefficient."""
    weights = {sigma_a2: sp.Rational(1, 5), sigma_b2: sp.Rational(4, 5)}
    activation = registry.registered(name).with_parameters()
    solved = solve(DEQ(activation, weights[sigma_a2], weights[sigma_b2], sp.S.One), digits=30)
    scale = sp.Rational(solved.decimal("tau"))
    values = _concrete(name, scale, weights)
    wanted = {f"alpha{k}": alpha[k] for k in alpha} | {f"lambda{k}": lambda_[k] for k in lambda_}
    for kind, keys in ((kernel.kind, kernel.keys) for kernel in Kernel if kernel.is_tangent):
        ntk = expansion.expand_ntk(kind)
        wanted |= dict(zip(keys, ntk.coefficients, strict=True))
    for key, expr in wanted.items():
        found = expr.subs(values).evalf(30)
        assert abs(found - sp.Rational(solved.decimal(key))) < sp.Float("1e-25"), key
    residual = expansion.expand_ck().equations["tau"]
    balance = (residual.lhs - residual.rhs).subs({**values, tau_0: sp.S.One, **weights})
    assert abs(balance.evalf(30)) < sp.Float("1e-25")


def test_system_of_relu_comes_out_in_closed_form() -> None:
    """d1 = 1/2, d2 = 1/(tau sqrt(2 pi)): alpha_1 and alpha_3 of the ReLU by hand, at any tau."""
    values = _concrete("relu", tau, {sigma_a2: sigma_a2, sigma_b2: sigma_b2})
    lam = sigma_b2 / (1 - sigma_a2 / 4)
    assert _same(values[alpha[1]], lam / 4)
    assert _same(values[alpha[3]], lam**2 / (2 * sp.pi * tau**2) / 2 / (1 - sigma_a2 / 4))


# --- what is dropped -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPANSIONS)
def test_dropped_terms_account_for_the_whole_difference(name: str) -> None:
    """Equivalent + dropped = kernel, off the diagonal and on it: nothing is lost between the two."""
    found = EXPANSIONS[name]()
    terms = [dropped for dropped in found.dropped if not dropped.term.has(sp.Order)]
    on = sp.Add(*(dropped.term for dropped in terms if dropped.argument is NormArgument.DIAGONAL))
    off = sp.Add(*(dropped.term for dropped in terms if dropped.argument is not NormArgument.DIAGONAL))
    T_ij, T_ii, n_i, n_j = expansion.T_ij, expansion.T_ii, expansion.norm_i, expansion.norm_j
    linear, fluctuation, square, diagonal = found.coefficients
    equivalent = linear * S_ij + fluctuation * n_i * n_j + square * epsilon**2 * T_ij
    assert _same(found.kernel.off_diagonal, equivalent + off)
    # On the diagonal the equivalent also has the multiple of I_n; n_i = delta_i up to its own order.
    identity = diagonal - tau_0**2 * linear
    equivalent = linear * (tau_0**2 + delta_i) + fluctuation * delta_i**2 + square * epsilon**2 * T_ii
    assert _same(found.kernel.diagonal, equivalent + identity + on)


@pytest.mark.parametrize("name", EXPANSIONS)
def test_everything_dropped_vanishes_in_operator_norm(name: str) -> None:
    found = EXPANSIONS[name]()
    assert all(dropped.norm_order >= 1 for dropped in found.dropped)
    assert set(found.vanishing) == {delta_i + delta_j, delta_i**2 + delta_j**2}
    assert any(dropped.term == sp.Order(epsilon**3) for dropped in found.dropped)


#: For each argument a matrix that it speaks of, by its entries, and their order.
EXAMPLES = {
    NormArgument.DIAGONAL: 1,
    NormArgument.DIAGONAL_FACTOR: 2,
    NormArgument.HADAMARD_SQUARE: 2,
    NormArgument.FROBENIUS: 3,
}


def _norms(p: int, seeds: int) -> dict[str, float]:
    """Operator norms of such matrices, and of others, means over draws of a two-class mixture."""
    total: dict[str, list[float]] = {}
    mixture = GaussianMixture.released_experiment(p, means=1.0, cov_shift=1.0)
    variances = np.array([covariance.trace / p for covariance in mixture.covariances])
    for seed in range(seeds):
        sample = mixture.sample(np.random.default_rng(seed))
        labels, S = sample.labels, sample.gram()
        delta = np.diag(S) - mixture.tau0**2
        norm = mixture.trace_shifts[labels] / np.sqrt(p) + (sample.noise**2).sum(0) - variances[labels]
        T = mixture.trace_products[np.ix_(labels, labels)]
        off = 1 - np.eye(len(labels))
        matrices = {
            NormArgument.DIAGONAL.name: np.diag(delta),
            NormArgument.DIAGONAL_FACTOR.name: off * S * np.add.outer(delta, delta),
            NormArgument.HADAMARD_SQUARE.name: off * (S**2 - T / p),
            NormArgument.FROBENIUS.name: off * (np.outer(delta, delta) - np.outer(norm, norm)),
            "delta_i + delta_j": off * np.add.outer(delta, delta),
            "delta_i**2 + delta_j**2": off * np.add.outer(delta**2, delta**2),
            "kept: delta_i*delta_j": np.outer(delta, delta),
            "kept: S_ij**2": off * S**2,
        }
        for key, matrix in matrices.items():
            total.setdefault(key, []).append(float(np.abs(np.linalg.eigvalsh(matrix)).max()))
    return {key: float(np.mean(values)) for key, values in total.items()}


def test_arguments_hold_on_data() -> None:
    """Norms at p = 200 and 800: what is dropped falls like p^{-1/2}, what must vanish or stay does not fall at all.

    A norm epsilon^k is p^{-k/2}; the measured exponents are rounded to half integers, which leaves room for the next
    order and for the logarithm of DIAGONAL.
    """
    small, large = _norms(200, 4), _norms(800, 2)
    slope = {key: float(np.log(large[key] / small[key]) / np.log(4)) for key in small}
    for argument, order in EXAMPLES.items():
        assert round(-2 * slope[argument.name]) == order - argument.loss == 1, (argument.name, slope)
    assert round(-2 * slope["delta_i + delta_j"]) == -1, slope
    for key in ("delta_i**2 + delta_j**2", "kept: delta_i*delta_j", "kept: S_ij**2"):
        assert round(-2 * slope[key]) == 0, (key, slope)


def test_orders_of_the_entries_are_as_stated() -> None:
    """Degree in S_ij and delta, with T/p of order 2 and t/sqrt(p) + psi of order 1 but equal to delta to that order."""
    for expanded in EXPANSIONS.values():
        for dropped in expanded().dropped:
            if dropped.argument is NormArgument.FROBENIUS:
                assert dropped.order == 3
                continue
            scaled = {S_ij: epsilon * S_ij, delta_i: epsilon * delta_i, delta_j: epsilon * delta_j}
            powers = sp.Poly(sp.expand(dropped.term.subs(scaled, simultaneous=True)), epsilon).monoms()
            assert powers == [(dropped.order,)], dropped
