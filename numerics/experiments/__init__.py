"""Draws of data, and how far a kernel is from what is predicted on them."""

from numerics.experiments.advice import TRUSTED, advise, equivalent_name
from numerics.experiments.cell_kernels import CellKernel, cell_equivalent, cell_numbers, cell_parts
from numerics.experiments.cell_spectrum import measure_cell, predict_cell
from numerics.experiments.coupled import CoupledStudy
from numerics.experiments.data_study import DataStudy, DataSummary, SampleSource, SampleStudy, study_data
from numerics.experiments.diagnostics import DataDiagnostics, diagnose
from numerics.experiments.distances import (
    KernelDistance,
    distance_to_equivalent,
    distance_to_limit,
    distances_to_equivalent,
    distances_to_limit,
)
from numerics.experiments.equivalents_on_data import Equivalent, EquivalentsOnData, Prediction, Reason
from numerics.experiments.experiment import Cell, Experiment, Network, check_network, exact_kernel, experiment_question
from numerics.experiments.kernels import exact_kernels
from numerics.experiments.ladders import ConvergenceStudy, Ladder, RateClaim, summary
from numerics.experiments.learning_study import LEARNERS, Draw, Fitted, LearningStudy, Readout, Scores, best_ridge
from numerics.experiments.pairs import NoMatchError, PairDistance, designed, distance_to_explicit
from numerics.experiments.rates import (
    ROUNDING,
    FittedLine,
    RateCheck,
    RateReport,
    check_rate,
    fit_rate,
    local_slopes,
    report_rate,
)
from numerics.experiments.spectral_study import (
    LARGEST_DENSE,
    MeasuredSpectrum,
    OutlierSummary,
    measure,
    predict,
    predict_network,
    summarise_outliers,
)
from numerics.experiments.twins import gaussian_twin

__all__ = [
    "LARGEST_DENSE",
    "LEARNERS",
    "ROUNDING",
    "TRUSTED",
    "Cell",
    "CellKernel",
    "ConvergenceStudy",
    "CoupledStudy",
    "DataDiagnostics",
    "DataStudy",
    "DataSummary",
    "Draw",
    "Equivalent",
    "EquivalentsOnData",
    "Experiment",
    "Fitted",
    "FittedLine",
    "KernelDistance",
    "Ladder",
    "LearningStudy",
    "MeasuredSpectrum",
    "Network",
    "NoMatchError",
    "OutlierSummary",
    "PairDistance",
    "Prediction",
    "RateCheck",
    "RateClaim",
    "RateReport",
    "Readout",
    "Reason",
    "SampleSource",
    "SampleStudy",
    "Scores",
    "advise",
    "best_ridge",
    "cell_equivalent",
    "cell_numbers",
    "cell_parts",
    "check_network",
    "check_rate",
    "designed",
    "diagnose",
    "distance_to_equivalent",
    "distance_to_explicit",
    "distance_to_limit",
    "distances_to_equivalent",
    "distances_to_limit",
    "equivalent_name",
    "exact_kernel",
    "exact_kernels",
    "experiment_question",
    "fit_rate",
    "gaussian_twin",
    "local_slopes",
    "measure",
    "measure_cell",
    "predict",
    "predict_cell",
    "predict_network",
    "report_rate",
    "study_data",
    "summarise_outliers",
    "summary",
]
