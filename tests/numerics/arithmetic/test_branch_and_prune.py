"""All roots in a box, against roots that are known; what cannot be decided is said."""

from __future__ import annotations

import pytest
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import BallSystem, search
from theory.symbols import x

Y = sp.Symbol("y")


def _system(*equations: sp.Expr) -> BallSystem:
    return BallSystem(equations, sorted(sp.Tuple(*equations).free_symbols, key=str), [])


def test_every_root_is_found_once() -> None:
    """(x - 1)(x - 2)(x + 3) on [-4, 4], and the seventh Chebyshev polynomial on [-1, 1]."""
    found = search(_system(sp.expand((x - 1) * (x - 2) * (x + 3))), [arb(0, 4)], [])
    assert found.complete
    assert sorted(round(float(root.mid()), 12) for (root,) in found.roots) == [-3, 1, 2]
    assert all(float(root.rad()) < 1e-13 for (root,) in found.roots)
    chebyshev = search(_system(sp.chebyshevt_poly(7, x)), [arb(0, 1)], [])
    assert chebyshev.complete
    roots = sorted((root for (root,) in chebyshev.roots), key=float)
    assert len(roots) == 7
    for k, root in enumerate(roots):
        assert root.overlaps((arb(13 - 2 * k) / 14).cos_pi())


def test_roots_outside_of_the_box_are_left_out() -> None:
    """x^2 = 2 on [1, 2], and just beside the root."""
    system = _system(x**2 - 2)
    (found,) = search(system, [arb("1.5", "0.5")], []).roots
    assert found[0].overlaps(arb(2).sqrt())
    beside = search(system, [arb("1.4", "0.0142")], [])
    assert (beside.roots, beside.undecided) == ((), ())


def test_the_corners_of_a_grid_are_found() -> None:
    """x^2 = 1/9 and (y - 1)^2 = 4 on a square: four roots."""
    found = search(_system(9 * x**2 - 1, (Y - 1) ** 2 - 4), [arb(0, 4), arb(0, 4)], [])
    assert found.complete
    corners = {(round(3 * float(first.mid()), 9), round(float(second.mid()), 9)) for first, second in found.roots}
    assert corners == {(-1, -1), (-1, 3), (1, -1), (1, 3)}
    assert len(found.roots) == 4


def test_a_further_equation_discards_roots_or_leaves_them_undecided() -> None:
    """x = 1, 2 and -3 of the cubic: only 2 has x^2 = 4, which balls cannot prove, and the other two have not."""
    found = search(_system(sp.expand((x - 1) * (x - 2) * (x + 3)), x**2 - 4), [arb(0, 4)], [])
    assert found.roots == ()
    (left,) = found.undecided
    assert left[0].contains(2)
    assert float(left[0].rad()) < 1e-13


def test_a_double_root_is_left_undecided_and_nothing_else() -> None:
    found = search(_system(sp.expand((x - sp.Rational(1, 3)) ** 2 * (x + 1))), [arb(0, 2)], [], smallest=1e-4)
    assert len(found.roots) == 1
    assert found.roots[0][0].contains(-1)
    assert any(part.contains(arb(1) / 3) for (part,) in found.undecided)
    assert all(abs(float(part.mid()) - 1 / 3) < 1e-2 and float(part.rad()) < 2e-4 for (part,) in found.undecided)


def test_the_budget_ends_a_search_with_the_rest_undecided() -> None:
    system, box = _system(sp.chebyshevt_poly(7, x)), [arb(0, 1)]
    whole = search(system, box, [])
    ended = search(system, box, [], budget=whole.examined - 1)
    assert ended.examined == whole.examined
    assert not ended.complete
    assert search(system, box, [], budget=whole.examined).complete
    (all_of_it,) = search(system, box, [], budget=0).undecided
    assert all_of_it == tuple(box)


@pytest.mark.parametrize("bits", [53, 128])
def test_roots_are_as_narrow_as_the_precision_allows(bits: int) -> None:
    with ctx.workprec(bits):
        (found,) = search(_system(x**3 - 2), [arb(1, 1)], []).roots
        assert found[0].overlaps(arb(2).root(3))
        assert float(found[0].rel_accuracy_bits()) > bits - 8
