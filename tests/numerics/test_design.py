"""Designs: every solution and no other, bounds that hold, thresholds, and kernels that agree in the laboratory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx
from scipy.optimize import least_squares, minimize

from numerics.balls import exact_bounds
from numerics.branch_and_prune import search
from numerics.certified import certify
from numerics.design import Design, DesignError, design, target_of
from numerics.equilibrium import NTK_KEYS, ImplicitCoefficients, solve
from numerics.explicit_network import ExplicitLayer, ExplicitNetwork
from numerics.float_moments import FloatMoments
from numerics.forbidden import ck_is_forbidden, ntk_is_forbidden, width_of_rational
from numerics.kernels import explicit_ck, implicit_ck
from numerics.krawczyk import BallSystem, RootNotCertifiedError, certify_root
from numerics.matches import Target, match_leaky, search_networks
from numerics.mixture import GaussianMixture
from numerics.pointwise import pointwise
from numerics.spectra import operator_norm
from numerics.thresholds import locate_threshold
from theory.activations import Activation, Parameter
from theory.families import family_of, named_family
from theory.parsing import parse_activation
from theory.registry import resolve

R = sp.Rational
DEFAULT = R(1, 5)
PLAIN_DIGITS = 30
KEYS = {"ck": ("alpha1", "alpha2", "alpha3", "gamma2"), **{f"ntk-{kind}": keys for kind, keys in NTK_KEYS.items()}}
#: A DEQ that is nearly linear and close to its edge: alpha_4 < lambda_1 by much, and little variance to spare.
FORBIDDEN = ("x + x**2/1000 - x**3/50", R(9, 10))


def made(text: str, sigma_a2: sp.Expr = DEFAULT, digits: int = 20, **options: object) -> Design:
    activation = resolve(text).with_parameters()
    return design(activation, sigma_a2, 1 - sigma_a2, sp.S.One, digits=digits, **options)  # type: ignore[arg-type]


@cache
def plain(activation: Activation, sigma_a2: sp.Expr, sigma_b2: sp.Expr, tau0: sp.Expr) -> ImplicitCoefficients:
    """The DEQ's numbers by the path that certifies nothing."""
    return solve(activation, sigma_a2, sigma_b2, tau0, PLAIN_DIGITS)


def assert_matches(outcome: Design, digits: int) -> None:
    """Every branch has the DEQ's numbers, both computed by the plain mpmath path from the midpoints."""
    assert outcome.status == "exact"
    assert outcome.branches
    deq = plain(outcome.deq.activation, outcome.deq.sigma_a2, outcome.deq.sigma_b2, outcome.deq.tau0)
    for network in outcome.branches:
        last = network.mp_reports(digits + 15)[-1].coefficients
        keys = ("a1", "a2", "a3", "tau2") if outcome.kernel == "ck" else ("b1", "b2", "b3", "kappa2")
        with mpmath.mp.workdps(digits + 15):
            for have, want in zip(keys, KEYS[outcome.kernel], strict=True):
                gap = abs(mpmath.mpf(last[have]) - deq.values[want])
                assert gap < mpmath.mpf(10) ** (2 - digits) * deq.values["gamma2"], (have, gap)


# --------------------------------------------------------------------------------------------------------------------
# Solvers


def test_search_finds_every_root_and_excludes_the_rest() -> None:
    x, y, r = sp.symbols("x y r")
    box = [arb(0, 3), arb(0, 3)]
    circle = [x**2 + y**2 - r, x * y - R(1, 4)]
    found = search(BallSystem(circle, [x, y], [r]), box, [arb(1)])
    assert found.complete
    roots = sorted((float(a), float(b)) for a, b in found.roots)
    wide, small = np.cos(np.pi / 12), np.sin(np.pi / 12)
    np.testing.assert_allclose(roots, [(-wide, -small), (-small, -wide), (small, wide), (wide, small)], rtol=1e-14)
    overdetermined = search(BallSystem([*circle, x - y - R(1, 10)], [x, y], [r]), box, [arb(1)])
    assert overdetermined.complete
    assert not overdetermined.roots
    double = search(BallSystem([x**2 + y**2 - r, x * y - R(1, 2)], [x, y], [r]), box, [arb(1)])
    assert not double.complete
    # A root on the border of the box, where two halves meet, is found once.
    edge = search(BallSystem([x**2 - r], [x], [r]), [arb("0.5", "0.5")], [arb(1)])
    assert edge.complete
    assert len(edge.roots) == 1


