"""The LaTeX of the theory: read back by an independent reader and evaluated against quadrature and SymPy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from numerics.equilibrium import NTK_KEYS
from tests.latex_reader import LatexReadError, equations, evaluate, gaussian_mean
from theory import implicit, registry
from theory.activations import Activation
from theory.expectations import DivergentMomentError, GaussianExpectation, GaussianMoments
from theory.functions import sigmoid, softplus
from theory.latex import COEFFICIENT_SYMBOLS
from theory.latex_constants import constant
from theory.latex_equations import activation_moments, activation_system, general_sets
from theory.latex_expressions import LatexError, latex, run
from theory.latex_forms import (
    NormalCDF,
    RealPart,
    by_coefficient,
    gathered,
    in_activation,
    name_long_constants,
    real_parts,
    with_normal_cdf,
)
from theory.latex_layout import flat, lines, width
from theory.symbols import (
    alpha,
    d1,
    d2,
    d22,
    dd,
    gamma2,
    lambda_,
    mean,
    sigma_a2,
    sigma_b2,
    tau,
    tau_0,
    variance,
    x,
    xi,
)

TAU = 0.83
WIDTHS = (23_500, 39_000)
SYMBOLS = {
    "d1": d1, "d2": d2, "d22": d22, "dd": dd, "mean": mean, "variance": variance,
    r"\tau_*": tau, r"\tau_0": tau_0,
    **{rf"\alpha_*,{k}": alpha[k] for k in alpha},
    **{rf"\lambda_*,{k}": lambda_[k] for k in lambda_},
}  # fmt: skip


def _plain(symbol: str) -> str:
    """A name as the reader knows it."""
    return symbol.replace("{", "").replace("}", "")


# --- expressions -----------------------------------------------------------------------------------------------------

a, b = sp.Symbol("a", real=True), sp.Symbol("b", positive=True)


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (sp.S.Zero, "0"),
        (sp.Rational(-3, 4), r"-\frac{3}{4}"),
        (sp.Rational(44715, 10**6), "0.044715"),
        (sp.Rational(851, 500), "1.702"),
        (sp.Rational(1, 3000), r"\frac{1}{3000}"),
        (sp.sqrt(2) * tau / (2 * sp.sqrt(sp.pi)), r"\frac{\tau_*}{\sqrt{2\pi}}"),
        (sp.sqrt(2) / (sp.sqrt(sp.pi) * tau), r"\frac{\sqrt{2/\pi}}{\tau_*}"),
        (sp.sqrt(sp.pi) * tau / (5 * sp.sqrt(2)), r"\frac{\sqrt{\pi/2}\,\tau_*}{5}"),
        (sp.sqrt(2) * x / sp.sqrt(sp.pi), r"\sqrt{2/\pi}\,x"),
        (2 / sp.sqrt(3 * sp.pi), r"\frac{2}{\sqrt{3\pi}}"),
        (sp.sqrt(2) ** 3 / sp.pi ** sp.Rational(3, 2), r"\frac{2\sqrt{2/\pi}}{\pi}"),
        (sp.Rational(121, 400), r"\frac{121}{400}"),
        (sp.Rational(10001, 20000), r"\frac{10001}{20000}"),
        ((x**2 - 1) * sp.sqrt(4 + x**4), r"\bigl(x^2 - 1\bigr)\,\sqrt{4 + x^4}"),
        (sp.Rational(9801, 80000) / (sp.pi * tau**2), r"\frac{9801}{80000\pi\tau_*^2}"),
        (sp.cos(x) / (1 + x**2), r"\frac{\cos(x)}{1 + x^2}"),
        (sp.atan(tau) / (2 * sp.pi), r"\frac{\arctan(\tau_*)}{2\pi}"),
        (sp.atan(x / tau) / (2 * sp.pi), r"\frac{1}{2\pi}\arctan\Bigl(\frac{x}{\tau_*}\Bigr)"),
        (sp.sin(3 * x) * sp.exp(-(x**2)) * 3 / 5, r"\frac{3}{5}\,e^{-x^2}\sin(3x)"),
        (sp.exp(-x / (2 * (2 * x**2 + 7) ** 3)), r"e^{-x/(2(7 + 2x^2)^3)}"),
        (sp.erf(x) ** 3, r"\operatorname{erf}^3(x)"),
        (x * (1 + a * (1 - sp.tanh(x))) ** 2, r"x\bigl(1 + a(1 - \tanh(x))\bigr)^2"),
        (sp.Heaviside(2 * x + 5), r"\mathbf{1}\{2x > -5\}"),
        (3 * sp.sqrt(2) * tau / (8 * sp.sqrt(sp.pi)), r"\frac{3\tau_*}{4\sqrt{2\pi}}"),
        (1 - 1 / sp.pi, r"1 - \frac{1}{\pi}"),
        (sp.exp(-1 / (8 * tau**2)), r"e^{-1/(8\tau_*^2)}"),
        (sp.exp(tau**2 / 2), r"e^{\tau_*^2/2}"),
        (sp.tanh(tau) ** 2, r"\tanh^2(\tau_*)"),
        (sigma_b2**2, r"\sigma_b^4"),
        (sigma_a2 * alpha[1] + sigma_b2, r"\sigma_a^2\alpha_{*,1} + \sigma_b^2"),
        (-(sigma_a2 * d1**2 - 1), r"1 - \sigma_a^2\,\mathbb{E}[\phi'(\tau_*\xi)]^2"),
        (alpha[1] / (1 - sigma_a2) + 1, r"\frac{\alpha_{*,1}}{1 - \sigma_a^2} + 1"),
        (3 * tau**4 + 20 + 12 * tau**2, r"3\tau_*^4 + 12\tau_*^2 + 20"),
        (x + x**3 / 10, r"x + \frac{x^3}{10}"),
        (a * (sp.exp(x) - 1), r"a\bigl(e^x - 1\bigr)"),
        (-a * (sp.exp(x) - 1) ** 3, r"a\bigl(1 - e^x\bigr)^3"),
        ((b - 1) ** 2, r"(1 - b)^2"),
        (NormalCDF(-tau), r"\Phi(-\tau_*)"),
        (sp.Max(0, x), r"\max\{0,\,x\}"),
        (sp.Piecewise((x, x > 0), (0, True)), r"\begin{cases} x, & x > 0 \\ 0, & x \le 0 \end{cases}"),
        (
            sp.Piecewise((x, x > 1), (0, x > 0), (a, True)),
            r"\begin{cases} x, & x > 1 \\ 0, & x > 0 \\ a, & \text{otherwise} \end{cases}",
        ),
        (sp.Symbol("beta", real=True) * x, r"\beta x"),
        (sp.Symbol("c_1", real=True) ** 2, "c_1^2"),
        (sp.oo, r"\infty"),
    ],
)  # fmt: skip
def test_expressions_are_written_as_the_field_does(expr: sp.Expr, text: str) -> None:
    assert latex(expr) == text


EXPRESSIONS = [
    (a + b) ** 2 / (3 * (1 + b**2)),
    -a * (b - 1) ** 3 / (2 - b) + sp.sqrt(1 + a**2) / b,
    sp.sqrt(6) * a / (3 * sp.sqrt(sp.pi)) - sp.pi**2 * b / 7,
    sp.Rational(10001, 20000) * (a - 3 * b / 7) * b,
    sp.Rational(1, 400000) * (200000 + 26829 * a**2) * (1 - sp.tanh(a) ** 2),
    sp.exp(-(a**2) / (2 * b)) * sp.erf(a / (sp.sqrt(2) * b)) - sp.erfc(b) / 3 + sp.exp(a - b / 3),
    (a - b) ** sp.Rational(2) / sp.sqrt(b) + b ** sp.Rational(-3, 2) * a,
    sp.log(1 + b) * sp.atan(a) / (sp.cosh(a) * b**3),
    -sp.Abs(a - 2) / (1 + sp.Abs(a)) ** 2,
    sp.Piecewise((a - 1, a < 0), (b**2, (a > 2) & (b < 1)), (sp.sin(a) / b, True)) * 2,
    sp.Max(a, b, 1) * sp.Min(a, -b) / 5,
    (sp.Rational(1, 9216) * 3481) * (sigma_a2 * a + b) ** 2 * sp.exp(-b),
    -(a**2) * ((a + sp.erf(b) * (b - a / sp.pi)) ** 2 - (1 + b) * (2 - sp.erf(a))) / 4,
    sp.Heaviside(a) * b + sp.sign(b),
    3 * sp.Integer(2) ** (a / b) * b**2 + b * sp.Rational(5, 2) ** a,
]


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("values", [(0.7, 0.4), (-1.3, 2.1)])
def test_what_is_printed_reads_back(expr: sp.Expr, values: tuple[float, float]) -> None:
    environment = {"a": values[0], "b": values[1], r"\sigma_a": 0.3}
    expected = complex(expr.subs({a: values[0], b: values[1], sigma_a2: 0.09}).evalf(25))
    for text in (latex(expr), latex(with_normal_cdf(expr)), " ".join(lines(run(expr), 8_000))):
        assert evaluate(text, environment) == pytest.approx(expected.real, rel=1e-13, abs=1e-15)


_LEAVES = st.one_of(
    st.sampled_from([a, b, sp.sqrt(2), sp.pi, 1 / sp.sqrt(sp.pi), sp.sqrt(sp.Rational(3, 2))]),
    st.fractions(-9, 9, max_denominator=12).map(lambda q: sp.Rational(q.numerator, q.denominator)),
    st.integers(-9999, 9999).map(lambda p: sp.Rational(p, 10_000)),
)
_SMOOTH = (
    sp.tanh,
    sp.erf,
    sp.sin,
    sp.atan,
    sigmoid,
    softplus,
    lambda u: sp.log(1 + u**2),
    lambda u: sp.exp(-(u**2) / 3),
)


def _grown(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    some = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        some.map(lambda terms: sp.Add(*terms)),
        some.map(lambda factors: sp.Mul(*factors)),
        st.tuples(inner, st.sampled_from([2, 3])).map(lambda pair: pair[0] ** pair[1]),
        st.tuples(inner, st.sampled_from([-3, -1, 1, 3])).map(
            lambda pair: (1 + pair[0] ** 2) ** sp.Rational(pair[1], 2)
        ),
        st.tuples(st.sampled_from(_SMOOTH), inner).map(lambda pair: pair[0](pair[1])),
        st.tuples(inner, st.sampled_from([2, 3, 5])).map(lambda pair: pair[1] ** (pair[0] / (1 + pair[0] ** 2))),
    )


@given(st.recursive(_LEAVES, _grown, max_leaves=12))
def test_any_smooth_expression_reads_back(expr: sp.Expr) -> None:
    environment = {"a": 0.83, "b": 1.21}
    values = {a: sp.Rational(83, 100), b: sp.Rational(121, 100)}
    assume(all(abs(node.subs(values).evalf(5)) < 10**60 for node in sp.preorder_traversal(expr)))
    expected, nearby = (
        complex(expr.subs({a: 0.83 * scale, b: 1.21 / scale}).evalf(25, maxn=400)) for scale in (1, 1 + 1e-9)
    )
    # What a relative error of 1e-11 in a and b may do, magnified by cancellation, is forgiven.
    room = 1e-11 * abs(expected) + 1e-2 * abs(nearby - expected) + 1e-12
    for text in (latex(expr), " ".join(lines(run(with_normal_cdf(expr)), 9_000))):
        assert abs(evaluate(text, environment) - expected) <= room, text


@pytest.mark.parametrize("text", ["x + ", "x y", r"\foo(x)", "(x", "x^12", r"\operatorname{foo}(x)", "x ] 2"])
def test_the_reader_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(LatexReadError):
        evaluate(text, {"x": 2.0})


def test_a_float_has_no_latex() -> None:
    with pytest.raises(LatexError, match="cannot be typeset"):
        latex(x + sp.Float("0.5"))


@pytest.mark.parametrize(
    ("pi", "above", "below"),
    [
        (-1, [r"\sqrt{2/(3\pi)}"], []),
        (1, [r"\sqrt{2\pi/3}"], []),
        (0, [r"\sqrt{2/3}"], []),
        (2, [r"\pi", r"\sqrt{2/3}"], []),
    ],
)
def test_a_constant_has_one_root(pi: int, above: list[str], below: list[str]) -> None:
    assert constant(sp.S.One, sp.Rational(2, 3), pi, divided=False) == (above, below)


# --- forms -----------------------------------------------------------------------------------------------------------


def test_the_normal_distribution_function_is_recognised() -> None:
    assert with_normal_cdf(x * (sp.erf(sp.sqrt(2) * x / 2) / 2 + sp.Rational(1, 2))) == x * NormalCDF(x)
    assert with_normal_cdf(sp.erfc(sp.sqrt(2) * tau / 2) / 2) == NormalCDF(-tau)
    kept = sp.erf(tau) + sp.erfc(tau)
    assert with_normal_cdf(kept) == kept
    assert sp.expand(NormalCDF(x).rewrite(sp.erf) - (1 + sp.erf(x / sp.sqrt(2))) / 2) == 0


def test_expectations_are_gathered() -> None:
    g = sp.tanh(tau * xi)
    means = [GaussianExpectation(xi**k * g) for k in (0, 2, 4)]
    assert gathered((means[1] - means[0]) / tau) == GaussianExpectation((xi**2 - 1) * g) / tau
    assert gathered(means[2] - means[1] + means[0]) == GaussianExpectation((xi**2 - 1) * xi**2 * g) + means[0]
    for kept in (means[1] + means[0], tau * means[1] - means[0], tau * means[1] + means[1] - means[0], means[0] ** 2):
        assert sp.expand(gathered(kept) - kept) == 0


def test_conjugate_pairs_are_a_real_part() -> None:
    term = (1 + (3 - a) * sp.I) * sp.exp(2 * sp.I * tau) * sp.erfc(tau + sp.I)
    pair = sp.expand(term + term.xreplace({sp.I: -sp.I}))
    found = real_parts(pair + tau)
    assert len(found.atoms(RealPart)) == 1
    environment = {r"\tau_*": 0.7, "a": 0.4}
    expected = complex((pair + tau).subs({tau: 0.7, a: 0.4}).evalf(20))
    assert evaluate(latex(found), environment) == pytest.approx(expected.real, rel=1e-12)
    for kept in (term + tau, sp.erf(a) + tau, pair + term):
        assert real_parts(kept) == kept


@pytest.mark.parametrize("scale", [0.3, 1.4])
def test_moments_through_the_activation_are_steins_identities(scale: float) -> None:
    """For phi_0 = sin the derivatives are known."""
    environment = {r"\tau_*": scale, r"\phi_0": np.sin}
    derivatives = (np.cos, lambda u: -np.sin(u), lambda u: 2 * np.cos(2 * u))
    forms = (in_activation(d1), in_activation(d2), in_activation(d2, squared=True))
    for form, derivative in zip(forms, derivatives, strict=True):
        expected = gaussian_mean(lambda xi, derivative=derivative: derivative(scale * xi))
        assert evaluate(latex(form), environment) == pytest.approx(expected, abs=1e-12)


def test_long_constants_get_names() -> None:
    selu = registry.get("selu")
    named, constants = name_long_constants(selu)
    assert sorted(symbol.name for symbol in constants) == ["c_1", "c_2"]
    assert named.expr.subs(constants) == selu.expr
    assert all(len(str(number)) < 12 for number in named.expr.atoms(sp.Rational))
    assert name_long_constants(registry.get("gelu_tanh")) == (registry.get("gelu_tanh"), {})


@pytest.mark.parametrize("kind", implicit.NTK_KINDS)
def test_sorting_by_coefficients_changes_nothing(kind: str) -> None:
    ntk = implicit.ntk_coefficients(kind)
    for part in (ntk.linear, ntk.variance, ntk.square, ntk.diagonal):
        assert sp.simplify(by_coefficient(part) - part) == 0


# --- lines -----------------------------------------------------------------------------------------------------------

LONG = sp.Add(*(sp.Rational(1, k) * sp.erf(tau / k) * (1 + sp.exp(-(tau**2) / k)) for k in range(2, 14)))


@pytest.mark.parametrize("available", [9_000, 15_000, 40_000])
def test_lines_fit_and_hold_everything(available: int) -> None:
    found = lines(run(LONG), available)
    assert len(found) > 1
    assert max(width(line) for line in found) <= available
    expected = float(LONG.subs(tau, TAU))
    assert evaluate(" ".join(found), {r"\tau_*": TAU}) == pytest.approx(expected, rel=1e-13)
    assert len(lines(run(LONG), 10**9)) == 1


def test_a_piece_that_cannot_be_broken_stands_alone() -> None:
    wide = sp.tanh(sp.Rational(1, 3) + tau) / (1 + sp.erf(tau) ** 2) + 1
    found = lines(run(wide), 100)
    assert "".join(found).replace(r"\quad", "").replace(" ", "") == flat(run(wide)).replace(" ", "")


# --- the equations of the theory -------------------------------------------------------------------------------------


def _environment() -> dict[str, Any]:
    """Moments at which every denominator is positive, and a solution of the printed system at them."""
    found: dict[str, Any] = {
        "d1": 0.6, "d2": -0.35, "d22": 0.8, "dd": 0.5, "mean": 0.2, "variance": 0.4,
        r"\sigma_a": np.sqrt(0.3), r"\sigma_b": np.sqrt(0.7), r"\tau_*": TAU, r"\tau_0": 1.1, r"\gamma_*": np.sqrt(0.4),
    }  # fmt: skip
    return found


@pytest.mark.parametrize("available", WIDTHS)
def test_the_printed_solution_solves_the_printed_system(available: int) -> None:
    sets, environment = general_sets(), _environment()
    for left, _, right in equations(sets["solution"].latex(available)):
        environment[_plain(left)] = evaluate(right, environment)
    assert {r"\alpha_*,4", r"\lambda_*,3"} <= environment.keys()
    for name, count in (("system", 4), ("preactivation", 3)):
        found = equations(sets[name].latex(available))
        assert len(found) == count
        for left, sign, right in found:
            assert sign == "="
            assert evaluate(right, environment) == pytest.approx(environment[_plain(left)], rel=1e-14)
    values = {symbol: environment[name] for name, symbol in SYMBOLS.items() if name in environment}
    values |= {sigma_a2: 0.3, sigma_b2: 0.7}
    for key, expr in (implicit.ck_coefficients() | implicit.preactivation_coefficients()).items():
        assert environment[_plain(COEFFICIENT_SYMBOLS[key])] == pytest.approx(float(expr.subs(values)), rel=1e-13)
    # The two forms of the theory sheet, section 3.
    alphas = [environment[rf"\alpha_*,{k}"] for k in (1, 2, 3)]
    lambdas = [environment[rf"\lambda_*,{k}"] for k in (1, 2, 3)]
    assert lambdas == pytest.approx([0.3 * alphas[0] + 0.7, 0.3 * alphas[1], 0.3 * alphas[2]], rel=1e-14)


@pytest.mark.parametrize("kind", implicit.NTK_KINDS)
def test_the_printed_ntk_is_the_expansion_of_its_kernel(kind: str) -> None:
    """Differences of the entrywise formula in S and delta_i delta_j, theory sheet section 2."""
    environment = _environment() | {rf"\alpha_*,{k}": 0.1 * k + 0.2 for k in range(1, 5)}
    environment |= {rf"\lambda_*,{k}": 0.05 * k + 0.4 for k in range(1, 4)}
    rows = equations(general_sets()[f"ntk-{kind}"].latex(39_000))
    assert [left for left, _, _ in rows] == [COEFFICIENT_SYMBOLS[key] for key in NTK_KEYS[kind]]
    printed = [evaluate(right, environment) for _, _, right in rows]
    al = [environment[rf"\alpha_*,{k}"] for k in (1, 2, 3)]
    la = [environment[rf"\lambda_*,{k}"] for k in (1, 2, 3)]
    weight = 0.3

    def kernel(g: float, gram: float, gdot: float) -> float:
        whole = 1 / (1 - weight * gdot)
        return {"recurrent": g * whole, "preactivation": gram * whole, "all": g + gram * gdot * whole}[kind]

    def entry(s: float, q: float) -> float:
        g = al[0] * s + al[1] * q + al[2] * s**2
        gram = la[0] * s + la[1] * q + la[2] * s**2
        slopes = environment["d1"] ** 2 + environment["d2"] ** 2 * la[0] * s
        return kernel(g, gram, slopes)

    h = 1e-4
    linear = (entry(h, 0) - entry(-h, 0)) / (2 * h)
    square = (entry(h, 0) + entry(-h, 0)) / (2 * h**2)
    fluctuation = entry(0, 1.0)
    diagonal = kernel(environment[r"\gamma_*"] ** 2, TAU**2, environment["dd"])
    assert printed == pytest.approx([linear, fluctuation, square, diagonal], rel=2e-6)


def test_the_tau_equation_and_the_conditions() -> None:
    environment, sets = _environment(), general_sets()
    ((left, _, right),) = equations(sets["equilibrium"].latex(39_000))
    assert left == r"\tau_*^2"
    assert evaluate(right, environment) == pytest.approx(0.3 * 0.4 + 0.7 * 1.1**2)
    found = equations(sets["conditions"].latex(39_000))
    assert [(sign, right.partition(r"\label")[0].strip(" ,.")) for _, sign, right in found] == [("<", "1")] * 3
    assert [evaluate(left, environment) for left, _, _ in found] == pytest.approx([0.12, 0.108, 0.15])


def test_every_numbered_equation_has_its_own_label() -> None:
    text = "".join(each.latex(39_000) for each in general_sets().values())
    labels = [part.partition("}")[0] for part in text.split(r"\label{")[1:]]
    assert len(labels) == len(set(labels)) == 11


# --- activations -----------------------------------------------------------------------------------------------------

ACTIVATIONS = {name: registry.get(name).with_parameters({}) for name in registry.names()} | {
    text: Activation.from_text(text)
    for text in (
        "Piecewise((tanh(x), x < 0), (x, True))",
        "2*x + sin(3*x)*exp(-Abs(x))",
        "x*Phi(2*x - 1)/3",
        "Max(x, 2*x - 1, -x/7)",
        "3*Max(x, 0)",
    )
}


_Moments = tuple[dict[str, sp.Expr], dict[sp.Symbol, sp.Expr]]


def _quadrature(activation: Activation, scale: float) -> dict[str, float]:
    """The moments from the activation as it was written, by Stein's identities, without theory's integration."""
    function = sp.lambdify(
        x, activation.expr.rewrite(sp.Piecewise), ["scipy", {"sigmoid": _sigmoid, "softplus": _soft}]
    )
    kinks = [float(point) / scale for point in activation.breakpoints]

    def raw(power: int, order: int) -> float:
        return gaussian_mean(lambda xi: xi**power * (function(scale * xi) + 0 * xi) ** order, kinks)

    def slope_energy() -> float:
        total = 0.0
        for piece in activation.slope_pieces:
            slope = sp.lambdify(x, piece.expr, ["scipy", {"sigmoid": _sigmoid, "softplus": _soft}])
            low, high = float(piece.lower) / scale, float(piece.upper) / scale

            def inside(xi: Any, slope: Any = slope, low: float = low, high: float = high) -> Any:
                # A piece may not even exist outside its interval.
                where = np.clip(xi, low, high)
                return np.where((xi > low) & (xi < high), (slope(scale * where) + 0 * xi) ** 2, 0.0)

            total += gaussian_mean(inside, kinks)
        return total

    first = raw(0, 1)
    second = (raw(2, 1) - first) / scale**2
    square = (raw(2, 2) - raw(0, 2)) / scale**2
    return {
        "mean": first, "second moment": raw(0, 2), "variance": raw(0, 2) - first**2,
        "d1": raw(1, 1) / scale, "d2": second, "second moment''": square, "d22": square - 2 * first * second,
        "dd": np.inf if not activation.has_finite_slope_energy else slope_energy(),
    }  # fmt: skip


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))


def _soft(value: Any) -> Any:
    return np.log1p(np.exp(-np.abs(value))) + np.maximum(value, 0)


_LEFT = {
    r"\mathbb{E}[\phi_0(\tau_*\xi)]": "mean",
    r"\mathbb{E}[\phi_0(\tau_*\xi)^2]": "second moment",
    r"\operatorname{Var}[\phi_0(\tau_*\xi)]": "variance",
    r"\mathbb{E}[\phi'(\tau_*\xi)]": "d1",
    r"\mathbb{E}[\phi''(\tau_*\xi)]": "d2",
    r"\mathbb{E}[(\phi_0^2)''(\tau_*\xi)]": "second moment''",
    r"\mathbb{E}[(\phi^2)''(\tau_*\xi)]": "d22",
    r"\mathbb{E}[\phi'(\tau_*\xi)^2]": "dd",
}


@cache
def _prepared(name: str) -> tuple[Activation, dict[sp.Symbol, sp.Rational], _Moments, dict[str, float]]:
    """An activation as it is written, its named constants, its moments by theory and by quadrature."""
    named, constants = name_long_constants(ACTIVATIONS[name])
    return named, constants, _moments(named), _quadrature(ACTIVATIONS[name], TAU)


def _moments(activation: Activation) -> _Moments:
    moments = GaussianMoments(activation)
    names = ("second_moment", "square_second_derivative")
    values = {name: getattr(moments, name) for name in names}
    try:
        values["slope_energy"] = moments.slope_energy
    except DivergentMomentError:
        assert not activation.has_finite_slope_energy
    return values, dict(implicit.moment_definitions(moments))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_formula_of_an_activation_reads_back(name: str) -> None:
    activation = ACTIVATIONS[name]
    named, constants, (values, definitions), measured = _prepared(name)
    names = {symbol.name: float(value) for symbol, value in constants.items()}
    kinks = [float(point) / TAU for point in activation.breakpoints]
    base = {r"\tau_*": TAU, "kinks": [0.0, *kinks], **names}
    function = sp.lambdify(
        x, activation.expr.rewrite(sp.Piecewise), ["scipy", {"sigmoid": _sigmoid, "softplus": _soft}]
    )
    for available in WIDTHS:
        moments = activation_moments("m", named, values, definitions, available, constants).latex(available)
        (first, *rest) = equations(moments)
        assert first[0] == r"\phi_0(x)"
        at = np.array([-7.3, -1.1, -0.21, 0.13, 0.77, 5.9])
        assert evaluate(first[2], base | {"x": at}) == pytest.approx(function(at) + 0 * at, rel=1e-13, abs=1e-14)
        assert {"mean", "variance", "d1", "d2", "d22", "dd"} <= {_LEFT[left] for left, _, _ in rest}

        def printed(argument: Any, text: str = first[2]) -> Any:
            return evaluate(text, base | {"x": argument})

        for left, _, right in rest:
            key = _LEFT[left]
            found = complex(evaluate(right, base | measured | {r"\phi_0": printed}))
            scale = max(1.0, abs(measured["second moment"]))
            assert found.imag == pytest.approx(0, abs=1e-12)
            assert found.real == pytest.approx(measured[key], rel=1e-10, abs=2e-11 * scale), (name, key, right)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_system_of_an_activation_holds_at_its_solution(name: str) -> None:
    """At the moments by quadrature the coefficients are known; every printed equation must hold with them."""
    _, constants, (_, definitions), measured = _prepared(name)
    environment: dict[str, Any] = _environment() | measured
    weight_a, weight_b = 0.05, 0.7
    environment |= {r"\sigma_a": np.sqrt(weight_a), r"\sigma_b": np.sqrt(weight_b)}
    # tau_0 is such that TAU is the equilibrium.
    environment[r"\tau_0"] = np.sqrt((TAU**2 - weight_a * environment["variance"]) / weight_b)
    environment |= {symbol.name: float(value) for symbol, value in constants.items()}
    environment["kinks"] = [0.0, *(float(point) / TAU for point in ACTIVATIONS[name].breakpoints)]
    values = {symbol: environment[key] for key, symbol in SYMBOLS.items() if key in environment}
    values |= {sigma_a2: weight_a, sigma_b2: weight_b}
    for key, expr in implicit.ck_coefficients().items():
        environment[_plain(COEFFICIENT_SYMBOLS[key])] = float(expr.subs(values))
    found = equations(activation_system("s", definitions).latex(39_000))
    assert len(found) == 5
    for left, _, right in found:
        expected = TAU**2 if left == r"\tau_*^2" else environment[_plain(left)]
        assert complex(evaluate(right, environment)).real == pytest.approx(expected, rel=1e-9, abs=1e-10), (left, right)


def test_gamma_is_written_as_a_square() -> None:
    assert latex(gamma2 / (1 - sigma_a2 * dd)) == r"\frac{\gamma_*^2}{1 - \sigma_a^2\,\mathbb{E}[\phi'(\tau_*\xi)^2]}"
