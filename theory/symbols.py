"""The symbols of the theory, each defined once (theory sheet, sections 1 to 3)."""

from __future__ import annotations

import sympy as sp

__all__ = [
    "alpha",
    "d1",
    "d2",
    "d22",
    "dd",
    "fourth",
    "gamma2",
    "lambda_",
    "mean",
    "neurons",
    "samples",
    "sigma_a2",
    "sigma_b2",
    "tau",
    "tau_0",
    "variance",
    "x",
    "xi",
]

#: Argument of an activation.
x = sp.Symbol("x", real=True)
#: Standard normal random variable N(0, 1).
xi = sp.Symbol("xi", real=True)
#: Standard deviation of a pre-activation, tau_* at equilibrium.
tau = sp.Symbol("tau", positive=True)
#: Input scale, tau_0^2 = tr C / p.
tau_0 = sp.Symbol("tau_0", positive=True)
#: Variance of the recurrent weights, sigma_a^2.
sigma_a2 = sp.Symbol("sigma_a^2", nonnegative=True)
#: Variance of the input weights, sigma_b^2.
sigma_b2 = sp.Symbol("sigma_b^2", nonnegative=True)
#: E[phi_0(tau xi)] of the uncentred activation.
mean = sp.Symbol("m", real=True)
#: Var phi_0(tau xi) = E[phi(tau xi)^2] of the centred activation.
variance = sp.Symbol("v", nonnegative=True)
#: gamma_*^2, the variance at equilibrium.
gamma2 = sp.Symbol("gamma_*^2", nonnegative=True)
#: E[phi'(tau xi)].
d1 = sp.Symbol("d_1", real=True)
#: E[phi''(tau xi)].
d2 = sp.Symbol("d_2", real=True)
#: E[(phi^2)''(tau xi)] of the centred activation.
d22 = sp.Symbol("d_22", real=True)
#: E[phi'(tau xi)^2].
dd = sp.Symbol("d_d", nonnegative=True)
#: E[phi(tau xi)^4] of the centred activation.
fourth = sp.Symbol("v_4", nonnegative=True)
#: Number of samples, n, and of neurons, M (the theory sheet's m), where they grow together.
samples, neurons = sp.symbols("n M", positive=True)
#: Coefficients of the post-activation form (kernel G), indexed from 1: alpha[1] .. alpha[4].
alpha = dict(zip(range(1, 5), sp.symbols("alpha_1:5", real=True), strict=True))
#: Coefficients of the pre-activation form (kernel L), indexed from 1: lambda_[1] .. lambda_[3].
lambda_ = dict(zip(range(1, 4), sp.symbols("lambda_1:4", real=True), strict=True))