def test_certified_roots_hold_for_all_data_and_double_roots_are_refused() -> None:
    x, r = sp.symbols("x r")
    system = BallSystem([x**2 - r], [x], [r])
    with ctx.workdps(60):
        (root,) = certify_root(system, [arb("1.4")], [arb(2)])
        assert root.overlaps(arb(2).sqrt())
        assert root.rad() < arb(10) ** -55
        (wide,) = certify_root(system, [arb("1.4")], [arb(2, "0.01")])
        assert wide.contains(arb("1.991").sqrt())
        assert wide.contains(arb("2.009").sqrt())
        with pytest.raises(RootNotCertifiedError):
            certify_root(system, [arb(1)], [arb(0, "1e-9")])


# --------------------------------------------------------------------------------------------------------------------
# Leaky ReLU


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs"])
def test_homogeneous_deqs_have_two_leaky_networks(name: str) -> None:
    outcome = made(name, digits=50)
    assert outcome.family == "leaky_relu"
    assert len(outcome.branches) == 2
    for network in outcome.branches:
        for layer in network.layers:
            assert all(ball.rad() < arb(10) ** -50 for ball in layer.parameters.values())
    assert_matches(outcome, 30)


def leaky_kernel_numbers(slopes: Sequence[float], tau0: float = 1.0) -> np.ndarray:
    """(a_1, a_2, a_3, tau^2) of leaky-ReLU layers, written out by hand."""
    a1, a2, a3, a4, scale2 = 1.0, 0.0, 0.0, 1.0, tau0**2
    for a, b in zip(slopes[::2], slopes[1::2], strict=True):
        u, w = (a + b) / 2, (a - b) / 2
        d1, d2 = u, w * np.sqrt(2 / np.pi / scale2)
        energy = u**2 + w**2 * (1 - 2 / np.pi)
        a1, a2, a3, a4, scale2 = (
            d1**2 * a1, d1**2 * a2 + d2**2 * a4**2 / 4, d1**2 * a3 + d2**2 * a1**2 / 2, energy * a4, energy * scale2,
        )  # fmt: skip
    return np.array([a1, a2, a3, scale2])


def squares(slopes: Sequence[float]) -> tuple[float, ...]:
    """What is left of four slopes up to gauge and signs."""
    (u1, w1), (u2, w2) = (((a + b) / 2, (a - b) / 2) for a, b in (slopes[:2], slopes[2:]))
    return (w1 / u1) ** 2, (u2 * u1) ** 2, (w2 * u1) ** 2


def test_least_squares_from_many_starts_finds_the_same_two() -> None:
    outcome = made("relu")
    wanted = [float(ball) for ball in outcome.target.numbers]
    known = [squares([float(b) for layer in n.layers for b in layer.parameters.values()]) for n in outcome.branches]
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(30):
        found = least_squares(lambda s: leaky_kernel_numbers(s) - wanted, rng.normal(size=4), xtol=1e-15, ftol=1e-15)
        if found.cost < 1e-24:
            distances = [np.abs(np.subtract(squares(found.x), branch)).max() for branch in known]
            assert min(distances) < 1e-5
            seen.add(int(np.argmin(distances)))
    assert seen == {0, 1}


def test_searching_the_slopes_themselves_finds_the_same_two() -> None:
    """Three unknowns by branch and prune, no elimination: both branches, each with w_2 of either sign."""
    outcome = made("relu")
    family = named_family("leaky_relu")
    half = R(1, 2)
    box = {"b_1": (sp.S.Zero, sp.S.One), "a_2": (half, R(3, 2)), "b_2": (-half, R(3, 2))}
    found = search_networks(outcome.target, [family, family], box, {"a_1": sp.S.One})
    assert found.complete
    ours = set()
    for network in outcome.branches:
        (a1, b1), (a2, b2) = ([float(b) for b in layer.parameters.values()] for layer in network.layers)
        ours |= {(round(b1 / a1, 9), round(a2 * a1, 9), round(b2 * a1, 9)),
                 (round(b1 / a1, 9), round(b2 * a1, 9), round(a2 * a1, 9))}  # fmt: skip
    # Two of the four lie in the box.
    inside = {triple for triple in ours if 0.5 <= triple[1] <= 1.5}
    assert {tuple(round(float(part), 9) for part in root) for root in found.roots} == inside
    with pytest.raises(ValueError, match="must cover"):
        search_networks(outcome.target, [family, family], box)


