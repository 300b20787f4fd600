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

from numerics.arithmetic import PointwiseActivation, pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import checked_moments, solve_float
from numerics.kernels import implicit_ck
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.ledger.rates import CHANGES, ladder_report, shown_power
from numerics.linalg import operator_norm, perturbed_norms
from theory.activations import Activation, registered
from theory.claims import Verdict, VerdictKind
from theory.equations import EquilibriumError
from theory.symbols import x

__all__ = [
    "FEW_CHECK",
    "few_task",
    "polynomial_twin",
]


def polynomial_twin(phi: PointwiseActivation, sigma_a2: float, sigma_b2: float, tau0: float) -> Activation:
    """Return the quartic whose DEQ has the same tau_*, d1, d2, d22 and variance as that of phi at tau_0.

    Args:
        phi: the activation, uncentred.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        tau0: input scale tau_0.

    Raises:
        EquilibriumError: no quartic has these moments.
    """
    scale = solve_float(phi, sigma_a2, sigma_b2, tau0).checked()["tau"]
    moments = checked_moments(phi, scale)
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
        relu = pointwise(registered("relu").with_parameters({}))
        twin = pointwise(polynomial_twin(relu, *weights, tau0))
        first, second = (
            implicit_ck(gram, phi, *weights, solve_float(phi, *weights, tau0).checked()["bias"]).kernel
            for phi in (relu, twin)
        )
        error = first - second
        factors = [-change for change in CHANGES]
        changed = perturbed_norms(error, {"kernel": second}, factors, rng, full_rank=["kernel"])
        return {"error": operator_norm(error, rng).value, "changed": changed}


def _tasks(plan: Plan) -> list[Task]:
    weights = {"sigma_a2": plan.sigma_a2, "sigma_b2": plan.sigma_b2, "seed": plan.seed}
    return [
        Task("few", {**weights, "p": p, "index": index}, cost=float(p) ** 2)
        for p in plan.profile.rate_sizes
        for index in range(plan.profile.rate_draws)
    ]


def _judge(plan: Plan, results: Results) -> list[Verdict]:
    report, details = ladder_report(_tasks(plan), results, "p", plan)
    why = f"{report.sentence}{shown_power(details)}"
    return [Verdict("few-coefficients", "relu, quartic", VerdictKind(report.verdict), why, details)]


FEW_CHECK = Check(("few-coefficients",), _tasks, _judge)
