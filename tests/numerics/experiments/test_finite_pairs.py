"""Finite networks: a DEQ and its matching explicit network of equal width have the same CK, a naive one has not."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import solve_float
from numerics.matching import design
from numerics.networks import FiniteDEQ, FiniteExplicitNetwork
from theory.activations import registered


def _average(networks: list[np.ndarray]) -> np.ndarray:
    return np.mean(networks, axis=0)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_a_matched_pair_of_finite_networks_has_one_kernel(name: str) -> None:
    """Averages over draws of width m = 400 at p = 120: their distance is that of the scatter, a naive pair's is not."""
    p, width, draws = 120, 400, 24
    rng = np.random.default_rng(2)
    mixture = GaussianMixture.released_experiment(p, means=2.0)
    data = mixture.sample(rng).data
    activation = registered(name)
    tau0 = sp.Rational(str(round(mixture.tau0, 12)))
    matched = design(activation, sp.Rational(1, 5), sp.Rational(4, 5), tau0).network.pointwise()
    phi = pointwise(activation)
    bias = solve_float(phi, 0.2, 0.8, mixture.tau0)["bias"]
    # The naive network: one layer of the DEQ's own activation, centred at tau_0.
    single = solve_float(phi, 0.0, 1.0, mixture.tau0)["bias"]

    def deq() -> np.ndarray:
        network = FiniteDEQ.draw(phi, bias, 0.2, 0.8, width=width, dimension=p, rng=rng)
        return network.equilibrium(data).ck

    def explicit(layers: list[tuple[object, float]]) -> np.ndarray:
        network = FiniteExplicitNetwork.draw(layers, width=width, dimension=p, rng=rng)  # type: ignore[arg-type]
        return network.ck(data)

    kernels = {
        "deq": [deq() for _ in range(draws)],
        "matched": [explicit(matched) for _ in range(draws)],
        "naive": [explicit([(phi, single)]) for _ in range(draws)],
    }

    def distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        return float(np.linalg.norm(_average(first) - _average(second), 2))

    half = draws // 2
    scatter = distance(kernels["deq"][:half], kernels["deq"][half:])
    assert distance(kernels["deq"], kernels["matched"]) < scatter
    assert distance(kernels["deq"], kernels["naive"]) > 1.3 * distance(kernels["deq"], kernels["matched"])
