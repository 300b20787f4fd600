"""Laws that the coefficients and kernels of any DEQ obey exactly: reflections, scales, gauges, limits and order.

Each is stated of whole kernels, which the coefficients' formulas know nothing of.  Activations come from a short list
whose moments are quick; what is drawn are their places in a law, the variances and the scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import flint
import numpy as np
import pytest
import sympy as sp
from flint import arb
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numerics.arithmetic import FloatArithmetic, Program, compile_program, constant_ball, pointwise
from numerics.equilibrium import CertifiedCoefficients, certify
from numerics.kernels import explicit_kernels
from numerics.matching import ExplicitLayer, ExplicitNetwork
from numerics.moments import FloatMoments
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError, LayerCoefficients, LayerMoments, next_layer
from theory.kernels import COEFFICIENTS, Kernel
from theory.matching import Family, hermite_family, named_family
from theory.moments import GaussianMoments
from theory.symbols import tau, tau_0, x

R = sp.Rational
DIGITS = 18
#: Kinked, smooth, bounded, even, odd, of one sign, with no symmetry; every slope's energy is finite.
TEXTS = (
    "Max(x, 0)",
    "Max(x, 0) + x/4",
    "Max(x - 1/4, 0)",
    "Abs(x)",
    "clip(x, -1/3, 7/4)",
    "tanh(x)",
    "tanh(3*x/2) + x**2/10",
    "x*sigmoid(x)",
    "x*Phi(x) + 1/4",
    "erf(x)/3 + Abs(x)/2",
    "sin(3*x/2) + 1/4",
    "cos(3*x/2)",
    "exp(-x**2/2) + x/3",
)
texts = st.sampled_from(TEXTS)
variances = st.fractions(min_value="1/30", max_value="3/10", max_denominator=30).map(str).map(R)
scales = st.fractions(min_value="1/3", max_value=3, max_denominator=12).map(str).map(R)
SLOPES = st.fractions(min_value=-2, max_value=2, max_denominator=6).map(str).map(R)

LAYER = tuple(LayerCoefficients.__dataclass_fields__)

#: The power of c that each coefficient takes, of a kernel k_1 S + k_2 delta delta^T + k_3 (J T J^T)/p + ...
Powers = Mapping[str, int]
_LINEAR = ("alpha1", "lambda1", "beta1", "eta1", "theta1", "alpha4")
_QUADRATIC = tuple(f"{name}{k}" for name in ("alpha", "lambda", "beta", "eta", "theta") for k in (2, 3))
_OF_THE_OUTPUT = ("gamma2", "alpha1", "alpha2", "alpha3", "kappa2", "beta1", "beta2", "beta3")
_OF_THE_OUTPUT += ("theta1", "theta2", "theta3", "theta_diag")
_DIAGONALS = ("gamma2", "kappa2", "eta_diag", "theta_diag")


def powers(*groups: tuple[tuple[str, ...], int]) -> Powers:
    """Every coefficient's power; 0 where no group has it."""
    return dict.fromkeys(COEFFICIENTS, 0) | {name: power for names, power in groups for name in names}


UNCHANGED = powers()


@cache
def activation(text: str) -> Activation:
    return Activation.from_text(text)


def two_slopes(left: sp.Expr, right: sp.Expr) -> Activation:
    return Activation("two slopes", right * sp.Max(x, 0) + left * sp.Min(x, 0))


def solved(phi: Activation, *parameters: sp.Expr) -> CertifiedCoefficients:
    """The certified coefficients; a DEQ without a stable equilibrium is not an example."""
    try:
        return certify(DEQ(phi, *parameters), DIGITS)
    except EquilibriumError:
        assume(False)
        raise


def are_the_same(found: arb, wanted: arb, name: str) -> None:
    """Balls that overlap, and are small enough to tell other numbers apart."""
    assert found.overlaps(wanted), (name, found, wanted)
    for ball in (found, wanted):
        assert ball.rad() < arb(10) ** (2 - DIGITS) * (1 + abs(ball)), (name, ball)


def scale_as(
    found: CertifiedCoefficients, wanted: CertifiedCoefficients, factor: sp.Expr, expected: Powers = UNCHANGED
) -> None:
    """Each coefficient of ``found`` is that of ``wanted`` times a power of the factor."""
    with flint.ctx.workprec(200):
        number = constant_ball(factor)
        for name, power in expected.items():
            are_the_same(found[name], wanted[name] * number**power, name)
        for name, margin in found.margins.items():
            are_the_same(margin, wanted.margins[name], name)


