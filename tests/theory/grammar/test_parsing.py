"""The parser of activations: what it accepts and as what, what it refuses, where and in which words."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest
import sympy as sp

import theory.grammar.parsing
from theory.functions import sigmoid, softplus
from theory.grammar import ActivationSyntaxError, parse_activation, parse_number
from theory.symbols import x

R = sp.Rational
a = sp.Symbol("a", real=True)
b = sp.Symbol("b", positive=True)
PARAMETERS = {"a": a, "b": b}


def piecewise(*branches: tuple[object, object]) -> sp.Expr:
    return sp.Piecewise(*branches, evaluate=False)


ACCEPTED = {
    "x": x,
    "  x  ": x,
    "+x": x,
    "--x": x,
    "3": sp.Integer(3),
    "x - x": sp.S.Zero,
    "-x**2": -(x**2),
    "2**-1*x": x / 2,
    "x/3*2": R(2, 3) * x,
    "x - 1 - 2": x - 3,
    "2**3**2": sp.Integer(512),
    "1e-3*x + 2.50": x / 1000 + R(5, 2),
    ".5*x + 1.": x / 2 + 1,
    "pi*x + E": sp.pi * x + sp.E,
    "exp(x)": sp.exp(x),
    "log(x)": sp.log(x),
    "sqrt(x)": sp.sqrt(x),
    "x**0.5": sp.sqrt(x),
    "x**(1/3)": x ** R(1, 3),
    "sin(x)": sp.sin(x),
    "cos(x)": sp.cos(x),
    "tan(x)": sp.tan(x),
    "atan(x)": sp.atan(x),
    "sinh(x)": sp.sinh(x),
    "cosh(x)": sp.cosh(x),
    "tanh(x)": sp.tanh(x),
    "sech(x)": sp.sech(x),
    "erf(x)": sp.erf(x),
    "erfc(x)": sp.erfc(x),
    "x*Phi(x)": x * ((1 + sp.erf(x / sp.sqrt(2))) / 2),
    "sigmoid(x)": sigmoid(x),
    "logistic(x)": sigmoid(x),
    "softplus(x)": softplus(x),
    "sigmoid(1)": 1 / (1 + sp.exp(-1)),
    "softplus(1)": sp.log(1 + sp.E),
    "relu(x)": sp.Max(x, 0),
    "Abs(x)": sp.Abs(x),
    "abs(-2)": sp.Integer(2),
    "abs(1 - pi)": sp.pi - 1,
    "sign(x)": sp.sign(x),
    "sign(3 - pi)": -sp.S.One,
    "Heaviside(x)": sp.Heaviside(x),
    "Heaviside(0)": sp.S.Half,
    "Max(x, 0)": sp.Max(x, 0),
    "max(0, x, 2*x)": sp.Max(0, x, 2 * x),
    "max(x, max(0, 1))": sp.Max(x, 1),
    "Max(1, pi, 22/7)": R(22, 7),
    "Min(1, pi, 22/7)": sp.S.One,
    "min(x, x)": x,
    "clip(x, -1, 1)": sp.Min(sp.Max(x, -1), 1),
    "clip(2, -1, 1)": sp.S.One,
    "Max(a*x, x)": sp.Max(a * x, x),
    "b**x": sp.exp(x * sp.log(b)),
    "2**x": sp.exp(x * sp.log(2)),
    "E**(-x**2)": sp.exp(-(x**2)),
    "E**2": sp.exp(2),
    "x**64": x**64,
    "exp(tanh(log(x)))": sp.exp(sp.tanh(sp.log(x))),
    "sech(log(x))": 1 / sp.cosh(sp.log(x)),
    "Piecewise((x, x > 0), (0, True))": piecewise((x, x > 0), (0, True)),
    "Piecewise((x, 0 < x), (0, True))": piecewise((x, x > 0), (0, True)),
    "Piecewise((x, x >= 0), (-x, x < 0))": piecewise((x, x >= 0), (-x, True)),
    "Piecewise((x, True))": x,
    "Piecewise((1, 1 - 2*x <= 0), (0, True))": piecewise((1, x >= R(1, 2)), (0, True)),
    "Piecewise((1, -1 < x <= 2), (0, True))": piecewise((1, (x > -1) & (x <= 2)), (0, True)),
    "Piecewise((1, (x < -1) | (x >= a)), (0, True))": piecewise((1, (x < -1) | (x >= a)), (0, True)),
    "Piecewise((1, Abs(2*x) <= 3), (0, True))": piecewise((1, (x <= R(3, 2)) & (x >= -R(3, 2))), (0, True)),
    "Piecewise((1, 1 < abs(x - 1)), (0, True))": piecewise((1, (x > 2) | (x < 0)), (0, True)),
    "Piecewise((1, b*x < 1), (0, True))": piecewise((1, x < 1 / b), (0, True)),
    "Piecewise((sqrt(x), x > 0), (0, True))": piecewise((sp.sqrt(x), x > 0), (0, True)),
}


# Spellings of libraries: the text, and the same in the plain grammar.
SPELLINGS = {
    "expit(x)": "sigmoid(x)",
    "scipy.special.expit(x)": "sigmoid(x)",
    "torch.special.expit(2*x)": "sigmoid(2*x)",
    "log1p(exp(x))": "log(1 + exp(x))",
    "expm1(x)": "exp(x) - 1",
    "exp2(x)": "2**x",
    "ln(1 + x**2)": "log(1 + x**2)",
    "log2(1 + x**2)": "log(1 + x**2)/log(2)",
    "np.arcsinh(x)": "asinh(x)",
    "torch.asinh(x)": "asinh(x)",
    "arctan(x)": "atan(x)",
    "|x|": "Abs(x)",
    "||x| - 1|*x": "Abs(Abs(x) - 1)*x",
    "|x|*|x - 1|": "Abs(x)*Abs(x - 1)",
    "-|x|**3": "-Abs(x)**3",
    "np.abs(x)": "Abs(x)",
    "fabs(x)": "Abs(x)",
    "x^2": "x**2",
    "-x^2/2": "-x**2/2",
    "pow(x, 3)": "x**3",
    "torch.pow(x, 2)": "x**2",
    "np.power(1 + x**2, 1/2)": "sqrt(1 + x**2)",
    "np.square(x)": "x**2",
    "cbrt(x)": "sign(x)*Abs(x)**(1/3)",
    "where(x > 0, x, 0.1*x)": "Piecewise((x, x > 0), (0.1*x, True))",
    "np.where(|x| < 1, x**2/2, |x| - 1/2)": "Piecewise((x**2/2, Abs(x) < 1), (Abs(x) - 1/2, True))",
    "x*(x > 0)": "x*Piecewise((1, x > 0), (0, True))",
    "(x > 0)*x": "x*Piecewise((1, x > 0), (0, True))",
    "x*((x > 0) & (x < 1))": "x*Piecewise((1, (x > 0) & (x < 1)), (0, True))",
    "maximum(x, 0)": "Max(x, 0)",
    "jnp.minimum(x, 1)": "Min(x, 1)",
    "torch.clamp(x, -1, 1)": "clip(x, -1, 1)",
    "torch.clamp(x, min=0)": "Max(x, 0)",
    "clamp(x, max=1)": "Min(x, 1)",
    "np.clip(x, a_min=-1, a_max=2)": "clip(x, -1, 2)",
    "np.heaviside(x, 0.5)": "Heaviside(x)",
    "np.heaviside(x, 1)": "Heaviside(x) + 1/2 - sign(x)**2/2",
    "np.logaddexp(0, x)": "softplus(x)",
    "logaddexp(x, 1)": "1 + softplus(x - 1)",
    "softplus(x, beta=2)": "softplus(2*x)/2",
    "F.softplus(x, 2)": "softplus(2*x)/2",
    "np.pi*x + np.e": "pi*x + E",
    "ndtr(x)": "Phi(x)",
    "scipy.stats.norm.cdf(x)": "Phi(x)",
    "SiLU(x)": "x*sigmoid(x)",
    "jax.nn.silu(x)": "x*sigmoid(x)",
    "swish(x, 3/2)": "x*sigmoid(3/2*x)",
    "Tanh(x)": "tanh(x)",
    "selu(x)": "1.0507009873554804934193349852946*Piecewise((x, x > 0), "
    "(1.6732632423543772848170429916717*(exp(x) - 1), True))",
    "hard_tanh(x)": "clip(x, -1, 1)",
    "F.hardtanh(x, -2, 3)": "clip(x, -2, 3)",
    "hardtanh(x, max_val=1/2)": "clip(x, -1, 1/2)",
    "leaky_relu(x, 0.2)": "Piecewise((x, x > 0), (x/5, True))",
    "leaky_relu(x, negative_slope=0.2)": "Piecewise((x, x > 0), (x/5, True))",
    "leaky_relu(x, a)": "Piecewise((x, x > 0), (a*x, True))",
    "nn.LeakyReLU(0.2)(x)": "Piecewise((x, x > 0), (x/5, True))",
    "nn.LeakyReLU(0.2)": "Piecewise((x, x > 0), (x/5, True))",
    "torch.nn.ReLU()": "Max(x, 0)",
    "relu(x) - relu(-x)": "Max(x, 0) - Max(-x, 0)",
    "relu(2*x + 1)": "Max(2*x + 1, 0)",
    "elu(2*x + 1, 1/2)": "Piecewise((2*x + 1, 2*x + 1 > 0), ((exp(2*x + 1) - 1)/2, True))",
    "elu(tanh(x))": "Max(tanh(x), 0) + exp(Min(tanh(x), 0)) - 1",
    "elu(2)": "2",
    "leaky_relu(-1)": "-0.01",
    "threshold(x, 0.1, 20)": "Piecewise((x, x > 0.1), (20, True))",
    "softshrink(x, lambd=0.3)": "Max(x - 0.3, 0) - Max(-x - 0.3, 0)",
    "rrelu(x)": "Max(x, 0) + 11/48*Min(x, 0)",
    "gelu(x)": "x*Phi(x)",
    "F.gelu(x)": "x*Phi(x)",
    "jax.nn.gelu(x, approximate=False)": "x*Phi(x)",
    "gelu(x, approximate='none')": "x*Phi(x)",
    **dict.fromkeys(
        (
            "gelu_tanh(x)",
            "jax.nn.gelu(x)",
            "F.gelu(x, approximate='tanh')",
            "gelu(x, approximate=True)",
            'nn.GELU(approximate="tanh")(x)',
        ),
        "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2",
    ),
}


@pytest.mark.parametrize(("text", "plain"), SPELLINGS.items(), ids=list(SPELLINGS))
def test_spellings_of_libraries_mean_the_plain_grammar(text: str, plain: str) -> None:
    assert parse_activation(text, PARAMETERS) == parse_activation(plain, PARAMETERS)


@pytest.mark.parametrize("text", [*ACCEPTED, *SPELLINGS])
def test_what_is_read_is_written_so_that_it_reads_the_same(text: str) -> None:
    expression = parse_activation(text, PARAMETERS)
    assert parse_activation(str(expression), PARAMETERS) == expression


def test_a_call_too_long_written_out_is_counted_with_its_arguments() -> None:
    text = "x"
    for _ in range(5):
        text = f"gelu({text})"
    assert parse_activation(text).count_ops() > 100


@pytest.mark.parametrize(("text", "expected"), ACCEPTED.items(), ids=list(ACCEPTED))
def test_accepted_text_gives_the_expression(text: str, expected: sp.Expr) -> None:
    assert parse_activation(text, PARAMETERS) == expected


# Text, column (None: the whole text), and words that the sentence must hold.
REFUSED = [
    ("", None, "empty"),
    ("   ", None, "empty"),
    ("tanh(", 5, "never closed"),
    ("tanh(x", 5, "never closed"),
    ("x)", 2, "closes nothing"),
    ("foo(x)", 1, "unknown name 'foo'"),
    ("Exp(x)", 1, "did you mean exp?"),
    ("x + sofplus(x)", 5, "did you mean softplus?"),
    ("1 + coth(x)", 5, "pole at 0"),
    ("sinc(x)", 1, "no value of its own at 0"),
    ("csch(x)", 1, "pole at 0"),
    ("arcsin(x)", 1, "not real on the whole line; atan(x) and asinh(x) are"),
    ("softmax(x)", 1, "function of one number"),
    ("F.glu(x)", 1, "function of one number"),
    ("floor(x)", 1, "jumps"),
    ("e**x", 1, "write E or exp(...)"),
    ("2*gelu", 3, "write gelu(...)"),
    ("np.max(x, 0)", 1, "write maximum(x, 0)"),
    ("torch.min(x, 0)", 1, "write minimum(x, 0)"),
    ("nn.gelu(x)", 1, "gelu_tanh(x), JAX's"),
    ("celu(x, -1)", 9, "alpha of celu is -1"),
    ("swish(x, 0)", 10, "must be positive"),
    ("leaky_relu(x, x)", 15, "depends on x"),
    ("leaky_relu(x, 1, 2)", 1, "write leaky_relu(x, negative_slope)"),
    ("hardtanh(x, 1, -1)", 1, "below"),
    ("hard_shrink(tanh(x))", 1, "compare x with a constant"),
    ("F.softplus(x, threshold=20)", 15, "it takes beta"),
    ("gelu(x, approximate='erf')", 9, "'tanh' or 'none'"),
    ("gelu(x, approximate=2)", 9, "'tanh' or 'none'"),
    ("tanh(x, 'tanh')", 9, "not part of the grammar"),
    ("elu(x, 2, alpha=1)", 11, "twice"),
    ("where(x > 0, x)", 1, "it takes 3"),
    ("where(x, 1, 2)", 7, "not a comparison"),
    ("x.relu()", 2, "attributes"),
    ("foo.tanh(x)", 4, "attributes"),
    ("np.foo(x)", 1, "unknown name 'foo'"),
    ("|x", 1, "'|' is never closed"),
    ("(|x)|", 2, "'|' is never closed"),
    ("|x|1", 4, "write *"),
    ("2|x|", 5, "ends too early"),
    ("x = 1", 3, "<, <=, > and >="),
    ("x^", 3, "ends too early"),
    ("Max(x, 0)(x)", 1, "write *"),
    ("gelu(" * 12 + "x" + ")" * 12, 31, "too long when it is written out"),
    ("y", 1, "E, a, b, pi, x"),
    ("  y", 3, "unknown name 'y'"),
    ("tanh(x) + X", 11, "did you mean x?"),
    ("x*I", 3, "unknown name 'I'"),
    ("__import__('os')", 12, "not part of the grammar"),
    ("__import__(x)", 1, "unknown name"),
    ("x.__class__", 2, "attributes"),
    ("x . real", 3, "attributes"),
    ("1..real", 3, "not part of the grammar"),
    ("lambda: 1", 1, "'lambda'"),
    ("[1]", 1, "'['"),
    ("x if x>0 else 0", 3, "Piecewise"),
    ("(x > 0) and (x < 1)", 9, "&"),
    ("max(x)", 1, "it takes 2 to 16"),
    ("max(" + ",".join(["x"] * 17) + ")", 1, "it takes 2 to 16"),
    ("tanh(x, 1)", 1, "it takes 1"),
    ("2 + tanh()", 5, "it takes 1"),
    ("clip(x, 0)", 1, "it takes 3"),
    ("clip(x, 1, -1)", 12, "below"),
    ("tanh", 1, "write tanh(...)"),
    ("tanh x", 6, "write tanh(...)"),
    ("2x", 2, "write *"),
    ("2(x)", 2, "write *"),
    ("(x)(x)", 4, "write *"),
    ("x(2)", 1, "not a function"),
    ("x 2", 3, "write *"),
    ("x +", 4, "ends too early"),
    ("x + * 2", 5, "out of place"),
    ("*x", 1, "out of place"),
    ("Max(*x)", 5, "out of place"),
    ("f(x, y=1)", 1, "unknown name 'f'"),
    ("tanh(x, y=1)", 9, "no argument 'y'"),
    ("tanh(x=1)", 6, "no argument 'x'"),
    ("x,1", 1, "comma"),
    ("()", 2, "out of place"),
    ("x > 0", 1, "Piecewise"),
    ("tanh(x > 0)", 6, "Piecewise"),
    ("x + True", 5, "condition of Piecewise"),
    ("x == 0", 3, "<, <=, > and >="),
    ("x//2", 3, "out of place"),
    ("x % 2", 3, "+ - * / **"),
    ("x & x", 1, "conditions"),
    ("1e999", 1, "exponents run to 100"),
    ("x + 1e-101", 5, "exponents run to 100"),
    ("1" * 303, 1, "at most 302"),
    ("007", 1, "leading zeros"),
    ("0x10", 2, "no operator"),
    ("1_000", 2, "no operator"),
    ("1j", 2, "no operator"),
    ("x**1000", 4, "64"),
    ("x**(1/13)", 5, "denominators up to 12"),
    ("x**x", 4, "not a number"),
    ("x**a", 4, "not a number"),
    ("(-2)**x", 7, "not a number"),
    ("((x+1)**64)**64", 14, "multiplied out"),
    ("(x + a + b + 1)**60", 18, "multiplied out"),
    ("9**9**9", 4, "64"),
    ("4**---23**---4", 4, "64"),
    ("exp(exp(exp(1000)))", 13, "690"),
    ("exp(x + 10**9*log(3))", 5, "64"),
    ("exp(log(3)/10**9)", 5, "denominators"),
    ("exp(600)*exp(600)", 1, "too large"),
    ("(10**60)**64", 1, "1000 bits"),
    ("1/0", 3, "division by zero"),
    ("x/(1 - 1)", 4, "division by zero"),
    ("0**-1", 4, "zero"),
    ("sqrt(-1)", 6, "negative"),
    ("2 + log(-1)", 9, "not positive"),
    ("log(0)", 5, "not positive"),
    ("log(3 - pi)", 5, "not positive"),
    ("(-8)**(1/3)", 8, "not an integer"),
    ("sqrt(-1 - x**2)", 1, "not real"),
    ("tan(pi/2)", 1, "not finite"),
    ("sinh(" * 18 + "x**(1/12)" + ")" * 18, 81, "nested too deeply"),
    ("sigmoid(" * 13 + "2" + ")" * 13, 81, "12 levels"),
    ("+".join(f"Phi(Phi({k}/3))*x**{k}" for k in range(1, 34)), 298, "too many"),
    ("1 + x/tanh(sin(log(x)))", 7, "nested too deeply"),
    ("1/(sin(1)**2 + cos(1)**2 - 1)", 4, "cannot be determined"),
    ("é", 1, "'é' is LATIN SMALL LETTER E WITH ACUTE"),
    ("é", 1, "ASCII"),
    ("x − 1", 3, "MINUS SIGN"),
    ("x − 1", 3, "did you mean -?"),
    ("x + 𝑥", 5, "did you mean x?"),
    ("х", 1, "'х' is CYRILLIC SMALL LETTER HA"),
    ("х", 1, "did you mean x?"),
    ("tаnh(x)", 2, "'а' is CYRILLIC SMALL LETTER A"),
    ("ｘ", 1, "'ｘ' is FULLWIDTH LATIN SMALL LETTER X"),
    ("α*x", 1, "did you mean a?"),
    ("x²", 2, "did you mean **2?"),
    ("x\u00a0+ 1", 2, "NO-BREAK SPACE"),
    ("x\u200b", 2, "ZERO WIDTH SPACE"),
    ("x\0", 2, "not part of the grammar"),
    ("x\n+ 1", 2, "not part of the grammar"),
    ("x # note", 3, "not part of the grammar"),
    ("x" * 1001, None, "at most 1000"),
    ("(" * 41 + "x" + ")" * 41, 41, "at most 40"),
    ("-" * 500 + "x", 101, "at most 100 levels"),
    ("+".join(["x"] * 150), 1, "at most 100 levels"),
    ("Piecewise(x)", 11, "not a pair"),
    ("Piecewise((x, x))", 15, "not a comparison"),
    ("Piecewise((x, x > 0))", 1, "True"),
    ("Piecewise((x, x > 0), (1, x < 0))", 1, "True"),
    ("Piecewise((x, x > a), (1, x <= 0))", 1, "True"),
    ("Piecewise((x, (x > 0) & (x <= 0)))", 1, "True"),
    ("Piecewise((x, True), (1, True))", 22, "last"),
    ("Piecewise((x, x > 0 & x < 1), (0, True))", 19, "bracket each comparison"),
    ("Piecewise((x, x**2 > 1), (0, True))", 15, "compare x with a constant"),
    ("Piecewise((x, a*x > 1), (0, True))", 15, "compare x with a constant"),
    ("Piecewise((x, 0 < 1), (0, True))", 15, "compare x with a constant"),
]


@pytest.mark.parametrize(("text", "column", "words"), REFUSED, ids=[t[0][:40] for t in REFUSED])
def test_refused_text_is_named_with_its_column(text: str, column: int | None, words: str) -> None:
    with pytest.raises(ActivationSyntaxError) as caught:
        parse_activation(text, PARAMETERS)
    error = caught.value
    assert words in str(error)
    assert error.column == column
    assert error.text == text
    assert error.message == str(error)
    assert str(error).isprintable()
    assert "; " in str(error), "the sentence says what would be accepted"
    assert error.column is None or f"at column {error.column}" in str(error)


def test_refusal_survives_pickling() -> None:
    with pytest.raises(ActivationSyntaxError) as caught:
        parse_activation("x + y")
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made two lines above
    assert (str(copy), copy.column, copy.text) == (str(caught.value), 5, "x + y")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.2", R(1, 5)),
        ("0.1", R(1, 10)),
        ("1/5", R(1, 5)),
        ("-3", sp.Integer(-3)),
        ("1e-3", R(1, 1000)),
        ("2.5E+2", sp.Integer(250)),
        ("00.50", R(1, 2)),
        ("1.0507009873554804934193349852946", R(10507009873554804934193349852946, 10**31)),
        ("12345678901234567890", sp.Integer(12345678901234567890)),
        ("0.1 + 0.2", R(3, 10)),
        ("sqrt(2)/3", sp.sqrt(2) / 3),
        ("pi/4", sp.pi / 4),
        ("1 - 1/(2*pi)", 1 - 1 / (2 * sp.pi)),
        ("4**(1/2)", sp.Integer(2)),
    ],
)
def test_numbers_are_exact(text: str, expected: sp.Expr) -> None:
    number = parse_number(text)
    assert number == expected
    assert not number.has(sp.Float)
    assert parse_activation(text) == expected


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "oo", "1/0", "sqrt(-2)", "one", "0,5", "I"])
def test_what_is_not_a_real_number_is_refused(text: str) -> None:
    with pytest.raises(ActivationSyntaxError):
        parse_number(text)


def test_number_refuses_a_sum_that_is_exactly_zero_but_not_seen_to_be() -> None:
    with pytest.raises(ActivationSyntaxError, match="cannot be determined"):
        parse_number("sin(1)**2 + cos(1)**2 - 1")


def test_parameters_by_name_are_real_symbols() -> None:
    result = parse_activation("Max(x, slope*x)", ["slope"])
    assert result == sp.Max(x, sp.Symbol("slope", real=True) * x)


def test_parameters_by_symbol_keep_their_assumptions() -> None:
    assert parse_activation("sqrt(b**2)", PARAMETERS) == b
    assert parse_activation("sqrt(a**2)", PARAMETERS) == sp.Abs(a)


@pytest.mark.parametrize("name", ["x", "pi", "tanh", "lambda", "a b", "", "é"])
def test_parameter_names_that_are_taken_or_impossible(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a parameter"):
        parse_activation("x", [name])


def test_parameter_is_unknown_unless_given() -> None:
    with pytest.raises(ActivationSyntaxError, match="unknown name 'a'"):
        parse_activation("a*x")


def test_long_sum_in_one_signed_parameter_is_refused_before_sympy_seeks_its_sign() -> None:
    terms = " + ".join(f"log({k + 2})*b**{k}*(-1)**{k}" for k in range(1, 25))
    with pytest.raises(ActivationSyntaxError, match="a sum in b alone"):
        parse_activation(f"Abs(log(1 + {terms}))*x", PARAMETERS)


def test_no_function_that_runs_text_is_named_in_the_parser() -> None:
    root = Path(theory.grammar.parsing.__file__).parent
    for name in ("parsing.py", "lexing.py", "bounds.py"):
        tree = ast.parse((root / name).read_text(encoding="utf-8"))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} - {
            "compile"  # of the module re
        }
        assert not used & {"eval", "exec", "compile", "sympify", "S.__call__", "parse_expr"}
