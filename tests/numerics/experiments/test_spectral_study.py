"""Measured spectra against the law: the comparison of draws, exact and of finite networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.data import CovarianceShape, EntryLaw, draw_entries
from numerics.experiments import (
    LARGEST_DENSE,
    Experiment,
    MeasuredSpectrum,
    Network,
    exact_kernel,
    measure,
    predict,
    summarise_outliers,
)
from numerics.kernels import implicit_kernels
from numerics.spectrum import SpectralLaw
from theory.activations import resolve
from theory.equations import EquilibriumError
from theory.kernels import Kernel

Array = NDArray[np.float64]
RELU, TANH = resolve("relu"), resolve("tanh")


def test_a_draw_is_compared_with_the_law() -> None:
    experiment = Experiment((RELU,), means=3.0, cov_shift=4.0, seed=5)
    law, solution = predict(experiment, RELU, Kernel.CK, 300)
    draws = [measure(experiment, RELU, Kernel.CK, 300, index, law, solution) for index in range(3)]
    gram = experiment.mixture(300).sample(np.random.default_rng([5, 300, 1])).gram()
    kernel = implicit_kernels(gram, pointwise(RELU), 0.2, 0.8, solution["bias"])[Kernel.CK]
    np.testing.assert_allclose(draws[1].eigenvalues, np.linalg.eigvalsh(kernel)[::-1], atol=1e-9)
    assert all(0 < draw.levy_distance <= draw.ks_distance < 0.2 for draw in draws)
    assert all(draw.wasserstein_distance < draw.opnorm_error < 0.5 for draw in draws)
    summary = summarise_outliers(law, draws)
    np.testing.assert_allclose(summary.mean, np.mean([draw.eigenvalues[:2] for draw in draws], axis=0))
    spread = np.std([draw.eigenvalues[:2] for draw in draws], axis=0, ddof=1)
    np.testing.assert_allclose(summary.standard_error, spread / np.sqrt(3))
    np.testing.assert_allclose(summary.match.pairs[:, 0], law.outlier_values)
    assert np.all(np.abs(summary.match.relative_errors) < 0.1)
    alone = summarise_outliers(law, draws[:1])
    assert np.all(np.isnan(alone.standard_error))
    with pytest.raises(ValueError, match="at least one draw"):
        summarise_outliers(law, [])


def test_a_kernel_has_no_spectrum_below_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bulk begins at gamma^2 - tau_0^2 alpha_1 >= 0, which is 0 for phi(x) = x; wrong coefficients are refused."""
    experiment, linear = Experiment((), means=1.0), resolve("x")
    law, solution = predict(experiment, linear, Kernel.CK, 60)
    assert law.shift == 0
    assert law.edges[0][0] > 0
    wrong = dataclasses.replace(solution, values={**solution.values, "gamma2": solution["gamma2"] * (1 - 1e-9)})
    monkeypatch.setattr(Experiment, "solve", lambda *_: wrong)
    with pytest.raises(EquilibriumError, match=r"coefficients of x are wrong: .* below 0"):
        predict(experiment, linear, Kernel.CK, 60)


def test_the_same_draw_gives_the_same_numbers() -> None:
    experiment = Experiment((RELU,), seed=2)
    law, solution = predict(experiment, RELU, Kernel.NTK_RECURRENT, 80)
    one, other = (measure(experiment, RELU, Kernel.NTK_RECURRENT, 80, 0, law, solution) for _ in range(2))
    assert one.eigenvalues.tobytes() == other.eigenvalues.tobytes()
    assert one.opnorm_error == other.opnorm_error


def test_a_record_reads_back() -> None:
    experiment = Experiment((RELU,), seed=2)
    law, solution = predict(experiment, RELU, Kernel.CK, 40)
    found = measure(experiment, RELU, Kernel.CK, 40, 0, law, solution)
    again = MeasuredSpectrum.from_record(found.record())
    assert again.record() == found.record()
    assert again.ends == (32, 32)
    assert summarise_outliers(law, [again]).mean.tolist() == summarise_outliers(law, [found]).mean.tolist()


