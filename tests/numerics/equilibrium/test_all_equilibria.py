"""All equilibria, the bound beyond which there are none, and the loss of stability."""

from __future__ import annotations

import pickle

import flint
import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb

from numerics.arithmetic import contains_decimal, pointwise
from numerics.equilibrium import (
    asymptote,
    certify,
    find_equilibria,
    is_followed,
    largest_scale,
    locate_ntk_loss,
    locate_stability_loss,
    solve_float,
    solve_uncertified,
)
from numerics.moments import FloatMoments, UncertifiedError, certified_moments
from theory.activations import Activation, registered, registered_names
from theory.equations import EquilibriumError

R = sp.Rational
DEFAULT = (R(1, 5), R(4, 5), R(1))
BISTABLE = "5*sigmoid(8*x - 16)"


def activation(text: str) -> Activation:
    return (registered(text) if text in registered_names() else Activation.from_text(text)).with_parameters()


def cubic_polynomial(a: sp.Expr, weight: sp.Expr, source: sp.Expr, v: sp.Expr) -> sp.Expr:
    """F(v) for phi = x + a x^3, from the even moments 1, 3, 15 of a standard normal number."""
    return v - weight * (v + 6 * a * v**2 + 15 * a**2 * v**3) - source


@pytest.mark.parametrize("weight", [R(0), R(1, 100), R(1, 5), R(22, 100), R(1, 2)], ids=str)
def test_roots_of_a_polynomial_are_all_found(weight: sp.Expr) -> None:
    v = sp.Symbol("v")
    polynomial = sp.Poly(cubic_polynomial(R(1, 10), weight, R(4, 5), v), v)
    expected = sorted(root for root in sp.real_roots(polynomial) if root > 0)
    found = find_equilibria(activation("cubic"), weight, R(4, 5), R(1), 25)
    assert found.complete
    assert len(found.equilibria) == len(expected)
    for root, exact in zip(found.equilibria, expected, strict=True):
        with mpmath.workdps(50):
            assert contains_decimal(root.tau, mpmath.nstr(mpmath.sqrt(mpmath.mpf(exact.evalf(50)._mpf_)), 24))
        assert root.stable == bool(sp.diff(polynomial.as_expr(), v).subs(v, exact) > 0)
    if expected:
        assert found.followed is found.equilibria[0]


@pytest.mark.parametrize(
    ("text", "weight", "source", "scale"),
    [
        (BISTABLE, R(1), R(1, 2), R(1)),
        (BISTABLE, R(1), R(1, 2), R(11, 10)),
        (BISTABLE, R(1, 10), R(1, 2), R(1)),
        ("tanh", R(3), R(1, 100), R(1)),
        ("gelu", R(1, 5), R(4, 5), R(2)),
        ("elu", R(5, 4), R(1, 4), R(1, 3)),
        ("10*tanh(x)**3", R(1), R(1, 20), R(1)),
        ("x*Abs(x)/2", R(1, 5), R(1, 2), R(1)),
    ],
)
def test_counts_agree_with_a_dense_grid(text: str, weight: sp.Expr, source: sp.Expr, scale: sp.Expr) -> None:
    phi = activation(text)
    found = find_equilibria(phi, weight, source, scale)
    assert found.complete, found.reason
    moments = FloatMoments(pointwise(phi))
    v = np.geomspace(float(source * scale**2) * 0.99, found.searched_to**2 * 3, 800)
    gap = v - float(weight) * moments.variance(np.sqrt(v)) - float(source * scale**2)
    crossings = np.flatnonzero(np.sign(gap[:-1]) != np.sign(gap[1:]))
    assert len(crossings) == len(found.equilibria)
    for position, root in zip(crossings, found.equilibria, strict=True):
        assert v[position] * 0.999999 <= float(root.tau) ** 2 <= v[position + 1] * 1.000001
        assert root.stable == bool(gap[position] < 0)
        assert (root.slope < 1) == root.stable
    followed = found.followed
    assert followed is not None
    assert float(followed.tau) == pytest.approx(
        solve_float(pointwise(phi), float(weight), float(source), float(scale))["tau"], rel=1e-10
    )


def test_the_start_decides_which_equilibrium_is_followed() -> None:
    near, far = (find_equilibria(activation(BISTABLE), R(1), b, t) for b, t in ((R(1, 2), R(1)), (R(1, 18), R(3))))
    assert len(near.equilibria) == len(far.equilibria) == 3
    assert near.equilibria[0].tau.overlaps(far.equilibria[0].tau)
    assert near.followed is near.equilibria[0]
    assert far.followed is far.equilibria[2]
    assert [root.stable for root in near.equilibria] == [True, False, True]


