"""The limiting spectrum from the population alone, and measured spectra beside it."""

from numerics.spectrum.bulk import Bulk, isolate_spikes, solve_bulk
from numerics.spectrum.distances import (
    OutlierMatch,
    kolmogorov_distance,
    levy_distance,
    match_outliers,
    outside_support,
    wasserstein_distance,
)
from numerics.spectrum.estimate import BulkEstimate, estimate_spectrum
from numerics.spectrum.finite_width import FiniteWidthBulk, Layer, solve_finite_width, stieltjes
from numerics.spectrum.fixed_point import GapCurve, SpectralLawError, locate
from numerics.spectrum.isolation import (
    MARGIN_UNITS,
    count_isolated,
    isolated_eigenvalues,
    isolation_margin,
    support_bounds,
)
from numerics.spectrum.law import LawOfKernel, SpectralLaw, phase_transition
from numerics.spectrum.learning import LearningLaw
from numerics.spectrum.outliers import LimitTerms
from numerics.spectrum.outputs import Learned, Outputs, class_targets
from numerics.spectrum.population import CommutingCovariances, DenseCovariances, Population
from numerics.spectrum.width_law import FiniteWidthLaw, deq_rows, deq_width_law, explicit_width_law
from numerics.spectrum.width_match import WidthMatch, equal_second_moment, law_distance, match_widths

__all__ = [
    "MARGIN_UNITS",
    "Bulk",
    "BulkEstimate",
    "CommutingCovariances",
    "DenseCovariances",
    "FiniteWidthBulk",
    "FiniteWidthLaw",
    "GapCurve",
    "LawOfKernel",
    "Layer",
    "Learned",
    "LearningLaw",
    "LimitTerms",
    "OutlierMatch",
    "Outputs",
    "Population",
    "SpectralLaw",
    "SpectralLawError",
    "WidthMatch",
    "class_targets",
    "count_isolated",
    "deq_rows",
    "deq_width_law",
    "equal_second_moment",
    "estimate_spectrum",
    "explicit_width_law",
    "isolate_spikes",
    "isolated_eigenvalues",
    "isolation_margin",
    "kolmogorov_distance",
    "law_distance",
    "levy_distance",
    "locate",
    "match_outliers",
    "match_widths",
    "outside_support",
    "phase_transition",
    "solve_bulk",
    "solve_finite_width",
    "stieltjes",
    "support_bounds",
    "wasserstein_distance",
]
