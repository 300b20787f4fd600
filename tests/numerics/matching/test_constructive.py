"""The constructive family: bounded layers, polynomials and tails; and what no two layers can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx
from scipy.optimize import minimize

from numerics.data import GaussianMixture
from numerics.kernels import explicit_kernels
from numerics.matching import (
    ExplicitLayer,
    ExplicitNetwork,
    Target,
    ck_is_forbidden,
    match_hermite,
    ntk_is_forbidden,
    width_of_rational,
)
from numerics.matching.impossibility import _bound, _Problem, _sloped_fails
from numerics.networks import FiniteExplicitNetwork
from tests.designs import assert_matches, made
from theory.kernels import Kernel, KernelCoefficients
from theory.matching import hermite_family
from theory.named import MatchStatus

R = sp.Rational
#: A DEQ that is nearly linear and close to its edge: alpha_4 < lambda_1 by much, and little variance to spare.
FORBIDDEN = ("x + x**2/1000 - x**3/50", R(9, 10))


@pytest.mark.parametrize("name", ["relu", "elu", "abs"])
@pytest.mark.parametrize("kernel", ["ntk-preactivation", "ntk-all"])
def test_ntks(name: str, kernel: str) -> None:
    outcome = made(name, digits=15, kernel=kernel)
    assert outcome.family == "rational"
    assert_matches(outcome, 14)
    assert_matches(made(name, digits=15, kernel=kernel, family="hermite"), 14)


def test_first_layers_by_response() -> None:
    """alpha_4/lambda_1 decides the first layer: a cubic, a tail where variance is short, or the rational one."""
    assert list(made("elu", family="hermite").network.layers[0].parameters) == ["c1", "c3"]
    for text, s in (("x**2/2 + x", R(3, 10)), ("tanh(x) + x**2/10", R(9, 10))):
        steep = made(text, s, family="hermite")
        assert [layer.family.name for layer in steep.network.layers] == ["hermite", "hermite"]
        assert_matches(steep, 18)
    deep = made("sin(2*x) + x**2/20 + x/2", R(19, 20), family="hermite")
    k = [float(ball) for ball in deep.target.coefficients]
    assert 2 * k[1] / k[2] < 1 / 4
    assert deep.network.layers[0].family.name == "rational"
    assert_matches(deep, 18)
    # Bounded layers do as well.
    for text, s in (("tanh(x) + x**2/10", R(9, 10)), ("sin(2*x) + x**2/20 + x/2", R(19, 20))):
        bounded = made(text, s)
        assert all(layer.family.bounded for layer in bounded.network.layers)
        assert_matches(bounded, 18)


def test_finite_networks_of_bounded_layers_are_nearer_to_their_limit() -> None:
    """|x|: the same four numbers by cubics and by bounded layers, four draws of width 400 at p = 60."""
    rng = np.random.default_rng(0)
    sample = GaussianMixture.released_experiment(60, means=2.0).sample(rng)
    errors = []
    for family in ("rational", "hermite"):
        layers = made("abs", family=family).network.pointwise()
        limit = explicit_kernels(sample.gram(), layers)[Kernel.CK]
        networks = [FiniteExplicitNetwork.draw(layers, width=400, dimension=60, rng=rng) for _ in range(4)]
        errors.append(np.mean([np.linalg.norm(network.ck(sample.data) - limit, 2) for network in networks]))
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("size", [10, 10**4, 10**8])
def test_every_ck_with_a_response_above_one_is_matched(size: int) -> None:
    """However little variance there is to spare: a tail takes as little as need be."""
    outcome = made(f"x + exp(x/2)/{size}", R(4, 5), digits=12)
    assert outcome.network.layers[0].family.name == "tail"
    assert float(outcome.network.layers[0].parameters["g"]) < 1 / 4
    assert_matches(outcome, 10)


@pytest.mark.parametrize(("name", "sigma_a2"), [("cos", R(1, 5)), ("x*tanh(x/2)", R(13, 50))])
def test_a_recurrent_ntk_that_only_a_tail_matches(name: str, sigma_a2: sp.Expr) -> None:
    """Even DEQs near the edge: polynomials of degree 30 leave a negative variance, and no proof forbids the kernel."""
    outcome = made(name, sigma_a2, digits=12, kernel="ntk-recurrent")
    assert outcome.network.layers[0].family.name == "tail"
    assert_matches(outcome, 10)


def test_the_other_way_to_an_even_ntk() -> None:
    """E[phi_1'] = 0: a target made from such a pair, that no first layer with E[phi_1'] = 1 matches."""
    one = ExplicitLayer(hermite_family((2, 4)), {"c2": arb(1), "c4": arb(1) / 64})
    two = ExplicitLayer(hermite_family((1, 2, 3)), {"c1": arb(1), "c2": arb(1) / 16, "c3": arb(1) / 64})
    numbers = ExplicitNetwork((one, two), sp.S.One).kernel_balls("ntk-all", 40)
    with ctx.workdps(40):
        target = Target("ntk-all", numbers, sp.S.One, even=True)
        assert _sloped_fails(target.coefficients, arb(1), None)
        assert not ntk_is_forbidden(target.coefficients, arb(1))
        found = match_hermite(target)
        assert found.status is MatchStatus.EXACT
        assert list(found.branches[0][0].parameters) == ["c2", "c4"]
        again = ExplicitNetwork(found.branches[0], sp.S.One).kernel_balls("ntk-all", 40)
        assert all(have.overlaps(want) for have, want in zip(again, numbers, strict=True))


@pytest.mark.parametrize("response", [0.999, 0.75, 0.0, -3.0])
def test_widths_of_rational_layers(response: float) -> None:
    """The layer of that width has that response, by quadrature of its square's second derivative."""
    width = width_of_rational(response)
    # The trapezoidal rule converges like exp(-2 pi b/h), b the distance of the poles from the axis.
    xi = np.linspace(-12, 12, 40_001)
    weight = np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi) * (xi[1] - xi[0])
    value = xi / (1 + (xi / width) ** 2)
    value /= weight @ (xi * value)
    assert weight @ ((xi**2 - 1) * value**2) / 2 == pytest.approx(response, abs=1e-7)


