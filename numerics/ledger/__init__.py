"""The evidence for the claims of ``theory.claims``, one module for each kind of evidence."""

from numerics.ledger.checks import PROFILES, Plan, PlantedOutcome, PlantedSetting, Task, with_power
from numerics.ledger.coefficients import planted_outcomes, predicted_powers, read_records, theory_test, variant_verdict
from numerics.ledger.control_variates import control_variates, controlled
from numerics.ledger.limits import limit_test, predicted_test
from numerics.ledger.populations import MIXTURES, mixture, population
from numerics.ledger.registry import checks_for, failures, judge, run_cell, run_task, tasks_for
from numerics.ledger.run import LedgerOutcome, LedgerRun, Standing, UnknownClaimError
from numerics.ledger.spectra import planted_spectra
from numerics.ledger.spectral_witnesses import (
    Setting,
    SpectrumRecord,
    law_of,
    ranks_of,
    spectral_residuals,
    spectrum_cell,
    spectrum_names,
)
from numerics.ledger.system import equilibrium_task, proof_task, tied_layers_task
from numerics.ledger.twins import polynomial_twin
from numerics.ledger.witnesses import (
    EquivalentTerms,
    WitnessRecord,
    coefficients_of,
    explicit_coefficients,
    residuals,
    terms_of,
    theory_terms,
    witness_cell,
    witness_names,
    wrong_terms,
)

__all__ = [
    "MIXTURES",
    "PROFILES",
    "EquivalentTerms",
    "LedgerOutcome",
    "LedgerRun",
    "Plan",
    "PlantedOutcome",
    "PlantedSetting",
    "Setting",
    "SpectrumRecord",
    "Standing",
    "Task",
    "UnknownClaimError",
    "WitnessRecord",
    "checks_for",
    "coefficients_of",
    "control_variates",
    "controlled",
    "equilibrium_task",
    "explicit_coefficients",
    "failures",
    "judge",
    "law_of",
    "limit_test",
    "mixture",
    "planted_outcomes",
    "planted_spectra",
    "polynomial_twin",
    "population",
    "predicted_powers",
    "predicted_test",
    "proof_task",
    "ranks_of",
    "read_records",
    "residuals",
    "run_cell",
    "run_task",
    "spectral_residuals",
    "spectrum_cell",
    "spectrum_names",
    "tasks_for",
    "terms_of",
    "theory_terms",
    "theory_test",
    "tied_layers_task",
    "variant_verdict",
    "with_power",
    "witness_cell",
    "witness_names",
    "wrong_terms",
]
