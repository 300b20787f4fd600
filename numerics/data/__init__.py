"""Gaussian mixtures, data sets from files, and their statistics."""

from numerics.data.covariance import Covariance
from numerics.data.dataset import Dataset
from numerics.data.entry_laws import ENTRY_LAWS, FOURTH_MOMENTS, EntryLaw, draw_entries
from numerics.data.limits import DatasetError, Limits, MissingDatasetError
from numerics.data.mixture import GaussianMixture, MixtureSample, class_scales, class_sizes
from numerics.data.preprocessing import Preprocessing
from numerics.data.registered import data_folders, load_dataset, missing_dataset
from numerics.data.shapes import LARGEST_MATRIX, SHAPES, CovarianceShape, class_covariances
from numerics.data.statistics import MixtureStatistics, Tau0Reading, estimate_statistics, mean_squared_products
from numerics.data.wording import listed

__all__ = [
    "ENTRY_LAWS",
    "FOURTH_MOMENTS",
    "LARGEST_MATRIX",
    "SHAPES",
    "Covariance",
    "CovarianceShape",
    "Dataset",
    "DatasetError",
    "EntryLaw",
    "GaussianMixture",
    "Limits",
    "MissingDatasetError",
    "MixtureSample",
    "MixtureStatistics",
    "Preprocessing",
    "Tau0Reading",
    "class_covariances",
    "class_scales",
    "class_sizes",
    "data_folders",
    "draw_entries",
    "estimate_statistics",
    "listed",
    "load_dataset",
    "mean_squared_products",
    "missing_dataset",
]