@pytest.mark.parametrize(
    ("name", "sigma_a2"), [("elu", R(1, 5)), ("swish", R(1, 5)), ("gelu", R(1, 5)), ("softplus", R(1, 5)),
                           ("selu", R(1, 5)), ("relu", R(9, 10))],
)  # fmt: skip
def test_infeasible_pairs_of_leaky_layers(name: str, sigma_a2: sp.Expr) -> None:
    outcome = made(name, sigma_a2, digits=12, family="leaky_relu")
    assert outcome.status == "infeasible"
    assert not outcome.branches
    assert not outcome.universal
    bound, residual = float(outcome.residual_bound), float(outcome.residual)
    # The bound is below the closest network's residual, and not idle; no other network is below it.
    assert 0.5 * residual < bound <= residual
    wanted = np.array([float(ball) for ball in outcome.target.numbers])
    rng = np.random.default_rng(0)
    for _ in range(4):
        found = minimize(
            lambda s: np.abs(leaky_kernel_numbers(s) - wanted).max(), rng.normal(size=4), method="Nelder-Mead",
            options={"maxiter": 3000, "maxfev": 3000, "fatol": 1e-10},
        )  # fmt: skip
        assert found.fun >= bound * (1 - 1e-9)
    closest = [float(b) for layer in outcome.network.layers for b in layer.parameters.values()]
    assert np.abs(leaky_kernel_numbers(closest) - wanted).max() == pytest.approx(residual, rel=1e-6)


def test_without_a_family_the_same_deqs_are_matched() -> None:
    for name in ("elu", "swish", "gelu", "softplus", "selu"):
        outcome = made(name, digits=25)
        assert outcome.family == "hermite"
        assert_matches(outcome, 22)


def test_the_leaky_threshold_of_relu() -> None:
    relu = resolve("relu")
    found = locate_threshold(relu, R(1, 5), R(4, 5), sp.S.One, family="leaky_relu", digits=20)
    assert found is not None
    assert found.works_below
    assert found.sigma_a2.rad() < arb(10) ** -20
    # By hand: with E = 1 - s (1/2 - 1/(2 pi)), D = 1 - s/4, A = 1/E, B = E/D^2 and c = 1 - 2/pi, t is a root of
    # c^2 t^3 + (2c - c^2 B) t^2 - 2 c B t + A - B, whose least value for t > 0 vanishes at the threshold.
    with mpmath.mp.workdps(40):
        c = 1 - 2 / mpmath.pi

        def least(s: mpmath.mpf) -> mpmath.mpf:
            a = 1 / (1 - s * (1 - 1 / mpmath.pi) / 2)
            b = 1 / (a * (1 - s / 4) ** 2)
            p, q = 2 * c - c**2 * b, -2 * c * b
            t = (-p + mpmath.sqrt(p**2 - 3 * c**2 * q)) / (3 * c**2)
            return c**2 * t**3 + p * t**2 + q * t + a - b

        root = mpmath.findroot(least, 0.85)
        low, high = (mpmath.mpf(end.numerator) / end.denominator for end in exact_bounds(found.sigma_a2))
        assert low < root < high
    # On either side of it the design says so.
    assert made("relu", R(852, 1000), family="leaky_relu").status == "exact"
    assert made("relu", R(8531, 10000), digits=10, family="leaky_relu").status == "infeasible"
    # sigma_b^2 plays no part for a homogeneous activation.
    fixed = locate_threshold(relu, R(9, 10), R(1, 3), sp.S.One, family="leaky_relu", tied=False, digits=15)
    assert fixed is not None
    assert fixed.sigma_a2.overlaps(found.sigma_a2)
    assert locate_threshold(resolve("elu"), R(1, 5), R(4, 5), sp.S.One, family="leaky_relu") is None