def test_shallow_and_affine_deqs() -> None:
    one = made("relu", sp.S.Zero, family="leaky_relu", layers=1)
    assert_matches(one, 18)
    slopes = [float(ball) for ball in one.network.layers[0].parameters.values()]
    np.testing.assert_allclose(slopes, [1, 0], atol=1e-15)
    assert_matches(made("relu", sp.S.Zero, family="leaky_relu"), 18)
    assert_matches(made("elu", sp.S.Zero, layers=1, family="hermite"), 18)
    assert_matches(made("2*x + 1", R(1, 10)), 18)
    assert_matches(made("2*x + 1", R(1, 10), family="hermite"), 18)
    # Nothing of degree 3 is left, or nothing of degree 2.
    for kernel in ("ck", "ntk-all"):
        quadratic = made("x + x**2", sp.S.Zero, kernel=kernel)
        assert list(quadratic.network.layers[0].parameters) == ["c1", "c2"]
        assert_matches(quadratic, 18)
    assert_matches(made("elu", sp.S.Zero, kernel="ntk-preactivation"), 18)
    assert made("x + x**2", sp.S.Zero, kernel="ntk-recurrent", digits=10, rates="one", family="hermite").universal


@pytest.mark.parametrize(
    ("text", "even", "odd"),
    [
        ("(x**3 - 3*x + x**2)/sqrt(8)", True, False),
        ("(x + (x**4 - 6*x**2 + 3)/sqrt(24))/sqrt(2)", False, True),
        ("(x**4 - 6*x**2 + 3)/sqrt(24)", True, True),
    ],
)
def test_coefficients_that_vanish_without_a_symmetry(text: str, *, even: bool, odd: bool) -> None:
    """Hermite polynomials at tau_* = 1, where E[phi'] or E[phi''] is 0: a ball alone would never tell."""
    for kernel in ("ck", "ntk-all"):
        outcome = made(text, kernel=kernel, digits=12)
        assert outcome.target.even is even
        assert outcome.target.odd is odd
        assert_matches(outcome, 10)


def test_one_layer_is_refused_where_it_cannot_do() -> None:
    outcome = made("relu", digits=10, family="hermite", layers=1)
    assert outcome.status is MatchStatus.INFEASIBLE
    k = [float(ball) for ball in outcome.target.coefficients]
    # |k_3 - 2 k_2| is shared out between the two.
    assert (
        float(outcome.residual_bound) <= abs(k[2] - 2 * k[1]) / 3 * (1 + 1e-9) <= float(outcome.residual) * (1 + 1e-6)
    )


