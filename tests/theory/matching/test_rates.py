"""A learning rate for each weight matrix: the recursion against the kernel itself, one hidden layer, its condition."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.equations import LayerMoments, ck_coefficients, kernel_coefficients, preactivation_coefficients
from theory.kernels import Kernel
from theory.matching import (
    TARGETS,
    compose,
    cubic_share,
    deep_network,
    kernel_part,
    matching_system,
    named_family,
    necessary_conditions,
    one_layer,
    quadratic_ratio,
    rate_symbol,
    two_rate_condition,
    two_rate_layer,
    two_rates,
)
from theory.matching.families import hermite_moments
from theory.symbols import alpha, d1, d2, d22, lambda_, sigma_a2, sigma_b2, tau, tau_0

R = sp.Rational
S, X, Y, SIZE = sp.symbols("S X Y epsilon")
RATES = (R(2, 7), R(3, 5), R(5, 4))
Cubic = tuple[int, int, int]
#: Slope, curvature and cubic coefficient of phi = e x + f (x^2 - tau^2) + g (x^3 - 3 tau^2 x).
FIRST, SECOND = (2, 1, -1), (1, -3, 2)


def dual(phi: Cubic, cov: sp.Expr, left: sp.Expr, right: sp.Expr, at: sp.Expr) -> sp.Expr:
    """E[phi(u) phi(v)] by Wick's theorem, for variances left and right, centred at the variance ``at``."""
    e, f, g = map(sp.Integer, phi)
    slopes = (e + 3 * g * (left - at)) * (e + 3 * g * (right - at))
    return slopes * cov + f**2 * ((left - at) * (right - at) + 2 * cov**2) + 6 * g**2 * cov**3


def slope_dual(phi: Cubic, cov: sp.Expr, left: sp.Expr, right: sp.Expr, at: sp.Expr) -> sp.Expr:
    """E[phi'(u) phi'(v)] by Wick's theorem."""
    e, f, g = map(sp.Integer, phi)
    return (e + 3 * g * (left - at)) * (e + 3 * g * (right - at)) + 4 * f**2 * cov + 18 * g**2 * cov**2


def moments_of(phi: Cubic, at: sp.Expr) -> LayerMoments:
    e, f, _ = map(sp.Integer, phi)
    t = sp.Symbol("t")
    energy = sp.expand(dual(phi, at + t, at + t, at + t, at))
    return LayerMoments(e, 2 * f, 2 * sp.diff(energy, t).subs(t, 0), slope_dual(phi, at, at, at, at), energy.subs(t, 0))


@pytest.mark.parametrize("layers", [(FIRST,), (FIRST, SECOND)])
def test_rates_weigh_the_gradients_of_each_matrix(layers: tuple[Cubic, ...]) -> None:
    """K = r_l G + K Gdot as a function of S_ij and the norms, expanded: no recursion of coefficients."""
    scale2 = R(7, 5)
    rates = RATES[: len(layers) + 1]

    def kernel(s: sp.Expr, x: sp.Expr, y: sp.Expr) -> sp.Expr:
        cov, left, right, at = s, scale2 + x, scale2 + y, scale2
        tangent = rates[0] * s
        for phi, rate in zip(layers, rates[1:], strict=True):
            cov, left, right, at, tangent = (
                dual(phi, cov, left, right, at),
                dual(phi, left, left, left, at),
                dual(phi, right, right, right, at),
                dual(phi, at, at, at, at),
                rate * dual(phi, cov, left, right, at) + tangent * slope_dual(phi, cov, left, right, at),
            )
        return tangent

    at, moments = scale2, []
    for phi in layers:
        moments.append(moments_of(phi, at))
        at = moments[-1].variance
    found = kernel_part("ntk-all", compose(moments, rates)).map(lambda part: part.subs(tau_0**2, scale2))
    series = sp.Poly(kernel(SIZE * S, SIZE * X, SIZE * Y), SIZE)
    first, second = (sp.expand(series.coeff_monomial(SIZE**k)) for k in (1, 2))
    assert first == sp.expand(found.linear * S)
    assert second.coeff(S, 2) == found.square
    assert second.coeff(X, 1).coeff(Y, 1) == found.variance
    assert sp.expand(kernel(scale2, sp.S.Zero, sp.S.Zero) - found.diagonal.subs(tau_0, sp.sqrt(scale2))) == 0