def test_a_negative_square_is_no_network() -> None:
    """An even target with k_3 > 2 k_2 satisfies the leaky networks' relation: only w_2^2 < 0 speaks against it."""
    with ctx.workdps(30):
        k2 = arb(1)
        numbers = (arb(0), k2, 3 * k2, 2 * (arb.pi() - 2) * k2)
        target = Target("ck", numbers, sp.S.One, even=True, homogeneous=True)
        assert match_leaky(target).status == "infeasible"
        enough = replace(target, numbers=(arb(0), k2, 3 * k2 / 2, numbers[3]))
        assert len(match_leaky(enough).branches) == 2


# --------------------------------------------------------------------------------------------------------------------
# One layer


@pytest.mark.parametrize(
    ("name", "family"),
    [(name, "hard_tanh") for name in ("tanh", "erf", "sin", "sigmoid")] + [("erf", "sin"), ("sin", "erf")],
)
def test_one_odd_layer(name: str, family: str) -> None:
    outcome = made(name, digits=30, family=family)
    assert len(outcome.network.layers) == 1
    assert_matches(outcome, 28)


def test_one_odd_layer_of_other_scale_and_kernel() -> None:
    for kernel, family in (("ntk-recurrent", "erf"), ("ntk-all", "hard_tanh"), ("ck", "sin")):
        outcome = design(resolve("erf"), R(3, 5), R(1, 2), R(7, 4), kernel=kernel, family=family, digits=20)
        assert_matches(outcome, 18)


def test_a_variance_that_no_hard_tanh_reaches() -> None:
    """E[clip^2]/(tau_0^2 E[clip']^2) runs from 1 to pi/2 only; sin has no such limit."""
    outcome = made("sign", R(3, 5), digits=10, family="hard_tanh")
    assert outcome.status == "infeasible"
    assert 0 < float(outcome.residual_bound) <= float(outcome.residual)
    chosen = made("sign", R(3, 5))
    assert chosen.family == "sin"
    assert_matches(chosen, 18)


def test_an_odd_family_cannot_match_relu() -> None:
    outcome = made("relu", family="erf")
    assert outcome.status == "infeasible"
    k3 = float(outcome.target.numbers[2])
    assert 0.99 * k3 < float(outcome.residual_bound) <= k3


def test_sums_of_families() -> None:
    """tanh by s x + u erf(x): four solutions, that is two up to sign."""
    symbols = {name: sp.Symbol(name, real=True) for name in ("s", "u")}
    text = "s*x + u*erf(x)"
    parameters = tuple(Parameter(symbol, sp.S.One) for symbol in symbols.values())
    family = family_of(Activation(text, parse_activation(text, symbols), parameters))
    target = target_of(certify(resolve("tanh"), R(1, 5), R(4, 5), sp.S.One, 20), "ck")
    two = sp.Integer(2)
    found = search_networks(target, [family], {"s_1": (sp.S.Zero, two), "u_1": (-two, two)})
    assert found.complete
    assert len(found.roots) == 2
    for root in found.roots:
        layer = ExplicitLayer(family, dict(zip(("s", "u"), root, strict=True)))
        numbers = ExplicitNetwork((layer,), sp.S.One).kernel_balls("ck", 20)
        assert all(have.overlaps(want) for have, want in zip(numbers, target.numbers, strict=True))


# --------------------------------------------------------------------------------------------------------------------
# The constructive family


@pytest.mark.parametrize("name", ["relu", "elu", "abs"])
@pytest.mark.parametrize("kernel", ["ntk-preactivation", "ntk-all"])
def test_ntks_by_polynomials(name: str, kernel: str) -> None:
    outcome = made(name, digits=15, kernel=kernel)
    assert outcome.family == "hermite"
    assert_matches(outcome, 14)


def test_first_layers_by_response() -> None:
    """alpha_4/lambda_1 decides the first layer: a cubic, a high degree where variance is short, or the rational one."""
    assert list(made("elu").network.layers[0].parameters) == ["c1", "c3"]
    steep = made("x**2/2 + x", R(3, 10))
    assert_matches(steep, 18)
    low = made("tanh(x) + x**2/10", R(9, 10), family="hermite")
    assert_matches(low, 18)
    deep = made("x - x**3/6 + x**5/120 + x**2/50", R(9, 10))
    assert_matches(deep, 18)