# --- parity ---------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(texts, variances, scales)
def test_reflecting_the_argument_or_the_value_changes_no_kernel(text: str, weight: sp.Expr, scale: sp.Expr) -> None:
    """A and B are as likely as -A and -B."""
    phi = activation(text)
    plain = solved(phi, weight, R(4, 5), scale)
    scale_as(solved(Activation("mirrored", phi.expr.subs(x, -x)), weight, R(4, 5), scale), plain, sp.S.One)
    negative = solved(Activation("negative", -phi.expr), weight, R(4, 5), scale)
    with flint.ctx.workprec(200):
        are_the_same(negative["bias"], -plain["bias"], "bias")
    scale_as(negative, plain, sp.S.One, {name: 0 for name in COEFFICIENTS if name != "bias"})


@settings(max_examples=12)
@given(texts, variances, scales)
def test_what_parity_forbids_vanishes(text: str, weight: sp.Expr, scale: sp.Expr) -> None:
    """The odd part of an activation has no mean and no curvature, the even part no slope on the average."""
    phi = activation(text)
    reflected = phi.expr.subs(x, -x)
    odd = solved(Activation("odd", (phi.expr - reflected) / 2), weight, R(4, 5), scale)
    even = solved(Activation("even", (phi.expr + reflected) / 2), weight, R(4, 5), scale)
    for name in ("bias", "alpha2", "alpha3", "lambda2", "lambda3", "beta2", "beta3", "eta2", "eta3", "theta2"):
        are_the_same(odd[name], arb(0), name)
    for name in ("alpha1", "beta1"):
        are_the_same(even[name], arb(0), name)
    with flint.ctx.workprec(200):
        # Of the pre-activations only the data's own part is left.
        are_the_same(even["lambda1"], arb(4) / 5, "lambda1")


# --- scales ---------------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(texts, variances, scales, scales)
def test_the_input_counts_only_by_its_weight(text: str, weight: sp.Expr, scale: sp.Expr, factor: sp.Expr) -> None:
    """X -> c X and sigma_b -> sigma_b/c: no pre-activation changes, and S is c^2 times what it was."""
    expected = powers((_LINEAR, -2), (_QUADRATIC, -4))
    plain = solved(activation(text), weight, R(4, 5), scale)
    moved = solved(activation(text), weight, R(4, 5) / factor**2, factor * scale)
    scale_as(moved, plain, factor, expected)


@settings(max_examples=12)
@given(texts, variances, scales, scales)
def test_a_factor_of_the_activation_is_one_of_the_weights(
    text: str, weight: sp.Expr, scale: sp.Expr, factor: sp.Expr
) -> None:
    """phi -> c phi and sigma_a -> sigma_a/c: no pre-activation changes, and G is c^2 times what it was."""
    expected = powers((_OF_THE_OUTPUT, 2), (("bias",), 1))
    plain = solved(activation(text), weight, R(4, 5), scale)
    louder = solved(Activation("louder", factor * activation(text).expr), weight / factor**2, R(4, 5), scale)
    scale_as(louder, plain, factor, expected)


@settings(max_examples=12)
@given(SLOPES, SLOPES, variances, scales)
def test_homogeneous_activations_have_no_scale(left: sp.Expr, right: sp.Expr, weight: sp.Expr, factor: sp.Expr) -> None:
    """phi(c x) = c phi(x): X -> c X takes every kernel to c^2 times itself."""
    assume(left != 0 or right != 0)
    phi = two_slopes(left, right)
    expected = powers((("tau", "bias"), 1), (_DIAGONALS, 2), (_QUADRATIC, -2))
    plain, moved = (solved(phi, weight / 4, R(4, 5), scale) for scale in (sp.S.One, factor))
    scale_as(moved, plain, factor, expected)


