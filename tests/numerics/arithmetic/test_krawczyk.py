"""Roots that are proved: against square roots and cubic roots, narrow, and refused where nothing can be proved."""

from __future__ import annotations

import pytest
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import BallSystem, RootNotCertifiedError, certify_root
from numerics.arithmetic.krawczyk import krawczyk_image
from theory.symbols import x

A, Y = sp.symbols("a y")


def _narrow(root: arb, value: arb) -> bool:
    """Whether a ball holds a number, and is no wider than rounding makes it."""
    return bool(root.overlaps(value)) and float(root.rel_accuracy_bits()) > ctx.prec - 8


@pytest.mark.parametrize("bits", [64, 200])
def test_a_root_is_as_narrow_as_the_precision_allows(bits: int) -> None:
    with ctx.workprec(bits):
        (root,) = certify_root(BallSystem([x**2 - A], [x], [A]), [arb("1.3")], [arb(2)])
        assert _narrow(root, arb(2).sqrt())


def test_a_system_is_solved_for_all_its_unknowns() -> None:
    """x^2 + y^2 = 4 and x y = 1: x^2 = 2 + sqrt(3), y^2 = 2 - sqrt(3)."""
    with ctx.workprec(128):
        system = BallSystem([x**2 + Y**2 - 4, x * Y - 1], [x, Y], [])
        first, second = certify_root(system, [arb(2), arb("0.5")], [])
        assert _narrow(first, (2 + arb(3).sqrt()).sqrt())
        assert _narrow(second, (2 - arb(3).sqrt()).sqrt())


def test_newtons_method_may_wander_before_it_converges() -> None:
    """From 0.5 the steps of x^3 = x + 3 shrink from 14 to 0.8 and grow to 2.6 before they vanish (Cardano's root)."""
    with ctx.workprec(128):
        (root,) = certify_root(BallSystem([x**3 - x - 3], [x], []), [arb("0.5")], [])
        spread = (arb(9) / 4 - arb(1) / 27).sqrt()
        assert _narrow(root, (arb(3) / 2 + spread).root(3) + (arb(3) / 2 - spread).root(3))


def test_a_root_is_as_wide_as_the_data() -> None:
    """x^2 = a for a in 2 +- 1e-6: every root, and at most twice what they take up (0.7e-6 in the mean)."""
    with ctx.workprec(128):
        (root,) = certify_root(BallSystem([x**2 - A], [x], [A]), [arb("1.4")], [arb(2, "1e-6")])
        for end in (arb(2) - arb("0.999999e-6"), arb(2) + arb("0.999999e-6")):
            assert root.contains(end.sqrt())
        assert float(root.rad()) < 1e-6


def test_what_cannot_be_proved_is_refused() -> None:
    double, third = BallSystem([(x - A) ** 2], [x], [A]), arb(1) / 3
    with pytest.raises(RootNotCertifiedError, match="singular"):
        certify_root(double, [arb("1.3")], [third])
    with pytest.raises(RootNotCertifiedError, match="singular"):
        certify_root(BallSystem([x**2 + 1], [x], []), [arb(0)], [])
    with pytest.raises(RootNotCertifiedError, match="domain"):
        certify_root(BallSystem([sp.log(x) + 3], [x], []), [arb(1)], [])
    with pytest.raises(RootNotCertifiedError, match="known well enough"):
        certify_root(BallSystem([x**2 - A], [x], [A]), [arb("1.4")], [arb(2, 3)])


def test_krawczyks_image_holds_every_root_of_the_box() -> None:
    """x^2 = 2 on [1.3, 1.6]: K(X) = m - f(m)/2m + (1 - X/m)(X - m) for m = 1.45, of radius 0.15^2/m."""
    (image,) = krawczyk_image(BallSystem([x**2 - 2], [x], []), (arb("1.45", "0.15"),), []) or (arb(),)
    centre = arb("1.45")
    assert image.overlaps(centre - (centre**2 - 2) / (2 * centre))
    assert image.contains(arb(2).sqrt())
    assert float(image.rad()) == pytest.approx(0.15**2 / 1.45, rel=1e-6)


def test_there_is_no_image_without_an_inverse() -> None:
    assert krawczyk_image(BallSystem([x**2], [x], []), (arb(0, 1),), []) is None
    assert krawczyk_image(BallSystem([sp.sqrt(x) - 1], [x], []), (arb(0, 1),), []) is None
