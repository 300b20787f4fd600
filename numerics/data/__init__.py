"""Gaussian mixtures and other data, and their statistics."""

from numerics.data.covariance import Covariance
from numerics.data.entry_laws import ENTRY_LAWS, FOURTH_MOMENTS, EntryLaw, draw_entries
from numerics.data.mixture import GaussianMixture, MixtureSample, class_scales, class_sizes
from numerics.data.shapes import LARGEST_MATRIX, SHAPES, CovarianceShape, class_covariances
from numerics.data.statistics import MixtureStatistics, Tau0Reading, estimate_statistics, mean_squared_products

__all__ = [
    "ENTRY_LAWS",
    "FOURTH_MOMENTS",
    "LARGEST_MATRIX",
    "SHAPES",
    "Covariance",
    "CovarianceShape",
    "EntryLaw",
    "GaussianMixture",
    "MixtureSample",
    "MixtureStatistics",
    "Tau0Reading",
    "class_covariances",
    "class_scales",
    "class_sizes",
    "draw_entries",
    "estimate_statistics",
    "mean_squared_products",
]
