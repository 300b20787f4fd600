"""Families and matching equations: against direct integration, random networks, and the DEQ's own symbolic solution."""

from __future__ import annotations

import itertools

import mpmath
import pytest
import sympy as sp

from tests.oracles import evaluate, expectation
from theory.activations import Activation, Parameter, registered
from theory.equations import LayerMoments, ck_coefficients, moment_definitions
from theory.grammar import parse_activation
from theory.matching import (
    FAMILY_NAMES,
    TARGETS,
    Family,
    FamilyError,
    chi2,
    compose,
    family_of,
    hermite_family,
    kernel_part,
    leaky_reductions,
    leaky_relations,
    matching_system,
    named_family,
    necessary_conditions,
    odd_ratio_limit,
    one_layer,
    rational_layer,
    rational_width,
    two_layers,
    weighted_bound,
)
from theory.matching.equations import linear_relations
from theory.matching.families import hermite_moments, inverse_square_moment, scaling_exponents
from theory.moments import GaussianMoments
from theory.symbols import alpha, d1, d2, d22, sigma_a2, sigma_b2, tau, tau_0, variance, x

R = sp.Rational


def made(text: str, **symbols: sp.Symbol) -> Activation:
    return Activation(text, parse_activation(text, symbols), tuple(Parameter(s, sp.S.One) for s in symbols.values()))


def layer(coefficients: dict[int, sp.Expr], scale: sp.Expr) -> LayerMoments:
    """A Hermite layer at a given scale."""
    found = hermite_moments(coefficients)
    return found.subs({tau: scale})


# --------------------------------------------------------------------------------------------------------------------
# Families


@pytest.mark.parametrize("degrees", [(1, 3), (1, 2, 3), (1, 5), (2, 4)])
def test_hermite_moments_are_those_of_the_polynomial(degrees: tuple[int, ...]) -> None:
    family = hermite_family(degrees)
    values = {s: R(k + 2, 3 + k) * (-1) ** k for k, s in enumerate(family.symbols[:-1])}
    polynomial = Activation("p", sp.expand(family.activation.expr.subs(values).subs(family.symbols[-1], R(3, 2))))
    direct = GaussianMoments(polynomial, R(3, 2))
    assert sp.simplify(direct.mean) == 0
    wanted = {
        "d1": direct.first_derivative, "d2": direct.second_derivative, "d22": direct.square_second_derivative,
        "dd": direct.slope_energy, "variance": direct.variance,
    }  # fmt: skip
    for name, value in wanted.items():
        assert sp.simplify(getattr(family.moments, name).subs(values).subs(tau, R(3, 2)) - value) == 0, name


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("rational", (R(5, 4), R(-1, 3), R(1, 7), R(5, 3))),
        ("tail", (R(5, 4), R(-1, 3), R(1, 7), R(1, 9), R(2, 3), R(1, 12))),
    ],
)
def test_moments_are_those_of_the_function(name: str, numbers: tuple[sp.Expr, ...]) -> None:
    family = named_family(name)
    values = dict(zip(family.symbols, numbers, strict=True))
    scale = R(6, 5)
    whole = family.activation.expr.subs(values)
    bias = evaluate(family.bias, values | {tau: scale}, digits=30).real
    with mpmath.mp.workdps(30):
        assert abs(bias - expectation(whole, scale, digits=25).value) < 1e-22
    function = whole - sp.Float(bias, 30)
    slope = sp.diff(function, x)

    def mean(expr: sp.Expr) -> mpmath.mpf:
        return expectation(expr, scale, digits=25).value

    at = {name: evaluate(getattr(family.moments, name), values | {tau: scale}, digits=25).real
          for name in LayerMoments.__dataclass_fields__}  # fmt: skip
    with mpmath.mp.workdps(30):
        wanted = {
            "variance": mean(function**2), "d1": mean(slope), "dd": mean(slope**2),
            "d2": mean(sp.diff(function, x, 2)), "d22": mean(sp.diff(function**2, x, 2)),
        }  # fmt: skip
        for name, value in wanted.items():
            assert abs(at[name] - value) < 1e-22, name


def test_inverse_square_moments() -> None:
    b = sp.Symbol("b", positive=True)
    for order in (1, 2, 3, 4):
        found = evaluate(inverse_square_moment(order, b), {b: R(4, 5)}, digits=25).real
        with mpmath.mp.workdps(30):
            assert abs(found - expectation((R(16, 25) + x**2) ** -order, sp.S.One, digits=25).value) < 1e-22


