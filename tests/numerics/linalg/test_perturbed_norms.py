"""Norms of a matrix with changes added, from one subspace, against dense eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.data import GaussianMixture
from numerics.equivalents import DeterministicEquivalent, equivalent_parts
from numerics.linalg import perturbed_norms

FACTORS = (0.0, 0.01, -0.01, 0.1, -0.1, 1.0, -1.0)


def symmetric(rng: np.random.Generator, n: int) -> np.ndarray:
    matrix = rng.standard_normal((n, n))
    return (matrix + matrix.T) / np.sqrt(8 * n)


@pytest.mark.parametrize("n", [40, 400])
def test_norms_are_those_of_the_dense_matrices(n: int) -> None:
    rng = np.random.default_rng(3)
    error, full = symmetric(rng, n), symmetric(rng, n)
    columns = rng.standard_normal((n, 2)) / np.sqrt(n)
    low = columns @ np.array([[1.0, 0.3], [0.3, -0.5]]) @ columns.T
    changes = {"full": full, "low": low, "identity": 0.7 * np.eye(n)}
    found = perturbed_norms(error, changes, FACTORS, rng, span=columns, full_rank=["full"])
    assert list(found) == list(changes)
    for name, change in changes.items():
        for factor, value in zip(FACTORS, found[name], strict=True):
            exact = float(np.abs(np.linalg.eigvalsh(error + factor * change)).max())
            # By Rayleigh and Ritz never above; a bulk's edge, which nothing isolates, is the hardest to meet.
            assert value <= exact * (1 + 1e-9)
            assert value >= exact * (1 - (1e-6 if n == 40 or factor == 0 or name == "identity" else 0.02)), (
                name,
                factor,
            )


def test_the_parts_of_an_equivalent_are_what_doubling_a_number_adds() -> None:
    rng = np.random.default_rng(5)
    sample = GaussianMixture.released_experiment(48, means=3.0).sample(rng)
    gram, statistics, tau0 = sample.gram(), sample.statistics(), 1.1
    numbers = (0.3, 0.4, 0.5, 0.9)

    def dense(first: float, second: float, third: float, diagonal: float) -> np.ndarray:
        return DeterministicEquivalent.from_statistics(
            statistics, alpha1=first, alpha2=second, alpha3=third, gamma2=diagonal, tau0=tau0, gram=gram
        ).dense()

    parts = equivalent_parts(numbers, statistics, tau0, gram)
    for position, part in enumerate(parts.values()):
        doubled = list(numbers)
        doubled[position] *= 2
        assert np.allclose(part @ np.eye(len(gram)), dense(*doubled) - dense(*numbers), atol=1e-12)
    assert np.allclose(sum(part @ np.eye(len(gram)) for part in parts.values()), dense(*numbers), atol=1e-12)