# --- the gauge of layers --------------------------------------------------------------------------------------------


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), texts, texts, st.sampled_from([R(1, 3), R(4, 5), R(2), R(7, 2)]))
def test_layers_may_pass_a_factor_on(seed: int, first: str, second: str, factor: sp.Expr) -> None:
    """Layer 1 multiplied by k and layer 2 reading x/k: the same network, whatever the activations."""
    samples = np.random.default_rng(seed).standard_normal((10, 4)) / np.sqrt(10)
    gram = samples.T @ samples
    phi = [activation(text) for text in (first, second)]
    gauged = [Activation("louder", factor * phi[0].expr), Activation("deafer", phi[1].expr.subs(x, x / factor))]
    biases = (0.3, 0.1)
    plain = explicit_kernels(gram, list(zip(map(pointwise, phi), biases, strict=True)), kernels=["ck", "ntk-all"])
    moved = [(pointwise(gauged[0]), float(factor) * biases[0]), (pointwise(gauged[1]), biases[1])]
    other = explicit_kernels(gram, moved, kernels=["ck", "ntk-all"])
    for kernel in (Kernel.CK, Kernel.NTK_ALL):
        np.testing.assert_allclose(other[kernel], plain[kernel], rtol=1e-9, atol=1e-11)


def moved_layer(layer: ExplicitLayer, factor: arb, side: str) -> ExplicitLayer:
    """A layer whose output is multiplied, or whose input is divided, by a factor: by its family's own exponents."""
    scaling = layer.family.scaling
    assert scaling is not None
    exponents = dict(getattr(scaling, side))
    return ExplicitLayer(
        layer.family,
        {name: ball * factor ** exponents.get(name, 0) for name, ball in layer.parameters.items()},
    )


FAMILIES: tuple[Family, ...] = (named_family("leaky_relu"), hermite_family((1, 2, 3)))
parameters = st.integers(1, 40).map(lambda k: arb(k) / 16)


@settings(max_examples=20)
@given(st.sampled_from(FAMILIES), st.sampled_from(FAMILIES), st.lists(parameters, min_size=6, max_size=6), parameters)
def test_families_pass_a_factor_on(first: Family, second: Family, values: list[arb], factor: arb) -> None:
    """The exponents that a design states are a gauge of its coefficients."""
    layers: list[ExplicitLayer] = []
    for family, numbers in ((first, values[:3]), (second, values[3:])):
        names = [symbol.name for symbol in family.symbols if symbol.name != family.own_scale]
        layers.append(ExplicitLayer(family, dict(zip(names, numbers, strict=False))))
    plain = ExplicitNetwork(tuple(layers), sp.S.One)
    with flint.ctx.workprec(200):
        gauged = (moved_layer(layers[0], factor, "output"), moved_layer(layers[1], factor, "input"))
    moved = ExplicitNetwork(gauged, sp.S.One)
    for kernel in ("ck", "ntk-all"):
        for have, want in zip(moved.kernel_balls(kernel, 30), plain.kernel_balls(kernel, 30), strict=True):
            are_the_same(have, want, kernel)


# --- limits ---------------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(SLOPES, SLOPES, scales)
def test_without_recurrence_it_is_one_explicit_layer(left: sp.Expr, right: sp.Expr, scale: sp.Expr) -> None:
    """sigma_a = 0 and sigma_b = 1: the layer recursion, which knows nothing of equilibria, gives the same numbers."""
    assume(left != right)
    with flint.ctx.workprec(200):
        values = {"a": constant_ball(right), "b": constant_ball(left)}
    network = ExplicitNetwork((ExplicitLayer(named_family("leaky_relu"), values),), scale)
    phi = two_slopes(left, right)
    found = solved(phi, sp.S.Zero, sp.S.One, scale)
    for kernel in ("ck", "ntk-all"):
        for have, want in zip(found.kernel(kernel), network.kernel_balls(kernel, 30), strict=True):
            are_the_same(have, want, kernel)


@settings(max_examples=12)
@given(texts, scales)
def test_the_limit_without_recurrence_is_reached_smoothly(text: str, scale: sp.Expr) -> None:
    """Halving a small sigma_a^2 halves what it changes; beta, eta and theta included."""
    tiny = R(1, 10**6)
    none, half, whole = (solved(activation(text), weight, R(4, 5), scale) for weight in (sp.S.Zero, tiny / 2, tiny))
    with flint.ctx.workprec(200):
        for name in COEFFICIENTS:
            change = whole[name] - none[name]
            off = change - 2 * (half[name] - none[name])
            assert abs(change) < arb("1e-4"), (name, change)
            assert abs(off) <= arb("1e-4") * abs(change) + arb("1e-15"), (name, change, off)


@cache
def tied_step(*, input_trained: bool) -> Program:
    """One weight-tied layer: weights, tau_0, the coefficients before and the layer's moments give those after."""
    before = LayerCoefficients(*(sp.Symbol(f"{name}_before") for name in LAYER))
    weights = sp.symbols("weight_a weight_b")
    after = next_layer(before, *weights, input_weights_trained=input_trained)
    inputs = [*weights, tau_0, *vars(before).values(), *vars(LayerMoments()).values()]
    return compile_program([getattr(after, name) for name in LAYER], inputs, FloatArithmetic())


