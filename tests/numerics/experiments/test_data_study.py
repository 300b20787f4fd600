"""Predicted and measured errors of the equivalents, the reasons and the advice, on data whose faults are planted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from numerics.data import Dataset, MissingDatasetError, load_dataset
from numerics.experiments import TRUSTED, DataStudy, DataSummary, Equivalent, Prediction, Reason, advise, study_data
from numerics.linalg import operator_norm
from tests.numerics.experiments.low_dimensional import low_dimensional
from theory.equations import DEQ, EquilibriumError
from theory.kernels import Kernel

N, P = 160, 200
#: Data with one fault each, an activation that it shows with, and the reason that must be found.
FAULTS = {
    "low dimension": (low_dimensional(N, P, decay=2.0, sphere=True), "relu", Reason.DIMENSION),
    "means": (low_dimensional(N, P, means=2.0, sphere=True), "relu", Reason.MEANS),
    "norms": (low_dimensional(N, P, norms=0.5), "tanh", Reason.NORMS),
    "correlations": (low_dimensional(N, P, decay=2.0, sphere=True), "tanh", Reason.CORRELATIONS),
}


def _study(
    data: Dataset, activation: str, kernel: Kernel = Kernel.CK, seed: int = 0, sigma_b2: str = "4/5"
) -> DataStudy:
    return study_data(DEQ(activation, "1/5", sigma_b2), data, kernel, np.random.default_rng(seed))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_reason_is_found(fault: str) -> None:
    data, activation, reason = FAULTS[fault]
    assert _study(data, activation).data.prediction.reason is reason


@pytest.mark.parametrize(("kernel", "resolution"), [(Kernel.CK, 0.005), (Kernel.NTK_ALL, 0.02)])
@pytest.mark.parametrize("fault", [*FAULTS, "none"])
def test_what_is_predicted_is_what_is_measured(fault: str, kernel: Kernel, resolution: float) -> None:
    """Without the exact kernel: to a tenth, or to what the series to degree 5 leaves out at correlations near 1."""
    data, activation, _ = FAULTS.get(fault, (low_dimensional(N, P), "relu", None))
    for found in (_study(data, activation, kernel).data, _study(data, activation, kernel).twin):
        for each in Equivalent:
            assert found.prediction.errors[each] == pytest.approx(found.errors[each], rel=0.1, abs=resolution), each


@pytest.mark.parametrize("kernel", Kernel)
def test_equivalents_that_look_at_entries_hold_where_gbar_does_not(kernel: Kernel) -> None:
    data = FAULTS["low dimension"][0]
    errors = _study(data, "relu", kernel).data.errors
    assert errors[Equivalent.GBAR] > 4 * errors[Equivalent.SECOND_ORDER]
    odd = _study(data, "tanh", kernel).data.errors
    assert odd[Equivalent.SECOND_ORDER] > 4 * odd[Equivalent.THIRD_ORDER]
    spread = _study(FAULTS["norms"][0], "tanh", kernel).data.errors
    assert spread[Equivalent.THIRD_ORDER] > 4 * spread[Equivalent.KEPT_NORMS]


def test_means_belong_into_gbar() -> None:
    errors = _study(FAULTS["means"][0], "relu").data.errors
    assert errors[Equivalent.GBAR] > 4 * errors[Equivalent.WITH_MEANS]


def test_errors_are_relative_operator_norms() -> None:
    """Of the second order, from the kernel itself."""
    from numerics.equilibrium import solve_float
    from numerics.experiments import exact_kernels

    data = FAULTS["low dimension"][0]
    deq, gram = DEQ("relu", "1/5", tau0=data.tau0), data.gram()
    exact = exact_kernels(deq, gram=gram)[Kernel.CK]
    linear, variance, square, diagonal = solve_float(deq).kernel(Kernel.CK)
    delta = np.diagonal(gram) - data.tau0**2
    second = linear * gram + variance * np.outer(delta, delta) + square * gram**2
    np.fill_diagonal(second, diagonal)
    rng = np.random.default_rng(0)
    error = operator_norm(exact - second, rng).value / operator_norm(exact, rng).value
    assert _study(data, "relu").data.errors[Equivalent.SECOND_ORDER] == pytest.approx(error, rel=1e-6)


def test_gbar_is_trusted_in_high_dimension_and_nowhere_else() -> None:
    trusted = _study(low_dimensional(N, 2000), "relu")
    assert trusted.advice.startswith("Gbar can be trusted here")
    assert trusted.data.errors[Equivalent.GBAR] < TRUSTED
    for data, activation, reason in FAULTS.values():
        study = _study(data, activation, sigma_b2="8" if reason is Reason.CORRELATIONS else "4/5")
        assert study.advice.startswith("Gbar cannot be trusted here"), reason
        assert study.data.errors[Equivalent.GBAR] > TRUSTED


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("low dimension", "S o S does not average out: the effective dimension of the classes is"),
        ("means", "T leaves out the class means, which carry 8"),
        ("norms", "the squared norms spread by"),
    ],
)
def test_the_advice_says_why_and_what_to_use(fault: str, said: str) -> None:
    data, activation, _ = FAULTS[fault]
    study = _study(data, activation)
    assert said in study.advice
    assert "; use " in study.advice
    assert study.advice.count(".") >= 1
    assert study.advice.endswith(".")
    assert "\n" not in study.advice
    tangent = _study(data, activation, Kernel.NTK_ALL).advice
    assert tangent.startswith("Kbar")


def test_without_the_exact_kernel_the_advice_is_a_prediction() -> None:
    found = _study(FAULTS["means"][0], "relu").data
    text = advise(found.diagnostics, found.prediction)
    assert "it is predicted to be off by" in text
    assert "predicted from the samples" not in text


def test_where_no_equivalent_holds_the_nearest_is_named() -> None:
    found = _study(FAULTS["means"][0], "relu").data
    worse = dict.fromkeys(Equivalent, 0.2) | {Equivalent.SECOND_ORDER: 0.09}
    text = advise(found.diagnostics, found.prediction, worse)
    assert "no equivalent can: the nearest is the second-order equivalent, off by 9 %" in text


def test_what_is_measured_overrules_a_prediction_that_is_too_good() -> None:
    found = _study(low_dimensional(N, 2000), "relu").data
    assert advise(found.diagnostics, found.prediction, found.errors).startswith("Gbar can")
    assert advise(found.diagnostics, found.prediction, dict.fromkeys(Equivalent, 0.2)).startswith("Gbar cannot")


def test_the_twin_tells_gaussian_from_not() -> None:
    """The same norms spread in both where the data are Gaussian, in the twin alone where they are on a sphere."""
    study = _study(FAULTS["low dimension"][0], "relu")
    assert study.data.diagnostics.norm_spread < 1e-12
    assert study.twin.diagnostics.norm_spread > 0.3
    plain = _study(low_dimensional(N, P, decay=2.0), "relu")
    assert plain.twin.errors[Equivalent.GBAR] == pytest.approx(plain.data.errors[Equivalent.GBAR], rel=0.35)


def test_a_record_gives_the_study_back() -> None:
    study = _study(FAULTS["norms"][0], "tanh")
    record = json.loads(json.dumps(study.record()))
    assert DataStudy.from_record(record).record() == study.record()


def test_the_seed_alone_decides() -> None:
    data = FAULTS["norms"][0]
    first, second, other = (json.dumps(_study(data, "tanh", seed=seed).record()) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_a_summary_is_of_means_over_the_draws() -> None:
    studies = tuple(_study(low_dimensional(60, P, decay=1.0, seed=seed), "relu") for seed in range(3))
    summary = DataSummary(studies)
    values = [study.data.errors[Equivalent.GBAR] for study in studies]
    assert summary.errors()[Equivalent.GBAR] == pytest.approx(np.mean(values))
    assert summary.standard_errors()[Equivalent.GBAR] == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert np.isnan(DataSummary(studies[:1]).standard_errors("twin")[Equivalent.GBAR])
    np.testing.assert_allclose(
        summary.diagnostics("twin").effective_dimension,
        np.mean([study.twin.diagnostics.effective_dimension for study in studies], axis=0),
    )
    assert DataSummary(studies[:1]).advice == studies[0].advice
    with pytest.raises(ValueError, match="at least one draw"):
        DataSummary(())


def test_a_tangent_kernel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(EquilibriumError):
        _study(low_dimensional(20, 10), "sign(x)", Kernel.NTK_ALL)


@pytest.mark.parametrize("activation", ["relu", "swish", "tanh"])
def test_fashion_mnist_is_not_high_dimensional(activation: str) -> None:
    """Findings on images: effective dimensions near 10, Gbar off for ReLU and swish, entrywise equivalents right."""
    try:
        whole = load_dataset("fashion-mnist").select(["1", "9"])
    except MissingDatasetError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    study = study_data(DEQ(activation), whole.subsample(400, rng).normalise("sample"), Kernel.CK, rng)
    assert np.all(study.data.diagnostics.effective_dimension < 15)
    errors, twin = study.data.errors, study.twin.errors
    assert errors[Equivalent.GBAR] > {"relu": 0.15, "swish": 0.1, "tanh": 0.02}[activation]
    assert errors[Equivalent.THIRD_ORDER] < 0.012
    if activation != "tanh":
        assert errors[Equivalent.SECOND_ORDER] < 0.015
        assert twin[Equivalent.GBAR] == pytest.approx(errors[Equivalent.GBAR], rel=0.15)


def _with_outlier() -> Dataset:
    data = low_dimensional(100, 50)
    samples = np.array(data.samples)
    samples[3] *= 1e4
    return data.transformed(samples).normalise("center")


def test_an_unknown_effective_dimension_is_null_in_the_record() -> None:
    study = _study(_with_outlier(), "relu")
    record = json.loads(json.dumps(study.record(), allow_nan=False))
    assert record["data"]["diagnostics"]["effective_dimension"][1] is None
    found = DataStudy.from_record(record)
    assert found.record() == study.record()
    dimensions = DataSummary((found, found)).diagnostics().effective_dimension
    assert np.isnan(dimensions).tolist() == [False, True]
    assert "effective dimension" not in study.advice


def _because_of_dimension(data: Dataset) -> str:
    """The advice, were the fluctuations of S o S the largest part of the error."""
    found = _study(data, "relu").data
    largest = Prediction(found.prediction.errors, {**found.prediction.parts, Reason.DIMENSION: np.inf})
    return advise(found.diagnostics, largest, dict.fromkeys(Equivalent, 0.2))


def test_the_advice_does_not_use_a_dimension_that_is_not_known() -> None:
    assert "how small the effective dimension of the classes is cannot be estimated" in _because_of_dimension(
        _with_outlier()
    )


def test_where_p_itself_is_small_the_advice_says_so() -> None:
    study = _study(low_dimensional(200, 6), "relu")
    assert study.data.prediction.reason is Reason.DIMENSION
    assert "S o S does not average out: p = 6 itself is too small; " in study.advice
    assert "not of the order of p" not in study.advice
    assert "not of the order of p = 200" in _because_of_dimension(FAULTS["low dimension"][0])


def test_a_spread_near_all_of_the_mean_is_told_in_plain_digits() -> None:
    found = _study(low_dimensional(200, 6, decay=2.0).normalise("center"), "relu")
    assert found.data.prediction.reason is Reason.NORMS
    assert 0.995 < found.data.diagnostics.norm_spread < 1
    assert "spread by 100 % of their mean" in found.advice
