"""What is derived about activations: pieces, kinks, parity, growth, Lipschitz constants, and refusals in words."""

from __future__ import annotations

import itertools
import re

import pytest
import sympy as sp
from mpmath import mp

from theory.activations import Activation, registry
from theory.analysis import DomainError, GrowthError, UndecidedError, compare, split, zeros
from theory.analysis.realline import interior_point
from theory.symbols import x

E_HALF = sp.exp(-sp.S.Half)


@pytest.mark.parametrize(
    ("name", "kinks", "jumps", "parity", "homogeneity", "growth", "lipschitz"),
    [
        ("relu", {0: 1}, {}, 0, 1, "grows at most linearly", 1),
        ("abs", {0: 2}, {}, 1, 1, "grows at most linearly", 1),
        ("sign", {}, {0: 2}, -1, 0, "bounded", sp.oo),
        ("step", {}, {0: 1}, 0, 0, "bounded", sp.oo),
        ("squared_relu", {}, {}, 0, 2, "grows at most like |x|^2", sp.oo),
        ("relu6", {0: 1, 6: -1}, {}, 0, None, "bounded", 1),
        ("hard_swish", {-3: -sp.S.Half, 3: -sp.S.Half}, {}, 0, None, "grows at most linearly", sp.Rational(3, 2)),
        ("sparse_plus", {}, {}, 0, None, "grows at most linearly", 1),
        ("celu", {}, {}, 0, None, "grows at most linearly", 1),
        ("gelu", {}, {}, 0, None, "grows at most linearly", sp.exp(-1) / sp.sqrt(sp.pi) + sp.erf(1) / 2 + sp.S.Half),
        ("erf", {}, {}, -1, None, "bounded", 2 / sp.sqrt(sp.pi)),
        ("sin", {}, {}, -1, None, "bounded", 1),
        ("cos", {}, {}, 1, None, "bounded", 1),
        ("gaussian", {}, {}, 1, None, "tends to 0", E_HALF),
        ("x_gaussian", {}, {}, -1, None, "tends to 0", 1),
        ("tanh", {}, {}, -1, None, "bounded", 1),
        ("sigmoid", {}, {}, 0, None, "bounded", sp.Rational(1, 4)),
        ("softplus", {}, {}, 0, None, "grows at most linearly", 1),
        ("softsign", {}, {}, -1, None, "bounded", 1),
        ("tanh_shrink", {}, {}, -1, None, "grows at most linearly", 1),
    ],
)
def test_structure_of_registered_activations(
    name: str,
    kinks: dict[int, sp.Expr],
    jumps: dict[int, sp.Expr],
    parity: int,
    homogeneity: int | None,
    growth: str,
    lipschitz: sp.Expr,
) -> None:
    activation = registry.registered(name).with_parameters()
    assert dict(activation.kinks) == kinks
    assert dict(activation.jumps) == jumps
    assert activation.parity == parity
    assert activation.homogeneity == homogeneity
    assert activation.growth_class == growth
    assert (
        sp.simplify(activation.lipschitz - lipschitz) == 0
        if lipschitz is not sp.oo
        else (activation.lipschitz is sp.oo)
    )


@pytest.mark.parametrize(
    ("name", "kinks", "lipschitz"),
    [
        ("leaky_relu", "((0, 1 - a),)", "Max(1, Abs(a))"),
        ("elu", "((0, 1 - a),)", "Max(1, Abs(a))"),
        ("hard_tanh", "((-c, a), (c, -a))", "Abs(a)"),
        ("threshold_linear", "((t, 1),)", "1"),
        ("exp_bump", "()", "oo"),
    ],
)
def test_structure_with_symbolic_parameters(name: str, kinks: str, lipschitz: str) -> None:
    activation = registry.registered(name)
    assert str(activation.kinks) == kinks
    assert str(activation.lipschitz) == lipschitz


@pytest.mark.parametrize(
    ("text", "lipschitz"),
    [
        ("Piecewise((3*x + exp(-x), x > 0), (1 + 2*x, True))", 3),
        ("3*Max(x, 0) + exp(-Abs(x))", 3),
        ("2*Min(x, 0) - exp(-Abs(x))", 2),
        ("x + exp(-Max(x, 0))", 1),
    ],
)
def test_a_slope_that_is_largest_at_infinity_is_found(text: str, lipschitz: int) -> None:
    """The slope 3 - exp(-x) tends to 3 and is 2 at the kink."""
    assert registry.resolve(text).with_parameters().lipschitz == lipschitz