# --- finite networks -----------------------------------------------------------------------------


KINDS = tuple(Kernel)


def test_a_wide_networks_spectrum_is_that_of_the_exact_kernel_and_of_no_other() -> None:
    """Relative to the largest eigenvalue the distance is of the order of sqrt(n/m), here 0.17 before constants."""
    experiment = Experiment((), sigma_a2=0.6, sigma_b2=0.4, means=3.0, cov_shift=4.0, seed=6)
    exact, wide = {}, {}
    for kind in KINDS:
        law, solution = predict(experiment, TANH, kind, 60)
        exact[kind], wide[kind] = (
            measure(experiment, TANH, kind, 60, 0, law, solution, network=network)
            for network in (None, Network(1600, "rademacher"))
        )
        assert exact[kind].network_residual is None
        assert wide[kind].kernel_residual is None
        assert 0 < float(wide[kind].network_residual or 0) <= 1e-10
    for kind in KINDS:
        gaps = {
            other: float(np.abs(wide[kind].eigenvalues - found.eigenvalues).max() / found.eigenvalues[0])
            for other, found in exact.items()
        }
        assert gaps.pop(kind) < 0.08
        assert min(gaps.values()) > 0.1


@pytest.mark.parametrize("weights", ["gaussian", "student"])
def test_a_finite_kernel_is_that_of_the_network_drawn_after_the_samples(weights: EntryLaw) -> None:
    """One draw recomputed with plain iteration and a Jacobian for each sample."""
    experiment = Experiment((), means=3.0, seed=6)
    law, solution = predict(experiment, TANH, Kernel.NTK_RECURRENT, 40)
    found = measure(experiment, TANH, Kernel.NTK_RECURRENT, 40, 2, law, solution, network=Network(50, weights))
    rng = np.random.default_rng([6, 40, 2])
    data = experiment.mixture(40).sample(rng).data
    A, B, v = (draw_entries(weights, shape, rng) for shape in ((50, 50), (50, 40), (50,)))
    A = np.sqrt(0.2 / 50) * A
    h = np.zeros((50, 32))
    for _ in range(300):
        h = np.tanh(A @ h + np.sqrt(0.8) * B @ data)
    g = np.column_stack([(1 - s**2) * np.linalg.solve(np.eye(50) - A.T * (1 - s**2), v) for s in h.T])
    kernel = h.T @ h / 50 * (1 + 0.2 * g.T @ g / 50)
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(kernel)[::-1], atol=1e-8)


def test_a_narrow_network_has_a_singular_kernel_and_the_samples_of_the_exact_one() -> None:
    """Rank m at most; the equivalent, and so the Gram matrix behind the distance to it, is that of the same draw."""
    experiment = Experiment((), means=3.0, seed=6)
    law, solution = predict(experiment, TANH, Kernel.CK, 60)
    found = measure(experiment, TANH, Kernel.CK, 60, 0, law, solution, network=Network(30))
    np.testing.assert_allclose(found.eigenvalues[30:], 0, atol=1e-12)
    assert found.eigenvalues[29] > 1e-3
    gram = experiment.mixture(60).sample(np.random.default_rng([6, 60, 0])).gram()
    matrix = exact_kernel(Kernel.CK, experiment.deq(TANH, 1.0), solution, gram)[0]
    exact = measure(experiment, TANH, Kernel.CK, 60, 0, law, solution)
    np.testing.assert_allclose(exact.eigenvalues, np.linalg.eigvalsh(matrix)[::-1], atol=1e-12)


def test_networks_without_an_ntk_are_refused() -> None:
    experiment = Experiment((), seed=6)
    sign = resolve("sign")
    law, solution = predict(experiment, sign, Kernel.CK, 60)
    with pytest.raises(EquilibriumError, match="infinite"):
        measure(experiment, sign, Kernel.NTK_ALL, 60, 0, law, solution, network=Network(50))


