"""Two very different activations with equal coefficients: are their kernels the same?

ReLU's DEQ is compared with that of a quartic polynomial made to have the same tau_*, d1, d2, d22 and variance: with
phi = sum_k c_k he_k(x/tau_*), c_1 and c_2 are fixed by d1 and d2, and c_3, c_4 by the variance and by

    tau_*^2 d22 = E[phi^2 (xi^2 - 1)] = sum_k 2 k c_k^2 + 2 sum_k sqrt((k+1)(k+2)) c_k c_(k+2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
import sympy as sp
import threadpoolctl

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import checked_moments, solve_float
from numerics.kernels import implicit_kernels
from numerics.ledger.checks import Check, Plan, Results, Task, ladder
from numerics.ledger.rates import CHANGES, ladder_verdict
from numerics.linalg import operator_norm, perturbed_norms
from theory.activations import Activation
from theory.claims import Verdict
from theory.equations import DEQ, EquilibriumError
from theory.kernels import Kernel
from theory.symbols import x

__all__ = [
    "CHECKS",
    "few_task",
    "polynomial_twin",
]


def polynomial_twin(deq: DEQ) -> Activation:
    """Return the quartic whose DEQ with the same weights and tau_0 has the same tau_*, d1, d2, d22 and variance.

    Args:
        deq: the DEQ.

    Raises:
        EquilibriumError: no quartic has these moments.
    """
    scale = solve_float(deq).checked()["tau"]
    moments = checked_moments(pointwise(deq.activation), scale)
    first, second = scale * moments.d1, scale**2 * moments.d2 / np.sqrt(2)
    rest = moments.variance - first**2 - second**2
    if not rest > 0:
        raise EquilibriumError("the activation is a quadratic polynomial already")
    radius = np.sqrt(rest)

    def excess(angle: float) -> float:
        third, fourth = radius * np.cos(angle), radius * np.sin(angle)
        own = 2 * (first**2 + 2 * second**2 + 3 * third**2 + 4 * fourth**2)
        crossed = 2 * (np.sqrt(6) * first * third + np.sqrt(12) * second * fourth)
        return float(own + crossed - scale**2 * moments.d22)

    angles = np.linspace(0, 2 * np.pi, 721)
    values = np.array([excess(angle) for angle in angles])
    changes = np.flatnonzero(values[:-1] * values[1:] <= 0)
    if not changes.size:
        raise EquilibriumError("no quartic polynomial has the moments of this activation")
    angle = scipy.optimize.brentq(excess, angles[changes[0]], angles[changes[0] + 1], xtol=1e-15)
    third, fourth = radius * np.cos(angle), radius * np.sin(angle)
    y = x / sp.Rational(str(scale))
    hermite = (y, (y**2 - 1) / sp.sqrt(2), (y**3 - 3 * y) / sp.sqrt(6), (y**4 - 6 * y**2 + 3) / sp.sqrt(24))
    coefficients = (first, second, third, fourth)
    expression = sum(sp.Rational(str(float(c))) * h for c, h in zip(coefficients, hermite, strict=True))
    return Activation("quartic twin", sp.expand(expression))


def few_task(p: int, index: int, seed: int, sigma_a2: str, sigma_b2: str) -> dict[str, Any]:
    """Distance of the exact CKs of ReLU and of its twin on one draw of data, also with the twin's multiplied."""
    weights = float(sp.Rational(sigma_a2)), float(sp.Rational(sigma_b2))
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([seed, p, index])
        sample = GaussianMixture.released_experiment(p, means=2.0).sample(rng)
        gram, tau0 = sample.gram(), sample.mixture.tau0
        relu = DEQ("relu", sigma_a2, sigma_b2, tau0)
        twin = DEQ(polynomial_twin(relu), sigma_a2, sigma_b2, tau0)
        first, second = (
            implicit_kernels(gram, pointwise(deq.activation), *weights, solve_float(deq).checked()["bias"])[Kernel.CK]
            for deq in (relu, twin)
        )
        error = first - second
        factors = [-change for change in CHANGES]
        changed = perturbed_norms(error, {"kernel": second}, factors, rng, full_rank=["kernel"])
        return {"error": operator_norm(error, rng).value, "changed": changed}


def _tasks(plan: Plan) -> list[Task]:
    profile = plan.profile
    return ladder(few_task, {**plan.weights, "seed": plan.seed}, profile.rate_sizes, profile.rate_draws)


def _judge(plan: Plan, results: Results) -> list[Verdict]:
    return [ladder_verdict("few-coefficients", "relu, quartic", "", _tasks(plan), results, plan)]


CHECKS = (Check(("few-coefficients",), _tasks, _judge),)
