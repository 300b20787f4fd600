"""Smooth pieces of expressions with kinks: where they meet, what holds on each, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import sympy as sp

from theory.analysis import piecewise
from theory.analysis.piecewise import DomainError, split
from theory.symbols import x

A = sp.Symbol("a", positive=True)
ROOT_TWO = sp.sqrt(2)


def _pieces(expr: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
    """Where each piece ends, and the piece."""
    found = split(expr)
    assert found[0].lower is -sp.oo
    assert all(one.upper == other.lower for one, other in pairwise(found))
    return [(piece.upper, piece.expr) for piece in found]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (x**2, [(sp.oo, x**2)]),
        (sp.Max(x, 0), [(0, 0), (sp.oo, x)]),
        (sp.Min(x, 0), [(0, x), (sp.oo, 0)]),
        (sp.Max(x, 1, -x), [(-1, -x), (1, 1), (sp.oo, x)]),
        (sp.Min(x, 1, -x), [(0, x), (sp.oo, -x)]),
        (sp.Max(0, sp.Min(x, 1)), [(0, 0), (1, x), (sp.oo, 1)]),
        (sp.Abs(x - A), [(A, A - x), (sp.oo, x - A)]),
        (sp.Abs(x**2 - 2), [(-ROOT_TWO, x**2 - 2), (ROOT_TWO, 2 - x**2), (sp.oo, x**2 - 2)]),
        (sp.sign(x), [(0, -1), (sp.oo, 1)]),
        (sp.Heaviside(x - 1), [(1, 0), (sp.oo, 1)]),
        (sp.Max(x**2 + 1, 0), [(sp.oo, x**2 + 1)]),
        (sp.Abs(x) - sp.Max(x, -x), [(sp.oo, 0)]),
        (sp.Abs(sp.Abs(x) - 1), [(-1, -x - 1), (0, x + 1), (1, 1 - x), (sp.oo, x - 1)]),
        (sp.exp(-sp.Abs(x)), [(0, sp.exp(x)), (sp.oo, sp.exp(-x))]),
        (sp.Piecewise((x, x > 1), (x**2, x >= -1), (0, True)), [(-1, 0), (1, x**2), (sp.oo, x)]),
        (sp.Piecewise((1, sp.And(x > 0, x < 2)), (0, True)), [(0, 0), (2, 1), (sp.oo, 0)]),
        (sp.Piecewise((1, sp.Or(x < 0, x > 2)), (0, True)), [(0, 1), (2, 0), (sp.oo, 1)]),
        (sp.Piecewise((1, sp.Abs(x) <= 1), (x, True)), [(-1, x), (1, 1), (sp.oo, x)]),
        (sp.Piecewise((1, sp.Ne(x, 0)), (0, True)), [(sp.oo, 1)]),
        (sp.Piecewise((1, sp.Eq(x, 0)), (2, True)), [(sp.oo, 2)]),
        (sp.Piecewise((x, sp.Not(x**2 < 1, evaluate=False)), (1, True)), [(-1, x), (1, 1), (sp.oo, x)]),
        (sp.Piecewise((1, sp.Max(x, 0) > 0), (2, True)), [(0, 2), (sp.oo, 1)]),
        (sp.Piecewise((1, sp.Max(x, 0) <= 0), (2, True)), [(0, 1), (sp.oo, 2)]),
        (sp.Piecewise((1, sp.Max(x, 0) >= 0), (2, True)), [(sp.oo, 1)]),
        (sp.Piecewise((1, sp.Max(x, 0) < 0), (2, True)), [(sp.oo, 2)]),
        (sp.sqrt(sp.Abs(x)), [(0, sp.sqrt(-x)), (sp.oo, sp.sqrt(x))]),
        (x * sp.log(sp.Abs(x)), [(0, x * sp.log(-x)), (sp.oo, x * sp.log(x))]),
        (1 / (1 + sp.Abs(x)), [(0, 1 / (1 - x)), (sp.oo, 1 / (1 + x))]),
        (sp.tan(sp.tanh(x)), [(sp.oo, sp.tan(sp.tanh(x)))]),
    ],
    ids=str,
)
def test_pieces(expr: sp.Expr, expected: list[tuple[sp.Expr, sp.Expr]]) -> None:
    found = _pieces(expr)
    assert [end for end, _ in found] == [end for end, _ in expected]
    for (_, piece), (_, wanted) in zip(found, expected, strict=True):
        assert sp.expand(piece - wanted) == 0


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        (1 / x, "pole at x = 0"),
        (1 / (x**2 - 4), "pole at x = -2"),
        (sp.Piecewise((1 / x, x > 0), (0, True)), "pole at x = 0"),
        (sp.Piecewise((1 / (x - 2), x < 2), (0, True)), "pole at x = 2"),
        (sp.sqrt(x), "not real at x = -1"),
        (sp.log(x - 3), "not real at x = 2"),
        (sp.sqrt(x**2 - 1), "not real at x = 0"),
        (x ** sp.Rational(-1, 2), "pole"),
        ((x**2 + 1) ** x, "in the base and in the exponent"),
        (sp.tan(x), "has poles"),
        (sp.tan(2 * sp.atan(x)), "has poles"),
        (sp.csch(x), "has poles"),
        (sp.cot(x), "has poles"),
        (sp.I * x, "not a finite real number"),
        (sp.Abs(sp.sin(x)), "cannot be split"),
        (sp.Piecewise((x, x > 0)), "has no value between -oo and 0"),
        (sp.Max(x, A * x), "cannot be split"),
    ],
    ids=str,
)
def test_what_is_no_activation_is_refused(expr: sp.Expr, complaint: str) -> None:
    with pytest.raises(DomainError, match=complaint):
        split(expr)


def test_as_many_pieces_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = sp.Add(*(sp.Heaviside(x - k) for k in range(4)))
    monkeypatch.setattr(piecewise, "MAX_PIECES", 5)
    assert [piece.expr for piece in split(steps)] == [0, 1, 2, 3, 4]
    monkeypatch.setattr(piecewise, "MAX_PIECES", 4)
    with pytest.raises(DomainError, match="more than 4 pieces"):
        split(steps)
