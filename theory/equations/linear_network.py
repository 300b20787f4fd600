r"""The linear network whose conjugate kernel has the spectrum of a finite network's, as expressions.

Theory sheet, section 9.  With n/M fixed the states of a network of M neurons are equivalent to

    H = (I - s A/sqrt(M))^{-1} Y,    s = d_1 sigma_a,

where the rows of Y are independent, of covariance a S + c I and a part of low rank.  For DEQs this is a conjecture.  An
explicit layer is the case sigma_a = 0, sigma_b = 1, with the kernel of the layer below in the place of S: there it is a
theorem (Fan and Wang, NeurIPS 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from theory.equations.deq import ck_coefficients, ck_equations, preactivation_coefficients
from theory.symbols import alpha, d1, d2, d22, fourth, neurons, samples, sigma_a2, sigma_b2, tau, variance

__all__ = ["LinearNetwork", "linear_network"]


@dataclass(frozen=True)
class LinearNetwork:
    """The numbers of a linear network, in the moments at tau_*, the weight variances, n and M.

    Attributes:
        linear: a, coefficient of S in the covariance of Y's rows.
        identity: c, coefficient of the identity in it.
        feedback2: s^2.
        ratio: n/M.
        variance: coefficient of t t^T, t psi^T and psi psi^T in the covariance, as alpha_2 in the kernel's equivalent.
        square: coefficient of T, as alpha_3 there.
        between: variance of the fluctuations of sigma_a^2 H^T H/M off the diagonal, that the width makes.
        own: variance of the fluctuations of tau_i^2 from sample to sample, that the width makes.
    """

    linear: sp.Expr
    identity: sp.Expr
    feedback2: sp.Expr
    ratio: sp.Expr
    variance: sp.Expr
    square: sp.Expr
    between: sp.Expr
    own: sp.Expr


@cache
def linear_network() -> LinearNetwork:
    """The linear network of theory sheet section 9.

    Example:
        >>> found = linear_network()
        >>> found.linear, found.identity, found.feedback2
        (d_1**2*sigma_b^2, -d_1**2*tau**2 + v, d_1**2*sigma_a^2)
    """
    known = {alpha[4]: ck_coefficients()["alpha4"]}
    lambda1 = preactivation_coefficients()["lambda1"]
    feedback2 = sigma_a2 * d1**2
    # What the recursion adds to before it has gone round.
    driven = ck_equations()["alpha2"].rhs.subs(alpha[2], 0).subs(known)
    response = 1 - sigma_a2 * d22 / 2
    return LinearNetwork(
        linear=sigma_b2 * d1**2,
        identity=variance - d1**2 * tau**2,
        feedback2=feedback2,
        ratio=samples / neurons,
        variance=driven,
        square=d2**2 * lambda1**2 / 2,
        between=sigma_a2**2 * variance**2 / ((1 - feedback2) ** 2 * neurons),
        own=sigma_a2**2 * (fourth - variance**2) / (neurons * response**2),
    )
