"""How the theory's quantities are typeset: one LaTeX name for every symbol and every reported coefficient."""

from __future__ import annotations

from types import MappingProxyType

from theory.symbols import (
    alpha,
    d1,
    d2,
    d22,
    dd,
    fourth,
    gamma2,
    lambda_,
    mean,
    neurons,
    samples,
    sigma_a2,
    sigma_b2,
    tau,
    tau_0,
    variance,
    x,
    xi,
)

__all__ = [
    "COEFFICIENT_SYMBOLS",
    "GREEK",
    "SYMBOL_NAMES",
]

#: LaTeX of every reported coefficient, by its key (theory sheet, sections 2 and 3).
COEFFICIENT_SYMBOLS = MappingProxyType(
    {
        "tau": r"\tau_*",
        "bias": r"\mathbb{E}[\phi_0(\tau_*\xi)]",
        "gamma2": r"\gamma_*^2",
        **{f"alpha{k}": rf"\alpha_{{*,{k}}}" for k in range(1, 5)},
        **{f"lambda{k}": rf"\lambda_{{*,{k}}}" for k in range(1, 4)},
        **{f"beta{k}": rf"\beta_{{*,{k}}}" for k in range(1, 4)},
        "kappa2": r"\kappa_*^2",
        **{f"eta{k}": rf"\eta_{{*,{k}}}" for k in range(1, 4)},
        "eta_diag": r"\eta_{*,\mathrm{diag}}",
        **{f"theta{k}": rf"\theta_{{*,{k}}}" for k in range(1, 4)},
        "theta_diag": r"\theta_{*,\mathrm{diag}}",
    }
)
#: Base and exponent of every symbol of ``theory.symbols``, in the order in which the factors of a product are written.
#: A variance is the square of its standard deviation, so that its square is written \sigma_b^4.
SYMBOL_NAMES = MappingProxyType(
    {
        sigma_a2: (r"\sigma_a", 2),
        sigma_b2: (r"\sigma_b", 2),
        tau_0: (r"\tau_0", 1),
        mean: (r"\mathbb{E}[\phi_0(\tau_*\xi)]", 1),
        d1: (r"\mathbb{E}[\phi'(\tau_*\xi)]", 1),
        d2: (r"\mathbb{E}[\phi''(\tau_*\xi)]", 1),
        d22: (r"\mathbb{E}[(\phi^2)''(\tau_*\xi)]", 1),
        dd: (r"\mathbb{E}[\phi'(\tau_*\xi)^2]", 1),
        variance: (r"\operatorname{Var}[\phi_0(\tau_*\xi)]", 1),
        fourth: (r"\mathbb{E}[\phi(\tau_*\xi)^4]", 1),
        gamma2: (r"\gamma_*", 2),
        **{alpha[k]: (COEFFICIENT_SYMBOLS[f"alpha{k}"], 1) for k in alpha},
        **{lambda_[k]: (COEFFICIENT_SYMBOLS[f"lambda{k}"], 1) for k in lambda_},
        tau: (r"\tau_*", 1),
        samples: ("n", 1),
        neurons: ("M", 1),
        x: ("x", 1),
        xi: (r"\xi", 1),
    }
)
#: Names of parameters that are Greek letters.
GREEK = frozenset(
    (
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "rho"),
        *("sigma", "tau", "upsilon", "chi", "psi", "omega"),
    )
)
