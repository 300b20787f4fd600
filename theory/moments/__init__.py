"""Exact Gaussian moments: Stein's identities, closed forms, dual activations."""

from theory.moments.bivariate import BivariateExpectation, bivariate_moment
from theory.moments.duals import DualForm, bivariate_normal, correlation, dual_form, left_scale, right_scale, sine
from theory.moments.expectations import DivergentMomentError, GaussianExpectation, GaussianMoments
from theory.moments.stein import RAW_MOMENTS, SLOPE_FORMS, SLOPE_MOMENTS, STEIN_FORMS

__all__ = [
    "RAW_MOMENTS",
    "SLOPE_FORMS",
    "SLOPE_MOMENTS",
    "STEIN_FORMS",
    "BivariateExpectation",
    "DivergentMomentError",
    "DualForm",
    "GaussianExpectation",
    "GaussianMoments",
    "bivariate_moment",
    "bivariate_normal",
    "correlation",
    "dual_form",
    "left_scale",
    "right_scale",
    "sine",
]