def best_leftover(numbers: Sequence[float], degree: int, *, ntk: bool) -> float:
    """Largest variance left over by a two-layer network with a first layer of some degree, by local optimisation."""
    k1, k2, k3, k0 = numbers
    k = np.arange(1, degree + 1)
    e2 = k1 / 3 if ntk else k1

    def parts(c: np.ndarray) -> tuple[float, float, float]:
        """Leftover, error in k_2, and f^2, which must not be negative."""
        full = np.concatenate([[1.0], c])
        v, d = np.sum(full**2), np.sum(k * full**2)
        q = d + np.sum(np.sqrt((k[:-2] + 1) * (k[:-2] + 2)) * full[:-2] * full[2:])
        quadratic = e2 * 2 * c[0] ** 2
        if ntk:
            f2 = (k3 - 2 * quadratic) * 2 / 5
            return k0 - e2 * (2 * v + d) - f2 * (1.5 * v**2 + v * d), quadratic / 2 + f2 * q**2 / 4 - k2, f2
        f2 = 2 * k3 - quadratic
        return k0 - e2 * v - f2 * v**2 / 2, (quadratic + f2 * q**2) / 4 - k2, f2

    best = -np.inf
    for third in (0.3, 0.05, -0.1):
        equal = {"type": "eq", "fun": lambda c: parts(c)[1] / k2}
        positive = {"type": "ineq", "fun": lambda c: parts(c)[2] / k3}
        start = np.array([1e-3, third, *([0.01] * (degree - 3))])
        found = minimize(
            lambda c: -parts(c)[0] / k0, start, method="SLSQP", constraints=[equal, positive],
            options={"maxiter": 500, "ftol": 1e-13},
        )  # fmt: skip
        if abs(parts(found.x)[1]) < 1e-6 * k2 and parts(found.x)[2] > -1e-6 * k3:
            best = max(best, parts(found.x)[0])
    assert np.isfinite(best)
    return best


def test_a_deq_that_no_two_layers_match() -> None:
    outcome = made(FORBIDDEN[0], FORBIDDEN[1], digits=10)
    assert outcome.status is MatchStatus.INFEASIBLE
    assert outcome.universal
    assert 0 < float(outcome.residual_bound) <= float(outcome.residual)
    assert best_leftover([float(ball) for ball in outcome.target.coefficients], 9, ntk=False) < 0
    # Nearly linear DEQs have the same edge, at whatever scale.
    assert made("x + x**2/10**8 - x**3/10**6", R(9, 10), digits=5).universal
    # With variance to spare the same slope, curvature and response can be had.
    k1, k2, k3, k0 = outcome.target.coefficients
    assert not ck_is_forbidden(KernelCoefficients(k1, k2, k3, k0 * arb("1.2")), arb(1))


def test_the_recurrent_ntk_of_relu_is_out_of_reach_at_one_rate() -> None:
    outcome = made("relu", digits=10, kernel="ntk-recurrent", rates="one", family="hermite")
    assert outcome.status is MatchStatus.INFEASIBLE
    assert outcome.universal
    assert 0 < float(outcome.residual_bound) <= float(outcome.residual)
    numbers = [float(ball) for ball in outcome.target.coefficients]
    leftover = best_leftover(numbers, 7, ntk=True)
    assert leftover < 0
    # First layers of high degree do a little better than those of degree 7; the proof follows them closely.
    k1, k2, k3, k0 = map(arb, numbers)
    missing = arb(-leftover)
    assert ntk_is_forbidden(KernelCoefficients(k1, k2, k3, k0 + missing * arb("0.75")), arb(1))
    assert not ntk_is_forbidden(KernelCoefficients(k1, k2, k3, k0 + missing * arb("1.01")), arb(1))


def with_a_tail(response: float) -> float:
    """Least 3/2 V^2 + V D over x + c_3 he_3 and a tail in its limit, which adds t to q and t/2 to D."""
    z = np.linspace(0, 0.4, 4001)
    energy, slopes = 1 + z**2, 1 + 3 * z**2
    tail = response - (slopes + np.sqrt(6) * z)
    return float(np.min((1.5 * energy**2 + energy * (slopes + tail / 2))[tail >= 0]))


@pytest.mark.parametrize("response", [1.7, 2.5, 4.0])
def test_the_ntk_proof_reaches_what_tails_reach(response: float) -> None:
    """For k_1 = 0 and k_3 > 4 k_2 the least k_0 is known within a thousandth: forbidden below it, and not above."""
    k3 = 1.0
    k2 = k3 * response**2 / 10
    least = 2 / 5 * k3 * with_a_tail(response)
    if 4 * k2 > k3:
        # There E[phi_1'] = 0 must be dearer for the test to be one of the other way.
        least = min(least, 10.0)
    for share, expected in (("0.995", True), ("1.0001", False)):
        target = KernelCoefficients(arb(0), arb(k2), arb(k3), arb(least) * arb(share))
        if expected:
            assert _sloped_fails(target, arb(1), None)
        else:
            assert not ntk_is_forbidden(target, arb(1))


