"""The layer recursion of explicit networks: what each layer does to the coefficients of the CK's and NTK's equivalents.

Theory sheet, section 4.  A layer sees pre-activations of covariance P = w_a G_{l-1} + w_b S and returns
G_l = E[phi_l(u) phi_l(v)]; the plain network has (w_a, w_b) = (1, 0), the weight-tied network with input injection
(sigma_a^2, sigma_b^2), which is the DEQ's fixed-point iteration.  Off the diagonal, with delta_i = ||x_i||^2 - tau_0^2,

  G_ij ~ a_1 S_ij + a_2 delta_i delta_j + a_3 S_ij^2,      G_ii ~ tau^2 + a_4 delta_i,

and for the NTK Theta_l = r_l G_l + (w_a Theta_{l-1} + w_b S) Gdot_l (entrywise), Theta_0 = r_0 S, where r_l is the
learning rate of the weights on layer l's output (layer 0 is the data), 0 where they are frozen and 1 by default,

  Theta_ij ~ b_1 S_ij + b_2 delta_i delta_j + b_3 S_ij^2,  Theta_ii ~ kappa^2.

Left out are S_ij (delta_i + delta_j), which vanishes in operator norm, and what ``theory.equations.expansion`` drops
with it; a term delta_i + delta_j by itself would not vanish, and is absent because every layer is centred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import sympy as sp

from theory.symbols import d1, d2, d22, dd, tau_0, variance

__all__ = [
    "LayerCoefficients",
    "LayerMoments",
    "Preactivation",
    "input_layer",
    "next_layer",
    "preactivation",
    "zero_state",
]


@dataclass(frozen=True)
class LayerMoments:
    """Moments of one centred layer phi_l at the standard deviation of its pre-activations.

    Attributes:
        d1: E[phi_l'].
        d2: E[phi_l''].
        d22: E[(phi_l^2)''].
        dd: E[phi_l'^2].
        variance: E[phi_l^2].
    """

    d1: sp.Expr = d1
    d2: sp.Expr = d2
    d22: sp.Expr = d22
    dd: sp.Expr = dd
    variance: sp.Expr = variance

    @staticmethod
    def of_layer(index: int) -> LayerMoments:
        """Return the moment symbols of layer ``index``: ``d_1_2`` is d1 of layer 2."""
        named = (sp.Symbol(f"{symbol.name}_{index}", **symbol.assumptions0) for symbol in (d1, d2, d22, dd, variance))
        return LayerMoments(*named)

    def map(self, function: Callable[[sp.Expr], sp.Expr]) -> LayerMoments:
        """Return the moments with a function applied to each."""
        return LayerMoments(*(function(getattr(self, field.name)) for field in fields(self)))

    def subs(self, values: Mapping[sp.Symbol, Any]) -> LayerMoments:
        """Return the moments with values for symbols, all put in at once.

        Example:
            >>> LayerMoments().subs({d1: 1}).d1
            1
        """
        return self.map(lambda moment: moment.subs(values, simultaneous=True))


@dataclass(frozen=True)
class LayerCoefficients:
    """Coefficients of one layer's kernels (theory sheet, section 4).

    Attributes:
        a1: coefficient of S in the CK.
        a2: of delta_i delta_j in the CK.
        a3: of the entrywise square of S in the CK.
        a4: response of the diagonal of the CK to delta_i.
        tau2: diagonal of the CK, tau_l^2.
        b1: coefficient of S in the NTK.
        b2: of delta_i delta_j in the NTK.
        b3: of the entrywise square of S in the NTK.
        kappa2: diagonal of the NTK.
    """

    a1: sp.Expr
    a2: sp.Expr
    a3: sp.Expr
    a4: sp.Expr
    tau2: sp.Expr
    b1: sp.Expr
    b2: sp.Expr
    b3: sp.Expr
    kappa2: sp.Expr


@dataclass(frozen=True)
class Preactivation:
    """Coefficients of the covariance w_a G_{l-1} + w_b S that a layer sees.

    Attributes:
        a1: coefficient of S.
        a2: of delta_i delta_j.
        a3: of the entrywise square of S.
        a4: response of the diagonal to delta_i.
        tau2: diagonal, the variance at which the layer's moments are taken.
    """

    a1: sp.Expr
    a2: sp.Expr
    a3: sp.Expr
    a4: sp.Expr
    tau2: sp.Expr


def input_layer(rate: sp.Expr = sp.S.One) -> LayerCoefficients:
    """Return layer 0, the data: G_0 = S, whose diagonal is tau_0^2 + delta_i, and Theta_0 = r_0 S.

    Args:
        rate: learning rate of the weights on the data, r_0; 0 where they are frozen.
    """
    one, zero = sp.S.One, sp.S.Zero
    return LayerCoefficients(one, zero, zero, one, tau_0**2, rate, zero, zero, rate * tau_0**2)


def zero_state() -> LayerCoefficients:
    """Return the state h = 0 that a weight-tied network starts from: all its kernels vanish."""
    return LayerCoefficients(*[sp.S.Zero] * 9)


def preactivation(
    previous: LayerCoefficients, weight_a: sp.Expr = sp.S.One, weight_b: sp.Expr = sp.S.Zero
) -> Preactivation:
    """Return the coefficients of w_a G_{l-1} + w_b S; ``tau2`` is the variance at which the layer's moments are taken.

    Args:
        previous: the layer before.
        weight_a: variance of the weights on it, 1 in the plain network, sigma_a^2 in the weight-tied one.
        weight_b: variance of the weights on the input, 0 in the plain network, sigma_b^2 in the weight-tied one.
    """
    return Preactivation(
        weight_a * previous.a1 + weight_b,
        weight_a * previous.a2,
        weight_a * previous.a3,
        weight_a * previous.a4 + weight_b,
        weight_a * previous.tau2 + weight_b * tau_0**2,
    )


def next_layer(
    previous: LayerCoefficients,
    weight_a: sp.Expr = sp.S.One,
    weight_b: sp.Expr = sp.S.Zero,
    *,
    moments: LayerMoments | None = None,
    input_weights_trained: bool = True,
    rate: sp.Expr = sp.S.One,
) -> LayerCoefficients:
    """Return the coefficients after one more layer (theory sheet, section 4).

    Args:
        previous: the layer before.
        weight_a: variance of the weights on it, w_a.
        weight_b: variance of the weights on the input, w_b.
        moments: of the centred activation at the pre-activations' scale, sqrt(w_a tau_{l-1}^2 + w_b tau_0^2); by
            default the symbols of ``theory.symbols``.
        input_weights_trained: whether the weights on the input count in the NTK: the weight-tied recursion tends to
            the NTK of "all" parameters with them and to the "recurrent" one without.
        rate: learning rate of the weights on this layer's output, those of the next layer or the readout; 0 where they
            are frozen.

    Example:
        >>> next_layer(input_layer()).a3
        d_2**2/2
    """
    at = LayerMoments() if moments is None else moments
    seen = preactivation(previous, weight_a, weight_b)
    slope = at.d1**2
    a1 = slope * seen.a1
    a2 = slope * seen.a2 + at.d2**2 * seen.a4**2 / 4
    a3 = slope * seen.a3 + at.d2**2 * seen.a1**2 / 2
    trained = weight_b if input_weights_trained else sp.S.Zero
    inner1 = weight_a * previous.b1 + trained
    return LayerCoefficients(
        a1=a1,
        a2=a2,
        a3=a3,
        a4=at.d22 / 2 * seen.a4,
        tau2=at.variance,
        b1=rate * a1 + slope * inner1,
        b2=rate * a2 + slope * weight_a * previous.b2,
        # Gdot_ij ~ d1^2 + d2^2 P_ij, so that S_ij^2 also comes from the product of two linear terms.
        b3=rate * a3 + slope * weight_a * previous.b3 + at.d2**2 * seen.a1 * inner1,
        kappa2=rate * at.variance + at.dd * (weight_a * previous.kappa2 + trained * tau_0**2),
    )
