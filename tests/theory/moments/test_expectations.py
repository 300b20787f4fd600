"""Gaussian moments: every closed form against quadrature, and what is left unevaluated."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from mpmath import mp

from tests.oracles import OracleError, Quadrature, evaluate, expectation, function_of, integrate
from theory.activations import Activation, registry
from theory.moments import DivergentMomentError, GaussianExpectation, GaussianMoments
from theory.symbols import tau, x, xi

DIGITS = 50
MOMENTS = ((0, 1), (1, 1), (2, 1), (0, 2), (2, 2), (1, 3), (4, 3))
#: Exact scales, each with a choice of parameter values: the defaults, and others that the assumptions allow.
SETTINGS = ((sp.Rational(1, 3), False), (sp.Rational(8, 5), True))


def _values(activation: Activation, other: bool) -> dict[sp.Symbol, sp.Expr]:
    changed = {True: sp.Rational(5, 77), False: sp.Rational(-2, 3)}
    return {
        parameter.symbol: changed[bool(parameter.symbol.is_positive)] if other else parameter.default
        for parameter in activation.parameters
    }


def _slope_energy(activation: Activation, scale: sp.Expr, digits: int) -> Quadrature:
    """E[f'^2] by central differences of the function as it is written."""
    value_at = function_of(activation.expr)
    with mp.workdps(4 * digits):
        width = mp.mpf(scale.p) / scale.q
        step = mp.mpf(10) ** -(digits + 10)
        places = [mpmath.mpf(str(point.evalf(2 * digits))) / width for point in activation.breakpoints]

        def squared(point: mpmath.mpf) -> mpmath.mpf:
            with mp.workdps(4 * digits):
                here = point * width
                return ((value_at(here + step) - value_at(here - step)) / (2 * step)) ** 2

        return integrate(squared, places, digits)


def _close(value: mpmath.mpc, reference: Quadrature, digits: int) -> bool:
    with mp.workdps(digits + 20):
        return abs(value - reference.value) <= mp.mpf(10) ** -digits * max(reference.magnitude, mp.mpf(10) ** -20)


def _check(name: str, scale: sp.Expr, other: bool, moments: tuple[tuple[int, int], ...]) -> int:
    """Compare all moments of one activation; return how many closed forms were compared."""
    activation = registry.registered(name)
    values = _values(activation, other)
    numeric = Activation(name, activation.expr.subs(values))
    symbolic = GaussianMoments(activation)
    closed = 0
    for power, order in moments:
        value = symbolic.moment(power, order)
        digits = DIGITS if symbolic.is_closed(value) else 20
        closed += symbolic.is_closed(value)
        reference = expectation(numeric.expr, scale, power, order, numeric.breakpoints, digits)
        kinks = [point / scale for point in numeric.breakpoints]
        found = evaluate(value, {**values, tau: scale}, kinks, digits)
        assert _close(found, reference, digits), (power, order, value)
    return closed


NOT_CLOSED = {
    "gelu_tanh", "quick_gelu", "tanh", "sigmoid", "swish", "log_sigmoid", "softplus", "squareplus", "mish", "softsign",
    "atan", "tanh_shrink",
}  # fmt: skip
CLOSED = [name for name in registry.registered_names() if name not in NOT_CLOSED]


@pytest.mark.parametrize(("scale", "other"), SETTINGS)
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_agree_with_quadrature_at_50_digits(name: str, scale: sp.Expr, other: bool) -> None:
    moments = MOMENTS
    if name in ("gelu", "erf"):
        # Products of three error functions with an even power of xi need Owen's T function.
        moments = tuple((power, order) for power, order in MOMENTS if order < 3)
    assert _check(name, scale, other, moments) == len(moments)


@pytest.mark.parametrize("name", sorted(NOT_CLOSED))
def test_unevaluated_expectations_stand_for_the_moment(name: str) -> None:
    assert _check(name, sp.Rational(4, 5), False, ((0, 1), (2, 2), (3, 1))) < 3


@pytest.mark.parametrize("name", ["relu6", "elu", "celu", "gelu", "erf", "snake", "hard_swish", "x_gaussian", "tanh"])
def test_slope_energy_agrees_with_differences_of_the_function(name: str) -> None:
    activation = registry.registered(name).with_parameters()
    scale = sp.Rational(6, 5)
    value = evaluate(GaussianMoments(activation).slope_energy, {tau: scale}, [], 20)
    assert _close(value, _slope_energy(activation, scale, 20), 20)


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("sqrt(Abs(x))", 1, 2 ** sp.Rational(1, 4) * sp.sqrt(tau) * sp.gamma(sp.Rational(3, 4)) / sp.sqrt(sp.pi)),
        ("Abs(x)**(3/2)", 2, 2 * sp.sqrt(2) * tau**3 / sp.sqrt(sp.pi)),
        ("exp(-3*x**2/2)", 1, 1 / sp.sqrt(3 * tau**2 + 1)),
        ("erf(x)", 2, 2 * sp.asin(2 * tau**2 / (2 * tau**2 + 1)) / sp.pi),
        ("Max(x, 0)", 4, 3 * tau**4 / 2),
        ("cosh(x)", 1, sp.exp(tau**2 / 2)),
        ("Phi(x)**3", 1, sp.Rational(1, 8) + 3 * sp.asin(tau**2 / (tau**2 + 1)) / (4 * sp.pi)),
    ],
)
def test_known_formulas_come_out(text: str, order: int, expected: sp.Expr) -> None:
    found = GaussianMoments(Activation.from_text(text)).moment(0, order)
    assert sp.simplify(found - expected) == 0