@pytest.mark.parametrize("name", [*FAMILY_NAMES, "tail"])
def test_scalings_are_what_they_say(name: str) -> None:
    """phi(x; theta') = k phi(x/g; theta), at exact points: not the infinitesimal form they were found by."""
    family = named_family(name)
    scaling = family.scaling
    assert scaling is not None
    values = {symbol: R(7 + i, 5 + 2 * i) for i, symbol in enumerate(family.symbols)}
    k, g = R(5, 3), R(2, 7)
    moved = {s: v * k ** scaling.output[s.name] * g ** scaling.input[s.name] for s, v in values.items()}
    for point in (R(-9, 4), R(-1, 5), R(1, 3), R(8, 3)):
        left = family.activation.expr.subs(moved).subs(x, point)
        right = k * family.activation.expr.subs(values).subs(x, point / g)
        assert sp.simplify(left - right) == 0


def test_a_family_without_scaling() -> None:
    a = sp.Symbol("a", real=True)
    assert scaling_exponents(made("x + a*sin(x)", a=a)) is None


def test_sums_make_families() -> None:
    s, u = sp.Symbol("s", real=True), sp.Symbol("u", real=True)
    family = family_of(made("s*x + u*Max(x, 0)", s=s, u=u))
    assert sp.expand(family.moments.d1 - s - u / 2) == 0
    assert family.scaling is not None
    assert dict(family.scaling.output) == {"s": 1, "u": 1}


def test_what_is_not_a_family() -> None:
    a = sp.Symbol("a", real=True)
    with pytest.raises(FamilyError, match="no symbolic parameter"):
        family_of(registered("relu"))
    with pytest.raises(FamilyError, match="jumps"):
        family_of(made("a*sign(x)", a=a))
    with pytest.raises(FamilyError, match="closed form"):
        family_of(made("a*tanh(x)", a=a))
    with pytest.raises(FamilyError, match="the families are: leaky_relu"):
        named_family("relu")
    with pytest.raises(FamilyError, match="from 1 on"):
        hermite_family((0, 1))


# --------------------------------------------------------------------------------------------------------------------
# Matching


@pytest.mark.parametrize("kernel", ["ck", "ntk-all"])
@pytest.mark.parametrize("names", [("leaky_relu", "hard_tanh"), ("hermite", "sin")])
def test_the_gauge_leaves_every_equation_as_it_is(kernel: str, names: tuple[str, str]) -> None:
    families: list[Family] = [named_family(name) for name in names]
    system = matching_system(kernel, families)
    assert set(system.gauge) == set(system.unknowns)
    assert set(system.gauge.values()) != {0}
    values = {symbol: R(4 + i, 9 + 2 * i) for i, symbol in enumerate(system.unknowns)} | {tau_0: R(6, 5)}
    values |= dict(zip(TARGETS, (1, 2, 3, 4), strict=True))
    k = R(7, 4)
    moved = values | {s: values[s] * k**power for s, power in system.gauge.items()}
    for equation in system.equations:
        first, second = (evaluate(equation, place, digits=25).real for place in (values, moved))
        assert abs(first - second) < 1e-20
    broken = values | {system.unknowns[0]: values[system.unknowns[0]] * k}
    changes = [evaluate(e, broken, digits=25).real - evaluate(e, values, digits=25).real for e in system.equations]
    assert max(map(abs, changes)) > 1e-3


def test_one_leaky_relation_makes_the_fourth_equation_redundant() -> None:
    """Networks of two leaky-ReLU layers and homogeneous DEQs satisfy one linear relation, each by its own system."""
    (relation,) = leaky_relations("ck", 2)
    assert sp.simplify(relation[2]) == 0
    u, w = sp.symbols("u w", positive=True)
    moments = moment_definitions(GaussianMoments(made("u*x + w*Abs(x)", u=u, w=w)))
    ck = ck_coefficients()
    share = sp.simplify(moments[variance] / tau**2)
    scale2 = sigma_b2 * tau_0**2 / (1 - sigma_a2 * share)
    place = {d1: moments[d1], d2: moments[d2], d22: moments[d22], alpha[4]: ck["alpha4"]}
    numbers = [ck[f"alpha{k}"].subs(place).subs(tau, sp.sqrt(scale2)) for k in (1, 2, 3)] + [share * scale2]
    total = sum(c * n for c, n in zip(relation, numbers, strict=True))
    assert sp.simplify(total) == 0


def test_relations_of_other_kernels_and_depths() -> None:
    assert leaky_relations("ntk-all", 2) == ()
    one = leaky_relations("ck", 1)
    assert len(one) == 2
    assert any(sp.simplify(vector[2] / vector[1] + R(1, 2)) == 0 for vector in one if vector[1] != 0)


