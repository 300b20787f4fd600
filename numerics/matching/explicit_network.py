"""Explicit networks with given layers: their kernels' coefficients in float64, to any number of digits, and in balls.

A layer is a family of ``theory.matching.families`` with values for its parameters; the coefficients are the layer
recursion of ``theory.equations.layers`` (theory sheet, section 4), evaluated in whichever arithmetic is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import (
    BITS_PER_DIGIT,
    Arithmetic,
    BallArithmetic,
    FloatArithmetic,
    MpArithmetic,
    PointwiseActivation,
    Program,
    compile_program,
    exact_bounds,
    pointwise,
    rounded_decimal,
)
from theory.activations import Activation
from theory.equations import LayerCoefficients, LayerMoments, input_layer, next_layer
from theory.kernels import Kernel, KernelCoefficients
from theory.matching import Family, kernel_part
from theory.symbols import tau, tau_0

__all__ = [
    "ExplicitLayer",
    "ExplicitNetwork",
    "LayerReport",
]

_COEFFICIENTS = tuple(LayerCoefficients.__dataclass_fields__)
_MOMENTS = tuple(LayerMoments.__dataclass_fields__)
_PREVIOUS = LayerCoefficients(*(sp.Symbol(f"previous_{name}", real=True) for name in _COEFFICIENTS))
_RATE = sp.Symbol("rate", nonnegative=True)
_HALF = Fraction(1, 2)
#: Bits that closed forms of wide rational layers lose to cancellation, and the digits that hold as many.
_LOST_BITS = 350
_POINTWISE_DIGITS = 27
_LOST_DIGITS = 106


@dataclass(frozen=True)
class ExplicitLayer:
    """One hidden layer.

    Attributes:
        family: where its activation comes from.
        parameters: a ball for every parameter of the family, by name, except the family's own scale, which is computed.
    """

    family: Family
    parameters: Mapping[str, arb]

    def __post_init__(self) -> None:
        wanted = {symbol.name for symbol in self.family.symbols} - {self.family.own_scale}
        if set(self.parameters) != wanted:
            given = ", ".join(sorted(self.parameters)) or "none"
            raise ValueError(f"a {self.family.name} layer has the parameters {', '.join(sorted(wanted))}, not {given}")

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={float(ball.mid()):.6g}" for name, ball in self.parameters.items())
        return f"{self.family.name}({numbers})"


@dataclass(frozen=True)
class LayerReport:
    """What a layer is at its place in a network, in one arithmetic.

    Attributes:
        scale: standard deviation of its pre-activations.
        bias: E[phi_0(scale xi)], subtracted from the activation.
        coefficients: of the network up to this layer, by name of ``LayerCoefficients``.
    """

    scale: Any
    bias: Any
    coefficients: Mapping[str, Any]


@dataclass(frozen=True)
class ExplicitNetwork:
    """A plain network h_l = phi_l(W_l h_{l-1}/sqrt(m)) with N(0, 1) weights, centred activations and a linear readout.

    Attributes:
        layers: hidden layers in order, at least one.
        tau0: exact input scale tau_0.
        rates: for its NTK, a ball for the learning rate of each of W_1, W_2, ... and of the readout, 0 where it is
            frozen; none where all are trained at rate 1.
    """

    layers: tuple[ExplicitLayer, ...]
    tau0: sp.Expr
    rates: tuple[arb, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("an explicit network needs at least one layer")
        if self.rates and len(self.rates) != len(self.layers) + 1:
            count = len(self.layers)
            raise ValueError(f"{count} hidden layers have {count + 1} learning rates, not {len(self.rates)}")

    def __repr__(self) -> str:
        rates = f", rates=({', '.join(f'{float(rate.mid()):.6g}' for rate in self.rates)})" if self.rates else ""
        return f"ExplicitNetwork({', '.join(map(repr, self.layers))}, tau0={self.tau0}{rates})"

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weight matrices in order, the readout last."""
        return (*(f"W_{number}" for number in range(1, len(self.layers) + 1)), "readout")

    @property
    def all_rates(self) -> tuple[arb, ...]:
        """The learning rate of each weight matrix, those that are 1 by default included."""
        return self.rates or (arb(1),) * (len(self.layers) + 1)

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the weight matrices that are trained."""
        return tuple(name for name, rate in zip(self.weights, self.all_rates, strict=True) if not rate.is_zero())

    def float_rates(self) -> tuple[float, ...] | None:
        """Return the learning rates as `numerics.kernels.explicit_kernels` takes them; None where all are 1."""
        return tuple(float(rate.mid()) for rate in self.rates) or None

    def reports(self, arithmetic: Arithmetic, read: Callable[[arb], Any]) -> list[LayerReport]:
        """Evaluate layer after layer.

        Args:
            arithmetic: what to compute in.
            read: makes a number of it from a parameter's ball.
        """
        scale0 = arithmetic.constant(self.tau0)
        first_rate, *rates = map(read, self.all_rates)
        start = input_layer(_RATE)
        first = compile_program([getattr(start, name) for name in _COEFFICIENTS], [tau_0, _RATE], arithmetic)
        values = list(first(scale0, first_rate))
        reports = []
        for layer, rate in zip(self.layers, rates, strict=True):
            scale = arithmetic.power(values[_COEFFICIENTS.index("tau2")], _HALF)
            names = [symbol for symbol in layer.family.symbols if symbol.name != layer.family.own_scale]
            numbers = [read(layer.parameters[symbol.name]) for symbol in names]
            forms = [*(getattr(layer.family.moments, name) for name in _MOMENTS), layer.family.bias]
            *moments, bias = compile_program(forms, [tau, *names], arithmetic)(scale, *numbers)
            values = list(_step(arithmetic)(scale0, rate, *values, *moments))
            reports.append(LayerReport(scale, bias, dict(zip(_COEFFICIENTS, values, strict=True))))
        return reports

    def float_reports(self) -> list[LayerReport]:
        """Return scale, bias and coefficients after each layer in float64 (parameters by their midpoints).

        Rational layers of large widths are beyond float64, whose closed forms cancel there: see ``ball_reports``.
        """
        return self.reports(FloatArithmetic(), float)

    def mp_reports(self, digits: int) -> list[LayerReport]:
        """Return them as mpmath numbers (parameters by their midpoints) that hold ``digits`` digits."""
        context = mpmath.MPContext()
        context.dps = digits + _LOST_DIGITS

        def read(ball: arb) -> Any:
            low, high = exact_bounds(ball)
            middle = (low + high) / 2
            return context.mpf(middle.numerator) / middle.denominator

        return self.reports(MpArithmetic(context), read)

    def ball_reports(self, digits: int) -> list[LayerReport]:
        """Return them as balls that hold for every value in the parameters' balls, at a precision of some digits."""
        with ctx.workprec(int(digits * BITS_PER_DIGIT) + _LOST_BITS):
            return self.reports(BallArithmetic(), lambda ball: +ball)

    def kernel_balls(self, kernel: str, digits: int) -> KernelCoefficients[arb]:
        """Return the coefficients of a kernel of the network, in balls."""
        last = LayerCoefficients(**self.ball_reports(digits)[-1].coefficients)
        return kernel_part(kernel, last).map(arb)

    def layer_kernels(self) -> list[KernelCoefficients[float]]:
        """Return the coefficients of the conjugate kernel after each layer, in float64."""
        layers = (LayerCoefficients(**report.coefficients) for report in self.ball_reports(_POINTWISE_DIGITS))
        return [kernel_part(Kernel.CK, layer).map(lambda ball: float(arb(ball))) for layer in layers]

    def activations(self, digits: int = 17) -> list[Activation]:
        """Return the layers' activations, uncentred, their parameters rounded to exact decimals."""
        activations = []
        for layer, report in zip(self.layers, self.ball_reports(digits + 10), strict=True):
            family = layer.family
            balls = dict(layer.parameters) | ({family.own_scale: report.scale} if family.own_scale else {})
            values = {name: sp.Rational(rounded_decimal(ball, digits)[0]) for name, ball in balls.items()}
            activations.append(family.activation.with_parameters(values))
        return activations

    def pointwise(self) -> list[tuple[PointwiseActivation, float]]:
        """Return (activation, bias) of each layer in float64, as ``numerics.kernels.explicit_kernels`` takes them."""
        reports = self.ball_reports(_POINTWISE_DIGITS)
        return [(pointwise(a), float(arb(r.bias))) for a, r in zip(self.activations(), reports, strict=True)]


def _step(arithmetic: Arithmetic) -> Program:
    """The layer recursion as a program of tau_0, the rate, the previous coefficients and the layer's moments."""
    after = next_layer(_PREVIOUS, rate=_RATE)
    default = LayerMoments()
    symbols = [
        tau_0,
        _RATE,
        *(getattr(_PREVIOUS, name) for name in _COEFFICIENTS),
        *(getattr(default, m) for m in _MOMENTS),
    ]
    return compile_program([getattr(after, name) for name in _COEFFICIENTS], symbols, arithmetic)
