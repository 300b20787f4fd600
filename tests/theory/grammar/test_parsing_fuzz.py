"""The parser against texts that nobody would type, and against an independent reading of its own."""

from __future__ import annotations

import ast
import json
import operator
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from theory.functions import sigmoid, softplus
from theory.grammar import ActivationSyntaxError, parse_activation, parse_number
from theory.symbols import x

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "fuzz_parser.py"


@cache
def fuzzer() -> ModuleType:
    """What draws and tries the texts."""
    return import_module("deqverify.commands._fuzzing")


def test_bounded_run_finds_nothing() -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--inputs", "3000", "--seed", "11", "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["failures"] == []
    accepted, refused = sum(report["accepted"].values()), sum(report["refused"].values())
    assert accepted + refused == report["inputs"] == 3000
    assert accepted > 500
    assert refused > 500
    assert set(report["refused"]) == {
        "grammar", "constant", "mutation", "tokens", "tower", "noise", "library",
    }  # fmt: skip
    assert 0 < report["slowest_seconds"] < report["limit_seconds"]


def test_texts_depend_on_the_seed_alone() -> None:
    def draw(seed: int) -> list[tuple[str, str]]:
        generator = fuzzer().TextGenerator(np.random.default_rng(seed))
        return [generator.draw() for _ in range(50)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def _raises(text: str) -> sp.Expr:
    raise ZeroDivisionError(text)


def _opens(text: str) -> sp.Expr:
    with SCRIPT.open(encoding="utf-8"):
        return x


def _compiles(text: str) -> sp.Expr:
    compile("x", "<unknown>", "eval")
    return x


def _hangs(text: str) -> sp.Expr:
    end = time.perf_counter() + 10
    while time.perf_counter() < end:
        pass
    return x


def _points_outside(text: str) -> sp.Expr:
    raise ActivationSyntaxError("what; accepted", len(text) + 2, text)


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        (_raises, "ZeroDivisionError"),
        (_opens, "open"),
        (_compiles, "compile"),
        (_hangs, "time limit"),
        (_points_outside, "points outside"),
        (lambda text: 1, "gave a int"),
        (lambda text: sp.Float(1), "not exact"),
        (lambda text: sp.I * x, "not exact, real"),
        (lambda text: sp.Symbol("y"), "foreign symbols"),
    ],
)
def test_the_run_notices(parse: Callable[[str], sp.Expr], words: str) -> None:
    report = fuzzer().fuzz(2, 0, parse=parse, limit_seconds=0.2)
    assert len(report.failures) == 2
    assert all(words in failure["failure"] for failure in report.failures)