#: Sums, products and compositions beyond those that are registered.
COMPOSED = (
    "2*sin(x) + x/3",
    "sin(2*x + 1) - 3*x",
    "exp(-x**2)*(1 + x)",
    "Max(x, 0)*exp(-x)",
    "Abs(x)/(1 + Abs(x)) - Max(x - 1, 0)/2",
    "Min(Max(2*x - 1, -1), 3) + tanh(x)",
    "log(1 + x**2)",
    "Piecewise((x**3, Abs(x) < 1), (sign(x)*(3*Abs(x) - 2), True))",
    "Piecewise((x**2, -2 < x < 1), (1, x >= 1), (4, True))",
    "x - 4/(1 + exp(-x))",
    "Max(x, 0) + exp(-Abs(x))/3",
)


@pytest.mark.parametrize("text", [*registry.registered_names(), *COMPOSED])
def test_no_slope_exceeds_the_lipschitz_constant_and_some_reach_it(text: str) -> None:
    activation = registry.resolve(text).with_parameters()
    constant = activation.lipschitz
    if constant is None or constant is sp.oo:
        assert text not in COMPOSED
        return
    reached = 0.0
    for piece in activation.pieces:
        low, high = max(piece.lower, -20), min(piece.upper, 20)
        slope = sp.lambdify(x, sp.diff(piece.expr, x).rewrite(sp.exp), "mpmath")
        # Close to the ends, where kinks are, and 0.1 apart between them.
        parts = (t * t * (3 - 2 * t) for t in ((k + 0.5) / 600 for k in range(600)))
        places = [mp.mpf(sp.N(low, 20)) + mp.mpf(sp.N(high - low, 20)) * part for part in parts]
        reached = max(reached, *(abs(float(mp.re(slope(place)))) for place in places))
    assert float(constant) * 0.98 <= reached <= float(constant) * (1 + 1e-12)


def test_registry_covers_what_people_use() -> None:
    assert len(registry.registered_names()) >= 40
    for name, meant in [
        ("SiLU", "swish"),
        ("HardTanh", "hard_tanh"),
        ("LogSigmoid", "log_sigmoid"),
        ("linear", "identity"),
    ]:
        assert registry.registered(name).name == meant
    for name in registry.registered_names():
        activation = registry.registered(name)
        assert activation.description
        assert activation.with_parameters().expr.free_symbols <= {x}


def test_names_and_parameters_are_refused_in_words() -> None:
    with pytest.raises(DomainError, match=r"no activation is named 'rleu'.*did you mean relu"):
        registry.resolve("rleu")
    with pytest.raises(DomainError, match="has no parameter 'b'; its parameters are: a"):
        registry.registered("elu").with_parameters({"b": sp.S.One})
    with pytest.raises(DomainError, match="parameter c of hard_tanh must be positive, not -1"):
        registry.registered("hard_tanh").with_parameters({"c": sp.Integer(-1)})


def test_parameters_may_stay_symbolic() -> None:
    activation = registry.registered("hard_tanh").with_parameters({"c": sp.Integer(2)}, keep_symbolic=True)
    assert [parameter.symbol.name for parameter in activation.parameters] == ["a"]
    assert activation.breakpoints == (-2, 2)


def test_celu_written_with_extrema_is_split() -> None:
    a = sp.Symbol("a", positive=True)
    expr = sp.Max(x, 0, evaluate=False) + sp.Min(0, a * (sp.exp(x / a) - 1), evaluate=False)
    written = Activation("celu", expr)
    assert written.breakpoints == (0,)
    assert sp.simplify(written.pieces[0].expr - a * (sp.exp(x / a) - 1)) == 0
    assert written.pieces[1].expr == x


@pytest.mark.parametrize(
    ("text", "breakpoints"),
    [
        ("Abs(Abs(x) - 1)", (-1, 0, 1)),
        ("Max(x, x**2, x**3, 1)", (-1, 1)),
        ("Max(exp(x) - 1, 0)", (0,)),
        ("Max(exp(2*x) - 3*exp(x) + 2, 0)", (0, sp.log(2))),
        ("Max(x**3, sqrt(2))", (2 ** sp.Rational(1, 6),)),
        ("Max(tanh(x), 1/2)", (sp.atanh(sp.S.Half),)),
        ("Abs(x)**2", ()),
        ("Max(0, -x**2)", ()),
        ("Piecewise((0, x < 0), (0, x < 1), (x - 1, True))", (1,)),
        ("sign(x**3 - x)", (-1, 0, 1)),
        ("Heaviside(cosh(x) - 2)", (-sp.acosh(2), sp.acosh(2))),
    ],
)
def test_breakpoints_are_exact(text: str, breakpoints: tuple[sp.Expr, ...]) -> None:
    found = Activation.from_text(text).breakpoints
    assert len(found) == len(breakpoints)
    assert all(sp.simplify(a - b) == 0 for a, b in zip(found, breakpoints, strict=True))