def test_a_response_below_one_half_needs_the_rational_layer() -> None:
    outcome = made("sin(2*x) + x**2/20 + x/2", R(19, 20))
    k = [float(ball) for ball in outcome.target.numbers]
    assert 2 * k[1] / k[2] < 1 / 4
    assert outcome.network.layers[0].family.name == "rational"
    assert_matches(outcome, 18)


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


def test_one_layer_is_refused_where_it_cannot_do() -> None:
    outcome = made("relu", digits=10, family="hermite", layers=1)
    assert outcome.status == "infeasible"
    k = [float(ball) for ball in outcome.target.numbers]
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
    assert outcome.status == "infeasible"
    assert outcome.universal
    assert 0 < float(outcome.residual_bound) <= float(outcome.residual)
    assert best_leftover([float(ball) for ball in outcome.target.numbers], 9, ntk=False) < 0
    # With variance to spare the same slope, curvature and response can be had.
    k1, k2, k3, k0 = outcome.target.numbers
    assert not ck_is_forbidden((k1, k2, k3, k0 * arb("1.2")), arb(1))


def test_the_recurrent_ntk_of_relu_is_out_of_reach() -> None:
    outcome = made("relu", digits=10, kernel="ntk-recurrent")
    assert outcome.status == "infeasible"
    assert outcome.universal
    assert 0 < float(outcome.residual_bound) <= float(outcome.residual)
    numbers = [float(ball) for ball in outcome.target.numbers]
    leftover = best_leftover(numbers, 7, ntk=True)
    assert leftover < 0
    # First layers of high degree do a little better than those of degree 7, so the bound lies somewhat below.
    more = [arb(number) for number in numbers]
    more[3] += arb(-leftover) * arb("0.6")
    assert ntk_is_forbidden(more, arb(1))
    more[3] += arb(-leftover) * arb("0.41")
    assert not ntk_is_forbidden(more, arb(1))


# --------------------------------------------------------------------------------------------------------------------
# Refusals and the laboratory


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("relu", {"kernel": "nngp"}, "accepted are ck"),
        ("relu", {"family": "gelu"}, "accepted are leaky_relu"),
        ("relu", {"family": "hard_tanh", "layers": 2}, "1 hidden layers here, not 2"),
        ("relu", {"layers": 2}, "needs a family"),
        ("sign", {"kernel": "ntk-all"}, "cannot be matched"),
        ("0*x + 1", {}, "constant"),
        ("cos", {"kernel": "ntk-recurrent"}, "undecided: no first layer of degree up to 8 matches"),
    ],
)
def test_what_cannot_be_designed(text: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(DesignError, match=words):
        made(text, digits=10, **options)


@pytest.mark.parametrize(("name", "family"), [("relu", "leaky_relu"), ("elu", "hermite"), ("tanh", "hard_tanh")])
def test_matched_kernels_approach_each_other_and_naive_ones_do_not(name: str, family: str) -> None:
    """||G_DEQ - G_explicit|| at p = 150 and 600; the naive network is one layer of the DEQ's own activation."""
    activation = resolve(name).with_parameters()
    phi = pointwise(activation)
    matched, naive = [], []
    for p in (150, 600):
        sample = GaussianMixture.released_experiment(p, means=2.0).sample(np.random.default_rng([1, p]))
        gram, tau0 = sample.gram(), sample.statistics().tau0("empirical")
        outcome = design(activation, R(1, 5), R(4, 5), sp.Rational(str(tau0)), digits=12)
        assert outcome.family == family
        kernel = implicit_ck(gram, phi, 0.2, 0.8, float(outcome.deq["bias"])).kernel
        own = explicit_ck(gram, outcome.network.pointwise()).kernel
        same = explicit_ck(gram, [(phi, FloatMoments(phi).at(tau0).mean)]).kernel
        rng = np.random.default_rng(0)
        matched.append(operator_norm(kernel - own, rng).value)
        naive.append(operator_norm(kernel - same, rng).value)
    # p^(-1/2) would halve it; the next order makes it fall faster still.
    assert matched[1] < 0.6 * matched[0]
    assert naive[1] > 0.8 * naive[0]
    assert naive[1] > 1.2 * matched[1]