def test_no_equilibrium_is_a_certified_answer() -> None:
    found = find_equilibria(registered("relu"), R(3), R(1, 2), R(1))
    assert found.complete
    assert found.equilibria == ()
    assert found.followed is None


def test_an_end_of_the_moments_is_not_hidden() -> None:
    found = find_equilibria(activation("exp_bump"), R(1, 5), R(4, 5), R(1))
    assert len(found.equilibria) == 2
    assert not found.complete
    assert found.unresolved[-1][1] == pytest.approx(np.sqrt(5), rel=1e-6)
    assert "tau < sqrt(5)" in found.reason


def test_unbounded_searches_say_so() -> None:
    found = find_equilibria(activation("x*sin(x)"), R(1, 5), R(1, 2), R(1))
    assert not found.bounded
    assert "no bound" in found.reason
    assert not found.complete


def test_what_certify_follows_is_proved_cheaply() -> None:
    phi = activation(BISTABLE)
    roots = find_equilibria(phi, R(1), R(1, 2), R(1)).equilibria
    for source, scale, expected in ((R(1, 2), R(1), 0), (R(1, 18), R(3), 2)):
        assert certify(phi, R(1), source, scale).followed is True
        for position in (expected, 2 - expected):
            proved = is_followed(phi, (R(1), source, scale), roots[position].tau)
            assert proved is (True if position == expected else None)
    for name in ("relu", "gelu", "cos", "cubic"):
        assert certify(activation(name), R(1, 5), R(4, 5), R(1, 10**7)).followed is True
    assert solve_uncertified(activation("relu"), R(1, 5), R(4, 5), R(1), 5).followed is None


def test_sets_pickle() -> None:
    found = find_equilibria(activation("cubic"), R(1, 5), R(4, 5), R(1))
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert [root.stable for root in again.equilibria] == [True, False]
    for one, other in zip(found.equilibria, again.equilibria, strict=True):
        assert other.tau.contains(one.tau)
        assert other.tau.rad() <= one.tau.rad() * arb("1.0001")


@pytest.mark.parametrize("name", ["tanh", "gelu", "swish", "elu", "mish", "softplus", "selu", "hard_swish", "snake"])
def test_lines_at_infinity_are_followed(name: str) -> None:
    phi = activation(name)
    with flint.ctx.workprec(64):
        lines = asymptote(phi)
    assert lines is not None
    left, right, distance = (float(value) for value in (lines.left, lines.right, lines.distance))
    points = np.linspace(-60, 60, 4001)
    away = np.abs(pointwise(phi).value(points) - np.where(points > 0, right, left) * points)
    assert away.max() <= distance
    assert away.max() >= 0.5 * distance
    share = FloatMoments(pointwise(phi)).at(1e4).variance / 1e8
    assert float(lines.share) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("weight", [R(1, 5), R(3, 2), R(4)], ids=str)
@pytest.mark.parametrize(
    "name",
    [
        *("tanh", "gelu", "relu", "softplus", "squared_relu", "cubic", "sin", "sign", "hard_tanh"),
        *("relu(x + 2/3)**2/2", "x**2*Phi(x)", "(x*sigmoid(x) + 1)**2", "Max(-2*x, 1/3)**(5/2) + tanh(x)"),
        "Piecewise((x**4/10, x < -2), (sin(-x), x <= 1/2), (tanh(-x), True))",
        "Piecewise((x/(1 + Abs(x)) - sigmoid(x - 1/2), x < -2), (Phi(x), x <= 0), (2*atan(x), True))",
    ],
)
def test_beyond_the_bound_the_equation_keeps_its_sign(name: str, weight: sp.Expr) -> None:
    phi = activation(name)
    found = largest_scale(phi, certified_moments(phi, False), weight, R(1, 2), R(1))
    assert found.bound is not None
    scales = float(found.bound) * np.geomspace(1.000001, 100, 60)
    gap = scales**2 - float(weight) * FloatMoments(pointwise(phi)).variance(scales) - 0.5
    assert np.all(gap > 0) or np.all(gap < 0)


@pytest.mark.parametrize("tied", [False, True])
def test_a_fold_is_where_the_discriminant_vanishes(tied: bool) -> None:
    v, weight = sp.symbols("v w", positive=True)
    source = 1 - weight if tied else R(4, 5)
    discriminant = sp.discriminant(sp.expand(cubic_polynomial(R(1, 10), weight, source, v)), v)
    digits = 40
    roots = [root for root in sp.Poly(discriminant, weight).nroots(n=60, maxsteps=200) if root.is_real]
    found = locate_stability_loss(activation("cubic"), None if tied else R(4, 5), R(1), digits)
    assert found.kind == "fold"
    assert found.certified
    assert found.sigma_a2 is not None
    text = found.decimal()
    assert text is not None
    with mpmath.workdps(60):
        nearest = min((mpmath.mpf(str(root)) for root in roots), key=lambda root: abs(root - mpmath.mpf(text)))
        assert abs(nearest - mpmath.mpf(text)) <= mpmath.mpf(10) ** -digits
    assert contains_decimal(found.sigma_a2, text)