# --- any covariances and proportions -------------------------------------------------------------

TOEPLITZ, TURNED = CovarianceShape("toeplitz", (0.7,)), CovarianceShape("toeplitz", (-0.6,))
ISOTROPIC, LEVELS = CovarianceShape(), CovarianceShape("diagonal", (0.5, 1.5))
#: The means alone separate the classes.
APART = {"means": 2.5, "cov_shift": 0.0}


@pytest.mark.parametrize(
    ("p", "draws", "fields"),
    [
        (400, 12, {"covariances": (TOEPLITZ,)}),
        (400, 12, {"covariances": (CovarianceShape("diagonal", (0.9, 2.1)),)}),
        (400, 12, {"covariances": (LEVELS,), "proportions": (0.25, 0.75)} | APART),
        (400, 12, {"covariances": (ISOTROPIC, LEVELS), "proportions": (0.25, 0.75), "noise": "rademacher"} | APART),
        (400, 12, {"covariances": (CovarianceShape("low-rank", (1.0, 9.0)),), "means": 0.0, "cov_shift": 0.0}),
        (64, 24, {"covariances": (TOEPLITZ, TURNED)}),
    ],
    ids=["toeplitz", "two levels", "unequal shares", "two shapes", "low rank", "not commuting"],
)
def test_the_largest_eigenvalue_of_exact_kernels_is_the_predicted_one(
    p: int, draws: int, fields: dict[str, object]
) -> None:
    """Within three standard errors over the draws; that of isotropic covariances in equal shares is far away."""
    settings = {"means": 2.0, "cov_shift": 20.0, "seed": 1} | fields
    experiment = Experiment((), **settings)  # type: ignore[arg-type]
    law, solution = predict(experiment, RELU, Kernel.CK, p)
    tops = [measure(experiment, RELU, Kernel.CK, p, index, law, solution).eigenvalues[0] for index in range(draws)]
    error = np.std(tops, ddof=1) / np.sqrt(draws)
    assert abs(np.mean(tops) - law.outlier_values[0]) < 3 * error
    plain = Experiment((), means=experiment.means, cov_shift=experiment.cov_shift)
    assert abs(np.mean(tops) - largest(predict(plain, RELU, Kernel.CK, p)[0])) > 5 * error


def largest(law: SpectralLaw) -> float:
    """The largest point of a law."""
    return float(max([law.edges[-1][1], *law.outlier_values]))


@pytest.mark.parametrize("shape", [TOEPLITZ, LEVELS], ids=["toeplitz", "two levels"])
def test_the_bulk_of_exact_kernels_is_the_predicted_one(shape: CovarianceShape) -> None:
    experiment = Experiment((), means=1.0, cov_shift=2.0, seed=1, covariances=(shape,))
    law, solution = predict(experiment, TANH, Kernel.CK, 400)
    found = measure(experiment, TANH, Kernel.CK, 400, 0, law, solution)
    plain = predict(Experiment((), means=1.0, cov_shift=2.0), TANH, Kernel.CK, 400)[0]
    other = measure(experiment, TANH, Kernel.CK, 400, 0, plain, solution)
    assert found.ks_distance < 0.02
    assert other.ks_distance > 3 * found.ks_distance


def test_covariances_that_do_not_commute_are_refused_in_a_large_dimension() -> None:
    experiment = Experiment((), covariances=(TOEPLITZ, TURNED))
    with pytest.raises(ValueError, match=f"p up to {LARGEST_DENSE} is accepted, not 500"):
        predict(experiment, RELU, Kernel.CK, 500)
    # The same shape for both commutes at any size.
    assert predict(Experiment((), covariances=(TOEPLITZ,)), RELU, Kernel.CK, 500)[0].outlier_values.size == 2