def test_linear_relations_are_found_where_planted() -> None:
    a, b = sp.symbols("a b")
    assert linear_relations([a, b, a * b, 2 * a - 3 * b], [a, b]) in (((-2, 3, 0, 1),), ((2, -3, 0, -1),))
    assert linear_relations([a, b, a * b], [a, b]) == ()
    assert linear_relations([a, sp.exp(b)], [a, b]) == ()


@pytest.mark.parametrize(("kernel", "ratio"), [("ck", 2), ("ntk-recurrent", 6), ("ntk-all", 6)])
def test_one_layer_of_any_degree(kernel: str, ratio: int) -> None:
    c = {k: R(2 * k + 1, k + 2) * (-1) ** k for k in range(1, 6)}
    part = kernel_part(kernel, compose([layer({k: v * tau_0 for k, v in c.items()}, tau_0)]))
    conditions = one_layer(kernel)
    assert conditions.ratio == ratio
    assert sp.expand(part.square - ratio * part.variance) == 0
    place = dict(zip(TARGETS, part, strict=True))
    assert sp.expand(conditions.linear.subs(place) - c[1] ** 2 * tau_0**2) == 0
    assert sp.expand(conditions.quadratic.subs(place) - c[2] ** 2 * tau_0**2) == 0
    weight = {k: 1 if kernel == "ck" else 1 + k for k in c}
    left = sum(weight[k] * c[k] ** 2 * tau_0**2 for k in (3, 4, 5))
    assert sp.expand(conditions.leftover.subs(place) - left) == 0
    assert conditions.cubic_weight == weight[3]
    assert conditions.slope_weight == (0 if kernel == "ck" else tau_0**2)


@pytest.mark.parametrize("kernel", ["ck", "ntk-all"])
@pytest.mark.parametrize("name", ["leaky_relu", "hard_tanh", "hermite"])
def test_every_network_satisfies_the_conditions(kernel: str, name: str) -> None:
    family = named_family(name)
    numbers = [R(3, 4), R(2, 7), R(1, 5)]
    values = dict(zip([s for s in family.symbols if s.name != family.own_scale], numbers, strict=False))
    for count in (1,) if name == "hard_tanh" else (1, 2):
        scale2, layers = tau_0**2, []
        for _ in range(count):
            place = values | {tau: sp.sqrt(scale2)}
            layers.append(family.moments.subs(place))
            scale2 = layers[-1].variance
        parts = kernel_part(kernel, compose(layers))
        place = dict(zip(TARGETS, [evaluate(part, {tau_0: R(6, 5)}, digits=25).real for part in parts], strict=True))
        conditions = necessary_conditions(kernel, count, name)
        assert len(conditions) >= 1
        for condition in conditions:
            with mpmath.mp.workdps(25):
                gap = evaluate(condition.lhs - condition.rhs, place | {tau_0: R(6, 5)}, digits=20).real
            if isinstance(condition, sp.Eq):
                assert abs(gap) < 1e-18, condition
            else:
                assert (gap < 0) if isinstance(condition, sp.StrictLessThan) else (gap >= -1e-18), condition


def test_the_conditions_of_one_layer_are_the_known_ones() -> None:
    k1, k2, k3, k0 = TARGETS
    ratio = next(c for c in necessary_conditions("ck", 1, "hermite") if isinstance(c, sp.Eq))
    assert (ratio.lhs, ratio.rhs) == (k3, 2 * k2)
    energy = next(c for c in necessary_conditions("ck", 1, "hermite") if isinstance(c, sp.GreaterThan))
    assert sp.expand(energy.lhs - (k0 - tau_0**2 * k1 - tau_0**4 * k3)) == 0


@pytest.mark.parametrize("kernel", ["ck", "ntk-all"])
def test_two_layers_of_any_degree(kernel: str) -> None:
    """Elimination gives back what a random pair of Hermite layers was made of."""
    first = {1: sp.S.One, 2: R(-2, 5), 3: R(1, 3), 4: R(1, 7)}
    energy = sum(v**2 for v in first.values())
    scale2 = energy * tau_0**2
    second = {1: R(3, 4) * tau_0, 2: R(1, 6) * tau_0, 3: R(2, 9) * tau_0}
    one = layer({k: v * tau_0 for k, v in first.items()}, tau_0)
    two = layer(second, sp.sqrt(scale2))
    place = dict(zip(TARGETS, (sp.expand(n) for n in kernel_part(kernel, compose([one, two]))), strict=True))
    forms = two_layers(kernel)
    slopes = sum(k * v**2 for k, v in first.items())
    place |= {chi2: first[2] ** 2, forms.V: energy, forms.D: slopes}
    assert sp.simplify(forms.slope2.subs(place) - two.d1**2) == 0
    assert sp.simplify(forms.curvature2.subs(place) - two.d2**2) == 0
    assert sp.simplify(forms.response2.subs(place) - (one.d22 / 2) ** 2) == 0
    assert sp.simplify(forms.leftover.subs(place) - forms.cubic_weight.subs(place) * second[3] ** 2) == 0