def test_readout_alone_is_the_ck_and_equal_rates_are_one_rate() -> None:
    moments = [LayerMoments.of_layer(1), LayerMoments.of_layer(2)]
    alone = kernel_part("ntk-all", compose(moments, (sp.S.Zero, sp.S.Zero, sp.S.One)))
    for have, want in zip(alone, kernel_part("ck", compose(moments)), strict=True):
        assert sp.expand(have - want) == 0
    equal = kernel_part("ntk-all", compose(moments, (sp.S.One,) * 3))
    for have, want in zip(equal, kernel_part("ntk-all", compose(moments)), strict=True):
        assert sp.expand(have - want) == 0
    with pytest.raises(ValueError, match="2 hidden layers have 3 learning rates, not 2"):
        compose(moments, (sp.S.One, sp.S.One))


@pytest.mark.parametrize("names", [("erf",), ("leaky_relu", "hard_tanh")])
def test_the_gauges_leave_every_equation_as_it_is(names: tuple[str, ...]) -> None:
    rates = [rate_symbol(matrix) for matrix in range(len(names) + 1)]
    system = matching_system("ntk-all", [named_family(name) for name in names], rates)
    assert set(rates) < set(system.unknowns)
    values = {symbol: R(4 + i, 9 + 2 * i) for i, symbol in enumerate(system.unknowns)} | {tau_0: R(6, 5)}
    values |= dict(zip(TARGETS, (1, 2, 3, 4), strict=True))
    gauges = [system.rate_gauge, *([system.gauge] if len(names) == 2 else [])]
    for gauge in gauges:
        assert set(gauge) == set(system.unknowns)
        moved = values | {s: values[s] * R(7, 4) ** power for s, power in gauge.items()}
        for equation in system.equations:
            assert abs((equation.subs(values) - equation.subs(moved)).evalf(30)) < 1e-20
        broken = moved | {rates[-1]: values[rates[-1]] * R(5, 4)}
        gaps = [(e.subs(values) - e.subs(broken)).evalf(30) for e in system.equations]
        assert max(map(abs, gaps)) > 1e-3
    # With the readout's rate given nothing is free.
    given = matching_system("ntk-all", [named_family(name) for name in names], [*rates[:-1], sp.S.One])
    assert not given.rate_gauge


def test_one_hidden_layer_gives_back_its_rates_and_energies() -> None:
    """(4) and (5) of theory.matching.rates, with the sums written out."""
    c = {k: R(2 * k + 1, k + 2) * (-1) ** k for k in range(1, 6)}
    first, last = R(3, 8), sp.S.One
    layer = hermite_moments({k: v * tau_0 for k, v in c.items()}).subs({tau: tau_0})
    part = kernel_part("ntk-recurrent", compose([layer], (first, last)))
    unit = tau_0**2
    assert sp.expand(part.linear - (first + last) * c[1] ** 2) == 0
    assert sp.expand(part.variance - last * c[2] ** 2 / (2 * unit)) == 0
    assert sp.expand(part.square - (2 * first + last) * c[2] ** 2 / unit) == 0
    assert sp.expand(part.diagonal - unit * sum((last + k * first) * v**2 for k, v in c.items())) == 0
    place = dict(zip(TARGETS, part, strict=True))
    assert [sp.simplify(rate.subs(place)) for rate in two_rates()] == [first, last]
    conditions = two_rate_layer()
    assert sp.simplify(conditions.linear.subs(place) - c[1] ** 2 * unit) == 0
    assert sp.simplify(conditions.quadratic.subs(place) - c[2] ** 2 * unit) == 0
    left = sum((last + k * first) * c[k] ** 2 * unit for k in (3, 4, 5))
    assert sp.simplify(conditions.leftover.subs(place) - left) == 0
    assert sp.simplify(conditions.cubic_weight.subs(place) - (1 + 3 * first)) == 0
    assert sp.simplify(conditions.slope_weight.subs(place) - first * unit) == 0


def test_one_rate_and_the_readout_alone_are_its_ends() -> None:
    assert one_layer("ntk-all", (rate_symbol(0), sp.S.One)).ratio.subs(rate_symbol(0), 1) == one_layer("ntk-all").ratio
    assert one_layer("ntk-all", (sp.S.Zero, sp.S.One)) == one_layer("ck")