def test_continuity_at_a_root_without_a_formula() -> None:
    activation = Activation.from_text("Max(x**5 - x - 1, 0)")
    assert activation.jumps == ()
    assert len(activation.kinks) == 1
    assert activation.has_finite_slope_energy


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1/x", "has a pole at x = 0"),
        ("log(x)", "is not real"),
        ("sqrt(x)", "is not real"),
        ("tan(x)", "poles"),
        ("Max(exp(x), 2 + x)", r"cannot locate the real zeros .* write other kinks out, as in Piecewise"),
        ("Abs(sin(x))", "cannot locate the real zeros of sin"),
        ("1/(exp(x) - 1)", "pole"),
    ],
)
def test_what_is_no_activation_is_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(DomainError, match=complaint):
        Activation.from_text(text)


@pytest.mark.parametrize("text", ["exp(x**4)", "exp(exp(x))", "x*exp(x**3)"])
def test_growth_beyond_every_gaussian_is_refused(text: str) -> None:
    with pytest.raises(GrowthError, match="grows faster than every"):
        Activation.from_text(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exp(x)", r"exp\(1\*\|x\|\)"),
        ("log(1 + x**2)", "logarithmically"),
        ("sqrt(1 + Abs(x))", r"\|x\|\^\(1/2\)"),
        ("x*exp(x**2/20)", r"exp\(1/20\*x\^2\)"),
        ("x - softplus(x) + exp(-x**2)", "linearly"),
        ("x*log(1 + x**2)", "up to logarithms"),
    ],
)
def test_growth_in_words(text: str, words: str) -> None:
    assert re.search(words, Activation.from_text(text).growth_class)


@pytest.mark.parametrize(
    ("text", "finite"), [("Abs(x)**(3/2)", True), ("sqrt(Abs(x))", False), ("sign(x)", False), ("Abs(x)", True)]
)
def test_finite_slope_energy(text: str, finite: bool) -> None:
    assert Activation.from_text(text).has_finite_slope_energy is finite


# --- the real line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [
        (sp.sqrt(2) + sp.sqrt(3), sp.sqrt(5 + 2 * sp.sqrt(6)), 0),
        (sp.exp(sp.pi * sp.sqrt(163)), sp.Integer(262537412640768744), -1),
        (sp.pi, sp.Rational(355, 113), -1),
        (sp.sqrt(2) / 10**250, sp.S.Zero, 1),
        (sp.oo, sp.Integer(3), 1),
    ],
)
def test_numbers_are_compared_exactly(left: sp.Expr, right: sp.Expr, sign: int) -> None:
    assert compare(left, right) == sign
    assert compare(right, left) == -sign


def test_parameters_are_compared_by_their_assumptions() -> None:
    a, b = sp.Symbol("a", real=True), sp.Symbol("b", positive=True)
    assert compare(b, -b) == 1
    assert compare(b * sp.exp(-1 / b), b) == -1
    with pytest.raises(UndecidedError, match="give the parameters assumptions or values"):
        compare(a, sp.S.Zero)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-sp.oo, sp.oo), (-sp.oo, sp.sqrt(2)), (sp.pi, sp.oo), (sp.sqrt(2), sp.Rational(17, 12)), (sp.S.Zero, sp.S.One)],
)
def test_interior_points_lie_inside_and_are_rational(lower: sp.Expr, upper: sp.Expr) -> None:
    point = interior_point(lower, upper)
    assert point.is_Rational
    assert lower < point < upper


@pytest.mark.parametrize(
    "text", ["x**2 - 2", "(x - 1)*(x + 2)*exp(x)", "x**3 - x", "exp(x) - 5", "atan(x) - 1", "asinh(x) - 1"]
)
def test_zeros_are_zeros(text: str) -> None:
    expr = Activation.from_text(text).expr
    found = zeros(expr)
    assert found
    assert all(sp.simplify(expr.subs(x, point)) == 0 for point in found)


def test_split_covers_the_line() -> None:
    pieces = split(Activation.from_text("Max(Abs(x) - 1, Min(x, 2))").expr)
    assert pieces[0].lower is -sp.oo
    assert pieces[-1].upper is sp.oo
    assert all(left.upper == right.lower for left, right in itertools.pairwise(pieces))