@pytest.mark.parametrize("start", [1, 2])
def test_every_multiplier_gives_a_lower_bound(start: int) -> None:
    """Of L (2V + D) + F (3 V^2/2 + V D), for drawn first layers, in intervals about their V, and q of either sign."""
    rng = np.random.default_rng(start)
    closest = np.inf
    for _ in range(300):
        c = np.zeros(8)
        c[start - 1 :] = rng.normal(size=9 - start) * 0.5 ** np.arange(9 - start) * rng.choice([0.05, 0.3, 1])
        c[start - 1] = 1
        k = np.arange(1, 9)
        energy, slopes = float(c @ c), float(k @ c**2)
        response = slopes + float(np.sqrt((k[:-2] + 1) * (k[:-2] + 2)) @ (c[:-2] * c[2:]))
        linear, quadratic = (float(part) for part in rng.uniform(0, 1, 2))
        value = linear * (2 * energy + slopes) + quadratic * (1.5 * energy**2 + energy * slopes)
        low, high = max(1.0, energy - rng.uniform(0, 0.2)), energy + rng.uniform(0, 0.2)
        share = float(c[1] ** 2) if start == 1 else 0.0
        q = arb(abs(response))
        problem = _Problem(arb(linear), arb(quadratic), arb(share), start, q, q, 1 if response > 0 else -1)
        base = linear + quadratic * low
        m, mu = rng.uniform(-3, 0.499) * base, rng.uniform(-0.2, 1) * base
        bound = float(_bound(problem, arb(low), arb(high), arb(m), arb(mu)))
        assert bound <= value * (1 + 1e-12)
        closest = min(closest, value - bound)
    assert closest < 0.05


@pytest.mark.parametrize("start", [1, 2])
def test_the_multipliers_of_a_minimiser_leave_no_gap(start: int) -> None:
    """The first layer that makes the two quadratic forms least, by dense algebra: there the bound is attained."""
    rng = np.random.default_rng(start)
    k = np.arange(1, 121)
    edges = np.sqrt((k[:-2] + 1) * (k[:-2] + 2))
    for _ in range(20):
        linear, quadratic = (float(part) for part in rng.uniform(0.1, 1, 2))
        target, ratio, lift = rng.uniform(1, 1.5), rng.uniform(-2, 0.45), rng.uniform(0, 1)
        base = linear + quadratic * target
        m, mu = ratio * base, lift * base
        spread = 2 * linear + quadratic * (5 * target - 1) + mu
        forms = np.diag(spread + (base - m) * k) - m / 2 * (np.diag(edges, 2) + np.diag(edges, -2))
        fixed = [0, 1]
        c = np.zeros(k.size)
        c[start - 1], c[2 - start] = 1.0, (rng.uniform(0, 0.5) if start == 1 else 0.0)
        free = [i for i in range(k.size) if i not in fixed]
        c[free] = np.linalg.solve(forms[np.ix_(free, free)], -forms[np.ix_(free, fixed)] @ c[fixed])
        energy, slopes = float(c @ c), float(k @ c**2)
        response = slopes + float(edges @ (c[:-2] * c[2:]))
        share = arb(c[1] ** 2 if start == 1 else 0.0)
        problem = _Problem(arb(linear), arb(quadratic), share, start, arb(abs(response)), None, int(np.sign(response)))
        bound = float(_bound(problem, arb(target), arb(energy), arb(m), arb(mu)))
        plain = linear * (2 * energy + slopes) + quadratic * (1.5 * energy**2 + energy * slopes)
        # What is lost between V = target, where products are linearised, and the layer's own V.
        gap = energy - target
        lost = quadratic * (1.5 * gap**2 + gap * (slopes - (2 * target - 1)))
        assert bound == pytest.approx(plain - lost, rel=1e-6)


def test_a_nearly_flat_network_is_not_forbidden() -> None:
    """c_1 = 0.3, c_2 = 1 and next to no curvature behind: in the set of targets with k_1 from 0 to its own."""
    one = ExplicitLayer(hermite_family((1, 2)), {"c1": arb("0.3"), "c2": arb(1)})
    two = ExplicitLayer(hermite_family((1, 2, 3)), {"c1": arb(1), "c2": arb(1) / 16, "c3": arb(1) / 64})
    with ctx.workdps(30):
        kernel = ExplicitNetwork((one, two), sp.S.One).kernel_balls("ntk-all", 30)
        upto = (kernel.linear / 2 + arb(0, 1) * kernel.linear / 2).nonnegative_part()
        assert not ntk_is_forbidden(replace(kernel, linear=upto), arb(1))


def test_bounds_hold_where_nothing_of_degree_one_is_wanted() -> None:
    """Even DEQs: the networks within the bound have k_1 > 0 besides, and may be nearly flat."""
    outcome = made("exp(x**2/20)", digits=10, kernel="ntk-recurrent", rates="one", family="hermite")
    assert outcome.universal
    assert 0.1 * float(outcome.residual) < float(outcome.residual_bound) <= float(outcome.residual)
