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
    ("Tanh(x)", 1, "did you mean tanh?"),
    ("x + sofplus(x)", 5, "did you mean softplus?"),
    ("1 + gelu(x)", 5, "x*Phi(x)"),
    ("x^2", 2, "**"),
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
    ("f(x, y=1)", 7, "'='"),
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
    ("1" * 61, 1, "at most 60"),
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
    ("é", 1, "ASCII"),
    ("x − 1", 3, "ASCII"),
    ("x + 𝑥", 5, "ASCII"),
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
    for name in ("parsing.py", "_lexing.py", "_bounds.py"):
        tree = ast.parse((root / name).read_text(encoding="utf-8"))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} - {
            "compile"  # of the module re
        }
        assert not used & {"eval", "exec", "compile", "sympify", "S.__call__", "parse_expr"}