def test_a_fold_separates_two_equilibria_from_none() -> None:
    phi = activation("cubic")
    fold = sp.Rational(str(locate_stability_loss(phi, R(4, 5), R(1), 20).decimal()))
    below = find_equilibria(phi, fold * (1 - R(1, 10**8)), R(4, 5), R(1))
    assert below.complete
    assert [root.stable for root in below.equilibria] == [True, False]
    above = find_equilibria(phi, fold * (1 + R(1, 10**8)), R(4, 5), R(1))
    assert above.complete
    assert above.equilibria == ()


@pytest.mark.parametrize("power", [12, 16, 20])
def test_next_to_a_fold_the_search_finds_what_float64_does_not_see(power: int) -> None:
    """phi = x + x^2/2: v = a (v + v^2/2) + b has the roots (1 - a -+ sqrt((1 - a)^2 - 2 a b))/a."""
    phi, a = activation("x + x**2/2"), R(1, 5)
    fold = (1 - a) ** 2 / (2 * a)
    found = certify(phi, a, fold * (1 - R(1, 10**power)), R(1), 20)
    with flint.ctx.workprec(300):
        # b = fold (1 - h) makes the square root (1 - a) sqrt(h).
        expected = ((1 - arb(1) / 5) * (1 - (arb(10) ** -power).sqrt()) * 5).sqrt()
        assert found["tau"].overlaps(expected)
        assert found["tau"].rad() < arb(10) ** -22
    assert found.followed
    with pytest.raises(EquilibriumError, match="it is proved" if power < 20 else "not decided"):
        certify(phi, a, fold * (1 + R(1, 10**power)), R(1), 20)


def test_parameters_at_which_a_formula_divides_by_zero() -> None:
    relu = certify(registered("relu"), R(2), R(4, 5), R(1), 20)
    assert all(relu.certified.values())
    assert "kappa2" not in relu.balls
    assert "is not below 1" in relu.ntk_missing
    with pytest.raises(EquilibriumError, match=r"not decided: between tau = 2\.82842712"):
        certify(registered("squared_relu"), R(1, 20), R(1), R(2), 20)
    with pytest.raises(EquilibriumError, match="it is proved"):
        certify(registered("identity"), R(1), R(4, 5), R(1), 20)


def test_closed_forms_are_not_used_beyond_the_scales_of_their_moments() -> None:
    """E[exp(2 tau^2 xi^2)] = 1/sqrt(1 - 4 tau^2) only for tau < 1/2, and sigma_b^2 tau_0^2 is beyond that already."""
    phi = activation("exp(x**2)")
    moments = certified_moments(phi, False)
    assert moments.values(arb(1) / 4)[0, 2].overlaps(1 / arb("0.75").sqrt())
    for way in (moments.values, moments.enclose, lambda scale: moments.expand(scale, scale)):
        for scale in (arb("0.5"), arb("0.9"), arb(0.4, 0.2)):
            with pytest.raises(UncertifiedError, match="only for tau < 1/2"):
                way(scale)
    found = find_equilibria(phi, *DEFAULT)
    assert (found.complete, found.equilibria) == (True, ())
    with pytest.raises(EquilibriumError, match="no stable equilibrium"):
        certify(phi, *DEFAULT)
    # Below it there are two, and the interval that touches the end stays open.
    near = find_equilibria(activation("exp(x**2/8)"), *DEFAULT)
    assert [root.stable for root in near.equilibria] == [True, False]
    assert not near.complete


def test_a_double_root_is_left_unresolved() -> None:
    # Var = 5 v^2/4 for phi = max(x, 0)^2, so that v = sigma_a^2 5 v^2/4 + 1/2 has a double root at sigma_a^2 = 2/5.
    fold = locate_stability_loss(registered("squared_relu"), R(1, 2), R(1), 20)
    assert fold.sigma_a2 is not None
    with flint.ctx.workprec(200):
        assert fold.sigma_a2.overlaps(arb(2) / 5)
    found = find_equilibria(registered("squared_relu"), R(2, 5), R(1, 2), R(1))
    assert found.equilibria == ()
    assert len(found.unresolved) == 1
    assert found.unresolved[0][0] <= 1 <= found.unresolved[0][1]
    assert found.unresolved[0][1] - found.unresolved[0][0] < 1e-3
    assert not found.complete