@pytest.mark.parametrize("kernel", ["ck", "ntk-all"])
def test_two_layers_without_a_slope_in_front(kernel: str) -> None:
    """E[phi_1'] = 0, in the gauge c_2 = tau_0: k_1 = 0, and elimination gives back what the pair was made of."""
    first = {2: sp.S.One, 3: R(1, 3), 4: R(1, 7)}
    energy, slopes = sum(v**2 for v in first.values()), sum(k * v**2 for k, v in first.items())
    second = {1: R(3, 4) * tau_0, 2: R(1, 6) * tau_0, 3: R(2, 9) * tau_0}
    one = layer({k: v * tau_0 for k, v in first.items()}, tau_0)
    two = layer(second, sp.sqrt(energy) * tau_0)
    part = kernel_part(kernel, compose([one, two])).map(sp.expand)
    assert part.linear == 0
    forms = two_layers(kernel, flat=True)
    place = dict(zip(TARGETS, part, strict=True)) | {forms.Q2: (one.d22 / 2) ** 2, forms.V: energy, forms.D: slopes}
    assert sp.simplify(forms.slope2.subs(place) - two.d1**2) == 0
    assert sp.simplify(forms.curvature2.subs(place) - two.d2**2) == 0
    assert sp.simplify(forms.leftover.subs(place) - forms.cubic_weight.subs(place) * second[3] ** 2) == 0
    # What E[phi_2'^2] counts: the whole diagonal but E[phi_2^2].
    others = part.diagonal - two.variance
    assert sp.simplify(forms.slope_weight.subs(place) * two.dd - others) == 0


@pytest.mark.parametrize("kernel", ["ck", "ntk-all"])
@pytest.mark.parametrize("name", ["hard_tanh", "erf", "sin"])
def test_the_ratio_of_one_odd_layer_falls_to_one_from_its_limit(kernel: str, name: str) -> None:
    """k_0/(tau_0^2 k_1) against the width, at 60 digits, and in the variables of the proof."""
    family = named_family(name)
    amplitude, shape = family.symbols
    part = kernel_part(kernel, compose([family.moments.subs({amplitude: 1, tau: 1})]))
    ratio = (part.diagonal / part.linear).subs(tau_0, 1)
    widths = [R(1, 50), R(1, 5), R(2, 3), R(1), R(2), R(5), R(12)]
    values = [evaluate(ratio, {shape: w if name == "hard_tanh" else 1 / w}, digits=60).real for w in widths]
    assert all(left > right > 1 for left, right in itertools.pairwise(values))
    limit = odd_ratio_limit(kernel, name)
    with mpmath.mp.workdps(30):
        if limit == sp.oo:
            assert values[0] > 10
        else:
            assert 0 < mpmath.pi / 2 - values[0] < 0.02
    ck = kernel_part("ck", compose([family.moments.subs({amplitude: 1, tau: 1})]))
    plain = (ck.diagonal / ck.linear).subs(tau_0, 1)
    for w, value in zip(widths, values, strict=True):
        wanted = evaluate(plain, {shape: w if name == "hard_tanh" else 1 / w}, digits=60).real
        with mpmath.mp.workdps(50):
            y = mpmath.mpf(w.p) / w.q
            forms = {
                "sin": (mpmath.sinh(y**-2) * y**2, mpmath.cosh(y**-2)),
                "erf": (mpmath.asin(2 / (2 + y**2)) * (2 + y**2) / 2, 1 / mpmath.sqrt(1 - (2 / (2 + y**2)) ** 2)),
                "hard_tanh": (None, 1 / mpmath.erf(y / mpmath.sqrt(2))),
            }
            first, second = forms[name]
            assert first is None or abs(first / wanted - 1) < 1e-30
            if kernel != "ck":
                assert abs((wanted + second) / 2 / value - 1) < 1e-30