@pytest.mark.parametrize(
    ("text", "power", "order"), [("x**2*exp(-x**2/2)", 2, 2), ("x**4 - x + 1", 3, 3), ("(x**2 - 3)*exp(-x**2/3)", 4, 1)]
)
def test_sympy_integrates_to_the_same(text: str, power: int, order: int) -> None:
    activation = Activation.from_text(text)
    density = sp.exp(-(xi**2) / 2) / sp.sqrt(2 * sp.pi)
    integrand = (xi**power * activation.expr.subs(x, xi) ** order).rewrite(sp.exp) * density
    by_sympy = sp.integrate(sp.expand(integrand), (xi, -sp.oo, sp.oo))
    found = GaussianMoments(activation, sp.S.One).moment(power, order)
    assert sp.simplify((found - by_sympy).rewrite(sp.erf)) == 0


@pytest.mark.parametrize("name", ["softplus", "swish", "gelu", "hard_swish", "relu", "log_sigmoid", "quick_gelu"])
def test_first_derivative_is_exactly_one_half(name: str) -> None:
    assert GaussianMoments(registry.registered(name)).first_derivative == sp.S.Half


@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "softsign", "hard_tanh", "tanh_shrink", "cubic", "atan"])
def test_odd_activations_have_vanishing_even_moments(name: str) -> None:
    moments = GaussianMoments(registry.registered(name))
    assert (moments.mean, moments.second_derivative, moments.moment(4), moments.moment(3, 2)) == (0, 0, 0, 0)
    assert moments.variance == moments.second_moment


@pytest.mark.parametrize(
    ("name", "moment", "expected"),
    [
        ("x_gaussian", "slope_energy", "(3*tau**4 + 2*tau**2 + 1)/(2*tau**2 + 1)**(5/2)"),
        ("x_gaussian", "square_second_derivative", "2*(1 - tau**2)/(2*tau**2 + 1)**(5/2)"),
        ("hard_sigmoid", "mean", "1/2"),
        ("tanh", "slope_energy", "E[(1 - tanh(tau*xi)**2)**2]"),
        ("softsign", "slope_energy", "E[(tau*Abs(xi) + 1)**(-4)]"),
        ("sigmoid", "slope_energy", "E[(1 - sigmoid(tau*xi))**2*sigmoid(tau*xi)**2]"),
        ("exp_bump", "second_derivative", "2*c/(-2*c*tau**2 + 1)**(3/2)"),
        ("swish", "mean", "tau*E[xi*sigmoid(b*tau*xi)]"),
    ],
)
def test_printed_as_a_person_would(name: str, moment: str, expected: str) -> None:
    assert str(getattr(GaussianMoments(registry.registered(name)), moment)) == expected


def test_gelu_is_short() -> None:
    moments = GaussianMoments(registry.registered("gelu"))
    assert moments.square_second_derivative.count_ops() < 40
    assert moments.slope_energy.count_ops() < 35


def test_expectation_object() -> None:
    b = sp.Symbol("b", positive=True)
    node = GaussianExpectation(sp.tanh(b * tau * xi) ** 2)
    assert node.free_symbols == {b, tau}
    assert node.bound_symbols == [xi]
    assert node.integrand == sp.tanh(b * tau * xi) ** 2
    assert str(node) == "E[tanh(b*tau*xi)**2]"
    assert sp.latex(node) == r"\mathbb{E}\left[\tanh^{2}{\left(b \tau \xi \right)}\right]"
    assert sp.latex(node**2).startswith(r"\mathbb{E}\left[")
    assert sp.diff(node, sp.Symbol("z")) == 0
    slope = sp.diff(node, b)
    assert slope == GaussianExpectation(sp.diff(node.integrand, b))
    at = {tau: sp.Rational(1, 2)}
    step = sp.Rational(1, 10**12)
    quotient = (evaluate(node, {**at, b: 1 + step}, (), 30) - evaluate(node, {**at, b: 1 - step}, (), 30)) / 2
    with mp.workdps(30):
        assert abs(quotient * 10**12 - evaluate(slope, {**at, b: sp.S.One}, (), 30)) < mp.mpf(10) ** -15


