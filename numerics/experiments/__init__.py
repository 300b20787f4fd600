"""Draws of data, and how far a kernel is from what is predicted on them."""

from numerics.experiments.distances import KernelDistance, distance_to_equivalent, distance_to_limit
from numerics.experiments.experiment import Cell, Experiment, Network, check_network, exact_kernel, experiment_question
from numerics.experiments.kernels import exact_kernels
from numerics.experiments.ladders import ConvergenceStudy, Ladder, RateClaim, summary
from numerics.experiments.pairs import NoMatchError, PairDistance, distance_to_explicit
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
    summarise_outliers,
)

__all__ = [
    "LARGEST_DENSE",
    "ROUNDING",
    "Cell",
    "ConvergenceStudy",
    "Experiment",
    "FittedLine",
    "KernelDistance",
    "Ladder",
    "MeasuredSpectrum",
    "Network",
    "NoMatchError",
    "OutlierSummary",
    "PairDistance",
    "RateCheck",
    "RateClaim",
    "RateReport",
    "check_network",
    "check_rate",
    "distance_to_equivalent",
    "distance_to_explicit",
    "distance_to_limit",
    "exact_kernel",
    "exact_kernels",
    "experiment_question",
    "fit_rate",
    "local_slopes",
    "measure",
    "predict",
    "report_rate",
    "summarise_outliers",
    "summary",
]