def test_the_hard_tanh_ratio_falls_by_mills_inequality() -> None:
    """Its derivative is -2 (g - yQ)(P - yg)/P^3, as the text of theory.matching.one_layer has it."""
    y = sp.Symbol("y", positive=True)
    inside = sp.erf(y / sp.sqrt(2))
    density = sp.diff(inside, y)
    ratio = (inside - y * density + y**2 * (1 - inside)) / inside**2
    claimed = -2 * (density - y * (1 - inside)) * (inside - y * density) / inside**3
    assert sp.simplify(sp.diff(ratio, y) - claimed) == 0


def test_tails_add_to_the_response_and_nothing_to_the_energy() -> None:
    """v x exp(g x^2) with q fixed and 4 g -> 1: V -> 0, D -> q/2, and no Hermite coefficient of low degree."""
    family = named_family("tail")
    a, b, c, d, v, g = family.symbols
    gap = sp.Symbol("s", positive=True)
    place = {a: 0, b: 0, c: 0, d: 0, g: (1 - gap) / 4, tau: 1}
    response = sp.simplify((family.moments.d22 / 2).subs(place))
    unit = {v: sp.sqrt(2 / (response / v**2))}
    moments = {n: sp.simplify(getattr(family.moments, n).subs(place).subs(unit)) for n in ("d1", "dd", "variance")}
    assert sp.limit(moments["variance"], gap, 0) == 0
    assert sp.limit(moments["dd"], gap, 0) == 1
    assert sp.limit(moments["d1"], gap, 0) == 0
    # What cross terms with c_3 he_3 are made of.
    assert sp.limit(unit[v] * (1 - 2 * (1 - gap) / 4) ** R(-7, 2), gap, 0) == 0


@pytest.mark.parametrize("kernel", ["ck", "ntk-all"])
def test_leaky_reductions_hold_for_every_network(kernel: str) -> None:
    u1, w1, u2, w2 = R(1), R(3, 4), R(5, 6), R(2, 7)
    family = named_family("leaky_relu")
    scale2 = tau_0**2
    layers = []
    for u, w in ((u1, w1), (u2, w2)):
        place = dict(zip(family.symbols, (u + w, u - w), strict=True)) | {tau: sp.sqrt(scale2)}
        layers.append(family.moments.subs(place).map(sp.expand))
        scale2 = layers[-1].variance
    numbers = [n.subs(tau_0, R(6, 5)) for n in kernel_part(kernel, compose(layers))]
    place = dict(zip(TARGETS, numbers, strict=True)) | {tau_0: R(6, 5)}
    (reduction,) = leaky_reductions(kernel)
    place[reduction.unknown] = (w1 / u1) ** 2
    for equation in reduction.equations:
        assert sp.simplify(equation.subs(place)) == 0
    for found, wanted in zip(reduction.squares, (1, w1**2, u2**2, w2**2), strict=True):
        assert sp.simplify(found.subs(place) - wanted) == 0
    assert reduction.upper.subs(place).evalf() > (w1 / u1) ** 2


# --------------------------------------------------------------------------------------------------------------------
# How small a first layer can be


def number(expr: sp.Expr, width: sp.Expr) -> mpmath.mpf:
    return evaluate(expr, {rational_width: width}, digits=20).real


@pytest.mark.parametrize("width", [R(1, 2), R(1), R(3), R(8)])
def test_the_rational_layer_attains_its_bound(width: sp.Expr) -> None:
    _, response, energy, slopes = rational_layer()
    theta, inverse, _ = weighted_bound()
    with mpmath.mp.workdps(25):
        q, v = number(response, width), number(energy, width)
        assert q < 1
        assert v > 1
        assert number(slopes, width) > v
        assert abs(v - (number(inverse, width) - 2 * number(theta, width) * q)) < 1e-15


def test_no_polynomial_layer_beats_the_bound() -> None:
    """Inequality (2) on a grid of Hermite layers with and without a quadratic part, at every width tried."""
    theta, inverse, curvature = weighted_bound()
    widths = [R(1, 2), R(1), R(2), R(4)]
    bounds = [tuple(float(number(form, w)) for form in (theta, inverse, curvature)) for w in widths]
    closest = 10.0
    for second in (0, R(1, 4), R(-3, 5)):
        for third in (R(-2, 5), R(-1, 5), R(1, 5)):
            for fourth in (0, R(-1, 6)):
                for fifth in (0, R(1, 8)):
                    c = {1: sp.S.One, 2: second, 3: third, 4: fourth, 5: fifth}
                    found = layer(c, sp.S.One)
                    q, v = float(found.d22 / 2), float(found.variance)
                    for t, e, h in bounds:
                        gap = v - (e - 2 * t * q + h * float(second) ** 2)
                        assert gap >= -1e-12
                        closest = min(closest, gap)
    # The bound is not idle: some layer comes near it.
    assert closest < 0.05
