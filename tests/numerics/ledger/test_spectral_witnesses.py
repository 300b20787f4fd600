"""Witnesses of spectra: what a theory predicts, what a draw shows, and which wrong theories that refutes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from numerics.data import GaussianMixture
from numerics.ledger import (
    PROFILES,
    Plan,
    Setting,
    SpectrumRecord,
    law_of,
    mixture,
    planted_spectra,
    ranks_of,
    registry,
    run_task,
    spectral_residuals,
    spectrum_cell,
    spectrum_names,
)
from numerics.spectrum import SpectralLaw
from theory.claims import PopulationChange, VerdictKind, planted_spectral_errors, true_theory
from theory.kernels import KernelCoefficients

SETTING = Setting("uneven", "relu", 0.2, 0.8)


@pytest.mark.parametrize("ratio", [0.8, 2.5])
def test_the_law_integrates_to_the_moments_of_the_equivalent(ratio: float) -> None:
    """tr Gbar/n tends to the diagonal, and the variance of its spectrum to alpha_1^2 times that of S."""
    data = GaussianMixture.build(np.zeros((1, 200)), [2.0], [round(200 * ratio)])
    law = SpectralLaw.of(data, KernelCoefficients(0.3, 0.0, 0.0, 0.9))
    assert law.integrate(np.ones_like) == pytest.approx(1, abs=1e-9)
    mean = law.integrate(lambda x: x)
    assert mean == pytest.approx(0.9, abs=1e-9)
    # S has the nonzero eigenvalues of sum w w^T: Marchenko and Pastur's law has the variance (tr C/p)^2 n/p.
    assert law.integrate(lambda x: (x - mean) ** 2) == pytest.approx(0.3**2 * 2.0**2 * ratio, rel=1e-9)


def test_a_bulk_that_is_known_gives_the_same_law() -> None:
    coefficients = KernelCoefficients(0.2, 0.03, 0.05, 0.4)
    whole = SpectralLaw.of(mixture("uneven", 400), coefficients)
    again = SpectralLaw.of(whole.population, coefficients, whole.bulk)
    assert again.edges == whole.edges
    assert again.outlier_values == pytest.approx(whole.outlier_values, rel=1e-12)


def test_residuals_are_measured_less_predicted() -> None:
    p = 240
    record = SpectrumRecord.from_json(spectrum_cell(**vars(SETTING), p=p, index=0, seed=1))
    law = law_of(true_theory("ck"), SETTING, p)
    ranks = ranks_of([law])
    assert ranks == (2, 0)
    (row,) = spectral_residuals(law, SETTING, p, [record], ranks, bulk=True)
    assert len(spectrum_names(ranks, bulk=True)) == row.size
    assert row[:2] == pytest.approx(record.largest[:2] - law.outlier_values)
    assert np.all(np.abs(row[2:]) < 0.2)
    # A theory without isolated eigenvalues says that the largest tends to the edge.
    bare = law_of(planted_spectral_errors()["spectrum: class means left out"], SETTING, p)
    assert not bare.outlier_values.size
    (row,) = spectral_residuals(bare, SETTING, p, [record], ranks, bulk=False)
    assert row == pytest.approx(record.largest[:2] - bare.edges[-1][1])


@pytest.mark.parametrize("change", PopulationChange)
def test_every_change_of_the_population_changes_the_law(change: PopulationChange) -> None:
    setting = dataclasses.replace(SETTING, activation="Abs(x) + x/5")
    true = law_of(true_theory("ck"), setting, 400)
    wrong = law_of(planted_spectral_errors()[f"spectrum: {change.value}"], setting, 400)
    pairs = [(true.outlier_values, wrong.outlier_values), (np.ravel(true.edges), np.ravel(wrong.edges))]
    assert any(a.size != b.size or np.abs(a - b).max() > 1e-3 for a, b in pairs)


def test_wrong_spectra_are_refuted_and_the_true_one_is_not() -> None:
    profile = dataclasses.replace(PROFILES["quick"], spectrum_sizes=(150, 250, 400, 600), spectrum_draws=(16, 12, 8, 6))
    plan = Plan(profile, seed=0)
    checks = registry.checks_for(["bulk", "outliers"])
    results = {task.name: run_task(task) for task in registry.tasks_for(checks, plan)}
    verdicts = registry.judge(checks, plan, results, ["bulk", "outliers"])
    # On so few draws the outliers of one kind of data show no change below 100 %, and so support nothing.
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.SUPPORTED] * 2 + [VerdictKind.UNDECIDED]
    assert verdicts[2].evidence.startswith("no power here")
    bulk = next(verdict for verdict in verdicts if verdict.claim == "bulk")
    assert 0 < bulk.details["power"]["linear"] < 0.2
    assert bulk.details["power"]["variance"] is None
    outcomes = {outcome.theory.identifier: outcome for outcome in planted_spectra(plan, results)}
    for name in ("ck diagonal +10 %", "alpha_2 negative", "no subtraction on the diagonal", "uncentred diagonal"):
        assert outcomes[f"spectrum: {name}"].refuted, name
    assert len(outcomes) == len(planted_spectral_errors())