@pytest.mark.parametrize(
    "arguments", [["--inputs", "0"], ["--inputs", "many"], ["--seed", "-1"], ["--json", "no/where/f"]]
)
def test_bad_usage_is_one_sentence_and_exits_with_2(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert arguments[0] in done.stderr


def _read(parse: Callable[[str], sp.Expr], text: str) -> sp.Expr | ActivationSyntaxError:
    try:
        return parse(text)
    except ActivationSyntaxError as error:
        return error


@given(st.text(max_size=80) | st.text("xE01.5+-*/() ,<>&|tanhexpMaxPiecewise", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_activation, parse_number):
        outcome = _read(parse, text)
        if isinstance(outcome, ActivationSyntaxError):
            assert outcome.column is None or 1 <= outcome.column <= len(text) + 1
        else:
            assert outcome.free_symbols <= {x}
            assert not outcome.has(sp.Float, sp.I, sp.nan, sp.zoo, sp.oo)


# --- an independent reading: Python's grammar with 60 digits of mpmath, no SymPy -----------------


_DIGITS = 60
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(mpmath, name) for name in ("exp", "sin", "cos", "tan", "atan", "erf", "erfc")},
    **{name: getattr(mpmath, name) for name in ("log", "sqrt", "sinh", "cosh", "tanh", "sech", "asinh")},
    **{name: getattr(mpmath, name) for name in ("log1p", "expm1")},
    "Phi": mpmath.ncdf,
    "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
    "expit": lambda u: 1 / (1 + mpmath.exp(-u)),
    "logistic": lambda u: 1 / (1 + mpmath.exp(-u)),
    "softplus": lambda u: mpmath.log(1 + mpmath.exp(u)),
    "relu": lambda u: max(u, 0),
    "Abs": abs,
    "abs": abs,
    "sign": mpmath.sign,
    "Heaviside": lambda u: (mpmath.sign(u) + 1) / 2,
    "Max": max,
    "max": max,
    "maximum": max,
    "Min": min,
    "min": min,
    "minimum": min,
    "clip": lambda u, low, high: min(max(u, low), high),
}
_ARITHMETIC: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_ORDER: dict[type[ast.cmpop], Callable[..., bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class _UndefinedError(Exception):
    """The text has no real value at this point, or none worth comparing."""


def _value(node: ast.expr, text: str, names: dict[str, Any]) -> Any:
    """Value of a part of the text, read as Python reads it; only the branch that holds counts."""
    match node:
        case ast.Constant(value=bool(value)):
            return value
        case ast.Constant():
            return mpmath.mpf(ast.get_source_segment(text, node))
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, text, names)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, text, names)
        case ast.BinOp(left=left, op=op, right=right):
            sides = _value(left, text, names), _value(right, text, names)
            return _real(_ARITHMETIC[type(op)](*sides))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            values = [_value(part, text, names) for part in (left, *comparators)]
            return all(_ORDER[type(op)](values[place], values[place + 1]) for place, op in enumerate(ops))
        case ast.Call(func=ast.Name(id="Piecewise"), args=branches):
            for branch in branches:
                assert isinstance(branch, ast.Tuple)
                if _value(branch.elts[1], text, names):
                    return _value(branch.elts[0], text, names)
            raise AssertionError("no branch holds")
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _real(_FUNCTIONS[name](*(_value(part, text, names) for part in arguments)))
    raise AssertionError(ast.dump(node))


def _real(value: Any) -> Any:
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value) or abs(value) > 10**25:
        raise _UndefinedError
    return value


def _expected(text: str, names: dict[str, Any]) -> Any:
    try:
        return _value(ast.parse(text, mode="eval").body, text, names)
    except (_UndefinedError, ZeroDivisionError):
        return None


def _accepted_texts(count: int, seed: int) -> Iterator[tuple[str, sp.Expr]]:
    generator = fuzzer().TextGenerator(np.random.default_rng(seed))
    while count:
        text = generator.expression(3)
        outcome = _read(lambda text: parse_activation(text, fuzzer().PARAMETERS), text)
        if isinstance(outcome, sp.Expr):
            count -= 1
            yield text, outcome


def _found(expression: sp.Expr, point: dict[sp.Symbol, sp.Rational]) -> sp.Expr:
    written = expression.replace(sigmoid, lambda u: 1 / (1 + sp.exp(-u)))
    written = written.replace(softplus, lambda u: sp.log(1 + sp.exp(u)))
    return written.subs(point).evalf(30)


def test_value_is_what_an_independent_reading_gives() -> None:
    """Wherever the text has a real value at a point, so has the expression, and the same."""
    points = (("-1.4", "-0.7", "1.3"), ("0.8", "1.7", "0.2"), ("3.1", "0.3", "2.4"))
    compared = 0
    for text, expression in _accepted_texts(150, seed=5):
        for values in points:
            with mpmath.workdps(_DIGITS):
                names = dict(zip(("x", "a", "b"), map(mpmath.mpf, values), strict=True))
                expected = _expected(text, {**names, "pi": +mpmath.pi, "E": +mpmath.e})
                digits = None if expected is None else mpmath.nstr(expected, 40)
            if digits is None:
                continue
            symbols = (x, *fuzzer().PARAMETERS.values())
            found = _found(expression, dict(zip(symbols, map(sp.Rational, values), strict=True)))
            error = abs(found - sp.Float(digits, 40))
            assert error <= sp.Float("1e-20") * (1 + abs(found)), (text, values, found, digits)
            compared += 1
    assert compared > 300