def tied_network(phi: Activation, weights: tuple[float, float], scale: float, *, input_trained: bool) -> dict[str, Any]:
    """The coefficients of 60 weight-tied layers with input injection, from the state h = 0."""
    moments, values = FloatMoments(pointwise(phi)), dict.fromkeys(LAYER, 0.0)
    for _ in range(60):
        seen = np.sqrt(weights[0] * values["tau2"] + weights[1] * scale**2)
        at = moments.at(seen)
        layer = (at.d1, at.d2, at.d22, at.slope_energy, at.variance)
        values = dict(
            zip(LAYER, tied_step(input_trained=input_trained)(*weights, scale, *values.values(), *layer), strict=True)
        )
    return values


@pytest.mark.parametrize("input_trained", [False, True])
@settings(max_examples=5)
@given(texts, variances, scales)
def test_tied_layers_lead_to_the_deq(input_trained: bool, text: str, weight: sp.Expr, scale: sp.Expr) -> None:
    """A deep explicit network with tied weights has the DEQ's CK and NTK, by the recursion of layers alone."""
    phi = activation(text)
    deq = solved(phi, weight, R(4, 5), scale)
    assume(max(abs(float(margin)) for margin in deq.margins.values()) < 0.6)
    deep = tied_network(phi, (float(weight), 0.8), float(scale), input_trained=input_trained)
    tangent = deq.kernel(Kernel.NTK_ALL if input_trained else Kernel.NTK_RECURRENT)
    wanted = [float(number) for number in (*deq.kernel(Kernel.CK), *tangent)]
    found = [deep[name] for name in ("a1", "a2", "a3", "tau2", "b1", "b2", "b3", "kappa2")]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)


# --- order ----------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(texts, variances, scales)
def test_coefficients_and_energies_are_not_negative(text: str, weight: sp.Expr, scale: sp.Expr) -> None:
    """Every kernel is a power series in the correlations without a negative coefficient, its diagonal their sum."""
    found = solved(activation(text), weight, R(4, 5), scale)
    with flint.ctx.workprec(200):
        square = constant_ball(scale) ** 2
        kernels = {kernel: found.kernel(kernel) for kernel in Kernel}
        for kernel, (linear, variance, quadratic, diagonal) in kernels.items():
            rest = diagonal - square * linear - square**2 * quadratic
            for energy in (linear, variance, quadratic, diagonal, rest):
                assert not energy < 0, (kernel, energy)
        # An NTK adds to the CK what learning in the hidden layer does.
        for kernel in (Kernel.NTK_RECURRENT, Kernel.NTK_ALL):
            for more, less in zip(kernels[kernel], kernels[Kernel.CK], strict=True):
                assert not more < less, kernel
        assert all(not margin < 0 for name, margin in found.margins.items() if name != "tau")


@settings(max_examples=25)
@given(texts, scales)
def test_moments_obey_bessels_inequality(text: str, scale: sp.Expr) -> None:
    """Degrees 1 and 2 have part of the energy: Var >= tau^2 d1^2 + tau^4 d2^2/2, E[phi'^2] >= d1^2 + tau^2 d2^2."""
    at = FloatMoments(pointwise(activation(text))).at(float(scale))
    square = float(scale) ** 2
    first, second, slope_energy = square * at.d1**2, square**2 * at.d2**2 / 2, square * at.slope_energy
    rounding = 1e-12 * slope_energy
    assert at.variance >= first + second - rounding
    assert slope_energy >= first + 2 * second - rounding
    # Poincare's inequality.
    assert at.variance <= slope_energy + rounding


@settings(max_examples=20)
@given(texts)
def test_steins_identity_of_the_derived_forms(text: str) -> None:
    """E[phi''] = (1/tau) d/dtau of E[phi]: the heat equation, which ties moments that are integrated apart."""
    moments = GaussianMoments(activation(text), tau)
    mean, curvature = moments.mean, moments.second_derivative
    assume(GaussianMoments.is_closed(mean) and GaussianMoments.is_closed(curvature))
    for scale in (R(1, 2), R(7, 5)):
        slope = (sp.diff(mean, tau) / tau).subs(tau, scale).evalf(40)
        assert abs(slope - curvature.subs(tau, scale).evalf(40)) < R(1, 10**30)
