"""The LaTeX of the theory: read back by an independent reader and evaluated against quadrature and SymPy."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.latex_reader import LatexReadError, evaluate, gaussian_mean
from theory.activations import registry
from theory.equations import deq
from theory.functions import sigmoid, softplus
from theory.kernels import NTK_KINDS
from theory.latex import LatexError, NormalCDF, RealPart, latex, name_long_constants, run, width
from theory.latex.constants import constant
from theory.latex.forms import by_coefficient, gathered, in_activation, real_parts, with_normal_cdf
from theory.latex.layout import flat, lines
from theory.moments import GaussianExpectation
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
        (a * x / (1 + x**2 / b**2), r"\frac{ax}{1+x^2/b^2}"),
        (2 / (2 - sigma_a2 * (1 - 1 / sp.pi)), r"\frac{2}{2-\sigma_a^2(1-1/\pi)}"),
        (sp.cos(x) / (1 + x**2), r"\frac{\cos(x)}{1 + x^2}"),
        (sp.atan(tau) / (2 * sp.pi), r"\frac{\arctan(\tau_*)}{2\pi}"),
        (sp.atan(x / tau) / (2 * sp.pi), r"\frac{1}{2\pi}\arctan\Bigl(\frac{x}{\tau_*}\Bigr)"),
        (sp.sin(3 * x) * sp.exp(-(x**2)) * 3 / 5, r"\frac{3}{5}\,e^{-x^2}\sin(3x)"),
        (sp.exp(-x / (2 * (2 * x**2 + 7) ** 3)), r"e^{-x/(2(7+2x^2)^3)}"),
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
    sp.asinh,
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


def test_the_reader_wants_cases_that_are_a_partition() -> None:
    at = np.array([-1.0, 0.5, 2.0])
    whole = r"\begin{cases} x, & x > 0 \\ -x, & x \le 0 \end{cases}"
    assert evaluate(whole, {"x": at}) == pytest.approx(np.abs(at))
    for changed in (whole.replace(r"\le 0", r"\le 1"), whole.replace(r"\le 0", "< -3")):
        with pytest.raises(LatexReadError, match="overlap or leave"):
            evaluate(changed, {"x": at})


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
    selu = registry.registered("selu")
    named, constants = name_long_constants(selu)
    assert sorted(symbol.name for symbol in constants) == ["c_1", "c_2"]
    assert named.expr.subs(constants) == selu.expr
    assert all(len(str(number)) < 12 for number in named.expr.atoms(sp.Rational))
    assert name_long_constants(registry.registered("gelu_tanh")) == (registry.registered("gelu_tanh"), {})


@pytest.mark.parametrize("kind", NTK_KINDS)
def test_sorting_by_coefficients_changes_nothing(kind: str) -> None:
    ntk = deq.ntk_coefficients(kind)
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


def test_gamma_is_written_as_a_square() -> None:
    assert latex(gamma2 / (1 - sigma_a2 * dd)) == r"\frac{\gamma_*^2}{1 - \sigma_a^2\,\mathbb{E}[\phi'(\tau_*\xi)^2]}"
