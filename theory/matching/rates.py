"""What a learning rate for each weight matrix makes possible: every NTK of a DEQ, with one or two hidden layers.

Theory sheet, section 7; targets, rates r_0 .. r_L and their gauge as in ``theory.matching.equations``.

One hidden layer.  With c_k the orthonormal Hermite coefficients of phi at tau_0,

  k_1 = (r_0 + r_1) c_1^2/tau_0^2,   k_2 = r_1 c_2^2/(2 tau_0^4),   k_3 = (2 r_0 + r_1) c_2^2/tau_0^4,
  k_0 = sum_k (r_1 + k r_0) c_k^2,                                                                          (4)

so that k_3 >= 2 k_2 and k_0 >= tau_0^2 k_1 + tau_0^4 k_3, whatever the activation and the rates.  Conversely

  r_0 = (k_3/k_2 - 2)/4,   r_1 = 1                                                                          (5)

(any r_0 where k_2 = k_3 = 0) and the energies (4) by degree give the kernel; all of degree >= 3 may be in degree 3.
For a DEQ the second inequality always holds (``theory.matching.one_layer``), the first iff

  alpha_4^2 <= lambda_1^2 + 2 sigma_a^2 alpha_1 lambda_1 (recurrent),   alpha_4^2 <= 3 lambda_1^2 (the others):

at k_3 = 6 k_2 one rate does, at k_3 = 2 k_2 only the readout is trained.

Where k_3 < 2 k_2.  The NTK of two hidden layers of which only the readout is trained is their CK, and inequality (1) of
``theory.matching.two_layers`` with chi = 0 asks for q^2 = 2 k_2/k_3 > 1, which is free: they match as soon as k_0 >
tau_0^2 k_1 + tau_0^4 k_3.  So every NTK of a DEQ is that of a network of one hidden layer, or of two, at some rates.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from theory.equations import ck_equations, ntk_coefficients, preactivation_equations
from theory.kernels import Kernel
from theory.matching.equations import K2, K3, rate_symbol
from theory.matching.one_layer import OneLayer, one_layer
from theory.symbols import alpha, d1, lambda_, sigma_a2, sigma_b2

__all__ = ["two_rate_condition", "two_rate_layer", "two_rates"]


@cache
def two_rates() -> tuple[sp.Expr, sp.Expr]:
    """Return the rates of one hidden layer's weights and of its readout, in the targets: (5) of the module's text.

    The first is negative where no rates do.

    Example:
        >>> two_rates()
        (-(2*k_2 - k_3)/(4*k_2), 1)
    """
    rate = rate_symbol(0)
    ratio = one_layer(Kernel.NTK_ALL, (rate, sp.S.One)).ratio
    return sp.factor(sp.solve(ratio * K2 - K3, rate)[0]), sp.S.One


@cache
def two_rate_layer() -> OneLayer:
    """Return what one hidden layer at these rates needs: (4) of the module's text, in the targets.

    Example:
        >>> two_rate_layer().leftover
        k_0 - k_1*tau_0**2 - k_3*tau_0**4
    """
    return one_layer(Kernel.NTK_ALL, two_rates())


@cache
def two_rate_condition(kernel: str) -> sp.Rel:
    """Derive when an NTK of a DEQ is that of one hidden layer at two rates, for sigma_a^2 > 0.

    Args:
        kernel: name of an NTK.

    Raises:
        ValueError: the CK, which has no rates.

    Example:
        >>> two_rate_condition("ntk-all")
        3*lambda_1**2 >= alpha_4**2
    """
    which = Kernel.read(kernel)
    if not which.is_tangent:
        raise ValueError("the CK has no learning rates")
    equations = {**ck_equations(), **preactivation_equations()}
    names = {alpha[2]: "alpha2", alpha[3]: "alpha3", lambda_[2]: "lambda2", lambda_[3]: "lambda3"}
    solved = {symbol: sp.solve(equations[name], symbol)[0] for symbol, name in names.items()}
    numbers = ntk_coefficients(which.kind)
    gap = (numbers.square - 2 * numbers.variance).subs(solved)
    # sigma_b^2 = lambda_1 - sigma_a^2 alpha_1, and D = 1 - sigma_a^2 d_1^2 > 0 for d_1.
    decay = sp.Symbol("D", positive=True)
    gap = gap.subs(sigma_b2, lambda_[1] - sigma_a2 * alpha[1]).subs(d1, sp.sqrt((1 - decay) / sigma_a2))
    # Its other factors are positive.
    (kept,) = [factor for factor, _ in sp.factor_list(sp.numer(sp.factor(gap)))[1] if factor.has(alpha[4])]
    rest = sp.expand(kept - kept.coeff(alpha[4], 2) * alpha[4] ** 2) / -kept.coeff(alpha[4], 2)
    return sp.Ge(sp.expand(rest), alpha[4] ** 2)