def test_derivative_in_a_symbol_that_does_not_occur_is_zero() -> None:
    assert sp.diff(GaussianExpectation(sp.tanh(xi)), tau) == 0


# --- which moments exist -------------------------------------------------------------------------


def test_threshold_of_a_growing_exponential() -> None:
    moments = GaussianMoments(Activation.from_text("exp(x**2/8)"))
    assert [moments.exists_below(order) for order in (1, 2, 4)] == [2, sp.sqrt(2), 1]
    assert sp.simplify(moments.second_moment - 1 / sp.sqrt(1 - tau**2 / 2)) == 0
    assert GaussianMoments(registry.registered("tanh")).exists_below(7) is sp.oo


@pytest.mark.parametrize("scale", [sp.sqrt(2), sp.Integer(2)])
def test_a_scale_beyond_the_threshold_is_refused_in_words(scale: sp.Expr) -> None:
    moments = GaussianMoments(Activation.from_text("exp(x**2/8)"), scale)
    with pytest.raises(DivergentMomentError, match=r"is infinite at tau = .*: it is finite for tau < sqrt\(2\)"):
        _ = moments.second_moment


def test_a_scale_just_below_the_threshold_is_right() -> None:
    scale = sp.Rational(5, 4)
    activation = Activation.from_text("exp(x**2/8)")
    reference = expectation(activation.expr, scale, 0, 2, (), 30)
    assert _close(evaluate(GaussianMoments(activation, scale).second_moment, {}, (), 30), reference, 30)


@pytest.mark.parametrize(
    ("name", "place"), [("sign", "x = 0"), ("step", "x = 0"), ("hard_shrink", "x = -t, x = t"), ("threshold", "x = t")]
)
def test_a_jump_refuses_only_the_slope_energy(name: str, place: str) -> None:
    moments = GaussianMoments(registry.registered(name))
    with pytest.raises(DivergentMomentError, match=f"infinite: f jumps at {place}"):
        _ = moments.slope_energy
    assert moments.is_closed(moments.square_second_derivative)


def test_a_singular_slope_refuses_only_the_slope_energy() -> None:
    moments = GaussianMoments(Activation.from_text("sqrt(Abs(x))"))
    with pytest.raises(DivergentMomentError, match="its slope is too singular"):
        _ = moments.slope_energy
    assert moments.is_closed(moments.second_derivative)


@pytest.mark.parametrize(("power", "order"), [(-1, 1), (0, 0), (2, -3)])
def test_powers_out_of_range_are_refused(power: int, order: int) -> None:
    with pytest.raises(ValueError, match="needs k >= 0 and j >= 1"):
        GaussianMoments(registry.registered("relu")).moment(power, order)


# --- the work is limited -------------------------------------------------------------------------


def _nested(depth: int) -> str:
    text = "x"
    for level in range(depth):
        text = f"Abs({text} - {level + 1}/7)" if level % 2 else f"Max({text}, {level}/9)"
    return text


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("(x + exp(x) + sin(x) + erf(x))**12", False),
        (_nested(30), True),
        (" + ".join(f"x**{k}/{k + 1}" for k in range(65)), True),
        (" + ".join(f"Abs(x - {k})" for k in range(20)), True),
        ("(sin(x) + cos(2*x) + x)**6*Max(x, 1)", False),
    ],
)
def test_large_activations_end_quickly(text: str, closed: bool) -> None:
    moments = GaussianMoments(Activation.from_text(text))
    assert moments.is_closed(moments.second_moment) is closed
    scale = sp.Rational(1, 4)
    kinks = moments.activation.breakpoints
    value = evaluate(moments.mean, {tau: scale}, [kink / scale for kink in kinks], 20)
    assert _close(value, expectation(moments.activation.expr, scale, 0, 1, kinks, 20), 20)


# --- the oracle itself ---------------------------------------------------------------------------


def test_oracle_knows_gaussian_moments() -> None:
    with mp.workdps(60):
        found = integrate(lambda point: point**8, (), 50)
        assert abs(found.value - 105) <= mp.mpf(10) ** -48
        half = integrate(lambda point: abs(point), (0,), 50)
        assert abs(half.value - mp.sqrt(2 / mp.pi)) <= max(half.error, mp.mpf(10) ** -50)


def test_oracle_refuses_what_it_cannot_integrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.oracles._BUDGET", 20_000)
    with pytest.raises(OracleError, match="is a kink missing"):
        integrate(lambda point: abs(point - mp.sqrt(2)) ** mp.mpf("0.1") + mp.sin(900 * point * point), (), 60)
    with pytest.raises(OracleError, match="does not decay"):
        integrate(lambda point: mp.exp(point * point / 2), (), 20)