def test_relu_escapes_to_infinity() -> None:
    found = locate_stability_loss(registered("relu"), R(1, 2), R(1), 30)
    assert found.kind == "escape"
    with flint.ctx.workprec(200):
        expected = 2 * arb.pi() / (arb.pi() - 1)
    assert found.sigma_a2 is not None
    assert found.sigma_a2.overlaps(expected)
    assert contains_decimal(expected, str(found.decimal()))
    assert locate_stability_loss(registered("relu"), None, R(1)).kind == "none"
    assert locate_stability_loss(registered("tanh"), R(1, 2), R(1)).decimal() is None


def test_relu_loses_its_ntk_at_two() -> None:
    """E[relu'^2] = 1/2 at any scale, so that sigma_a^2 E[phi'^2] = 1 at sigma_a^2 = 2, before tau_* escapes."""
    found = locate_ntk_loss(registered("relu"), R(1, 2), R(1), 30)
    assert (found.kind, found.certified) == ("ntk", True)
    assert found.sigma_a2 is not None
    assert found.sigma_a2.contains(2)
    assert found.sigma_a2.rad() < 1e-30
    # Tied, sigma_a^2 ends at 1.
    assert locate_ntk_loss(registered("relu"), None, R(1)).kind == "none"
    assert locate_ntk_loss(registered("sign"), R(1, 2), R(1)).explanation.startswith("E[phi'^2] is infinite")


@pytest.mark.parametrize(("text", "source"), [("sin(x)", R(4, 5)), ("gelu", R(1, 5)), ("tanh(2*x)", None)])
def test_the_ntk_is_lost_where_its_margin_is_one(text: str, source: sp.Rational | None) -> None:
    """Solved on either side of the point, the margin sigma_a^2 E[phi'^2] passes 1."""
    phi = activation(text)
    found = locate_ntk_loss(phi, source, R(1), 15)
    assert found.certified
    weight = R(str(found.decimal()))
    for factor, below in ((1 - R(1, 10**12), True), (1 + R(1, 10**12), False)):
        a = weight * factor
        solution = certify(phi, a, 1 - a if source is None else source, R(1), 15)
        assert bool(solution.margins["ntk"] < 1) is below
        assert bool(solution.ntk_missing) is not below


def test_an_equilibrium_that_folds_first_has_its_ntk_to_the_end() -> None:
    """phi = x + x^2/2: E[phi'^2] = 1 + v = E[(phi^2)'']/2, so that NTK and equilibrium are lost together."""
    assert locate_stability_loss(activation("x + x**2/2"), R(4, 5), R(1)).kind == "fold"
    assert locate_ntk_loss(activation("x + x**2/2"), R(4, 5), R(1)).kind == "none"


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(EquilibriumError, match="tau0"):
        find_equilibria(registered("tanh"), R(1, 5), R(4, 5), R(-1))
    with pytest.raises(EquilibriumError, match="sigma_b2"):
        locate_stability_loss(registered("tanh"), R(0), R(1))


def test_a_start_next_to_a_root_is_not_taken_past_it() -> None:
    """tau_0 so close below the stable (above the unstable) root that it lies in the root's ball."""
    # Two equilibria, at v = tau^2 with 3/100 v^3 + 3/25 v^2 - 4/5 v + 4/5 = 0.
    cubic = activation("cubic")
    both = find_equilibria(cubic, R(1, 5), R(4, 5), R(1)).equilibria
    assert len(both) == 2
    for root, reached in zip(both, (both[0], None), strict=True):
        scale = R(root.tau.mid().str(60, radius=False))
        found = find_equilibria(cubic, R(1, 5), R(4, 5) / scale**2, scale)
        assert [one.stable for one in found.equilibria] == [True, False]
        if reached is None:
            # On an unstable root nothing decides which way it goes.
            assert [one.followed for one in found.equilibria] == [None, None]
        else:
            assert [one.followed for one in found.equilibria] == [True, False]
        for side, expected in ((-1, True), (1, reached is not None)):
            near = scale * (1 + side * R(1, 10**12))
            found = find_equilibria(cubic, R(1, 5), R(4, 5) / near**2, near)
            assert found.equilibria[0].followed is expected
            assert found.equilibria[1].followed is False


def test_the_end_of_a_proof_is_not_the_end_of_the_moments() -> None:
    """1 - erf(x)^2 decays faster than exp(x^2/8) grows: there are moments beyond where their proof ends."""
    from numerics.equilibrium.all_equilibria import _moments_end_at_threshold

    for text, ends in (
        ("exp(x**2/8)*(1 - erf(x)**2)", False),
        ("exp(x**2/8)*erfc(x)", True),
        ("exp_bump", True),
        ("x + 2*exp(x**2/8 + x)", True),
    ):
        assert _moments_end_at_threshold(activation(text)) is ends
