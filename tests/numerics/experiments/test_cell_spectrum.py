"""The law of a cell's kernels: one state's own where that is known, and exact spectra where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from numerics.experiments import Experiment, measure_cell, predict, predict_cell
from numerics.spectrum import LimitTerms, Population, SpectralLaw, SpectralLawError
from theory.activations import resolve
from theory.equations import DEQ, TRAINED, CoupledDEQ, State, TrainedWeights
from theory.kernels import Kernel, KernelCoefficients

EXPERIMENT = Experiment((resolve("relu"),), 0.2, 0.8, means=3.0, cov_shift=20.0)
UNCENTRED = CoupledDEQ([State("relu", "3/5", "1/10", centred=False)], [["2/5"]])
CENTRED = CoupledDEQ([State("relu", "1/2"), State("tanh", "1/2")], [["1/5", "3/10"], ["1/2", 0]])
MIXED = CoupledDEQ(
    [State("relu", "1/2", "1/10", centred=False), State("tanh", 0, "1/5")], [["1/10", "3/10"], ["1/2", "1/10"]]
)


@pytest.mark.parametrize(("trained", "kernel"), [(None, Kernel.CK), (TRAINED, Kernel.NTK_ALL)])
def test_one_centred_state_has_its_own_law(trained: tuple[str, ...] | None, kernel: Kernel) -> None:
    cell = CoupledDEQ.of(DEQ("relu", "1/5", "4/5"))
    which = 0 if trained is None else TrainedWeights.of(cell, trained)
    found = predict_cell(EXPERIMENT, cell, which, 200)
    wanted, _ = predict(EXPERIMENT, resolve("relu"), kernel, 200)
    np.testing.assert_allclose(found.edges, wanted.edges, rtol=1e-9)
    np.testing.assert_allclose(found.outlier_values, wanted.outlier_values, rtol=1e-9)
    assert found.limit is None


@pytest.mark.parametrize(("cell", "tangent"), [(CENTRED, True), (UNCENTRED, False), (MIXED, True)])
def test_exact_spectra_are_as_predicted(cell: CoupledDEQ, tangent: bool) -> None:
    """Isolated eigenvalues to a few percent, the one of order n to 0.3 % of n, the bulk by the norm."""
    kernel = TrainedWeights.of(cell, TRAINED) if tangent else 0
    p, draws = 300, 3
    law = predict_cell(EXPERIMENT, cell, kernel, p)
    found = [measure_cell(EXPERIMENT, cell, kernel, p, index, law) for index in range(draws)]
    n, count = law.population.samples, law.outlier_values.size
    top = np.mean([draw.eigenvalues[:count] for draw in found], axis=0)
    assert count >= 2
    assert [draw.isolated.size for draw in found] == [count] * draws
    np.testing.assert_allclose(top[1:], law.outlier_values[1:], rtol=0.05)
    if law.limit is not None:
        assert law.outlier_values[0] > 0.1 * n
        assert abs(top[0] - law.outlier_values[0]) < 3e-3 * n
    # By Weyl's inequality no eigenvalue is further from the equivalent's.
    assert all(draw.wasserstein_distance < draw.opnorm_error < 0.3 for draw in found)


def test_every_term_of_the_limit_moves_the_law() -> None:
    """Wrong theories: each number left out moves an isolated eigenvalue by far more than the law is wrong by."""
    p = 300
    law = predict_cell(EXPERIMENT, UNCENTRED, 0, p)
    assert law.limit is not None
    draws = [measure_cell(EXPERIMENT, UNCENTRED, 0, p, index, law).eigenvalues[:2] for index in range(3)]
    error = np.abs(np.mean(draws, axis=0) - law.outlier_values)
    for name in ("constant", "sum", "squares"):
        wrong = SpectralLaw.of(law.population, law.coefficients, limit=replace(law.limit, **{name: 0.0}))
        moved = np.abs(np.resize(wrong.outlier_values, 2) - law.outlier_values)
        assert np.any(moved > 4 * error), (name, moved, error)


def test_what_is_orthogonal_to_1_has_the_coefficient_of_a_schur_complement() -> None:
    """For large p the other eigenvalues are those of g_dd - g_d^2/g_0 in the place of g_dd, 1 projected out."""
    p = 10**7
    population = Population.isotropic([1.0, 1 + 20 / np.sqrt(p)], 9 * np.eye(2), [4 * p // 10] * 2, p)
    four, limit = KernelCoefficients(0.2, 0.05, 0.05, 0.3), LimitTerms(0.2, 0.07, -0.02)
    law = SpectralLaw.of(population, four, limit=limit)
    schur = replace(four, variance=four.variance - limit.sum**2 / limit.constant)
    reduced = SpectralLaw.of(population, schur, limit=LimitTerms(limit.constant, 0.0, 0.0))
    np.testing.assert_allclose(law.outlier_values[1:], reduced.outlier_values[1:], rtol=1e-3)
    assert law.outlier_values[0] == pytest.approx(limit.constant * population.samples, rel=1e-5)


def test_a_bulk_that_is_a_point() -> None:
    """An even activation of the input alone: g_S is 0 and g_0 is not."""
    cell = CoupledDEQ([State("abs", 1, centred=False)], [[0]])
    law = predict_cell(EXPERIMENT, cell, 0, 200)
    assert law.bulk is None
    draw = measure_cell(EXPERIMENT, cell, 0, 200, 0, law)
    assert draw.eigenvalues[0] == pytest.approx(law.outlier_values[0], rel=0.01)


def test_a_sum_without_a_product_is_refused() -> None:
    population = Population.isotropic([1.0], [[0.0]], [40], 50)
    with pytest.raises(SpectralLawError, match="but none of delta_i delta_j"):
        SpectralLaw.of(population, KernelCoefficients(0.2, 0.0, 0.05, 0.3), limit=LimitTerms(0.2, 0.07, 0.0))
