"""The released code's formulas against its own output and against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture, MissingDatasetError, estimate_statistics, load_dataset
from numerics.equilibrium import solve_float
from numerics.experiments import exact_kernel
from numerics.linalg import gram_matrix
from numerics.matching import DEQKernels, explicit_kernel
from numerics.released import (
    EXPERIMENTS,
    SCALES,
    Scale,
    main_networks,
    measure_cell,
    released_design,
    released_image_statistics,
    released_mixture_statistics,
    shadowed_scale,
    summarise,
)
from numerics.released.formulas import ReleasedDEQ
from theory.equations import DEQ
from theory.kernels import Kernel

SMALL = Scale(2, 64, 2, 200, 60, 200, 200, (32,), 2)


@pytest.mark.parametrize(
    ("activation", "sigma_a2", "printed"),
    [
        # What two_layer_lrelu.py and one_layer_tanh.py of the released code print for data of tau_0 = 1.
        ("relu", "3/10", [1.1126484, 0.00809947, 1.02820679, 0.5241866]),
        ("tanh", "1/10", [0.78042096, 1.18774386]),
    ],
)
def test_designs_are_those_that_the_released_minimiser_prints(
    activation: str, sigma_a2: str, printed: list[float]
) -> None:
    found = released_design(activation, sigma_a2)
    # The minimiser stops at residuals of about 1e-5.
    np.testing.assert_allclose(found.parameters, printed, atol=2e-5)
    assert found.residual < 2e-5


def test_the_shadowed_scale_is_that_of_hard_tanh() -> None:
    z = np.random.default_rng(0).standard_normal(400_000)
    sample = 0.7 * np.clip(1.3 * z, -0.9, 0.9)
    assert shadowed_scale(0.7, 0.9, 1.3) == pytest.approx(np.sqrt(np.mean(sample**2)), rel=5e-3)
    # What main.py passes on for leaky ReLU, and what it should.
    a1, b1, *_ = released_design("relu", "3/10").parameters
    assert shadowed_scale(a1, b1) == pytest.approx(0.008992, rel=1e-3)
    leaky = np.maximum(a1 * z, b1 * z)
    assert np.std(leaky) == pytest.approx(0.6518, rel=5e-3)


def test_centred_traces_against_covariances() -> None:
    rng = np.random.default_rng(0)
    scales = [np.diag(rng.uniform(0.5, 2, 12)) for _ in range(2)]
    statistics = GaussianMixture.build(np.zeros((2, 12)), scales, (30, 10)).sample(rng).statistics()
    centre = 0.75 * scales[0] + 0.25 * scales[1]
    wanted = [[np.trace((a - centre) @ (b - centre)) / 12 for b in scales] for a in scales]
    np.testing.assert_allclose(released_mixture_statistics(statistics).T, wanted, atol=1e-12)


def test_statistics_of_images_against_the_formulas_written_out() -> None:
    rng = np.random.default_rng(1)
    samples, labels = rng.standard_normal((20, 6)) @ rng.standard_normal((6, 6)), np.repeat([0, 1], 10)
    found = released_image_statistics(samples, labels, estimate_statistics(samples.T, labels))
    covariances = [np.cov(samples[labels == a].T) for a in (0, 1)]
    half = np.cov(samples.T) / 2
    wanted = [[np.trace((a - half) * (b - half)) / 6 for b in covariances] for a in covariances]
    np.testing.assert_allclose(found.T, wanted)
    centred = samples[:10] - samples[:10].mean(axis=0)
    psi = np.sum(centred**2, axis=1) / 6 - np.trace(covariances[0]) / 6
    np.testing.assert_allclose(found.psi[:10], psi)
    assert not np.any(found.t)


def test_the_mean_over_finite_networks_tends_to_the_exact_kernels() -> None:
    rng = np.random.default_rng(0)
    data = GaussianMixture.released_experiment(40).sample(rng).data
    gram = gram_matrix(data)
    deq = DEQ("tanh", "1/5", "4/5", float(np.sqrt(np.trace(gram) / len(gram))))
    solution = solve_float(deq).checked(Kernel.NTK_RECURRENT)
    for kernel in (Kernel.CK, Kernel.NTK_RECURRENT):
        draws = [
            ReleasedDEQ(
                pointwise(deq.activation),
                solution["bias"],
                (0.2, 0.8),
                rng.standard_normal((600, 600)),
                rng.standard_normal((600, 40)),
                data,
            ).kernel(kernel)
            for _ in range(30)
        ]
        exact = exact_kernel(kernel, deq, solution, gram)[0]
        scatter = np.std(draws, axis=0) / np.sqrt(30)
        assert np.abs((np.mean(draws, axis=0) - exact) / scatter).max() < 5.5


def test_the_networks_of_main_do_not_have_the_kernel_of_its_deq() -> None:
    gram = GaussianMixture.released_experiment(784, ratio=0.25).sample(np.random.default_rng(0)).gram()
    exact = DEQKernels(DEQ("tanh")).kernel(gram)

    def error(sigma_a2: str) -> float:
        other = explicit_kernel(gram, list(released_design("tanh", sigma_a2).layers))
        return float(np.linalg.norm(exact - other, 2) / np.linalg.norm(exact, 2))

    assert list(main_networks("tanh").layers[0][0].breakpoints) == pytest.approx(
        list(released_design("tanh", "1/10").layers[0][0].breakpoints)
    )
    assert error("1/10") > 0.02 > error("1/5")
    # The second layer of the leaky network is centred by almost nothing.
    assert main_networks("relu").layers[1][1] < 0.005 < 0.1 < released_design("relu", "3/10").layers[1][1]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_on_small_samples(name: str) -> None:
    try:
        cells = [measure_cell(SMALL, 3, {"experiment": name, "index": index}) for index in range(2)]
    except MissingDatasetError as error:
        pytest.skip(str(error))
    again = measure_cell(SMALL, 3, {"experiment": name, "index": 0})
    assert again == cells[0] != cells[1]
    rows = summarise(cells)
    assert all(row.released or row.corrected for row in rows)
    assert all(mean.error >= 0 and mean.draws == 2 for row in rows for mean in (row.released, row.corrected) if mean)
    if EXPERIMENTS[name].quantity == "relative error":
        for row in rows:
            if row.name.endswith(("leaky_relu", "hard_tanh")):
                assert row.corrected.value < 0.02 < row.released.value  # type: ignore[union-attr]


def test_sizes() -> None:
    assert set(SCALES) == {"quick", "default"}
    assert SCALES["default"].draws >= 10


def test_digits_are_centred_together() -> None:
    try:
        load_dataset("mnist")
    except MissingDatasetError as error:
        pytest.skip(str(error))
    from numerics.released.experiments import _digits

    found = _digits()
    assert found.tau0 == pytest.approx(1)
    np.testing.assert_allclose(found.samples.mean(axis=0), 0, atol=1e-12)
