"""Cells, rates and verdicts of the Implicit-CK experiment."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from numerics.equivalents import DeterministicEquivalent
from numerics.experiments import Cell, CellResult, Experiment, run_cells
from numerics.kernels import implicit_ck
from numerics.pointwise import pointwise
from numerics.verification import (
    equilibrium_verdict,
    forms_verdict,
    rate_evidence,
    rate_verdict,
    slope_verdict,
)
from theory import registry
from theory.activations import Activation
from theory.claims import VerdictKind

RELU = registry.get("relu")
SMALL = Experiment(activations=(RELU, registry.get("tanh")), seed=3)
CELLS = [Cell(p, index) for p in (32, 48) for index in range(2)]


def _records(jobs: int) -> list[dict[str, object]]:
    found = [result for batch in run_cells(SMALL, CELLS, jobs) for result in batch]
    return [r.record() for r in sorted(found, key=lambda r: (r.activation, r.p, r.index))]


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    assert _records(1) == _records(2)


def test_the_error_is_the_norm_of_the_difference() -> None:
    """One cell recomputed with dense matrices and a full eigenvalue decomposition."""
    result = next(r for batch in run_cells(SMALL, [Cell(48, 1)]) for r in batch if r.activation == "relu")
    sample = SMALL.mixture(48).sample(np.random.default_rng([3, 48, 1]))
    gram, statistics = sample.gram(), sample.statistics()
    solution = SMALL.solve(RELU, statistics.tau0_population)
    kernel = implicit_ck(gram, pointwise(RELU), 0.2, 0.8, solution["bias"]).kernel
    equivalent = DeterministicEquivalent.from_statistics(
        statistics,
        alpha1=solution["alpha1"],
        alpha2=solution["alpha2"],
        alpha3=solution["alpha3"],
        gamma2=solution["gamma2"],
        tau0=statistics.tau0_population,
        gram=gram,
    ).dense()
    assert result.error == pytest.approx(np.abs(np.linalg.eigvalsh(kernel - equivalent)).max(), rel=1e-9)


def _made_up(exponent: float, floor: float = 0.0, seeds: int = 12, noise: float = 0.02) -> list[CellResult]:
    rng = np.random.default_rng(5)
    return [
        CellResult("relu", p, p, index, 1.0, (p**exponent + floor) * (1 + noise * rng.standard_normal()), 0, 0, 8, 0, 0)
        for p in (200, 400, 800, 1600)
        for index in range(seeds)
    ]


def test_a_true_rate_is_supported() -> None:
    evidence = rate_evidence("relu", _made_up(-0.5), 0)
    assert rate_verdict(evidence).kind is VerdictKind.SUPPORTED
    assert slope_verdict(evidence).kind is VerdictKind.SUPPORTED


@pytest.mark.parametrize(("exponent", "floor"), [(-0.5, 0.05), (0.0, 0.0), (-1.0, 0.0)])
def test_a_floor_or_another_rate_is_not(exponent: float, floor: float) -> None:
    evidence = rate_evidence("relu", _made_up(exponent, floor, noise=0.005), 0)
    kinds = {rate_verdict(evidence).kind, slope_verdict(evidence).kind}
    assert kinds != {VerdictKind.SUPPORTED}


def test_too_little_data_is_undecided() -> None:
    few = [r for r in _made_up(-0.5) if r.p == 200 and r.index == 0]
    evidence = rate_evidence("relu", few, 0)
    assert rate_verdict(evidence).kind is VerdictKind.UNDECIDED
    assert slope_verdict(evidence).kind is VerdictKind.UNDECIDED


def test_a_linear_network_is_its_own_equivalent() -> None:
    """phi(x) = x: G* = alpha_1 S exactly, so the distance is rounding and the rate is moot."""
    experiment = dataclasses.replace(SMALL, activations=(registry.get("identity"),))
    results = [r for batch in run_cells(experiment, CELLS) for r in batch]
    assert max(r.error for r in results) < 1e-9
    assert rate_verdict(rate_evidence("identity", results, 0)).kind is VerdictKind.SUPPORTED


def test_a_wrong_coefficient_is_seen() -> None:
    """Power of the norm: alpha_1 off by 10 % shows at p = 400 with class means of norm 2.

    (With means of norm 8 the error that remains at p = 400 is so large that it does not.)
    """
    experiment = Experiment(activations=(RELU,), means=2.0)
    sample = experiment.mixture(400).sample(np.random.default_rng(0))
    gram, statistics = sample.gram(), sample.statistics()
    solution = experiment.solve(RELU, statistics.tau0_population)
    kernel = implicit_ck(gram, pointwise(RELU), 0.2, 0.8, solution["bias"]).kernel
    right = {key: solution[key] for key in ("alpha1", "alpha2", "alpha3", "gamma2")}
    errors = []
    for factor in (1.0, 1.1):
        wrong = right | {"alpha1": right["alpha1"] * factor}
        equivalent = DeterministicEquivalent.from_statistics(
            statistics, **wrong, tau0=statistics.tau0_population, gram=gram
        ).dense()
        errors.append(np.abs(np.linalg.eigvalsh(kernel - equivalent)).max())
    assert errors[1] > 1.5 * errors[0]


def test_verdicts_without_data() -> None:
    assert forms_verdict().kind is VerdictKind.DERIVED
    assert equilibrium_verdict(SMALL, RELU, 1.0).kind is VerdictKind.SUPPORTED
    unstable = dataclasses.replace(SMALL, sigma_a2=5.0)
    assert equilibrium_verdict(unstable, RELU, 1.0).kind is VerdictKind.REFUTED


def test_activations_from_text_take_part() -> None:
    experiment = dataclasses.replace(SMALL, activations=(Activation.from_text("Max(x, 0) + sin(x)/2"),))
    (result,) = (r for batch in run_cells(experiment, [Cell(40, 0)]) for r in batch)
    assert result.n == 32
    assert 0 < result.error < 10