@pytest.mark.parametrize("kernel", [kernel for kernel in Kernel if kernel.is_tangent])
def test_the_condition_is_the_sign_of_the_targets_gap(kernel: Kernel) -> None:
    """At drawn moments, where the DEQ's own formulas give both sides; both signs occur."""
    condition = two_rate_condition(kernel)
    numbers = kernel_coefficients(kernel)
    known = {alpha[k]: ck_coefficients()[f"alpha{k}"] for k in alpha}
    known |= {lambda_[k]: preactivation_coefficients()[f"lambda{k}"] for k in lambda_}
    margin, gap = (condition.lhs - condition.rhs).subs(known), numbers.square - 2 * numbers.variance
    signs = set()
    for k in range(24):
        place = {
            d1: R(1 + k % 5, 6), d2: R(2, 3), d22: R(1 + k % 7, 4), sigma_a2: R(1 + k % 4, 5), sigma_b2: R(1, 2 + k % 3)
        }  # fmt: skip
        left, right = margin.subs(place), gap.subs(place)
        signs.add(sp.sign(left))
        assert sp.sign(left) == sp.sign(right)
        # They vanish together: their ratio is d_2^2/(2 D^2), but for a factor sigma_a^2.
        decay = 1 - place[sigma_a2] * place[d1] ** 2
        factor = place[d2] ** 2 / (2 * decay**2) * (place[sigma_a2] if kernel is Kernel.NTK_PREACTIVATION else 1)
        assert right == factor * left
    assert signs == {-1, 1}


def test_the_ck_has_no_condition_on_rates() -> None:
    with pytest.raises(ValueError, match="no learning rates"):
        two_rate_condition("ck")


def test_every_two_rate_network_satisfies_the_conditions() -> None:
    k1, k2, k3, k0 = TARGETS
    energy, ratio = necessary_conditions("ntk-all", 1, "hermite", per_layer=True)
    assert (ratio.lhs, ratio.rhs) == (k3, 2 * k2)
    assert sp.expand(energy.lhs - (k0 - tau_0**2 * k1 - tau_0**4 * k3)) == 0


# --- deeper networks at one rate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_the_ratio_of_a_quadratic_part(layers: int) -> None:
    """(6) of theory.matching.deep, with responses of the layers before it."""
    for place in range(1, layers + 1):
        wanted = R(2 * (layers + 1 + place), layers + 1 - place)
        assert quadratic_ratio(layers, place) == wanted
        slopes = [R(k + 2, k + 1) for k in range(layers)]
        responses = [R(7, 3 + k) for k in range(layers)]
        moments = [
            LayerMoments(slope, sp.Integer(number == place), 2 * response)
            for number, (slope, response) in enumerate(zip(slopes, responses, strict=True), 1)
        ]
        part = kernel_part("ntk-all", compose(moments))
        before = sp.prod(
            slope**2 / response for slope, response in list(zip(slopes, responses, strict=True))[: place - 1]
        )
        assert part.square / part.variance == wanted * before**2


@pytest.mark.parametrize(("layers", "place"), [(3, 2), (3, 3), (4, 3)])
def test_deep_networks_give_back_what_they_are_made_of(layers: int, place: int) -> None:
    ratio, bend, slope, rest = R(1, 9), R(2, 5), R(3, 4), R(1, 6)
    scale2, moments, scales = tau_0**2, [], []
    for number in range(1, layers + 1):
        unit = sp.sqrt(scale2)
        values = {1: unit * (slope if number == layers else 1)}
        if number == place:
            values[2] = bend * scale2 / sp.sqrt(2)
        if number < place:
            values[3] = ratio * unit
        if number == layers:
            values[3] = rest
        moments.append(hermite_moments(values).subs({tau: unit}))
        scales.append(scale2)
        scale2 = sp.expand(moments[-1].variance)
    place_of = dict(zip(TARGETS, (sp.expand(n) for n in kernel_part("ntk-all", compose(moments))), strict=True))
    place_of |= {cubic_share: ratio**2}
    at = {tau_0: R(6, 5)}
    network = deep_network(layers, place)
    response = (1 + sp.sqrt(6) * ratio + 3 * ratio**2) ** (place - 1)
    wanted = [
        (network.response2, response**2), (network.slope2, slope**2), (network.curvature2, bend**2),
        *zip(network.scale2, scales, strict=True),
    ]  # fmt: skip
    weight = network.cubic_weight.subs(place_of)
    wanted.append((network.leftover, rest**2 * weight))
    for have, want in wanted:
        assert abs((have.subs(place_of) - want).subs(at).evalf(30)) < 1e-20
